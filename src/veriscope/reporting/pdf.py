"""A report as a PDF on A4, with the picture, the maps over it, page numbers and the file's hash on every page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Spacer, Table, TableStyle

from veriscope.evidence import EvidenceRow, Report, Verdict
from veriscope.reporting import answers, overlay, wording
from veriscope.reporting.files import write_atomically
from veriscope.reporting.pdf_setting import STATES, WIDTH, Badge, Scale, build, drawing, heading, paragraph, table

_PICTURE_HEIGHT: Final = 88 * mm
_MAP_HEIGHT: Final = 62 * mm
_MAP_SIDE: Final = 900
"""Longer side of a map laid over the picture, pixels."""


def save_pdf(report: Report, path: str | Path) -> None:
    """Write the report as a PDF.

    Raises:
        VeriscopeError: the file cannot be written.
    """
    title = f"Veriscope report: {wording.plain(report.file.name, 120)}"
    digest = f"SHA-256 {wording.plain(report.file.sha256, 64)}"
    write_atomically(path, build(story(report), title, report.headline, digest))


def story(report: Report) -> list[Flowable]:
    """What the report says, ready to be set."""
    told: list[Flowable] = [
        paragraph(f"Veriscope, examination of a picture. {wording.moment(report.created)}", "soft"),
        Spacer(1, 3 * mm),
        paragraph(report.headline, "headline", 1000),
        paragraph(
            f"{wording.plain(report.file.name, 200)}: {wording.plain(report.file.format, 40)}, "
            f"{report.file.width} × {report.file.height} px, {wording.byte_size(report.file.bytes)}",
            "soft",
        ),
        Spacer(1, 4 * mm),
    ]
    picture = overlay.read_preview(report.preview)
    if picture is not None and report.preview is not None:
        told += [drawing(report.preview, picture.size, WIDTH, _PICTURE_HEIGHT), Spacer(1, 2 * mm)]

    told.append(heading(f"1. {wording.ANSWERS['declares']}"))
    for declaration in report.declares:
        kind = f"{wording.kind_title(declaration.kind)} ({declaration.state})"
        told.append(KeepTogether([paragraph(kind, "strong", 120), paragraph(declaration.says, "body", 800)]))
        told += table(wording.detail_rows(declaration.details, rows=25, limit=200))
    if not report.declares:
        told.append(paragraph(wording.NOTHING_DECLARED))

    told.append(heading(f"2. {wording.ANSWERS['seen']}"))
    for sighting in report.seen or ():
        told += [
            paragraph(f"{wording.plain(sighting.reference, 300)} (score {sighting.score:.3g})", "strong"),
            paragraph(sighting.says, "body", 800),
            *_laid(answers.difference(sighting), picture, report, "What was added, removed or altered"),
        ]
    if not report.seen:
        told.append(paragraph(wording.NOT_COMPARED if report.seen is None else wording.NOT_SEEN))

    blocks = [[*_verdict(question, verdict), *_words(question, report)] for question, verdict in report.pixels.items()]
    told += _section(f"3. {wording.ANSWERS['pixels']}", blocks or [[paragraph(wording.NOT_ASKED)]])

    for title, rows in (
        ("What each detector says", [row for row in report.evidence if row.weighed]),
        ("Exhibits, for your own eye: they carry no weight", [row for row in report.evidence if not row.weighed]),
    ):
        told += _section(title, [_evidence(row, picture, report) for row in rows])

    told.append(heading("What saving again and resizing have hidden"))
    told += [paragraph(says, "body", 600) for says in answers.saves(report)]
    losses = answers.hidden(report)
    told += [paragraph(f"• {_loss(loss)}", "item", 900) for loss in losses]
    if not losses:
        told.append(paragraph(answers.NOTHING_HIDDEN))

    told.append(heading("The file"))
    told += table(wording.facts(report))
    told.append(heading("Software and operating points"))
    software = [("Veriscope", report.software.veriscope), *report.software.models.items()]
    for question, verdict in report.pixels.items():
        if verdict.fpr is not None:
            point = f"“yes” at {wording.percent(verdict.fpr)} false alarms on real pictures"
            software.append((f"Threshold, {wording.question_word(question)}", point))
    software += [("Time taken", f"{report.seconds:.1f} s"), ("Command", report.software.command or "not recorded")]
    told += table([(wording.plain(name, 80), wording.plain(value, 600)) for name, value in software])
    told.append(heading("What this report cannot say"))
    told += [paragraph(f"• {limit}", "item") for limit in wording.LIMITS]
    return told


def _loss(loss: answers.Hidden) -> str:
    """What was lost, why, and to which detectors."""
    silent = f" Nothing left to read for {', '.join(loss.silent)}." if loss.silent else ""
    weakened = f" Trusted less: {', '.join(loss.weakened)}." if loss.weakened else ""
    return loss.reason + silent + weakened


def _words(question: str, report: Report) -> list[Flowable]:
    """What the explanation of an edit says, under the verdict on it."""
    if question != "edited" or report.explanation is None:
        return []
    others = (
        f"In the words of {wording.plain(name, 60)}, which nobody checked: {wording.plain(words, 2000)}"
        for name, words in report.explanation.by_user_model.items()
    )
    return [paragraph(report.explanation.says, "body", 1200), *(paragraph(words, "soft", 2100) for words in others)]


def _section(title: str, blocks: list[list[Flowable]]) -> list[Flowable]:
    """Blocks that are not broken across pages, the first of them together with its title."""
    if not blocks:
        return []
    return [KeepTogether([heading(title), *blocks[0]]), *(KeepTogether(block) for block in blocks[1:])]


def _verdict(question: str, verdict: Verdict) -> list[Flowable]:
    answer = wording.STATES[verdict.state]
    heading = Table(
        [[paragraph(wording.question_title(question), "question", 100), Badge(answer, STATES[verdict.state])]],
        colWidths=[WIDTH - 34 * mm, 34 * mm],
        style=TableStyle(
            [
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("RIGHTPADDING", (0, 0), (-1, -1), 0),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ]
        ),
    )
    figures = (
        f"log10 LR {wording.signed(verdict.log10_lr)}: {wording.support(verdict.log10_lr, question)}. "
        f"Reliability {verdict.reliability:.2f} of 1; {wording.operating_point(verdict)}."
    )
    return [
        heading,
        paragraph(verdict.says, "body", 1000),
        Scale(verdict),
        Spacer(1, 1.2 * mm),
        paragraph(figures, "soft"),
        Spacer(1, 3 * mm),
    ]


def _evidence(row: EvidenceRow, picture: Image.Image | None, report: Report) -> list[Flowable]:
    figures = f"Reliability {row.reliability:.2f}; raw score {row.score:.4g}; {row.seconds:.2f} s."
    if row.weighed:
        figures = f"log10 LR {wording.signed(row.log10_lr)}, {wording.support(row.log10_lr, row.question)}. {figures}"
    if row.reason:
        figures += f" {wording.plain(row.reason, 500)}"
    detector, version = wording.plain(row.detector, 80), wording.plain(row.version, 60)
    name = f"{detector}, version {version}: {wording.question_word(row.question)}"
    parts = [paragraph(name, "strong", 240), paragraph(row.says, "body", 1000), paragraph(figures, "soft", 900)]
    parts += _laid(row.map, picture, report, "Its map")
    return [*parts, Spacer(1, 2.5 * mm)]


def _laid(drawn: str | None, picture: Image.Image | None, report: Report, title: str) -> list[Flowable]:
    """A map over the picture in grey, and what it is; nothing where there is none."""
    if drawn is None:
        return []
    values = overlay.read_map(drawn)
    if values is None:
        return [paragraph(f"{title} cannot be shown: it is not a picture this report accepts.", "soft")]
    size = picture.size if picture else (max(1, report.file.width), max(1, report.file.height))
    laid = overlay.over_picture(values, picture, size, min(_MAP_SIDE, max(*size, 300)))
    caption = paragraph(f"{title}, dark violet low to yellow high, over the picture in grey.", "soft")
    return [Spacer(1, 1.5 * mm), drawing(laid, size, WIDTH, _MAP_HEIGHT), Spacer(1, 1.2 * mm), caption]
