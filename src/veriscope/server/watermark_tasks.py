"""Jobs on watermarks: the same as ``veriscope watermark embed`` and ``veriscope watermark detect``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from veriscope.server.queue import Outcome
from veriscope.server.storage import FILES
from veriscope.server.tasks import Task


def embed_mark(task: Task) -> Outcome:
    """A marked copy of a picture, as a file beside the result."""
    from veriscope.watermarks import marked_file

    options = task.claim.options
    picture = _picture(task)
    task.progress("embedding")
    data = marked_file(picture, options["message"], options["key"], scheme=options.get("scheme") or None)
    (task.folder / FILES["marked"]).write_bytes(data)
    return Outcome(result={"file": FILES["marked"], "folder": task.claim.lease, "bytes": len(data)})


def detect_mark(task: Task) -> Outcome:
    """The message of a marked picture: ``{"message", "p_value", "bits_corrected", "scheme"}``."""
    from veriscope.watermarks import detect

    picture = _picture(task)
    task.progress("detecting")
    return Outcome(result=detect(picture, task.claim.options["key"]).as_json())


TASKS: dict[str, Callable[[Task], Outcome]] = {"watermark_embed": embed_mark, "watermark_detect": detect_mark}


def _picture(task: Task) -> Any:
    from veriscope.picture import open_picture

    task.progress("opening")
    return open_picture(task.original, name=task.name, limits=task.settings.limits)
