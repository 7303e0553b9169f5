"""``veriscope lab``: train and measure the detectors (needs the lab extra)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from veriscope.errors import VeriscopeError


def add_to(commands: Any) -> None:
    """Add the command group to the parser's sub-commands."""
    lab = commands.add_parser("lab", help="train and measure the detectors (needs the lab extra)")
    actions = lab.add_subparsers(dest="action", required=True, metavar="ACTION")
    training = actions.add_parser("train", help="train a bundled detector; run again to resume")
    training.add_argument("name", choices=["depths"])
    training.add_argument("--data", type=Path, nargs="+", required=True, metavar="CSV", help="manifests")
    training.add_argument(
        "--work", type=Path, required=True, metavar="DIR", help="features, kept so that a second run resumes"
    )
    training.add_argument("--out", type=Path, required=True, metavar="DIR", help="the finished model")
    training.add_argument(
        "--histories", type=int, default=None, metavar="N", help="random histories of each picture (1)"
    )
    training.add_argument("--version", default=None, help="the version of the new weights (1)")
    training.add_argument("--folds", type=int, default=None)
    training.add_argument("--seed", type=int, default=None)
    training.set_defaults(run=train)
    exporting = actions.add_parser("export-backbone", help="write the bundled backbone's ONNX file again")
    exporting.add_argument("--out", type=Path, required=True, metavar="DIR")
    exporting.set_defaults(run=export)
    evaluating = actions.add_parser("evaluate", help="measure the installed detectors on the files of a manifest")
    evaluating.add_argument("--data", type=Path, required=True, metavar="CSV", help="a manifest")
    evaluating.add_argument("--split", default="test", help="the split to measure (test)")
    evaluating.add_argument("--out", type=Path, default=Path("evaluation.jsonl"), help="results; a second run resumes")
    evaluating.add_argument("--flips", type=int, default=0, metavar="N", help="measure flips on N pictures")
    evaluating.add_argument(
        "--sweep", type=int, default=0, metavar="N", help="measure low quality and size on N pictures"
    )
    evaluating.add_argument("--json", action="store_true", help="print the figures as JSON")
    evaluating.set_defaults(run=evaluate)


def export(options: argparse.Namespace) -> int:
    """Write the bundled backbone again, from the whole tower, which ``models.pull`` fetches by hash."""
    from veriscope import models

    try:
        from veriscope.lab.networks.clip_vit import load_from_quantised
        from veriscope.lab.recipes.export import BLOCKS, export_backbone
    except ImportError as error:
        raise VeriscopeError(f"the laboratory needs its extra: pip install 'veriscope[lab]' ({error})") from error
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "clip_vit_b16_eight_blocks.onnx"
    export_backbone(load_from_quantised(models.pull("clip-vit-b16-tower"), BLOCKS), path)
    print(f"written: {path}")
    return 0


def train(options: argparse.Namespace) -> int:
    """Train a detector and print its held-out figures."""
    try:
        from veriscope.lab.recipes import depths
    except ImportError as error:
        raise VeriscopeError(f"the laboratory needs its extra: pip install 'veriscope[lab]' ({error})") from error
    chosen = {key: getattr(options, key) for key in ("histories", "version", "folds", "seed")}
    settings = depths.Settings(**{key: value for key, value in chosen.items() if value is not None})
    figures = depths.train(options.data, options.work, options.out, settings, say=lambda line: print(line, flush=True))
    print(json.dumps(figures["sources_kept_aside"], indent=1))
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Measure and print a table."""
    try:
        from veriscope.lab.benchmark import evaluate as benchmark
        from veriscope.lab.data.manifest import read_manifest
    except ImportError as error:
        raise VeriscopeError(f"the laboratory needs its extra: pip install 'veriscope[lab]' ({error})") from error
    rows = read_manifest(options.data)
    measured = [row for row in rows if row.split == options.split]
    if not measured:
        raise VeriscopeError(f"{options.data}: no real or generated picture is in split {options.split!r}")
    entries = benchmark.measure(measured, options.out, flips=options.flips, sweep=options.sweep, say=_to_stderr)
    figures = benchmark.summary(entries)
    training = [row for row in rows if row.split in ("train", "val")]
    if training and {row.generated for row in measured} == {0, 1}:
        figures["cheats"] = benchmark.cheats(measured, training)
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        _print_table(figures)
    return 0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_table(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        "variant", "n", "AUC (95 %)", "TPR / FPR at 5 %", "yes gen./real", "no gen./real", "cannot tell", "ECE"
    )
    for variant, row in figures["variants"].items():
        low, high = row["auc_interval"]
        table.add_row(
            variant,
            str(row["pictures"]),
            f"{row['auc']:.3f} ({low:.3f}-{high:.3f})",
            f"{row['threshold_5']['tpr']:.3f} / {row['threshold_5']['fpr']:.3f}",
            f"{row['yes']['generated']:.3f} / {row['yes']['real']:.3f}",
            f"{row['no']['generated']:.3f} / {row['no']['real']:.3f}",
            f"{row['cannot_tell']:.3f}",
            f"{row['ece']:.3f}",
        )
    console.print(table)
    for name, value in figures.get("cheats", {}).items():
        console.print(f"cheat, {name}: AUC {value:.3f}")
    if figures["flips"]:
        flips = figures["flips"]
        console.print(
            f"flips over six re-encodings of {flips['pictures']} pictures: {flips['threshold_5']:.1%} cross the 5 % operating "
            f"point, {flips['yes_and_no']:.1%} read yes and no, {flips['any_change_of_state']:.1%} change state at all"
        )
    sources = Table("source", "label", "n", "yes", "cannot tell", "no")
    for source, row in figures["sources"].items():
        shares = [f"{row[state]:.2f}" for state in ("yes", "cannot tell", "no")]
        sources.add_row(source, row["label"], str(row["pictures"]), *shares)
    console.print(sources)
