"""``veriscope lab bench-tampering``: where edits are found, method by method, and what untouched pictures are accused of."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, to_stderr, words
from veriscope.errors import VeriscopeError

CONDITIONS = ("none", "jpeg80", "jpeg60", "resize75")


def add_to(actions: Any) -> None:
    """Add the action to the parser of ``veriscope lab``."""
    bench = actions.add_parser(
        "bench-tampering", help="measure the localisers of edits against masks; writes a page, resumes when run again"
    )
    bench.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="a manifest with the column mask, CSV or Parquet"
    )
    bench.add_argument("--out", type=Path, required=True, metavar="DIR", help="tampering.html, JSON and Parquet")
    bench.add_argument("--split", default="test_tampering", help="of the edited pictures with masks (test_tampering)")
    bench.add_argument("--authentic", default="test", metavar="SPLIT", help="of the authentic pictures (test)")
    bench.add_argument("--methods", nargs="+", default=[], metavar="NAME", help="localisers (all that are installed)")
    bench.add_argument(
        "--conditions",
        nargs="+",
        choices=CONDITIONS,
        default=list(CONDITIONS),
        help="what is done to the pictures first (all of these)",
    )
    bench.add_argument(
        "--most", type=int, default=0, metavar="N", help="the most pictures of each kind, from all sources alike (all)"
    )
    bench.add_argument("--seed", type=int, default=0, help="of the bootstrap (0)")
    bench.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, publish and print the main table."""
    with extra():
        from veriscope.lab.benchmark.tampering_bench import Order, TamperingBench
    if options.most < 0 or options.seed < 0:
        raise VeriscopeError("--most and --seed must not be negative")
    order = Order(
        data=options.data,
        out=options.out,
        split=options.split,
        authentic=options.authentic,
        methods=tuple(dict.fromkeys(options.methods)),
        conditions=tuple(name for name in CONDITIONS if name in options.conditions),
        most=options.most,
        seed=options.seed,
        command=shlex.join(["veriscope", *words()]),
    )
    tables = TamperingBench(order, to_stderr).run()
    _print_table(tables)
    print(f"written: {options.out / 'tampering.html'}")
    return 0


def _print_table(tables: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from veriscope.lab.benchmark.leaderboard import figure, share
    from veriscope.lab.benchmark.tampering_figures import EVERYWHERE

    table = Table("condition", "method", "F1 at 0.5 (edited)", "F1 at 0.5 (all)", "picture AUC", "called if authentic")
    for line in tables["figures"]:
        if line["source"] == EVERYWHERE:
            table.add_row(
                line["condition"],
                line["method"],
                figure(line["f1"]),
                figure(line["f1_all"]),
                figure(line["picture_auc"]),
                share(line["alarms"], 1),
            )
    Console().print(table)
