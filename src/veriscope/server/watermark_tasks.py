"""Jobs on watermarks: the same as ``veriscope watermark embed`` and ``veriscope watermark detect``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from veriscope.server.queue import Outcome
from veriscope.server.storage import FILES
from veriscope.server.tasks import Task


def embed(task: Task) -> Outcome:
    """A marked copy of a picture, as a file beside the result."""
    library = import_module("veriscope.watermarks")
    options = task.claim.options
    picture = _picture(task)
    task.progress("embedding")
    data: bytes = library.marked_file(picture, options["message"], options["key"], scheme=options.get("scheme") or None)
    (task.folder / FILES["marked"]).write_bytes(data)
    return Outcome(result={"file": FILES["marked"], "folder": task.claim.lease, "bytes": len(data)})


def detect(task: Task) -> Outcome:
    """The message of a marked picture: ``{"message", "p_value", "bits_corrected", "scheme"}``."""
    library = import_module("veriscope.watermarks")
    picture = _picture(task)
    task.progress("detecting")
    return Outcome(result=library.detect(picture, task.claim.options["key"]).as_json())


CALLED = ("marked_file", "detect")  # what this needs of ``veriscope.watermarks``
TASKS: dict[str, Callable[[Task], Outcome]] = {"watermark_embed": embed, "watermark_detect": detect}


def _picture(task: Task) -> Any:
    from veriscope.picture import open_picture

    task.progress("opening")
    return open_picture(task.original, name=task.name, limits=task.settings.limits)
