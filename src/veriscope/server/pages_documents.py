"""What is taken away from the pages: a picture's report as JSON, HTML or PDF, its original, and a whole case."""

from __future__ import annotations

import re
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from veriscope.evidence import Report
from veriscope.server import case_documents
from veriscope.server.cases import Case, CasePicture
from veriscope.server.pages_cases import Anyone, Serving, found
from veriscope.server.pages_pictures import picture_of
from veriscope.server.pages_rendering import missing
from veriscope.server.service import Service

MEDIA = {"json": "application/json", "html": "text/html; charset=utf-8", "pdf": "application/pdf"}
NOT_IN_NAMES = re.compile(r"[^\w.\- ]+")

router = APIRouter()


def attachment(name: str) -> dict[str, str]:
    """The header that lets a browser save a file under ``name``, whatever characters a stranger put into it."""
    plain = NOT_IN_NAMES.sub("_", name).strip(". ")[:120] or "file"
    ascii_name = plain.encode("ascii", "replace").decode().replace("?", "_")
    return {
        "Content-Disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(plain)}",
        "Cache-Control": "no-store",
    }


@router.get("/cases/{case_id}/pictures/{picture_id}/report.{suffix}")
def report(service: Serving, who: Anyone, case_id: str, picture_id: str, suffix: str) -> Response:
    """A picture's report, as the command line writes it."""
    _, picture = picture_of(service, case_id, picture_id)
    made: str | bytes | None = None
    if picture.state == "done" and suffix in MEDIA:
        reports = service.reports
        made = {"json": reports.json, "html": reports.html, "pdf": reports.pdf}[suffix](picture_id)
    if made is None:
        raise missing("report")
    service.cases.record(case_id, who.who, f"took the report on {picture.name} as {suffix.upper()}")
    name = f"{picture.name.rpartition('.')[0] or picture.name}.report.{suffix}"
    return Response(made, media_type=MEDIA[suffix], headers=attachment(name))


@router.get("/cases/{case_id}/pictures/{picture_id}/original")
def original(service: Serving, who: Anyone, case_id: str, picture_id: str) -> Response:
    """The file as it was uploaded, byte for byte."""
    _, picture = picture_of(service, case_id, picture_id)
    path = service.reports.file(picture_id, "original")
    if path is None:
        raise missing("file")
    service.cases.record(case_id, who.who, f"took the original file of {picture.name}")
    return FileResponse(path, media_type="application/octet-stream", headers=attachment(picture.name))


@router.get("/cases/{case_id}/case.{suffix}")
def whole_case(service: Serving, who: Anyone, case_id: str, suffix: str) -> Response:
    """A case with all its pictures, notes and its timeline, to publish."""
    shown = found(service, case_id)
    if suffix not in ("html", "pdf"):
        raise missing("document")
    reports = _reports(service, shown)
    made = case_documents.as_html(shown, reports) if suffix == "html" else case_documents.as_pdf(shown, reports)
    service.cases.record(case_id, who.who, f"took the case as {suffix.upper()}")
    return Response(made, media_type=MEDIA[suffix], headers=attachment(f"{shown.title}.{suffix}"))


def _reports(service: Service, case: Case) -> list[tuple[CasePicture, Report | None]]:
    return [(one, service.reports.get(one.id) if one.state == "done" else None) for one in case.pictures]
