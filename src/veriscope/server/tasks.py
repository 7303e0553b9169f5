"""What a worker does with a job, by its kind. It runs in the worker's process: nothing of a picture is decoded elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from veriscope.errors import PictureError, VeriscopeError
from veriscope.server.queue import Claim, Outcome
from veriscope.server.settings import Settings
from veriscope.server.storage import FILES, Storage, write_report

THUMBNAIL_SIDE = 320  # pixels
LARGEST_PIXELS = 40_000_000  # pixels of a picture that is also kept as PNG, to be looked at closely


@dataclass(frozen=True)
class Task:
    """A job with all that doing it needs.

    Attributes:
        claim: the job.
        settings: the server's.
        original: the uploaded file.
        folder: where what is made goes; read by others only when the job is done.
        progress: says what is being done, in a word.
    """

    claim: Claim
    settings: Settings
    original: Path
    folder: Path
    progress: Callable[[str], None]

    @property
    def name(self) -> str:
        """The file as the user named it."""
        return str(self.claim.options.get("name") or "picture")


def perform(claim: Claim, settings: Settings, storage: Storage, progress: Callable[[str], None]) -> Outcome:
    """Do a job; what is wrong with the picture or the request is an outcome too.

    Raises:
        MemoryError: it takes more memory than the worker has.
    """
    original = storage.original(claim.picture_id)
    folder = storage.made(claim.picture_id, claim.lease)
    try:
        return _function(claim.kind)(Task(claim, settings, original, folder, progress))
    except MemoryError:
        raise
    except PictureError as error:
        return Outcome(error_code="unreadable_picture", error=str(error))
    except VeriscopeError as error:
        return Outcome(error_code="refused", error=str(error))
    except Exception as error:
        return Outcome(error_code="internal", error=f"{type(error).__name__}: {error}"[:500])


def _function(kind: str) -> Callable[[Task], Outcome]:
    if kind == "examine":
        return examine
    if kind.startswith("index_"):
        from veriscope.server import index_tasks

        return index_tasks.TASKS[kind]
    if kind.startswith("watermark_"):
        from veriscope.server import watermark_tasks

        return watermark_tasks.TASKS[kind]
    raise VeriscopeError(f"{kind}: not a kind of job this version knows")


def examine(task: Task) -> Outcome:
    """Examine a picture and write its report, with a preview; of a case's picture also what its page shows."""
    from veriscope import batch
    from veriscope.examination import PREVIEW_SIDE
    from veriscope.examination import examine as examine_picture
    from veriscope.picture import open_picture

    options = task.claim.options
    detectors = tuple(options["detectors"]) if options.get("detectors") else None
    declared_only, quick = bool(options.get("declared_only")), bool(options.get("quick"))
    asked = batch.Settings(detectors=detectors, declared_only=declared_only, quick=quick)
    task.progress("opening")
    picture = open_picture(task.original, name=task.name, limits=task.settings.limits)
    known = task.settings.known
    report = examine_picture(
        picture,
        detectors=detectors,
        declared_only=declared_only,
        quick=quick,
        known=known if known is not None and known.exists() else None,  # it is made with the first picture added
        time_limit=task.settings.detector_seconds,
        preview=PREVIEW_SIDE,
        command=asked.command(task.name),
        progress=task.progress,
    )
    task.progress("report")
    maps = write_report(report, task.folder)
    if options.get("shown"):
        _write_views(picture.rgb, task.folder)
    row = {"headline": report.headline, "answer": report.answer, "seconds": report.seconds}
    return Outcome(report=row, maps=maps)


def _write_views(rgb: object, folder: Path) -> None:
    import cv2
    import numpy as np

    pixels = np.ascontiguousarray(np.asarray(rgb, np.uint8)[:, :, ::-1])
    scale = min(1.0, THUMBNAIL_SIDE / max(pixels.shape[:2]))
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / FILES["thumbnail"]), small, [cv2.IMWRITE_JPEG_QUALITY, 80])
    if pixels.shape[0] * pixels.shape[1] <= LARGEST_PIXELS:
        cv2.imwrite(str(folder / FILES["pixels"]), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
