"""A match's pictures: this one and its original, in grey where they agree and in colour where their content differs.

Each also shows the other's outline, so that a crop is seen on the original and a frame on the picture. What comes from a report
may have been read from a file: pictures are decoded under limits and made anew, points are checked.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from veriscope.evidence import Report, Sighting, SightingDifference
from veriscope.reporting import overlay, wording

NUMBERED: Final = 9
"""Changes that get their number in the picture."""
SIDE: Final = 640
"""Longer side of a drawn picture, pixels."""
_CALLED: Final = 128
_JPEG: Final = "data:image/jpeg;base64,"
_MARK, _EDGE = (255, 122, 26), (255, 255, 255)
_AT_EDGE: Final = 0.02
"""Share of a side within which an outline lies on the picture's own edge and is not drawn."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Shown:
    """A match and its pictures as JPEG bytes, each None where it cannot be shown."""

    sighting: Sighting
    original: bytes | None
    on_original: bytes | None = None
    on_picture: bytes | None = None


@dataclass(frozen=True)
class Pictured:
    """A match and the addresses of its pictures, None where there is none."""

    item: Sighting
    original: str | None
    on_original: str | None
    on_picture: str | None


def pictured(report: Report) -> list[Pictured]:
    """The matches of a report, best first, with their pictures as data URIs."""
    return [
        Pictured(one.sighting, *(_uri(data) for data in (one.original, one.on_original, one.on_picture)))
        for one in shown(report)
    ]


def _uri(data: bytes | None) -> str | None:
    return None if data is None else overlay.data_uri(data, "image/jpeg")


def shown(report: Report) -> list[Shown]:
    """The matches of a report, best first, with what can be drawn of each."""
    picture = overlay.read_preview(report.preview)
    return [
        _shown(sighting, picture if number < wording.FULL_MATCHES else None)
        for number, sighting in enumerate(report.seen or ())
    ]


def _shown(sighting: Sighting, picture: Image.Image | None) -> Shown:
    original = overlay.read_preview(_decoded(sighting.original))
    if original is None:
        return Shown(sighting, None)
    plain = overlay.jpeg(original)
    found = sighting.difference
    if found is None or picture is None:
        return Shown(sighting, plain)
    return Shown(
        sighting,
        plain,
        _drawn(found.map_on_original, original, found.frame_on_original),
        _drawn(found.map, picture, found.frame, found),
    )


def _decoded(uri: str | None) -> bytes | None:
    if uri is None or not uri.startswith(_JPEG) or len(uri) > overlay.MAP_BYTES:
        return None
    try:
        return base64.b64decode(uri[len(_JPEG) :], validate=True)
    except (binascii.Error, ValueError):
        return None


def _drawn(
    map_uri: str, picture: Image.Image, outline: Points, found: SightingDifference | None = None
) -> bytes | None:
    """The picture with what is called different in colour and outlined, as a JPEG; numbered where ``found`` is given."""
    values = overlay.read_map(map_uri)
    if values is None:
        return None
    scale = SIDE / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    colour = picture.resize(size, Image.Resampling.LANCZOS)
    called = Image.fromarray(values).resize(size, Image.Resampling.BILINEAR).point(lambda v: 255 * (v >= _CALLED))
    grey = colour.convert("L").point([round(56 + 0.55 * level) for level in range(256)]).convert("RGB")
    made = Image.composite(colour, grey, called)
    edge = np.asarray(called.filter(ImageFilter.MaxFilter(5)), int) - np.asarray(called, int)
    made.paste(_MARK, mask=Image.fromarray((edge > 0).astype(np.uint8) * 255))
    _outline(made, outline)
    for number, change in enumerate(found.changes[:NUMBERED] if found else (), 1):
        _number(made, number, change.box)
    return overlay.jpeg(made)


def _outline(image: Image.Image, points: Points) -> None:
    """Draw the other picture's edge, unless it is this one's own."""
    inside = [point for point in points if all(math.isfinite(value) and -20 < value < 21 for value in point)]
    if len(inside) != 4 or all(min(abs(value), abs(value - 1)) < _AT_EDGE for point in inside for value in point):
        return
    corners = [(x * (image.width - 1), y * (image.height - 1)) for x, y in inside]
    draw = ImageDraw.Draw(image)
    for colour, width in (((20, 20, 20), 5), (_EDGE, 3)):
        draw.line([*corners, *corners[:2]], colour, width, joint="curve")


def _number(image: Image.Image, number: int, box: Sequence[float]) -> None:
    radius = 15
    x = min(max(box[0] * image.width, radius), image.width - radius)
    y = min(max(box[1] * image.height, radius), image.height - radius)
    draw = ImageDraw.Draw(image)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), _MARK, (20, 20, 20))
    draw.text((x, y), str(number), (20, 20, 20), ImageFont.load_default(20), anchor="mm")
