"""``veriscope lab check`` and ``import``."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veriscope.cli.lab import extra, to_stderr

if TYPE_CHECKING:
    from veriscope.lab.data.manifest import Row


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
    importing = actions.add_parser("import", help="make a manifest from a folder of pictures")
    importing.add_argument("folder", type=Path, metavar="FOLDER", help="LABEL/SOURCE/..., or any with --label")
    importing.add_argument("--out", type=Path, required=True, metavar="FILE", help="the manifest, .csv or .parquet")
    importing.add_argument(
        "--label", default="", choices=("real", "generated", "edited", "none"), help="of all pictures"
    )
    importing.add_argument("--source", default="", metavar="NAME", help="of all pictures")
    importing.add_argument(
        "--groups",
        default="looks",
        choices=("looks", "name"),
        help="what makes siblings: near-duplicates (looks), or equal file names up to the suffix (name)",
    )
    importing.add_argument(
        "--split-shares",
        type=float,
        nargs=3,
        default=(0.7, 0.1, 0.2),
        metavar=("TRAIN", "VAL", "TEST"),
        help="test holds whole sources, val whole groups (0.7 0.1 0.2)",
    )
    importing.add_argument("--seed", type=int, default=0, help="of the split")
    importing.set_defaults(run=import_folder)


def check(options: argparse.Namespace) -> int:
    """Print what is wrong as a table, or how many pictures there are of what; 1 where something is wrong."""
    from rich.console import Console
    from rich.table import Table

    with extra():
        from veriscope.lab.data import checking
        from veriscope.lab.data.manifest import read_manifests
    found = checking.check(options.data, options.work, to_stderr)
    console = Console()
    if found:
        table = Table("manifest", "line", "what is wrong")
        for finding in found:
            table.add_row(str(finding.manifest), str(finding.number or ""), finding.reason)
        console.print(table)
        console.print(f"{len(found)} wrong; a training would refuse this")
        return 1
    _print_counts(read_manifests(options.data))
    return 0


def import_folder(options: argparse.Namespace) -> int:
    """Write a manifest of a folder; name the files that cannot be read on stderr."""
    with extra():
        from veriscope.lab.data import importing
        from veriscope.lab.data.manifest import write_manifest
        from veriscope.lab.data.splitting import split_rows
    found = importing.import_folder(
        options.folder, label=options.label, source=options.source, by=options.groups, say=to_stderr
    )
    for line in found.unreadable:
        to_stderr(f"left out: {line}")
    splits = split_rows(found.rows, options.split_shares, options.seed, to_stderr)
    write_manifest(options.out, importing.table_of(found.rows, splits, options.out))
    _print_counts([replace(row, split=split) for row, split in zip(found.rows, splits, strict=True)])
    print(f"written: {options.out}, {len(found.rows)} pictures, {len(found.unreadable)} left out")
    return 0


def _print_counts(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("split", "label", "pictures", "sources", "groups")
    for (split, label), count in sorted(Counter((row.split, row.label) for row in rows).items()):
        those = [row for row in rows if (row.split, row.label) == (split, label)]
        sources, groups = ({getattr(row, field) for row in those} for field in ("source", "group"))
        table.add_row(split, label, str(count), str(len(sources)), str(len(groups)))
    Console().print(table)
