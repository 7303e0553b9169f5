"""The files: uploads as they came, and what a job made of each, in the data folder.

``pictures/ab/ID/original`` is the upload, ``pictures/ab/ID/LEASE/`` what the holder of that lease wrote: two workers that
believe to have the same job never write into one folder, and only the folder that a report names is ever read.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from veriscope.evidence import Report

ORIGINAL = "original"
REPORT = "report.json"
STALE = 86_400.0  # seconds after which an upload that was never accepted is deleted
DATA_URI = "data:image/png;base64,"
FILES = {"preview": "preview.jpg", "thumbnail": "thumbnail.jpg", "pixels": "pixels.png", "marked": "marked"}


class Storage:
    """The data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.pictures = data / "pictures"
        self.incoming = data / "incoming"
        for folder in (self.pictures, self.incoming):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def folder(self, picture_id: str) -> Path:
        """Where a picture's files are."""
        return self.pictures / picture_id[-2:] / picture_id

    def original(self, picture_id: str) -> Path:
        """The upload as it came."""
        return self.folder(picture_id) / ORIGINAL

    def made(self, picture_id: str, lease: str) -> Path:
        """The folder for what the holder of a lease makes."""
        folder = self.folder(picture_id) / lease
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def receive(self) -> Path:
        """A new empty file for an upload."""
        handle, name = tempfile.mkstemp(dir=self.incoming)
        os.close(handle)
        return Path(name)

    def keep(self, upload: Path, picture_id: str) -> None:
        """Take an upload over, as one rename."""
        target = self.original(picture_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(upload, target)

    def delete(self, picture_id: str) -> None:
        """Delete all that there is of a picture."""
        shutil.rmtree(self.folder(picture_id), ignore_errors=True)

    def sweep(self) -> None:
        """Delete uploads that were never accepted."""
        for path in self.incoming.iterdir():
            try:
                if time.time() - path.stat().st_mtime > STALE:
                    path.unlink()
            except OSError:
                continue

    def kept(self, seconds: float) -> Iterator[str]:
        """The ids of the pictures whose files were last added to or removed so many seconds ago."""
        for folder in self.pictures.glob("*/*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > seconds:
                    yield folder.name


def write_report(report: Report, folder: Path) -> list[dict[str, Any]]:
    """Write a report, its maps and its preview into a folder; gives the maps as rows: number, detector, question, file."""
    values = report.model_dump(mode="json", by_alias=True)
    rows: list[dict[str, Any]] = []
    for row in values["evidence"]:
        uri = row["map"]
        if not uri:
            continue
        file = f"map-{len(rows) + 1}.png"
        (folder / file).write_bytes(base64.b64decode(uri.removeprefix(DATA_URI)))
        row["map"] = file
        question = str(row["question"])
        rows.append({"number": len(rows) + 1, "detector": row["detector"], "question": question, "file": file})
    if report.preview:
        (folder / FILES["preview"]).write_bytes(report.preview)
    (folder / REPORT).write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    return rows


def read_report(folder: Path) -> dict[str, Any]:
    """The JSON values of a report that ``write_report`` wrote, with its maps inside as the schema has them.

    Raises:
        OSError: it is not there.
    """
    values: dict[str, Any] = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    for row in values["evidence"]:
        if row["map"]:
            row["map"] = DATA_URI + base64.b64encode((folder / Path(row["map"]).name).read_bytes()).decode("ascii")
    return values
