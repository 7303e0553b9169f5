"""Pages of pictures: the report with the tools over the picture, its files, and how far an examination has come."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from veriscope.evidence import EvidenceRow, Report
from veriscope.reporting import answers, overlay, wording
from veriscope.server.cases import Case, CasePicture
from veriscope.server.pages_cases import Anyone, Examiner, Form, Serving, found, see
from veriscope.server.pages_rendering import missing, render
from veriscope.server.service import Service

router = APIRouter()

FILES: Final = {
    "preview.jpg": ("preview", "image/jpeg"),
    "thumbnail.jpg": ("thumbnail", "image/jpeg"),
    "pixels.png": ("pixels", "image/png"),
}


@dataclass(frozen=True)
class Layer:
    """A map that can be laid over the picture.

    Attributes:
        number: from 1; part of its address.
        title: the detector, or the match that it is the difference to.
        says: what the detector says of it.
        weight: "weighed", "exhibit" or "match".
        data: the map as a data URI.
    """

    number: int
    title: str
    says: str
    weight: str
    data: str


def picture_of(service: Service, case_id: str, picture_id: str) -> tuple[Case, CasePicture]:
    """A case and one of its pictures.

    Raises:
        ProblemError: there is no such case, or no such picture in it (404).
    """
    case = found(service, case_id)
    picture = next((picture for picture in case.pictures if picture.id == picture_id), None)
    if picture is None:
        raise missing("picture")
    return case, picture


def report_of(service: Service, case_id: str, picture_id: str) -> tuple[Case, CasePicture, Report]:
    """A case, one of its pictures, and its report.

    Raises:
        ProblemError: there is no such picture, or its examination is not done (404).
    """
    case, picture = picture_of(service, case_id, picture_id)
    report = service.reports.get(picture_id, preview=True) if picture.state == "done" else None
    if report is None:
        raise missing("report")
    return case, picture, report


def layers(report: Report) -> tuple[list[Layer], dict[int, int]]:
    """The maps of a report in its order, those of matches last; and the number of each evidence row's map, by its place."""
    made: list[Layer] = []
    of_row: dict[int, int] = {}
    for place, row in enumerate(report.evidence):
        if row.map is not None:
            made.append(Layer(len(made) + 1, row.detector, row.says, "weighed" if row.weighed else "exhibit", row.map))
            of_row[place] = len(made)
    for match in report.seen or ():
        difference = answers.difference(match)
        if difference is not None:
            title = f"Difference to {wording.plain(match.reference, 120)}"
            made.append(Layer(len(made) + 1, title, match.says, "match", difference))
    shown = [layer for layer in made if overlay.read_map(layer.data) is not None]
    kept = {layer.number for layer in shown}
    return shown, {place: number for place, number in of_row.items() if number in kept}


@router.get("/cases/{case_id}/pictures/{picture_id}")
def picture(request: Request, service: Serving, who: Anyone, case_id: str, picture_id: str) -> Response:
    """A picture's report; or how far its examination has come, or why it failed."""
    case, shown = picture_of(service, case_id, picture_id)
    place = case.pictures.index(shown)
    around: dict[str, Any] = {
        "before": case.pictures[place - 1] if place else None,
        "after": case.pictures[place + 1] if place + 1 < len(case.pictures) else None,
    }
    report = service.reports.get(picture_id, preview=True) if shown.state == "done" else None
    if report is None:
        rows = {row.picture_id: row for row in service.cases.progress(case_id)}
        return render(
            request, "progress.html.j2", who, case=case, picture=shown, progress=rows.get(picture_id), **around
        )
    maps, of_row = layers(report)
    numbers = {id(row): of_row.get(number) for number, row in enumerate(report.evidence)}
    has = {name: service.reports.file(picture_id, name) is not None for name in ("preview", "pixels", "original")}

    def number_of(row: EvidenceRow) -> int | None:
        return numbers.get(id(row))

    return render(
        request,
        "picture.html.j2",
        who,
        case=case,
        picture=shown,
        report=report,
        layers=maps,
        has=has,
        place=place + 1,
        number_of=number_of,
        weighed=[row for row in report.evidence if row.weighed],
        exhibits=[row for row in report.evidence if not row.weighed],
        facts=wording.facts(report),
        **around,
    )


@router.get("/cases/{case_id}/pictures/{picture_id}/maps/{number}.png")
def heat(request: Request, service: Serving, _who: Anyone, case_id: str, picture_id: str, number: int) -> Response:
    """One map in heat colours, clear where it is low."""
    _, _, report = report_of(service, case_id, picture_id)
    layer = next((layer for layer in layers(report)[0] if layer.number == number), None)
    values = overlay.read_map(layer.data) if layer is not None else None
    if layer is None or values is None:
        raise missing("map")
    tag = f'"{hashlib.sha256(layer.data.encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(overlay.heat_png(values), media_type="image/png", headers=headers)


@router.get("/cases/{case_id}/pictures/{picture_id}/{name}.{suffix}")
def file(service: Serving, _who: Anyone, case_id: str, picture_id: str, name: str, suffix: str) -> Response:
    """A copy of the picture that the examination made: small, as a preview, or with all its pixels."""
    picture_of(service, case_id, picture_id)
    kind, media = FILES.get(f"{name}.{suffix}", ("", ""))
    path = service.reports.file(picture_id, kind) if kind else None
    if path is None:
        raise missing("file")
    return FileResponse(path, media_type=media, headers={"Cache-Control": "private, no-cache"})


@router.get("/cases/{case_id}/pictures/{picture_id}/delete")
def ask_to_delete(request: Request, service: Serving, who: Examiner, case_id: str, picture_id: str) -> Response:
    """Ask whether a picture is to be deleted."""
    case, shown = picture_of(service, case_id, picture_id)
    back = f"/cases/{case_id}/pictures/{picture_id}"
    return render(
        request, "delete.html.j2", who, title=shown.name, what=shown.name, back=back, kind="picture", case=case
    )


@router.post("/cases/{case_id}/pictures/{picture_id}/delete")
def delete(service: Serving, who: Examiner, _form: Form, case_id: str, picture_id: str) -> Response:
    """Delete a picture with its files and its report."""
    picture_of(service, case_id, picture_id)
    service.cases.delete_picture(picture_id, who.who)
    return see(f"/cases/{case_id}")
