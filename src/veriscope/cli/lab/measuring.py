"""``veriscope lab evaluate``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, to_stderr
from veriscope.errors import VeriscopeError


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
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


def evaluate(options: argparse.Namespace) -> int:
    """Measure and print a table."""
    with extra():
        from veriscope.lab.benchmark import evaluate as benchmark
        from veriscope.lab.benchmark.cheats import cheats
        from veriscope.lab.data.manifest import read_manifest
    rows = read_manifest(options.data)
    measured = [row for row in rows if row.split == options.split]
    if not measured:
        raise VeriscopeError(f"{options.data}: no real or generated picture is in split {options.split!r}")
    entries = benchmark.measure(measured, options.out, flips=options.flips, sweep=options.sweep, say=to_stderr)
    figures = benchmark.summary(entries)
    training = [row for row in rows if row.split in ("train", "val")]
    if training and {row.generated for row in measured} == {0, 1}:
        figures["cheats"] = cheats(measured, training)
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        _print_table(figures)
    return 0


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
