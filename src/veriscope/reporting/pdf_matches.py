"""Where a picture has been, in a PDF: each match with its pictures in a row, its level and its dates."""

from __future__ import annotations

import io
from typing import Final

from PIL import Image
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Spacer, Table, TableStyle

from veriscope.evidence import Report
from veriscope.reporting import matches, wording
from veriscope.reporting.pdf_parts import WIDTH, drawing, paragraph

_MATCH_HEIGHT: Final = 48 * mm


def seen(report: Report) -> list[list[Flowable]]:
    """A block for each match, best first, or the words that there are none or that none were looked for."""
    if not report.seen:
        return [[paragraph(wording.NOT_COMPARED if report.seen is None else wording.NOT_SEEN)]]
    return [_match(one) for one in matches.shown(report)]


def _match(one: matches.Shown) -> list[Flowable]:
    """A match: its pictures beside each other, what is said of it, its level and its dates."""
    item = one.sighting
    heading = f"{wording.plain(item.reference, 300)} (score {item.score:.3g})"
    compared = [("This picture", one.on_picture), ("The original, compared", one.on_original)]
    pictures = [*compared, ("The original", one.original)] if one.on_picture and one.on_original else compared[:0]
    pictures = pictures or [("The original", one.original)]
    drawn = [(name, data) for name, data in pictures if data is not None]
    parts = [paragraph(heading, "strong"), Spacer(1, 1.5 * mm), *_beside(drawn)]
    parts += [paragraph(wording.COMPARED, "soft"), Spacer(1, 1 * mm)] if one.on_picture else []
    parts += [paragraph(item.says, "body", 1000), paragraph(wording.level(item), "strong")]
    changes = item.difference.changes[: matches.NUMBERED] if item.difference else []
    said = [
        f"{number}. {change.kind}, {change.place} ({wording.part(change.share)} of the picture)"
        for number, change in enumerate(changes, 1)
    ]
    dates = "; ".join(f"{name.lower()}: {value}" for name, value in wording.match_dates(item))
    return [
        *parts,
        *(paragraph(line, "item", 200) for line in said),
        paragraph(dates, "soft"),
        Spacer(1, 3 * mm),
    ]


def _beside(pictures: list[tuple[str, bytes]]) -> list[Flowable]:
    """Pictures in a row with their names under them."""
    if not pictures:
        return [paragraph("No picture of the original is left to show.", "soft")]
    column = WIDTH / 3
    row = []
    for _, data in pictures:
        with Image.open(io.BytesIO(data)) as image:
            row.append(drawing(data, image.size, column - 3 * mm, _MATCH_HEIGHT))
    names = [paragraph(name, "soft") for name, _ in pictures]
    style = TableStyle([("VALIGN", (0, 0), (-1, 0), "BOTTOM"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
    return [Table([row, names], colWidths=[column] * len(pictures), style=style, hAlign="LEFT")]
