"""``veriscope index patterns``: teach an index new ways of copying from a handful of pairs, list them, forget them."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from veriscope.errors import VeriscopeError

COLUMNS = ("original", "replica")


def add_to(actions: Any) -> None:
    """Add ``patterns`` to the parser of ``veriscope index``."""
    patterns = actions.add_parser("patterns", help="new ways of copying, learned from a handful of pairs")
    deeds = patterns.add_subparsers(dest="deed", required=True, metavar="ACTION")
    learning = deeds.add_parser("learn", help="learn a pattern from 5 to 50 original/replica pairs; no retraining")
    learning.add_argument("--index", type=Path, required=True, metavar="DIR", help="the folder of the index")
    learning.add_argument("--name", default="", help="of the pattern (the file's name)")
    learning.add_argument("pairs", type=Path, metavar="PAIRS", help="CSV: original,replica; paths relative to it")
    learning.add_argument("--json", action="store_true", help="print what was learned as JSON")
    learning.set_defaults(run=learn)
    listing = deeds.add_parser("list", help="the patterns that an index has learned")
    listing.add_argument("--index", type=Path, required=True, metavar="DIR")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    listing.set_defaults(run=show)
    forgetting = deeds.add_parser("forget", help="forget a pattern")
    forgetting.add_argument("--index", type=Path, required=True, metavar="DIR")
    forgetting.add_argument("name", metavar="NAME")
    forgetting.set_defaults(run=forget)


def learn(options: argparse.Namespace) -> int:
    """Learn one pattern and say what it gains on pairs left out."""
    from veriscope.copies import patterns
    from veriscope.copies.asking import background, identity
    from veriscope.copies.store import Index
    from veriscope.picture import open_picture

    pairs = read_pairs(options.pairs)
    index = Index.open(options.index)
    name = options.name or options.pairs.stem
    patterns.check(name, len(pairs))
    originals, replicas = (
        np.stack([index.descriptor(open_picture(pair[side]).rgb) for pair in pairs]) for side in (0, 1)
    )
    found = patterns.learn(name, identity(index.descriptor), replicas, originals, background(index.descriptor))
    path = patterns.save(options.index, found)
    if options.json:
        print(json.dumps(_told(found), indent=2))
    else:
        print(f"{found.name}: learned from {found.pairs} pairs, kept in {path}")
        print(f"margin of an original over the background, on pairs left out: {found.plain:.3f} -> {found.margin:.3f}")
    return 0


def show(options: argparse.Namespace) -> int:
    """List the patterns of an index."""
    from veriscope.copies import patterns
    from veriscope.copies.asking import identity
    from veriscope.copies.store import Index

    held = patterns.read(options.index, identity(Index.open(options.index).descriptor))
    if options.json:
        print(json.dumps([_told(pattern) for pattern in held], indent=2))
    else:
        for pattern in held:
            print(f"{pattern.name}: {pattern.pairs} pairs, margin {pattern.plain:.3f} -> {pattern.margin:.3f}")
        if not held:
            print("no patterns were learned")
    return 0


def forget(options: argparse.Namespace) -> int:
    """Remove one pattern."""
    from veriscope.copies import patterns
    from veriscope.copies.store import Index

    Index.open(options.index)
    patterns.remove(options.index, options.name)
    print(f"forgotten: {options.name}")
    return 0


def read_pairs(path: Path) -> list[tuple[Path, Path]]:
    """Originals and replicas of a CSV file with the columns of ``COLUMNS``, paths relative to it.

    Raises:
        VeriscopeError: it cannot be read or lacks a column, or a line lacks a path; names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise VeriscopeError(f"{path}: the first line must name the columns {' and '.join(COLUMNS)}")
            found = []
            for row in reader:
                if not all(row[column] for column in COLUMNS):
                    raise VeriscopeError(f"{path} line {reader.line_num}: an original and a replica are needed")
                found.append((path.parent / row["original"], path.parent / row["replica"]))
    except OSError as error:
        raise VeriscopeError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise VeriscopeError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    return found


def _told(pattern: Any) -> dict[str, Any]:
    return {
        "name": pattern.name,
        "pairs": pattern.pairs,
        "margin_without": round(pattern.plain, 4),
        "margin": round(pattern.margin, 4),
        "gain": round(pattern.gain, 4),
    }
