"""Which regions does a map call edited, how large are they, and where do they lie, in words a reader can follow?

A localisation map is read at a threshold; what hangs together, diagonals included, is one region. Regions below a least
share of the picture are dropped: single blocks above the threshold come with every map and say nothing. A region is named
by its box, so one that winds around the picture gets the words of the box, not of its shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CALLED = 0.5  # map value from which a place counts as called edited
LEAST_SHARE = 0.002  # of the picture: two blocks of 8 x 8 in a picture of 256 x 256 pixels
NEARLY_ALL = 0.8  # share of a side that a box spans to count as spanning it
LONG = 0.6  # share of a side from which a box is a strip along it or a half of the picture
NARROW = 0.4  # share of the other side up to which it is a strip
NEAR_EDGE = 0.1  # share of a side: a strip this near to an edge lies along it
THIRDS = (1 / 3, 2 / 3)
COMPASS = (
    ("upper left", "upper centre", "upper right"),
    ("centre left", "centre", "centre right"),
    ("lower left", "lower centre", "lower right"),
)

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Region:
    """One connected region that a map calls edited.

    Attributes:
        share: of the picture's area, in (0, 1].
        box: left, top, right and bottom as fractions of the picture's width and height, in [0, 1].
        place: where that is, in words.
        mean: the map's mean value in it, in [0, 1].
    """

    share: float
    box: Box
    place: str
    mean: float


def regions(
    values: NDArray[np.float32], judged: NDArray[np.float32], threshold: float = CALLED, least: float = LEAST_SHARE
) -> list[Region]:
    """The connected regions of a map at or above a threshold, the largest first.

    Args:
        values: float32 (h, w) in [0, 1], the map, at any scale.
        judged: float32 (h, w); 0 where the method could not look, which is never called.
        threshold: from which a place is called.
        least: share of the picture below which a region is left out.
    Raises:
        ValueError: the two have different shapes.
    """
    if values.shape != judged.shape:
        raise ValueError(f"a map and where it was judged must share one shape, not {values.shape}, {judged.shape}")
    height, width = values.shape
    called = ((values >= threshold) & (judged > 0)).astype(np.uint8)
    _, labels, facts, _ = cv2.connectedComponentsWithStats(called, connectivity=8)
    areas = facts[:, cv2.CC_STAT_AREA]
    kept = [label for label in np.argsort(-areas, kind="stable") if label and areas[label] >= least * values.size]
    found = []
    for label in kept:
        left, top, across, down = (int(value) for value in facts[label, :4])
        window = slice(top, top + down), slice(left, left + across)
        box = (left / width, top / height, (left + across) / width, (top + down) / height)
        mean = float(values[window][labels[window] == label].mean())
        found.append(Region(float(areas[label]) / values.size, box, place(box), mean))
    return found


def place(box: Box) -> str:
    """Where a box lies in a picture, in words.

    Args:
        box: left, top, right and bottom as fractions of the picture's width and height, in [0, 1].

    >>> place((0.1, 0.05, 0.25, 0.3)), place((0.4, 0.4, 0.6, 0.6)), place((0.0, 0.85, 1.0, 1.0))
    ('upper left', 'centre', 'along the lower edge')
    >>> place((0.0, 0.0, 0.5, 1.0)), place((0.0, 0.05, 0.95, 1.0))
    ('left half', 'nearly the whole picture')
    """
    left, top, right, bottom = box
    if right - left >= NEARLY_ALL and bottom - top >= NEARLY_ALL:
        return "nearly the whole picture"
    across = _strip(left, right, top, bottom, ("upper", "lower"), "across the")
    down = _strip(top, bottom, left, right, ("left", "right"), "down the")
    if across or down:
        return across or down
    row, column = (sum(middle > third for third in THIRDS) for middle in ((top + bottom) / 2, (left + right) / 2))
    return COMPASS[row][column]


def where(place: str) -> str:
    """A place as it stands in a sentence.

    >>> where("upper left"), where("along the lower edge"), where("left half")
    ('at the upper left', 'along the lower edge', 'in the left half')
    >>> where("nearly the whole picture")
    'over nearly the whole picture'
    """
    if place.startswith(("along", "across", "down")):
        return place
    return f"in the {place}" if place.endswith("half") else f"over {place}" if "whole" in place else f"at the {place}"


def _strip(start: float, end: float, near: float, far: float, sides: tuple[str, str], way: str) -> str:
    """Words for a box long from ``start`` to ``end`` and lying between ``near`` and ``far``; empty where it is not long."""
    if end - start < LONG or far - near >= NEARLY_ALL:
        return ""
    towards = sides[0] if near + far < 1 else sides[1]
    if far - near > NARROW:
        off_middle = near >= NARROW or far <= 1 - NARROW
        return f"{towards} half" if off_middle else ""
    if near <= NEAR_EDGE or far >= 1 - NEAR_EDGE:
        return f"along the {towards} edge"
    return f"{way} middle" if near < 0.5 < far else f"{way} {towards} part"
