"""A report as a PDF on A4, with the picture, the maps over it, page numbers and the file's hash on every page.

It is set in Bitstream Vera, which comes with ReportLab and holds Latin letters only; what it lacks is shown as □.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from PIL import Image
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.enums import TA_LEFT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)
from reportlab.platypus import Image as Drawing

from veriscope.evidence import EvidenceRow, Report, Verdict
from veriscope.reporting import answers, overlay, wording
from veriscope.reporting.files import write_atomically

_MARGIN: Final = 18 * mm
_WIDTH: Final = A4[0] - 2 * _MARGIN
_BOTTOM: Final = 22 * mm
_PICTURE_HEIGHT: Final = 88 * mm
_MAP_HEIGHT: Final = 62 * mm
_MAP_SIDE: Final = 900
"""Longer side of a map laid over the picture, pixels."""

_INK = HexColor("#1b1c1e")
_SOFT = HexColor("#55585e")
_RULE = HexColor("#c9c6bd")
_STATES = {"yes": HexColor("#9c2a10"), "no": HexColor("#14603f"), "cannot tell": HexColor("#2f4a75")}
_UNSHOWN: Final = "□"


def save_pdf(report: Report, path: str | Path) -> None:
    """Write the report as a PDF.

    Raises:
        VeriscopeError: the file cannot be written.
    """
    title = f"Veriscope report: {wording.plain(report.file.name, 120)}"
    digest = f"SHA-256 {wording.plain(report.file.sha256, 64)}"
    write_atomically(path, build(story(report), title, report.headline, digest))


def build(flowables: list[Flowable], title: str, subject: str, foot: str) -> bytes:
    """A4 pages of ``flowables``, with ``foot`` and the page's number at the bottom of each."""
    buffer = io.BytesIO()
    document = BaseDocTemplate(
        buffer,
        pagesize=A4,
        title=wording.plain(title, 200),
        author="Veriscope",
        subject=wording.plain(subject, 300),
        creator=f"Veriscope {version('veriscope')}",
    )
    frame = Frame(_MARGIN, _BOTTOM, _WIDTH, A4[1] - _BOTTOM - _MARGIN, 0, 0, 0, 0)
    document.addPageTemplates(PageTemplate(frames=[frame]))
    document.build(flowables, canvasmaker=partial(_NumberedCanvas, footer=_footer(foot)))
    return buffer.getvalue()


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
        told += [_drawing(report.preview, picture.size, _WIDTH, _PICTURE_HEIGHT), Spacer(1, 2 * mm)]

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
        [[paragraph(wording.question_title(question), "question", 100), _Badge(answer, _STATES[verdict.state])]],
        colWidths=[_WIDTH - 34 * mm, 34 * mm],
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
        _Scale(verdict),
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
    return [Spacer(1, 1.5 * mm), _drawing(laid, size, _WIDTH, _MAP_HEIGHT), Spacer(1, 1.2 * mm), caption]


def table(rows: list[tuple[str, str]]) -> list[Flowable]:
    """Rows of a name and a value; nothing where there are none."""
    if not rows:
        return []
    cells = [[paragraph(name, "soft", 120), paragraph(value, "small", 700)] for name, value in rows]
    style = TableStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, -1), 0.3, _RULE),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ]
    )
    return [Table(cells, colWidths=[42 * mm, _WIDTH - 42 * mm], style=style, hAlign="LEFT"), Spacer(1, 2 * mm)]


def _drawing(data: bytes, size: tuple[int, int], width: float, height: float) -> Flowable:
    scale = min(width / size[0], height / size[1])
    return Drawing(io.BytesIO(data), max(1, size[0] * scale), max(1, size[1] * scale), hAlign="LEFT")


def heading(text: str) -> Flowable:
    """The title of a section."""
    return paragraph(text, "title")


def paragraph(text: str, style: str = "body", limit: int | None = None) -> Flowable:
    """Text that anybody may have written, set in one of the styles: body, small, soft, strong, item, question, headline."""
    return Paragraph(escape(_showable(wording.plain(text, limit))), _styles()[style])


@cache
def _fonts() -> frozenset[int]:
    """Register the fonts; the code points they can show."""
    for name, file in (("Veriscope", "Vera.ttf"), ("Veriscope-Bold", "VeraBd.ttf")):
        font = TTFont(name, file)
        font.face.charToGlyph[ord(_UNSHOWN)] = 0  # Vera's glyph for what it lacks is that box
        font.face.charWidths[ord(_UNSHOWN)] = font.face.defaultWidth
        pdfmetrics.registerFont(font)
    return frozenset(pdfmetrics.getFont("Veriscope").face.charToGlyph)


def _showable(text: str) -> str:
    """``text`` with □ for each character that the font lacks; joiners and variation marks leave no trace."""
    glyphs = _fonts()
    invisible = {0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, *range(0xFE00, 0xFE10)}
    return "".join(letter if ord(letter) in glyphs else _UNSHOWN for letter in text if ord(letter) not in invisible)


@cache
def _styles() -> dict[str, ParagraphStyle]:
    _fonts()
    body = ParagraphStyle(
        "body", fontName="Veriscope", fontSize=9, leading=13, textColor=_INK, alignment=TA_LEFT, splitLongWords=1
    )
    made = partial(ParagraphStyle, parent=body)
    return {
        "body": body,
        "small": made("small", fontSize=8, leading=11),
        "soft": made("soft", fontSize=8, leading=11, textColor=_SOFT),
        "strong": made("strong", fontName="Veriscope-Bold", spaceBefore=3),
        "item": made("item", leftIndent=9, firstLineIndent=-9, spaceAfter=3),
        "question": made("question", fontName="Veriscope-Bold", fontSize=10.5, leading=14),
        "headline": made("headline", fontName="Veriscope-Bold", fontSize=15, leading=20, spaceAfter=4),
        "title": made(
            "title", fontName="Veriscope-Bold", fontSize=12, leading=16, spaceBefore=12, spaceAfter=5, keepWithNext=1
        ),
    }


class _Badge(Flowable):  # type: ignore[misc]
    """A verdict in a word, in a frame of its colour."""

    def __init__(self, words: str, colour: Color) -> None:
        super().__init__()
        self.words, self.colour = words, colour
        self.width, self.height = 34 * mm, 6 * mm

    def draw(self) -> None:
        """Draw it on the canvas that ReportLab has set."""
        self.canv.setStrokeColor(self.colour)
        self.canv.setFillColor(self.colour)
        self.canv.roundRect(0, 0, self.width, self.height, 2 * mm)
        self.canv.setFont("Veriscope-Bold", 9)
        self.canv.drawCentredString(self.width / 2, 1.8 * mm, self.words)


class _Scale(Flowable):  # type: ignore[misc]
    """The scale of the log10 likelihood ratio, −4 to +4, with a mark."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict
        self.width, self.height = _WIDTH, 13 * mm

    def draw(self) -> None:
        """Draw it on the canvas that ReportLab has set."""
        canvas, left, unit = self.canv, 3 * mm, (self.width - 6 * mm) / 8
        bar, bottom = 2.4 * mm, 6.4 * mm
        words = ("strong", "moderately strong", "moderate", "weak", "weak", "moderate", "moderately strong", "strong")
        for cell, word in enumerate(words):
            colour = _STATES["no"] if cell < 4 else _STATES["yes"]
            canvas.setFillColor(
                Color(
                    colour.red,
                    colour.green,
                    colour.blue,
                    alpha=(0.08, 0.18, 0.3, 0.42)[(3 - cell) if cell < 4 else cell - 4],
                )
            )
            canvas.setStrokeColor(_SOFT)
            canvas.setLineWidth(0.4)
            canvas.rect(left + cell * unit, bottom, unit, bar, fill=1)
            canvas.setFillColor(_SOFT)
            canvas.setFont("Veriscope", 5.6)
            canvas.drawCentredString(left + (cell + 0.5) * unit, 0.6 * mm, word)
        canvas.setFont("Veriscope", 6.5)
        for tick in range(-4, 5):
            canvas.drawCentredString(
                left + (tick + 4) * unit, 3.6 * mm, f"{tick:+d}".replace("-", "−") if tick else "0"
            )
        self._mark(left + wording.scale_position(self.verdict.log10_lr) * 8 * unit, bottom + bar)

    def _mark(self, x: float, y: float) -> None:
        canvas = self.canv
        canvas.setStrokeColor(_INK)
        canvas.setLineWidth(1)
        canvas.line(x, y + 1.2 * mm, x, y - 2.4 * mm)
        outline = canvas.beginPath()
        outline.moveTo(x, y)
        for right, up in ((1.3, 1.4), (0, 2.8), (-1.3, 1.4)):
            outline.lineTo(x + right * mm, y + up * mm)
        outline.close()
        canvas.setFillColor(HexColor("#ffffff") if self.verdict.state == "cannot tell" else _INK)
        canvas.drawPath(outline, fill=1)


class _NumberedCanvas(Canvas):  # type: ignore[misc]
    """A canvas that knows how many pages there are when it draws the footers."""

    def __init__(self, *arguments: Any, footer: Callable[[Any, int, int], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._footer = footer
        self._finished: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 (ReportLab's name)
        """Keep the page until all are known."""
        self._finished.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        """Write all pages with their footers."""
        for number, page in enumerate(self._finished, 1):
            self.__dict__.update(page)
            self._footer(self, number, len(self._finished))
            super().showPage()
        super().save()


def _footer(foot: str) -> Callable[[Any, int, int], None]:
    words = _showable(wording.plain(foot, 110))

    def draw(canvas: Any, number: int, total: int) -> None:
        canvas.setStrokeColor(_RULE)
        canvas.setLineWidth(0.5)
        canvas.line(_MARGIN, 15 * mm, A4[0] - _MARGIN, 15 * mm)
        canvas.setFillColor(_SOFT)
        canvas.setFont("Veriscope", 6.5)
        canvas.drawString(_MARGIN, 11 * mm, words)
        canvas.drawRightString(A4[0] - _MARGIN, 11 * mm, f"page {number} of {total}")

    return draw
