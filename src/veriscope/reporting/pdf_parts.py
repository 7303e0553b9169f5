"""What the parts of a PDF report share: paragraphs in its fonts, tables of values, pictures."""

from __future__ import annotations

import io
from functools import cache, partial
from typing import Final
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_LEFT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Paragraph, Spacer, Table, TableStyle
from reportlab.platypus import Image as Drawing

from veriscope.reporting import wording

MARGIN: Final = 18 * mm
WIDTH: Final = A4[0] - 2 * MARGIN
INK = HexColor("#1b1c1e")
SOFT = HexColor("#55585e")
RULE = HexColor("#c9c6bd")
_UNSHOWN: Final = "□"


def values(rows: list[tuple[str, str]]) -> list[Flowable]:
    """Names and values in two columns."""
    if not rows:
        return []
    cells = [[paragraph(name, "soft", 120), paragraph(value, "small", 700)] for name, value in rows]
    style = TableStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, -1), 0.3, RULE),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ]
    )
    return [Table(cells, colWidths=[42 * mm, WIDTH - 42 * mm], style=style, hAlign="LEFT"), Spacer(1, 2 * mm)]


def drawing(data: bytes, size: tuple[int, int], width: float, height: float) -> Flowable:
    """A picture of ``size`` pixels, as large as fits into ``width`` and ``height``, in points."""
    scale = min(width / size[0], height / size[1])
    return Drawing(io.BytesIO(data), max(1, size[0] * scale), max(1, size[1] * scale), hAlign="LEFT")


def title(text: str) -> Flowable:
    """A section's title."""
    return paragraph(text, "title")


def paragraph(text: str, style: str = "body", limit: int | None = None) -> Flowable:
    """Cleaned and escaped text in one of the styles, cut at ``limit`` characters."""
    return Paragraph(escape(showable(wording.plain(text, limit))), _styles()[style])


@cache
def _fonts() -> frozenset[int]:
    """Register the fonts; the code points they can show."""
    for name, file in (("Veriscope", "Vera.ttf"), ("Veriscope-Bold", "VeraBd.ttf")):
        font = TTFont(name, file)
        font.face.charToGlyph[ord(_UNSHOWN)] = 0  # Vera's glyph for what it lacks is that box
        font.face.charWidths[ord(_UNSHOWN)] = font.face.defaultWidth
        pdfmetrics.registerFont(font)
    return frozenset(pdfmetrics.getFont("Veriscope").face.charToGlyph)


def showable(text: str) -> str:
    """``text`` with □ for each character that the font lacks; joiners and variation marks leave no trace."""
    glyphs = _fonts()
    invisible = {0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, *range(0xFE00, 0xFE10)}
    return "".join(letter if ord(letter) in glyphs else _UNSHOWN for letter in text if ord(letter) not in invisible)


@cache
def _styles() -> dict[str, ParagraphStyle]:
    _fonts()
    body = ParagraphStyle(
        "body", fontName="Veriscope", fontSize=9, leading=13, textColor=INK, alignment=TA_LEFT, splitLongWords=1
    )
    made = partial(ParagraphStyle, parent=body)
    return {
        "body": body,
        "small": made("small", fontSize=8, leading=11),
        "soft": made("soft", fontSize=8, leading=11, textColor=SOFT),
        "strong": made("strong", fontName="Veriscope-Bold", spaceBefore=3),
        "item": made("item", leftIndent=9, firstLineIndent=-9, spaceAfter=3),
        "question": made("question", fontName="Veriscope-Bold", fontSize=10.5, leading=14),
        "headline": made("headline", fontName="Veriscope-Bold", fontSize=15, leading=20, spaceAfter=4),
        "title": made(
            "title", fontName="Veriscope-Bold", fontSize=12, leading=16, spaceBefore=12, spaceAfter=5, keepWithNext=1
        ),
    }
