"""Fills a server with cases whose reports are given, so that pages can be looked at without waiting for detectors."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image

from veriscope.evidence import Report
from veriscope.reporting import overlay
from veriscope.server.queue import Claim, Outcome
from veriscope.server.receiving import Upload
from veriscope.server.service import Service
from veriscope.server.storage import write_report
from veriscope.server.tasks import _write_views


def upload(service: Service, name: str, data: bytes) -> Upload:
    """A file as if it had been sent."""
    path = service.storage.receive()
    path.write_bytes(data)
    return Upload(name, path, len(data), hashlib.sha256(data).hexdigest())


def finish(service: Service, report: Report, pixels: np.ndarray, claim: Claim | None = None) -> str:
    """Do a job, the one that has waited longest by default, with this report as its outcome; gives the picture."""
    claim = claim or service.queue.claim("filling")
    assert claim is not None
    folder = service.storage.made(claim.picture_id, claim.lease)
    maps = write_report(_storable(report), folder)
    _write_views(pixels, folder)
    row = {"headline": report.headline, "answer": report.answer, "seconds": report.seconds}
    assert service.queue.finish(claim, Outcome(report=row, maps=maps), claim.lease)
    return claim.picture_id


def _storable(report: Report) -> Report:
    """Without maps that no detector could have made."""
    rows = [
        row.model_copy(update={"map": row.map if row.map and overlay.read_map(row.map) is not None else None})
        for row in report.evidence
    ]
    made = report.model_copy(update={"evidence": rows})
    made._preview = report.preview
    return made


def fail(service: Service, why: str) -> str:
    """Let the job that has waited longest fail."""
    claim = service.queue.claim("filling")
    assert claim is not None
    service.queue.finish(claim, Outcome(error_code="unreadable_picture", error=why), claim.lease)
    return claim.picture_id


def add(service: Service, case_id: str, report: Report, data: bytes | None = None, who: str = "this computer") -> str:
    """Add an examined picture to a case; without ``data`` its preview is its file."""
    data = data or report.preview or _plain()
    service.cases.add_pictures(case_id, [upload(service, report.file.name, data)], who)
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB"))
    return finish(service, report, pixels)


def _plain() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (96, 64), (90, 110, 130)).save(buffer, "PNG")
    return buffer.getvalue()
