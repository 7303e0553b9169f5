"""``veriscope lab train``, ``recipes`` and ``export-backbone``."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, say
from veriscope.errors import VeriscopeError

OPTIONS = (  # of Settings: name, type, metavar, help
    ("version", str, None, "the version of the new weights"),
    ("seed", int, None, "of histories, draws and first weights"),
    ("folds", int, "N", "folds of whole sources"),
    ("minutes", float, "M", "the most a network trains"),
    ("epochs", int, "N", "the most"),
    ("draws", int, "N", "samples an epoch"),
    ("batch", int, "N", "samples a step"),
    ("rate", float, "R", "learning rate"),
    ("patience", int, "N", "epochs without a better score on sources kept aside before it stops"),
    ("device", str, "D", "auto, cpu, gpu"),
    ("still", int, "N", "pictures, from the first on, whose saved-again histories a head learns from (all)"),
    ("most", int, "N", "pictures of each class that slow methods are trained on"),
    ("start", str, "FILE", "weights that a network starts from, of veriscope lab pretrain"),
)


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
    training = actions.add_parser("train", help="train a detector; run again to resume")
    training.add_argument("name", metavar="NAME", help="a recipe; veriscope lab recipes lists them")
    training.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests")
    training.add_argument(
        "--work", type=Path, default=Path("lab-work"), metavar="DIR", help="kept to resume (lab-work)"
    )
    training.add_argument(
        "--out",
        type=Path,
        default=Path("lab-models"),
        metavar="DIR",
        help="the finished model (lab-models); with VERISCOPE_MODELS=DIR, veriscope examine --with NAME asks it",
    )
    for name, kind, metavar, text in OPTIONS:
        training.add_argument(f"--{name}", type=kind, default=None, metavar=metavar, help=text)
    training.add_argument(
        "--generators",
        nargs="+",
        metavar="NAME=PATH",
        help="autoencoders whose reconstructions aedetect and laundering learn from, as make-pairs takes them",
    )
    training.set_defaults(run=train)
    listing = actions.add_parser("recipes", help="list what can be trained")
    listing.set_defaults(run=recipes)
    exporting = actions.add_parser("export-backbone", help="write the bundled backbone's ONNX file again")
    exporting.add_argument("--out", type=Path, required=True, metavar="DIR")
    exporting.set_defaults(run=export)


def train(options: argparse.Namespace) -> int:
    """Train a detector and print its figures on sources kept aside."""
    with extra():
        from veriscope.lab.data.checking import require_sound
        from veriscope.lab.data.manifest import LABELS, read_manifests
        from veriscope.lab.recipes.recipe import Settings, recipe

        made = recipe(options.name)
    chosen = {field.name: getattr(options, field.name, None) for field in fields(Settings)}
    settings = Settings(**{key: value for key, value in chosen.items() if value is not None})
    counts = settings.epochs, settings.draws, settings.batch, settings.most
    if settings.folds < 3 or settings.minutes <= 0 or min(counts) < 1:
        raise VeriscopeError(
            "--folds must be at least 3; --minutes, --epochs, --draws, --batch and --most must be positive"
        )
    require_sound(options.data, options.work, say)
    rows = read_manifests(options.data, ("train", "val"), getattr(made, "labels", tuple(LABELS)))
    figures = made.train(rows, options.work, options.out, settings, say)
    print(json.dumps(figures["sources_kept_aside"], indent=1))
    print(
        f"written: {options.out}; ask it with VERISCOPE_MODELS={options.out} veriscope examine --with {made.name} PATH"
    )
    return 0


def recipes(options: argparse.Namespace) -> int:  # noqa: ARG001 (the commands share one signature)
    """Print each recipe's name, what it is and its papers."""
    from rich.console import Console
    from rich.table import Table

    with extra():
        from veriscope.lab.recipes.recipe import RECIPES, recipe

        found = [recipe(name) for name in RECIPES]
    table = Table("recipe", "about", "papers")
    for made in found:
        table.add_row(made.name, made.about, "; ".join(made.papers))
    Console().print(table)
    return 0


def export(options: argparse.Namespace) -> int:
    """Write the bundled backbone again, from the whole tower, which ``models.pull`` fetches by hash."""
    from veriscope import models

    with extra():
        from veriscope.lab.networks.clip_vit import load_from_quantised
        from veriscope.lab.recipes.export import BLOCKS, export_backbone
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "clip_vit_b16_eight_blocks.onnx"
    export_backbone(load_from_quantised(models.pull("clip-vit-b16-tower"), BLOCKS), path)
    print(f"written: {path}")
    return 0
