"""Examine many pictures: in several processes, without losing finished work, resumable, stoppable.

One JSON line a picture is appended as it is done, so a run that is killed keeps all it finished; a second run over the same
folder does only what is missing or has changed. A picture that brings its process down becomes a row with its error.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TextIO

from veriscope.errors import PictureError, VeriscopeError
from veriscope.evidence import Report
from veriscope.picture import Limits
from veriscope.processes import in_processes

THUMBNAIL_SIDE = 160  # pixels
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".heic", ".heif", ".hif"),
    *(".tif", ".tiff", ".gif", ".bmp", ".dib"),
}


@dataclass(frozen=True)
class Settings:
    """What every picture of a run is examined with."""

    detectors: tuple[str, ...] | None = None
    declared_only: bool = False
    quick: bool = False
    limits: Limits = field(default_factory=Limits)
    time_limit: float = 60.0
    html: str | None = None  # folder for one HTML report a picture
    pdf: str | None = None  # folder for one PDF a picture
    thumbnails: bool = False
    known: str | None = None  # folder of an index of known pictures

    @cached_property
    def fingerprint(self) -> str:
        """Changes when an earlier result would no longer be what this run asks for."""
        from importlib.metadata import version

        from veriscope import models

        wanted = {**asdict(self), "veriscope": version("veriscope"), "models": models.fingerprint()}
        if self.known is not None:
            from veriscope.copies.store import Index

            wanted["index"] = Index.open(Path(self.known)).state
        return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:12]

    def command(self, path: str | Path) -> str:
        """The command that makes the report of one picture again.

        >>> Settings(declared_only=True).command("my cat.jpg")
        "veriscope examine 'my cat.jpg' --declared-only"
        """
        words = ["veriscope", "examine", str(path)]
        words += ["--declared-only"] if self.declared_only else []
        words += ["--quick"] if self.quick else []
        for name in self.detectors or ():
            words += ["--with", name]
        words += ["--known", self.known] if self.known is not None else []
        return shlex.join(words)

    def examine(self, path: Path, preview: int) -> Report:
        """The report of one picture, with a copy of at most ``preview`` pixels a side for renderers; 0 for none.

        Raises:
            PictureError: it cannot be opened as a picture.
            PluginError: a named detector does not exist.
        """
        from veriscope.examination import examine

        return examine(
            path,
            detectors=self.detectors,
            declared_only=self.declared_only,
            quick=self.quick,
            known=None if self.known is None else Path(self.known),
            limits=self.limits,
            time_limit=self.time_limit,
            preview=preview,
            command=self.command(path),
        )


@dataclass(frozen=True)
class Result:
    """One line of a run: a report, or the error that stands in its place.

    Attributes:
        path: the picture, as the user named it or as the folder's walk found it.
        stamp: size and modification time, to see on resume whether it changed.
        settings: the fingerprint of the run's settings.
        report: the report as JSON-ready values; None where there is an error.
        error: why there is no report.
        href: the picture's own HTML report, relative to the run's folder.
        thumbnail: a small JPEG in base64, when asked for.
    """

    path: str
    stamp: str
    settings: str
    report: dict[str, Any] | None = None
    error: str | None = None
    href: str | None = None
    thumbnail: str | None = None


def find_pictures(paths: Iterable[str | Path]) -> list[Path]:
    """The files that these paths, folders and glob patterns name, folders walked in order of name.

    Files named directly are kept whatever their suffix; in folders only those with a picture's suffix are taken. Hidden
    files and folders are passed over, links to folders are not followed.

    Raises:
        PictureError: a path or pattern matches nothing.
    """
    found: dict[Path, None] = {}
    for given in map(str, paths):
        matches = [given] if os.path.lexists(given) else sorted(glob.glob(given, recursive=True))
        if not matches:
            raise PictureError(given, "no such file or folder, and no file matches it as a pattern")
        for match in matches:
            if not os.path.isdir(match):
                found[Path(match)] = None
                continue
            for folder, folders, files in os.walk(match):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(files):
                    if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                        found[Path(folder) / name] = None
    return list(found)


def stamp(path: Path) -> str:
    """Size and modification time of a file; "missing" where there is none."""
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}:{status.st_mtime_ns}"


def read_results(path: Path) -> dict[str, Result]:
    """The results of an earlier run by path; a half-written last line is passed over."""
    results: dict[str, Result] = {}
    for values in read_json_lines(path):
        try:
            result = Result(**values)
        except TypeError:
            continue
        results[result.path] = result
    return results


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file that may have been cut off; nothing where there is no file."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if isinstance(values, dict):
                yield values


def open_json_lines(path: Path) -> TextIO:
    """A JSON-lines file to append to, made with its folder where it is missing; a half line at its end is closed.

    Raises:
        VeriscopeError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _end_last_line(path)
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise VeriscopeError(f"{path}: cannot be written: {error.strerror}") from error


def examine_many(
    paths: Sequence[Path],
    results_file: Path,
    settings: Settings,
    *,
    jobs: int = 0,
    on_result: Callable[[Result], None] | None = None,
) -> Iterator[Result]:
    """Examine pictures and append each result to ``results_file`` as a JSON line; yields in order of completion.

    What the file already holds for an unchanged picture and the same settings is yielded first and not done again.
    Closing the iterator, or an exception in it (Ctrl-C), stops the run; finished results are in the file.

    Args:
        paths: the pictures.
        results_file: JSON lines, created or continued.
        settings: what to examine with.
        jobs: processes; 0 for one a core.
        on_result: called with each newly made result after it is on disk.
    Raises:
        VeriscopeError: the results file cannot be written.
    """
    earlier = read_results(results_file)
    todo: list[Path] = []
    for path in paths:
        result = earlier.get(str(path))
        if (
            result
            and result.settings == settings.fingerprint
            and result.stamp == stamp(path)
            and _still_written(result, settings)
        ):
            yield result
        else:
            todo.append(path)
    if not todo:
        return
    with open_json_lines(results_file) as out:
        work, crashed = partial(_one, settings=settings), partial(_crashed, settings=settings)
        for result in in_processes(todo, work, jobs or os.cpu_count() or 1, crashed):
            try:
                out.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
                out.flush()
            except OSError as error:
                raise VeriscopeError(f"{results_file}: cannot be written: {error.strerror}") from error
            if on_result is not None:
                on_result(result)
            yield result


def _still_written(result: Result, settings: Settings) -> bool:
    """Whether the picture's own HTML report, if there was one, is still there."""
    return not (settings.html and result.href) or (Path(settings.html) / result.href).exists()


def _end_last_line(path: Path) -> None:
    """A run that was killed may have left half a line; the next result must not be glued to it."""
    if path.exists() and path.stat().st_size:
        with path.open("rb+") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


def _crashed(path: Path, settings: Settings) -> Result:
    error = "its examination brought the process down (crash or out of memory)"
    return Result(str(path), stamp(path), settings.fingerprint, error=f"{path}: {error}")


def _one(path: Path, settings: Settings) -> Result:
    result = Result(str(path), stamp(path), settings.fingerprint)
    from veriscope.examination import PREVIEW_SIDE

    reports = bool(settings.html or settings.pdf)
    try:
        report = settings.examine(path, PREVIEW_SIDE if reports else THUMBNAIL_SIDE * settings.thumbnails)
        href = _write_reports(report, path, settings) if reports else None
    except VeriscopeError as error:
        return replace(result, error=str(error))
    except Exception as error:
        return replace(result, error=f"{path}: {type(error).__name__}: {error}")
    thumbnail = _thumbnail(report) if settings.thumbnails else None
    values = report.model_dump(mode="json", by_alias=True)
    return replace(result, report=values, href=href, thumbnail=thumbnail)


def _write_reports(report: Report, path: Path, settings: Settings) -> str | None:
    from veriscope import reporting

    stem = f"{path.stem[:60]}-{report.file.sha256[:8]}-{hashlib.sha256(str(path).encode()).hexdigest()[:4]}"
    if settings.pdf:
        reporting.save_pdf(report, Path(settings.pdf) / f"{stem}.pdf")
    if settings.html:
        reporting.save_html(report, Path(settings.html) / f"{stem}.html")
        return f"{stem}.html"
    return None


def _thumbnail(report: Report) -> str | None:
    import base64

    import cv2
    import numpy as np

    if not report.preview:
        return None
    pixels = cv2.imdecode(np.frombuffer(report.preview, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None  # it was encoded by this process
    scale = THUMBNAIL_SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return base64.b64encode(report.preview).decode()
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return base64.b64encode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()).decode()
