"""``veriscope lab bench``: the field's protocols over all detectors, and one page of what they gave."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, to_stderr, words
from veriscope.errors import VeriscopeError

NUMBERS = (  # name, metavar, help
    ("pictures", "N", "the most pictures that installed detectors are asked about (1000)"),
    ("per_source", "K", "the most pictures of one source, in tests and trainings (60)"),
    ("swept", "N", "pictures that go through the sweeps (120)"),
    ("costed", "N", "pictures of the latency protocol (12)"),
    ("families", "N", "the most families of generators in the matrix (8)"),
    ("least", "N", "pictures that a family needs (20)"),
    ("folds", "N", "folds of leave-sources-out; 0 leaves each source out alone (6)"),
)


def add_to(actions: Any) -> None:
    """Add the action to the parser of ``veriscope lab``."""
    bench = actions.add_parser(
        "bench", help="measure detectors under the field's protocols; writes a leaderboard, resumes when run again"
    )
    bench.add_argument("--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests, CSV or Parquet")
    bench.add_argument("--split", default="test", help="whose pictures the installed detectors are asked about (test)")
    bench.add_argument(
        "--detectors",
        default="all",
        metavar="all|a,b",
        help="installed ones, those of VERISCOPE_MODELS included; veriscope is the shipped ensemble (all)",
    )
    bench.add_argument(
        "--protocols",
        default="",
        metavar="a,b",
        help="of installed, sweeps, matrix, loso, grid, dff, area, latency (all of them)",
    )
    bench.add_argument(
        "--refit",
        default="heads",
        metavar="heads|all|a,b",
        help="recipes that matrix, loso, grid and dff train again: those that take seconds, all, or these (heads)",
    )
    bench.add_argument(
        "--swept-by",
        default="all",
        metavar="all|a,b",
        help="of the detectors, those asked in the sweeps, which ask for about fifty versions of each picture (all)",
    )
    bench.add_argument("--minutes", type=float, metavar="M", help="the most that a network trains for one cell (3)")
    for name, metavar, text in NUMBERS:
        bench.add_argument(f"--{name.replace('_', '-')}", type=int, metavar=metavar, help=text)
    bench.add_argument("--work", type=Path, default=Path("lab-work"), metavar="DIR", help="kept to resume (lab-work)")
    bench.add_argument(
        "--out",
        type=Path,
        default=Path("lab-leaderboard"),
        metavar="DIR",
        help="leaderboard.html and Parquet (lab-leaderboard)",
    )
    bench.add_argument("--quick", action="store_true", help="a trial on few pictures, about five minutes")
    bench.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the protocols and print the main table."""
    with extra():
        from veriscope.lab.benchmark.bench import PROTOCOLS, Bench, Order, quick
        from veriscope.lab.recipes.recipe import Settings
    chosen = {name: value for name, _, _ in NUMBERS if (value := getattr(options, name)) is not None}
    if any(value < (0 if name == "folds" else 2) for name, value in chosen.items()) or chosen.get("folds") == 1:
        raise VeriscopeError("the numbers must be at least 2; --folds may be 0, which leaves each source out alone")
    minutes = 3.0 if options.minutes is None else options.minutes
    if minutes <= 0:
        raise VeriscopeError("--minutes must be positive")
    order = Order(
        data=tuple(options.data),
        work=options.work,
        out=options.out,
        split=options.split,
        detectors=_names(options.detectors) or ("all",),
        protocols=_names(options.protocols) or PROTOCOLS,
        refit=_names(options.refit) or ("heads",),
        swept_by=_names(options.swept_by) or ("all",),
        settings=Settings(minutes=minutes),
        command=shlex.join(["veriscope", *words()]),
        **chosen,
    )
    tables = Bench(quick(order) if options.quick else order, to_stderr).run()
    _print_table(tables)
    print(f"written: {options.out / 'leaderboard.html'}")
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _print_table(tables: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not tables.get("installed"):
        return
    table = Table("detector", "n", "AUC (95 % over sources)", "TPR at FPR 5 %", "ECE", "remark")
    for line in tables["installed"]:
        if "auc" not in line:
            table.add_row(line["detector"], str(line["answered"]), "", "", "", line["remark"])
            continue
        table.add_row(
            line["detector"],
            str(line["answered"]),
            f"{line['auc']:.3f} ({line['low']:.3f}-{line['high']:.3f})",
            f"{line['tpr_at_fpr_0.05']:.3f}",
            f"{line['ece']:.3f}" if "ece" in line else "",
            line["remark"],
        )
    Console().print(table)
