"""``veriscope lab make-edits``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, say
from veriscope.errors import VeriscopeError

LEAST = 64  # pixels a side of a picture that can be edited


def add_to(actions: Any) -> None:
    """Add the action to the parser of ``veriscope lab``."""
    making = actions.add_parser("make-edits", help="edit real pictures in one place each, and write where")
    making.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests; real rows are used"
    )
    making.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="pictures, masks and manifest.csv; a second run resumes"
    )
    making.add_argument("--count", type=int, required=True, metavar="N", help="pictures in all, dealt to the kinds")
    making.add_argument(
        "--kinds",
        nargs="+",
        metavar="KIND",
        help="splice copy_move removal regenerate blur relight resample noise text none (all; regenerate with --generators)",
    )
    making.add_argument(
        "--generators",
        nargs="+",
        default=[],
        metavar="[HOW:]NAME[=PLACE]",
        help="for regenerate, as make-pairs takes them; HOW: reconstruct or regenerate",
    )
    making.add_argument(
        "--splits", nargs="+", default=["train", "val"], metavar="SPLIT", help="of the hosts (train val)"
    )
    making.add_argument("--most", type=int, default=1024, metavar="PX", help="larger pictures are cut (1024)")
    making.add_argument("--seed", type=int, default=0)
    making.add_argument("--device", default="cpu", help="of the generators, as torch names it (cpu)")
    making.set_defaults(run=edits)


def edits(options: argparse.Namespace) -> int:
    """Make edits and say what was made."""
    with extra():
        from veriscope.lab.data.edits import hosts, make_edits
        from veriscope.lab.data.pairs import MANIFEST
        from veriscope.lab.generators.editing import KINDS
        from veriscope.lab.generators.methods import methods
    if options.count < 1 or options.most < LEAST:
        raise VeriscopeError(f"--count must be at least 1, and --most at least {LEAST}")
    kinds = options.kinds or [kind for kind in KINDS if options.generators or kind != "regenerate"]
    made = make_edits(
        hosts(options.data, options.splits),
        kinds,
        methods(options.generators, options.device),
        options.out,
        count=options.count,
        seed=options.seed,
        most=options.most,
        say=say,
    )
    print(f"made {made.made} pictures, {made.held} were there, {len(made.left_out)} left out: {options.out / MANIFEST}")
    return 0
