"""``veriscope index watch``: a small list of protected marks, and whether a picture shows one of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from veriscope.cli.opening import add_limits, limits_of, pictures_in
from veriscope.errors import VeriscopeError
from veriscope.picture import open_picture

RAW = argparse.RawDescriptionHelpFormatter
ADD = """\
A mark is a logo or the screenshot of a page; it may have several pictures. The list lies in an index's folder, beside what it
holds, and can be there alone. A picture that is there under the name already is left out.
"""
CHECK = """\
A mark is found by its outlines, so in other colours, mirrored, turned by up to 15 degrees, or half covered. JSON: {"query",
"matches": [{"mark", "reference", "score", "box", "says"}]}, best first; box is left, top, right, bottom as fractions of the
picture. That a mark is shown does not say who made the picture, or that it is wrong.
"""


def add_to(actions: Any) -> None:
    """Add ``watch`` to the parser of ``veriscope index``."""
    watch = actions.add_parser("watch", help="a small list of logos or pages, and whether a picture shows one")
    deeds = watch.add_subparsers(dest="deed", required=True, metavar="ACTION")
    adding = deeds.add_parser("add", help="put pictures of a mark on the list", epilog=ADD, formatter_class=RAW)
    adding.add_argument("name", metavar="NAME", help="of the mark; it may have several pictures")
    adding.add_argument(
        "paths", nargs="+", metavar="PATH", help="a logo or a page; a folder, or a glob pattern in quotes"
    )
    adding.add_argument("--wait", type=float, default=60.0, metavar="S", help="seconds for another writer (60)")
    add_limits(adding)
    adding.set_defaults(run=add)
    removing = deeds.add_parser("remove", help="take a mark off the list")
    removing.add_argument("name", metavar="NAME", help="of the mark")
    removing.add_argument("--wait", type=float, default=60.0, metavar="S", help="seconds for another writer (60)")
    removing.set_defaults(run=remove)
    listing = deeds.add_parser("list", help="print the list")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(run=show)
    checking = deeds.add_parser("check", help="say which marks a picture shows", epilog=CHECK, formatter_class=RAW)
    checking.add_argument(
        "paths", nargs="+", metavar="PICTURE", help="a picture, a folder, or a glob pattern in quotes"
    )
    checking.add_argument("--json", action="store_true", help="one JSON line a picture")
    add_limits(checking)
    checking.set_defaults(run=check)
    for deed in (adding, removing, listing, checking):
        deed.add_argument("--index", type=Path, required=True, metavar="DIR", help="the folder of the index, or any")


def add(options: argparse.Namespace) -> int:
    """Put all named pictures on the list, or none where one cannot be read."""
    from veriscope.copies.marks import WatchList

    limits = limits_of(options)
    paths = pictures_in(options.paths)
    pictures = [open_picture(path, name=str(path), limits=limits) for path in paths]
    references = [os.path.abspath(path) for path in paths]
    watched = WatchList.create(options.index)
    new = {mark.reference for mark in watched.add(options.name, pictures, references, wait=options.wait)}
    for reference in references:
        print(f"{'watched' if reference in new else 'known'}: {reference}")
    return 0


def remove(options: argparse.Namespace) -> int:
    """Take a mark off; it is an error where there is none of that name."""
    from veriscope.copies.marks import WatchList

    gone = WatchList.open(options.index).remove(options.name, wait=options.wait)
    if not gone:
        raise VeriscopeError(f"{options.index}: no mark {options.name!r}")
    for mark in gone:
        print(f"removed: {mark.reference}")
    return 0


def show(options: argparse.Namespace) -> int:
    """Print names, files and dates."""
    from veriscope.copies.marks import WatchList

    marks = WatchList.open(options.index).marks
    if options.json:
        print(
            json.dumps(
                [{"mark": m.name, "reference": m.reference, "added": m.added} for m in marks], ensure_ascii=False
            )
        )
        return 0
    for mark in marks:
        print(f"{mark.name}: {mark.reference} (since {mark.added[:10]})")
    return 0


def check(options: argparse.Namespace) -> int:
    """Print the marks that each picture shows; one that cannot be opened is named, and it is 2 when none could."""
    from veriscope.copies.marks import WatchList

    limits = limits_of(options)
    paths = pictures_in(options.paths)
    watched = WatchList.open(options.index)
    failed: list[VeriscopeError] = []
    for path in paths:
        try:
            picture = open_picture(path, name=str(path), limits=limits)
        except VeriscopeError as error:
            failed.append(error)
            if len(paths) > 1:
                print(f"veriscope: {error}", file=sys.stderr)
                if options.json:
                    print(json.dumps({"query": str(path), "error": str(error)}), flush=True)
            continue
        found = watched.check(picture)
        if options.json:
            told = {"query": str(path), "matches": [shown.as_json() for shown in found]}
            print(json.dumps(told, ensure_ascii=False), flush=True)
        else:
            print(f"{path}: " + (" ".join(shown.says for shown in found) or "no mark of the list"), flush=True)
    if len(failed) == len(paths):
        raise failed[0] if len(paths) == 1 else VeriscopeError(f"none of the {len(paths)} pictures could be opened")
    return 0
