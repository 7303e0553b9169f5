"""A whole case to publish: one HTML file that loads nothing and runs nothing, and one PDF."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, PageBreak, Spacer

from veriscope.evidence import Report
from veriscope.reporting import overlay, page, pdf, wording
from veriscope.server.cases import Case, CasePicture
from veriscope.server.pages_pictures import layers
from veriscope.server.pages_rendering import environment, when

POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MAP_SIDE: Final = 480
"""Longer side of a map over the picture, pixels."""


@dataclass(frozen=True)
class Drawn:
    """A map laid over the picture, as a data URI."""

    title: str
    weight: str
    picture: str


@dataclass(frozen=True)
class Chapter:
    """A picture of a case and what was found; without a report, why there is none."""

    picture: CasePicture
    report: Report | None
    preview: str = ""
    maps: tuple[Drawn, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def as_html(case: Case, reports: list[tuple[CasePicture, Report | None]]) -> str:
    """A case as one self-contained HTML document."""
    return (
        environment()
        .get_template("document.html.j2")
        .render(
            case=case,
            chapters=[_chapter(picture, report) for picture, report in reports],
            style=page.asset("base.css", "report.css"),
            policy=POLICY,
        )
    )


def _chapter(picture: CasePicture, report: Report | None) -> Chapter:
    if report is None:
        return Chapter(picture, None)
    shown = overlay.read_preview(report.preview)
    size = shown.size if shown else (max(1, report.file.width), max(1, report.file.height))
    maps = []
    for layer in layers(report)[0]:
        values = overlay.read_map(layer.data)
        if values is not None:
            laid = overlay.over_picture(values, shown, size, min(MAP_SIDE, max(size)))
            maps.append(Drawn(layer.title, layer.weight, overlay.data_uri(laid, "image/jpeg")))
    preview = overlay.data_uri(report.preview, "image/jpeg") if shown and report.preview else ""
    return Chapter(picture, report, preview, tuple(maps), tuple(wording.facts(report)))


def as_pdf(case: Case, reports: list[tuple[CasePicture, Report | None]]) -> bytes:
    """A case as a PDF: a page about the case, then each picture's report from a page of its own."""
    small = partial(pdf.paragraph, style="soft")
    told: list[Flowable] = [
        small(f"Veriscope, a case of {len(reports)} {'picture' if len(reports) == 1 else 'pictures'}"),
        Spacer(1, 3 * mm),
        pdf.paragraph(case.title, "headline", 300),
        small(f"Opened {when(case.created)} by {case.created_by}"),
        pdf.heading("The pictures"),
    ]
    for picture, report in reports:
        told += [pdf.paragraph(picture.name, "strong", 200)]
        told.append(pdf.paragraph(report.headline if report else _unexamined(picture), "body", 1000))
    if case.notes:
        told.append(pdf.heading("Notes"))
    for note in case.notes:
        told += [small(f"{note.who}, {when(note.created)}")]
        told += [pdf.paragraph(line, "body") for line in note.text.splitlines() if line.strip()]
        told.append(Spacer(1, 2 * mm))
    told.append(pdf.heading("What was done"))
    told += pdf.table([(when(event.created), f"{event.who} {event.what}") for event in case.events])
    for _, report in reports:
        if report is not None:
            told += [PageBreak(), *pdf.story(report)]
    return pdf.build(told, f"Veriscope case: {case.title}", "A case", f"Case: {case.title}")


def _unexamined(picture: CasePicture) -> str:
    return f"Not examined: {picture.error}" if picture.error else "Its examination is not done yet."
