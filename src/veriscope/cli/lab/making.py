"""``veriscope lab train-generator`` and ``make-pairs``."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, say
from veriscope.errors import VeriscopeError

KINDS = ("autoencoder", "diffusion")
SCHEDULE = (  # of a training: name, type, metavar, help
    ("minutes", float, "M", "the most, over all resumed runs (autoencoder 6, diffusion 15)"),
    ("steps", int, "N", "end after so many steps instead; the same weights for the same seed"),
    ("batch", int, "N", "squares a step"),
    ("rate", float, "R", "learning rate"),
    ("count", int, "N", "squares cut from the pictures"),
    ("seed", int, None, "of squares, draws and first weights"),
    ("device", str, "D", "auto, cpu, gpu"),
)
DIFFUSION = {"minutes": 15.0, "batch": 32, "rate": 1e-3}  # where they differ from an autoencoder's


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
    training = actions.add_parser("train-generator", help="train a small generator; run again to resume")
    training.add_argument("kind", choices=KINDS, metavar="KIND", help="autoencoder or diffusion")
    training.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests; real rows are used"
    )
    training.add_argument(
        "--work", type=Path, default=Path("lab-work"), metavar="DIR", help="kept to resume (lab-work)"
    )
    training.add_argument("--out", type=Path, required=True, metavar="DIR", help="the finished generator")
    training.add_argument(
        "--upsampler", default="nearest", help="nearest, bilinear, transposed or shuffle (autoencoder)"
    )
    training.add_argument("--factor", type=int, default=8, help="pixels to one of the latent, 4 or 8 (autoencoder)")
    training.add_argument("--latent", type=int, default=16, metavar="N", help="channels of the latent (autoencoder)")
    training.add_argument("--autoencoder", type=Path, metavar="DIR", help="the trained one to work on (diffusion)")
    training.add_argument("--onnx", action="store_true", help="write ONNX files as well (diffusion)")
    for name, kind, metavar, text in SCHEDULE:
        training.add_argument(f"--{name}", type=kind, default=None, metavar=metavar, help=text)
    training.set_defaults(run=train)
    making = actions.add_parser(
        "make-pairs", help="make fakes of real pictures, alike in all but the generator's trace"
    )
    making.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests; real rows are used"
    )
    making.add_argument(
        "--generators",
        nargs="+",
        required=True,
        metavar="[HOW:]NAME[=PLACE]",
        help="taef2=ENCODER,DECODER; any name = a folder of train-generator or of diffusers; esrgan, esrgan=quick or "
        "esrgan=FOLDER. HOW: reconstruct, regenerate, patches or inpaint",
    )
    making.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="pictures and manifest.csv; a second run resumes"
    )
    making.add_argument(
        "--splits", nargs="+", default=["train", "val"], metavar="SPLIT", help="of the origins (train val)"
    )
    making.add_argument("--limit", type=int, default=0, metavar="N", help="origins, drawn by the seed (all)")
    making.add_argument("--most", type=int, default=1024, metavar="PX", help="larger pictures are cut (1024)")
    making.add_argument("--seed", type=int, default=0)
    making.add_argument("--device", default="cpu", help="of the generators, as torch names it (cpu)")
    making.set_defaults(run=pairs)


def train(options: argparse.Namespace) -> int:
    """Train a small generator and print its figures on pictures kept aside."""
    with extra():
        from veriscope.lab.generators import training
        from veriscope.lab.generators.diffusion import load_diffusion
        from veriscope.lab.generators.small import Shape, load_small
    usual = DIFFUSION if options.kind == "diffusion" else {}
    given = {field.name: getattr(options, field.name) for field in fields(training.Schedule)}
    schedule = training.Schedule(**{**usual, **{name: value for name, value in given.items() if value is not None}})
    if schedule.minutes <= 0 or schedule.steps < 0 or min(schedule.batch, schedule.count) < 1:
        raise VeriscopeError("--minutes, --batch and --count must be positive")
    rows = _real(options.data, ("train", "val"))
    learned = [row for row in rows if row.split == "train"] or rows
    checked = [row for row in rows if row.split == "val" and learned is not rows]
    if options.kind == "diffusion":
        if options.autoencoder is None:
            raise VeriscopeError(
                "a diffusion model works on an autoencoder: --autoencoder DIR, from train-generator autoencoder"
            )
        figures = training.train_diffusion(
            load_small(options.autoencoder), learned, checked, options.work, options.out, schedule, say
        )
        if options.onnx:
            load_diffusion(options.out).export(options.out)
    else:
        shape = Shape(options.upsampler, options.factor, options.latent)
        figures = training.train_autoencoder(shape, learned, checked, options.work, options.out, schedule, say)
    print(json.dumps(figures))
    print(f"written: {options.out}; make pairs with veriscope lab make-pairs --generators NAME={options.out}")
    return 0


def pairs(options: argparse.Namespace) -> int:
    """Make aligned pairs and say what was made."""
    with extra():
        from veriscope.lab.data.pairs import MANIFEST, make_pairs
        from veriscope.lab.generators.methods import methods
    if options.limit < 0 or options.most < 32:
        raise VeriscopeError("--limit must not be negative, and --most at least 32")
    rows = _real(options.data, options.splits)
    made = make_pairs(
        rows,
        methods(options.generators, options.device),
        options.out,
        limit=options.limit,
        seed=options.seed,
        most=options.most,
        say=say,
    )
    print(
        f"made {made.made} pictures, {made.held} were there, {len(made.left_out)} origins left out: {options.out / MANIFEST}"
    )
    return 0


def _real(paths: list[Path], splits: Any) -> list[Any]:
    with extra():
        from veriscope.lab.data.manifest import read_manifests
    rows = [row for row in read_manifests(paths, splits) if row.label == "real"]
    if not rows:
        raise VeriscopeError(f"{', '.join(map(str, paths))}: no real picture is in the splits {', '.join(splits)}")
    return rows
