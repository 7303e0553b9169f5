"""What a PDF report is set with: pages with numbers, text in Bitstream Vera, tables, badges and the drawn scale.

Bitstream Vera comes with ReportLab and holds Latin letters only; what it lacks is shown as □.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import version
from typing import Any, Final
from xml.sax.saxutils import escape

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.enums import TA_LEFT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, Spacer, Table, TableStyle
from reportlab.platypus import Image as Drawing

from veriscope.evidence import Verdict
from veriscope.reporting import wording

_MARGIN: Final = 18 * mm
WIDTH: Final = A4[0] - 2 * _MARGIN
_BOTTOM: Final = 22 * mm

_INK = HexColor("#1b1c1e")
_SOFT = HexColor("#55585e")
_RULE = HexColor("#c9c6bd")
STATES: Final = {"yes": HexColor("#9c2a10"), "no": HexColor("#14603f"), "cannot tell": HexColor("#2f4a75")}
_UNSHOWN: Final = "□"


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
    frame = Frame(_MARGIN, _BOTTOM, WIDTH, A4[1] - _BOTTOM - _MARGIN, 0, 0, 0, 0)
    document.addPageTemplates(PageTemplate(frames=[frame]))
    document.build(flowables, canvasmaker=partial(_NumberedCanvas, footer=_footer(foot)))
    return buffer.getvalue()


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
    return [Table(cells, colWidths=[42 * mm, WIDTH - 42 * mm], style=style, hAlign="LEFT"), Spacer(1, 2 * mm)]


def drawing(data: bytes, size: tuple[int, int], width: float, height: float) -> Flowable:
    """A picture file of ``size`` pixels, as large as fits into ``width`` by ``height`` points."""
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


class Badge(Flowable):  # type: ignore[misc]
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


class Scale(Flowable):  # type: ignore[misc]
    """The scale of the log10 likelihood ratio, −4 to +4, with a mark."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict
        self.width, self.height = WIDTH, 13 * mm

    def draw(self) -> None:
        """Draw it on the canvas that ReportLab has set."""
        canvas, left, unit = self.canv, 3 * mm, (self.width - 6 * mm) / 8
        bar, bottom = 2.4 * mm, 6.4 * mm
        words = ("strong", "moderately strong", "moderate", "weak", "weak", "moderate", "moderately strong", "strong")
        for cell, word in enumerate(words):
            colour = STATES["no"] if cell < 4 else STATES["yes"]
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
