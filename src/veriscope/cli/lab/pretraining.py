"""``veriscope lab make-procedural`` and ``pretrain``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, to_stderr
from veriscope.errors import VeriscopeError


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
    making = actions.add_parser("make-procedural", help="draw pictures by random image programs, to pretrain on")
    making.add_argument("--count", type=int, required=True, metavar="N", help="pictures in all; a second run resumes")
    making.add_argument("--out", type=Path, required=True, metavar="DIR", help="manifest.csv and pictures/")
    making.add_argument("--side", type=int, default=256, metavar="PX", help="pixels a side (256)")
    making.add_argument("--seed", type=int, default=0, help="of the programs")
    making.set_defaults(run=make_procedural)
    training = actions.add_parser(
        "pretrain", help="pretrain the pixel networks' trunk without labels; run again to resume"
    )
    training.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests, any labels")
    training.add_argument(
        "--work", type=Path, default=Path("lab-work"), metavar="DIR", help="kept to resume (lab-work)"
    )
    training.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the trunk, for veriscope lab train NAME --start FILE (WORK/trunk.safetensors)",
    )
    training.add_argument("--minutes", type=float, default=10.0, metavar="M", help="how long, over all runs (10)")
    training.add_argument("--steps", type=int, default=0, metavar="N", help="end after N steps instead")
    training.add_argument("--batch", type=int, default=64, metavar="N", help="pictures a step (64)")
    training.add_argument("--squares", type=int, default=8000, metavar="N", help="squares cut from the pictures (8000)")
    training.add_argument("--seed", type=int, default=0, help="of squares, views and first weights")
    training.add_argument("--device", default="auto", metavar="D", help="auto, cpu, gpu (auto)")
    training.set_defaults(run=pretrain)


def make_procedural(options: argparse.Namespace) -> int:
    """Draw what is missing."""
    with extra():
        from veriscope.lab.data import procedural
    if options.count < 1 or options.side < 128:
        raise VeriscopeError("--count must be at least 1 and --side at least 128")
    made = procedural.make_procedural(options.count, options.out, seed=options.seed, side=options.side, say=to_stderr)
    print(f"{made} pictures drawn, {options.count - made} were there; written: {options.out / procedural.MANIFEST}")
    return 0


def pretrain(options: argparse.Namespace) -> int:
    """Pretrain a trunk and print how well it finds a picture's other view."""
    with extra():
        from veriscope.lab.data.manifest import faults, read_lines, refuse
        from veriscope.lab.generators.training import Schedule
        from veriscope.lab.studies import pretraining
    if options.minutes <= 0 or options.steps < 0 or options.batch < 2 or options.squares < 2:
        raise VeriscopeError("--minutes must be positive, --steps not negative, --batch and --squares at least 2")
    lines = [line for path in options.data for line in read_lines(path)]
    refuse(faults(lines))
    schedule = Schedule(
        minutes=options.minutes,
        steps=options.steps,
        batch=options.batch,
        count=options.squares,
        seed=options.seed,
        device=options.device,
    )
    out = options.out or options.work / "trunk.safetensors"
    figures = pretraining.pretrain([line.row for line in lines], options.work, out, schedule, to_stderr)
    print(f"{figures['steps']} steps on {figures['squares']} squares of {figures['pictures']} pictures")
    if "found" in figures:
        print(
            f"of pictures kept aside the other view was found in {figures['found']:.1%}, before training in "
            f"{figures['found_at_first']:.1%}, by chance in {figures['chance']:.1%}"
        )
    print(f"written: {out}; start a network from it with veriscope lab train NAME --start {out}")
    return 0
