"""Is a manifest fit to train on? Every row is looked at, every picture opened, before any training starts.

A leak between splits makes a figure on held-out pictures worthless, and a picture that cannot be read ends a training hours
later. Both are found here and named by line. What opening a picture gave is kept by path, size and time of change, so that a
second look at the same files takes seconds.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import LABELS, Finding, Line, Row, faults, read_lines, refuse
from veriscope.picture import open_picture

TRAINED = ("train", "val")  # the splits that trainings draw on
CACHE = "checked.sqlite"
AT_ONCE = 64  # pictures between two writes of the cache


@dataclass(frozen=True)
class Seen:
    """What opening a file gave: its SHA-256, and why it is no use, or nothing."""

    sha256: str
    reason: str


def check(paths: Sequence[Path], work: Path, say: Callable[[str], None] = print) -> list[Finding]:
    """All that is wrong with manifests that are to be used together, in their order.

    Beyond ``faults``: pictures that cannot be read to their end, one class only in the splits that trainings draw on (in all
    splits where there are none of these), and the same file under two labels or in two splits. Rows labelled "none" count
    for neither of the last two.

    Args:
        paths: the manifests.
        work: the folder that keeps what opening the pictures gave.
        say: called with each line of progress.
    Raises:
        VeriscopeError: a manifest cannot be read at all.
    """
    lines = [line for path in paths for line in read_lines(path)]
    found = faults(lines)
    there = dict.fromkeys(file for line in lines for file in _files(line.row) if file.is_file())
    seen = _opened(list(there), work, say)
    found += [
        Finding(line.manifest, line.number, seen[file].reason)
        for line in lines
        for file in _files(line.row)
        if file in seen and seen[file].reason
    ]
    found += _copies(lines, seen)
    order = {path: place for place, path in enumerate(paths)}
    found.sort(key=lambda finding: (order[finding.manifest], finding.number))
    return _one_class(paths, [line.row for line in lines]) + found


def require_sound(paths: Sequence[Path], work: Path, say: Callable[[str], None] = print) -> None:
    """Refuse manifests that ``check`` finds something wrong with.

    Raises:
        VeriscopeError: something is; the message names the rows.
    """
    refuse(check(paths, work, say))


def _files(row: Row) -> list[Path]:
    return [row.path, Path(row.mask)] if row.mask else [row.path]


def _one_class(paths: Sequence[Path], rows: Sequence[Row]) -> list[Finding]:
    used = [row for row in rows if row.split in TRAINED] or list(rows)
    there = {row.label for row in used} & set(LABELS)
    missing = [label for label in LABELS if label not in there]
    where = "splits train and val" if used != list(rows) else "the manifest"
    return [Finding(paths[0], 0, f"one class only: no picture in {where} is labelled {label}") for label in missing]


def _copies(lines: Sequence[Line], seen: dict[Path, Seen]) -> list[Finding]:
    found = []
    first: dict[str, Line] = {}
    for line in lines:
        row = line.row
        sha256 = seen[row.path].sha256 if row.path in seen else ""
        if row.label == "none" or not sha256:
            continue
        other = first.setdefault(sha256, line)
        differing = [
            f"{what} {getattr(row, what)} here, {getattr(other.row, what)} there"
            for what in ("label", "split")
            if getattr(row, what) != getattr(other.row, what)
        ]
        if differing:
            place = f"{other.manifest} line {other.number} ({other.row.path.name})"
            reason = f"{row.path.name} is the same file as {place}: {', '.join(differing)}"
            found.append(Finding(line.manifest, line.number, reason))
    return found


def _open(path: Path) -> Seen:
    try:
        picture = open_picture(path)
    except VeriscopeError as error:
        return Seen("", f"{path}: cannot be read: {getattr(error, 'reason', error)}")
    return Seen(picture.sha256, f"{path}: the file ends early" if picture.truncated else "")


def _opened(paths: Sequence[Path], work: Path, say: Callable[[str], None]) -> dict[Path, Seen]:
    try:
        work.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(work / CACHE, timeout=60)) as cache:
            cache.execute(
                "CREATE TABLE IF NOT EXISTS seen "
                "(path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, sha256 TEXT, reason TEXT)"
            )
            return _kept(paths, cache, say)
    except (OSError, sqlite3.Error) as error:
        raise VeriscopeError(f"{work / CACHE}: cannot be used ({error}); give another --work folder") from error


def _kept(paths: Sequence[Path], cache: sqlite3.Connection, say: Callable[[str], None]) -> dict[Path, Seen]:
    known = {row[:3]: Seen(*row[3:]) for row in cache.execute("SELECT path, size, changed, sha256, reason FROM seen")}
    state = {path: (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths}
    seen = {path: known[state[path]] for path in paths if state[path] in known}
    todo = [path for path in paths if path not in seen]
    if todo:
        say(f"opening {len(todo)} pictures ({len(seen)} were opened before)")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for at in range(0, len(todo), AT_ONCE):
            some = todo[at : at + AT_ONCE]
            for path, result in zip(some, pool.map(_open, some), strict=True):
                seen[path] = result
            _keep(cache, ((*state[path], seen[path].sha256, seen[path].reason) for path in some))
    return seen


def _keep(cache: sqlite3.Connection, rows: Iterable[tuple[str, int, int, str, str]]) -> None:
    with cache:
        cache.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)", rows)
