"""``veriscope lab visual-index`` and ``prequalify``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, to_stderr
from veriscope.errors import VeriscopeError


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
    indexing = actions.add_parser("visual-index", help="how near each generator's pictures come to real ones (V_AI)")
    indexing.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests")
    indexing.add_argument("--out", type=Path, required=True, metavar="DIR", help="the index as JSON and Markdown")
    indexing.add_argument(
        "--work", type=Path, default=Path("lab-work"), metavar="DIR", help="kept to resume (lab-work)"
    )
    indexing.add_argument("--most", type=int, default=1500, metavar="N", help="pictures of each class (1500)")
    indexing.add_argument("--folds", type=int, default=6, metavar="N", help="folds of whole sources (6)")
    indexing.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    indexing.add_argument(
        "--as-is",
        action="store_true",
        help="measure the files as they are, not after a random history for both classes",
    )
    indexing.add_argument(
        "--scores",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="NAME.scores.parquet of trainings: adds a table of detectors against generators",
    )
    indexing.set_defaults(run=visual_index)
    asking = actions.add_parser("prequalify", help="measure a detector on the pictures that fool another one")
    asking.add_argument("--fooled", type=Path, required=True, metavar="FILE", help="NAME.scores.parquet of the one")
    asking.add_argument("--by", type=Path, required=True, metavar="FILE", help="NAME.scores.parquet of the other")
    asking.add_argument(
        "--rate", type=float, default=0.05, help="false-alarm rate of the fooled one's threshold (0.05)"
    )
    asking.set_defaults(run=prequalify)


def visual_index(options: argparse.Namespace) -> int:
    """Measure, write and print the index of each generator."""
    with extra():
        from veriscope.lab.benchmark import visual_index as benchmark
        from veriscope.lab.data.manifest import read_manifests
        from veriscope.lab.recipes.recipe import write_json
    if options.folds < 2 or options.most < 1:
        raise VeriscopeError("--folds must be at least 2 and --most at least 1")
    rows = read_manifests(options.data)
    found = benchmark.measured(rows, options.work, most=options.most, as_is=options.as_is, say=to_stderr)
    figures = benchmark.index(found, folds=options.folds, seed=options.seed)
    if options.scores:
        figures["detectors"] = benchmark.by_generator(*benchmark.mean_scores(rows, options.scores))
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "visual-index.json", figures)
    (options.out / "visual-index.md").write_text(benchmark.as_markdown(figures), encoding="utf-8")
    _print(figures)
    print(f"written: {options.out / 'visual-index.json'} and .md")
    return 0


def prequalify(options: argparse.Namespace) -> int:
    """Print the second detector's figures on what fools the first."""
    with extra():
        from veriscope.lab.benchmark.prequalified import paired, prequalified
    if not 0 < options.rate < 1:
        raise VeriscopeError("--rate must lie between 0 and 1")
    print(json.dumps(prequalified(*paired(options.fooled, options.by), rate=options.rate), indent=1))
    return 0


def _print(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, columns in (("generators", ("generator", "pictures", "v_ai", "interval", "auc")), ("detectors", ())):
        rows = figures.get(title, [])
        if rows:
            names = columns or tuple(rows[0])
            table = Table(*names)
            for row in rows:
                table.add_row(*("" if row[name] is None else str(row[name]) for name in names))
            console.print(table)
    console.print(f"AUC of the twelve measures on sources kept aside: {figures['auc']:.3f}")
