"""``veriscope lab bench-marks``: how surely marks of a watch list are found on pages."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra, to_stderr
from veriscope.errors import VeriscopeError


def add_to(actions: Any) -> None:
    """Add the action to the parser of ``veriscope lab``."""
    bench = actions.add_parser("bench-marks", help="measure the watch list on drawn logos, by manipulation")
    bench.add_argument("--marks", type=int, default=12, metavar="N", help="on the list (12)")
    bench.add_argument("--pages", type=int, default=100, metavar="N", help="that show another logo (100)")
    bench.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    bench.add_argument("--jobs", type=int, default=0, metavar="N", help="processes (0: one a core)")
    bench.add_argument("--out", type=Path, metavar="FILE.json", help="also write the figures there")
    bench.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure and print the table."""
    with extra():
        from veriscope.lab.benchmark.marks_bench import bench, save
    if options.marks < 1 or options.pages < 4 or options.seed < 0 or options.jobs < 0:
        raise VeriscopeError("--marks must be at least 1, --pages at least 4, --seed and --jobs not negative")
    found = bench(marks=options.marks, pages=options.pages, seed=options.seed, jobs=options.jobs, say=to_stderr)
    print(f"{'manipulation':<16} {'pages':>5} {'TPR, FPR 1 %':>13} {'FPR 5 %':>8} {'as shipped':>11} {'median':>7}")
    for line in found["table"]:
        shares = f"{line['tpr_at_fpr_0.01']:>13.2f} {line['tpr_at_fpr_0.05']:>8.2f} {line['tpr_shipped']:>11.2f}"
        print(f"{line['manipulation']:<16} {line['pages']:>5} {shares} {line['median']:>7.2f}")
    limits = ", ".join(f"{limit} at FPR {rate}" for rate, limit in found["thresholds"].items())
    print(
        f"thresholds: {limits}; shipped {found['shipped_threshold']}, at which {found['fpr_shipped']:.2f} of other pages alarm"
    )
    if options.out:
        save(found, options.out)
        print(f"written: {options.out}")
    return 0
