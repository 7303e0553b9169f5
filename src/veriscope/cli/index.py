"""``veriscope index``: keep known pictures in a folder, and find what a picture is a copy of."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veriscope import batch
from veriscope.cli import index_patterns, index_watch
from veriscope.cli.opening import add_limits, limits_of, pictures_in
from veriscope.errors import VeriscopeError
from veriscope.picture import Limits, open_picture
from veriscope.processes import in_processes

if TYPE_CHECKING:
    from veriscope.copies.describing import Entry
    from veriscope.copies.judging import Match
    from veriscope.copies.store import Index

BATCH = 128  # pictures that are stored at once; each batch is said when it is on disk
ALONE = 8  # pictures up to which no processes are started

ADD = """\
A picture is known by its file's SHA-256: one that is there already is named and not stored again. Its path, made absolute, is
its reference, or what --name says. A run that was stopped keeps every batch it said was stored; run again, it goes on.
"""
SEARCH = """\
A match was verified on the pixels, or agrees as a whole too closely for chance. Where nothing is a copy, nothing is listed.
Level is how much of the original the picture replicates, 0 to 5.
"""

DUPLICATES = """\
Two pictures are joined when their hashes differ in at most so many of 256 bits, and groups are what is joined directly or by
others between. The largest picture of a group comes first. Flat pictures are left out. Nothing is removed.
"""


def add_to(commands: Any) -> None:
    """Add the command group to the parser's sub-commands."""
    group = commands.add_parser("index", help="keep known pictures, and find what a picture is a copy of")
    actions = group.add_subparsers(dest="action", required=True, metavar="ACTION")
    raw = argparse.RawDescriptionHelpFormatter

    adding = actions.add_parser("add", help="add pictures to an index", epilog=ADD, formatter_class=raw)
    _add_pictures(adding)
    adding.add_argument("--name", help="what to call the picture, where only one is added")
    adding.add_argument("--no-previews", action="store_true", help="keep no small copies: matches need the originals")
    adding.add_argument("--descriptor", default="", metavar="NAME", help="of a new index; kept from then on")
    adding.add_argument("--jobs", type=int, default=0, metavar="N", help="processes (0: one a core)")
    adding.add_argument("--wait", type=float, default=60.0, metavar="S", help="seconds for another writer (60)")
    adding.set_defaults(run=add)

    removing = actions.add_parser("remove", help="take pictures out of an index")
    removing.add_argument("names", nargs="+", metavar="REFERENCE", help="a path, a name, or a SHA-256")
    removing.add_argument("--wait", type=float, default=60.0, metavar="S", help="seconds for another writer (60)")
    removing.set_defaults(run=remove)

    searching = actions.add_parser(
        "search", help="find what a picture is a copy of", epilog=SEARCH, formatter_class=raw
    )
    _add_pictures(searching)
    searching.add_argument("--json", action="store_true", help="one JSON line a picture")
    searching.add_argument("--details", action="store_true", help="with --json: also the values behind each match")
    searching.add_argument("--most", type=int, default=10, metavar="N", help="matches listed (10)")
    searching.set_defaults(run=search)

    counting = actions.add_parser("stats", help="count an index's pictures and bytes")
    counting.add_argument("--json", action="store_true", help="as JSON")
    counting.set_defaults(run=stats)

    checking = actions.add_parser("verify", help="read every row of an index and say what is damaged")
    checking.add_argument("--files", action="store_true", help="also look whether the pictures' files are unchanged")
    checking.set_defaults(run=verify)

    grouping = actions.add_parser(
        "duplicates", help="group an index's pictures that are nearly the same", epilog=DUPLICATES, formatter_class=raw
    )
    grouping.add_argument("--threshold", type=int, default=31, metavar="BITS", help="that two may differ in (31)")
    grouping.add_argument("--out", type=Path, metavar="FILE.parquet", help="write the groups there")
    grouping.add_argument("--json", action="store_true", help="print counts, histograms and groups as JSON")
    grouping.set_defaults(run=duplicates)

    index_patterns.add_to(actions)
    index_watch.add_to(actions)
    for action in (adding, removing, searching, counting, checking, grouping):
        action.add_argument("--index", type=Path, required=True, metavar="DIR", help="the index's folder")


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a picture, a folder, or a glob pattern in quotes")
    add_limits(parser)


@dataclass(frozen=True)
class Described:
    """A picture ready to be stored, or the error in its place."""

    path: Path
    entry: Entry | None = None
    error: str = ""


def add(options: argparse.Namespace) -> int:
    """Add what the options name; pictures that cannot be opened are named, and it is 2 when none could."""
    from veriscope.copies.store import Index

    limits = limits_of(options)
    if options.jobs < 0 or options.wait < 0:
        raise VeriscopeError("--jobs and --wait must not be negative")
    paths = pictures_in(options.paths)
    if options.name and len(paths) > 1:
        raise VeriscopeError(f"--name is for one picture; there are {len(paths)}")
    index = Index.create(options.index, options.descriptor, wait=options.wait)
    total, paths = len(paths), paths if options.name else _new(index, paths)
    work = partial(
        _described, limits=limits, descriptor=index.descriptor.name, name=options.name, previews=not options.no_previews
    )
    alone = len(paths) <= ALONE or options.jobs == 1
    described = map(work, paths) if alone else in_processes(paths, work, options.jobs or os.cpu_count() or 1, _crashed)
    stored, known, failed = 0, total - len(paths), 0
    last = ""
    try:
        while results := list(islice(described, BATCH)):
            for result in results:
                if result.error:
                    failed, last = failed + 1, result.error
                    if total > 1:
                        print(f"veriscope: {result.error}", file=sys.stderr)
            added = index.add([result.entry for result in results if result.entry is not None], wait=options.wait)
            for reference in added.new:
                print(f"added: {reference}")
            for given, earlier in added.known:
                print(f"known: {given}" + ("" if given == earlier else f" (as {earlier})"))
            sys.stdout.flush()
            stored, known = stored + len(added.new), known + len(added.known)
        if index.compress(wait=options.wait):
            print("veriscope: the vectors have their compressed form from now on", file=sys.stderr)
    finally:
        if total > 1:
            counts = f"{stored} added, {known} known before, {failed} could not be added"
            print(f"{counts}; the index holds {len(index)} pictures", file=sys.stderr)
    if failed == total:
        raise VeriscopeError(last if failed == 1 else f"none of the {failed} pictures could be added")
    return 0


def remove(options: argparse.Namespace) -> int:
    """Take out what the options name; names that are not there are said, and it is 2 when none is."""
    from veriscope.copies.store import Index

    index = Index.open(options.index)
    taken: list[str] = []
    missing = []
    for name in options.names:
        removed = index.remove([name, os.path.abspath(name)], wait=options.wait)
        taken += removed
        if not removed:
            missing.append(name)
    for reference in taken:
        print(f"removed: {reference}")
    for name in missing if taken else ():
        print(f"veriscope: {name}: not in the index", file=sys.stderr)
    if not taken:
        raise VeriscopeError(f"{', '.join(missing)}: not in the index")
    return 0


def search(options: argparse.Namespace) -> int:
    """Print what each picture is a copy of; one that cannot be opened is named, and it is 2 when none could."""
    from veriscope.copies.searching import search as find
    from veriscope.copies.store import Index

    limits = limits_of(options)
    if options.most < 1:
        raise VeriscopeError("--most must be at least 1")
    paths = pictures_in(options.paths)
    index = Index.open(options.index)
    failed = []
    for path in paths:
        try:
            picture = open_picture(path, name=str(path), limits=limits)
        except VeriscopeError as error:
            failed.append(error)
            if len(paths) > 1:
                print(f"veriscope: {error}", file=sys.stderr)
            if options.json and len(paths) > 1:
                print(json.dumps({"query": str(path), "error": str(error)}), flush=True)
            continue
        matches = find(index, picture, most=options.most)
        shown = {"query": str(path), "matches": [match.as_json(details=options.details) for match in matches]}
        print(json.dumps(shown, ensure_ascii=False) if options.json else _told(path, matches), flush=True)
    if len(failed) == len(paths):
        raise failed[0] if len(paths) == 1 else VeriscopeError(f"none of the {len(paths)} pictures could be opened")
    return 0


def stats(options: argparse.Namespace) -> int:
    """Print what the index holds."""
    from veriscope.copies.store import Index
    from veriscope.copies.upkeep import stats as counted

    found = counted(Index.open(options.index))
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, value in found.items():
        shown = " ".join(map(str, value.values())) if isinstance(value, dict) else value
        print(f"{name.replace('_', ' ')}: {shown}")
    return 0


def verify(options: argparse.Namespace) -> int:
    """Print every problem; it is 2 when there is one."""
    from veriscope.copies.store import Index
    from veriscope.copies.upkeep import problems

    index = Index.open(options.index)
    found = 0
    for problem in problems(index, files=options.files):
        found += 1
        print(f"{problem.reference}: {problem.says}")
    if found:
        raise VeriscopeError(f"{options.index}: {found} of {len(index)} pictures have a problem")
    print(f"{options.index}: {len(index)} pictures, all of them whole")
    return 0


def duplicates(options: argparse.Namespace) -> int:
    """Print the groups and both histograms, and write the Parquet file where one is asked for."""
    from veriscope.copies.duplicates import duplicates as grouped
    from veriscope.copies.duplicates import save
    from veriscope.copies.store import Index

    found = grouped(Index.open(options.index), threshold=options.threshold)
    if options.out:
        save(found, options.out)
    names = [[row["reference"] for row in group] for group in found.groups]
    if options.json:
        counts = {"pictures": found.pictures, "flat": found.flat, "sizes": found.sizes, "distances": found.distances}
        print(json.dumps({**counts, "groups": names}, ensure_ascii=False))
        return 0
    for group in names:
        print("\n  ".join(group))
    several = sum(map(len, names))
    print(f"{len(names)} groups of {several} pictures, among {found.pictures}; {found.flat} flat ones were left out")
    print("pictures in a group: " + (", ".join(f"{n} ({c}x)" for n, c in found.sizes.items()) or "none"))
    print("bits apart: " + (", ".join(f"{n} ({c}x)" for n, c in found.distances.items()) or "none"))
    if options.out:
        print(f"written: {options.out}")
    return 0


def _new(index: Index, paths: list[Path]) -> list[Path]:
    """The pictures that are not there under the same path, size and time of change; the others are said."""
    named = {os.path.abspath(path): path for path in paths}
    for row in index.find("reference", list(named)):
        path = named.get(row["reference"])
        if path is not None and row["meta"].get("stamp") == batch.stamp(path):
            print(f"known: {row['reference']}")
            del named[row["reference"]]
    return list(named.values())


def _described(path: Path, *, limits: Limits, descriptor: str, name: str | None, previews: bool) -> Described:
    from veriscope.copies import descriptor as descriptors
    from veriscope.copies.describing import entry

    try:
        picture = open_picture(path, name=str(path), limits=limits)
        reference = name or os.path.abspath(path)
        known = {} if name else {"stamp": batch.stamp(path)}
        made = entry(picture, descriptors.make(descriptor), reference=reference, meta=known, preview=previews)
        return Described(path, made)
    except VeriscopeError as error:
        return Described(path, error=str(error))
    except Exception as error:
        return Described(path, error=f"{path}: {type(error).__name__}: {error}")


def _crashed(path: Path) -> Described:
    return Described(path, error=f"{path}: describing it brought the process down (crash or out of memory)")


def _told(path: Path, matches: list[Match]) -> str:
    if not matches:
        return f"{path}: no known picture is its original"
    lines = [f"{path}:"]
    for match in matches:
        level = "" if match.level is None else f", level {match.level}"
        lines += [f"  {match.reference} (score {match.score:.2f}{level})", f"    {match.says}"]
    return "\n".join(lines)
