"""Jobs on the index of known pictures: the same as ``veriscope index search`` and ``veriscope index add``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from veriscope.errors import VeriscopeError
from veriscope.server.queue import Outcome
from veriscope.server.tasks import Task


def search(task: Task) -> Outcome:
    """What a picture is a copy of: ``{"query", "matches"}``."""
    find = import_module("veriscope.copies.searching").search
    matches = find(_opened(_folder(task)), _picture(task), most=int(task.claim.options.get("most", 10)))
    return Outcome(result={"query": task.name, "matches": [match.as_json() for match in matches]})


def add(task: Task) -> Outcome:
    """Make a picture known: ``{"added", "known", "pictures"}``."""
    entry = import_module("veriscope.copies.describing").entry
    index = import_module("veriscope.copies.store").Index.create(_folder(task))
    reference = task.claim.options.get("reference") or task.name
    added = index.add([entry(_picture(task), index.descriptor, reference=reference)])
    known = [{"given": given, "stored": stored} for given, stored in added.known]
    return Outcome(result={"added": list(added.new), "known": known, "pictures": len(index)})


TASKS: dict[str, Callable[[Task], Outcome]] = {"index_search": search, "index_add": add}


def _picture(task: Task) -> Any:
    from veriscope.picture import open_picture

    task.progress("opening")
    return open_picture(task.original, name=task.name, limits=task.settings.limits)


def _folder(task: Task) -> Path:
    if task.settings.known is None:
        raise VeriscopeError("this server has no index of known pictures; start it with --known DIR")
    return task.settings.known


def _opened(folder: Path) -> Any:
    return import_module("veriscope.copies.store").Index.open(folder)  # each time: other workers add to it
