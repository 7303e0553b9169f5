"""``veriscope lab check``: is a manifest fit to train on?"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from veriscope.cli.lab import extra


def add_to(actions: Any) -> None:
    """Add the actions to the parser of ``veriscope lab``."""
    checking = actions.add_parser("check", help="open every picture of manifests and name the rows that are wrong")
    checking.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="manifests, CSV or Parquet"
    )
    checking.add_argument(
        "--work", type=Path, default=Path("lab-work"), metavar="DIR", help="keeps what was opened (lab-work)"
    )
    checking.set_defaults(run=check)


def check(options: argparse.Namespace) -> int:
    """Print what is wrong as a table, or how many pictures there are of what; 1 where something is wrong."""
    from rich.console import Console
    from rich.table import Table

    with extra():
        from veriscope.lab.data import checking
        from veriscope.lab.data.manifest import read_manifests
    found = checking.check(options.data, options.work, _to_stderr)
    console = Console()
    if found:
        table = Table("manifest", "line", "what is wrong")
        for finding in found:
            table.add_row(str(finding.manifest), str(finding.number or ""), finding.reason)
        console.print(table)
        console.print(f"{len(found)} wrong; a training would refuse this")
        return 1
    rows = read_manifests(options.data)
    table = Table("split", "label", "pictures", "sources", "groups")
    for (split, label), count in sorted(Counter((row.split, row.label) for row in rows).items()):
        those = [row for row in rows if (row.split, row.label) == (split, label)]
        sources, groups = ({getattr(row, field) for row in those} for field in ("source", "group"))
        table.add_row(split, label, str(count), str(len(sources)), str(len(groups)))
    console.print(table)
    return 0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
