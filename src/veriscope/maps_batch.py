"""Write the maps of edits of many pictures: what their files are called, what is done already, and in several processes.

Where two pictures share a stem, or a file of that name in the folder belongs to something else, the later one's files are
called ``STEM-XXXXXXXX``, eight digits of the hash of its path; nothing is written over, and a picture keeps the name that an
earlier run gave it. Paths are what pictures are known by, so one that was moved is another picture.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from veriscope.batch import stamp
from veriscope.errors import VeriscopeError
from veriscope.maps import Settings, files_of, identity, read_record, write_maps
from veriscope.processes import in_processes

LONGEST_STEM = 120  # bytes: a longer one would not leave room for the methods' names


@dataclass(frozen=True)
class Job:
    """A picture and what its files are called."""

    path: Path
    name: str


@dataclass(frozen=True)
class Written:
    """What became of a picture: its JSON, or the error that stands in its place.

    Attributes:
        path: the picture.
        json: the file with its scores; None where there is an error.
        error: why there are no maps.
        earlier: whether an earlier run had done it.
    """

    path: Path
    json: Path | None = None
    error: str | None = None
    earlier: bool = False


def jobs(paths: Iterable[Path], out: Path, settings: Settings) -> list[Job]:
    """What the files of each picture are called; pictures that are such files themselves are passed over.

    A picture keeps the name that an earlier run over ``out`` gave it.
    """
    taken: set[str] = set()
    found = []
    for path in {identity(path): path for path in paths}.values():
        if _is_written_by_us(path, out):
            continue
        distinct = f"{path.stem[: LONGEST_STEM // 5]}-{identity(path)[:8]}"
        own = [name for name in (distinct, path.stem) if _belongs(name, path, out)]
        short = len(os.fsencode(path.stem)) <= LONGEST_STEM
        free = short and not any((out / file).exists() for file in files_of(path.stem, settings))
        name = own[0] if own else path.stem if free else distinct
        if name.casefold() in taken:
            name = distinct
        taken.add(name.casefold())
        found.append(Job(path, name))
    return found


def _belongs(name: str, path: Path, out: Path) -> bool:
    record = read_record(out / f"{name}.json") if len(os.fsencode(name)) <= LONGEST_STEM else None
    return record is not None and record.get("id") == identity(path)


def _is_written_by_us(path: Path, out: Path) -> bool:
    """Whether a picture is a map or an overlay that an earlier run put into ``out``."""
    if os.path.abspath(path.parent) != os.path.abspath(out):
        return False
    stems = [path.name[: dot.start()] for dot in re.finditer(r"\.", path.name)]
    records = (read_record(out / f"{stem}.json") for stem in stems if stem)
    return any(record is not None and path.name in record.get("files", ()) for record in records)


def map_many(
    todo: Sequence[Job], out: Path, settings: Settings, *, processes: int = 0, again: bool = False
) -> Iterator[Written]:
    """Write the maps of pictures; those of an unchanged picture and the same settings are not made again.

    Args:
        todo: the pictures, as ``jobs`` named them.
        out: an existing folder.
        settings: what to map with.
        processes: how many; 0 for one a core. A single picture is mapped in this one.
        again: make all anew.
    Yields:
        one for each picture, earlier ones first, then in order of completion.
    """
    left = []
    for job in todo:
        if not again and _finished(job, out, settings):
            yield Written(job.path, out / f"{job.name}.json", earlier=True)
        else:
            left.append(job)
    if len(left) == 1:
        yield _map_one(left[0], out, settings)
        return
    work = partial(_map_one, out=out, settings=settings)
    yield from in_processes(left, work, processes or os.cpu_count() or 1, _crashed)


def _finished(job: Job, out: Path, settings: Settings) -> bool:
    record = read_record(out / f"{job.name}.json")
    if record is None or (record.get("id"), record.get("settings")) != (identity(job.path), settings.fingerprint):
        return False
    return record.get("stamp") == stamp(job.path) and all((out / file).exists() for file in record["files"])


def _crashed(job: Job) -> Written:
    return Written(job.path, error=f"{job.path}: mapping it brought the process down (crash or out of memory)")


def _map_one(job: Job, out: Path, settings: Settings) -> Written:
    try:
        return Written(job.path, write_maps(job.path, out, job.name, settings))
    except VeriscopeError as error:
        return Written(job.path, error=str(error))
    except Exception as error:
        return Written(job.path, error=f"{job.path}: {type(error).__name__}: {error}")
