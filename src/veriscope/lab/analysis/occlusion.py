"""Where does a detector look? Its score with one part of the picture after the other blurred away.

Works for every detector with a score, a head on a frozen backbone included, and needs only what is installed. What is covered
is blurred rather than greyed, for a grey box is a trace of its own; to a detector of residuals a blurred part still is one,
that of a smooth surface. A part that says the same as its neighbours shows nothing, for the score stays when it is covered.

Paper: Zeiler & Fergus 2014 (Visualizing and Understanding Convolutional Networks).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.picture import Picture
from veriscope.synthetic import views
from veriscope.synthetic.learned import OnDetails

Box = tuple[int, int, int, int]  # top, left, bottom, right, in pixels
EDGE = 8  # a covered part fades in over this share of its side: 1 / EDGE


@runtime_checkable
class Scores(Protocol):
    """A detector that gives a raw score."""

    name: str

    def score(self, picture: Picture) -> float:
        """Higher speaks for "generated"."""
        ...


def occlusion(
    detector: Scores, picture: Picture, box: Box, cells: int = 8, say: Callable[[str], None] = print
) -> NDArray[np.float32]:
    """How much a detector's score falls when one cell of a grid is blurred away, ``float32 (rows, columns)``.

    Args:
        detector: asked once for each cell.
        picture: what is examined; only its pixels are.
        box: the part that the grid divides.
        cells: along the shorter side of the box.
        say: called with each line of progress.
    """
    top, left, bottom, right = box
    side = min(bottom - top, right - left) / cells
    rows, columns = max(1, round((bottom - top) / side)), max(1, round((right - left) / side))
    down, across = np.linspace(top, bottom, rows + 1), np.linspace(left, right, columns + 1)
    smooth = np.asarray(cv2.GaussianBlur(picture.rgb, (0, 0), max(1.0, side / 2)), np.uint8)
    before = detector.score(picture)
    heat = np.zeros((rows, columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            cell = down[row], across[column], down[row + 1], across[column + 1]
            heat[row, column] = before - detector.score(_of_pixels(picture, covered(picture.rgb, smooth, cell)))
        say(f"occlusion: row {row + 1} of {rows}")
    return heat


def covered(
    rgb: NDArray[np.uint8], smooth: NDArray[np.uint8], cell: tuple[float, float, float, float]
) -> NDArray[np.uint8]:
    """A picture ``uint8 (H, W, 3)`` with a cell (top, left, bottom, right) taken from its smooth copy, faded at the edges."""
    top, left, bottom, right = cell
    fade = max(1.0, (bottom - top) / EDGE)
    y, x = np.arange(rgb.shape[0]) + 0.5, np.arange(rgb.shape[1]) + 0.5
    tall = np.clip((np.minimum(y - top, bottom - y)) / fade + 0.5, 0, 1)
    wide = np.clip((np.minimum(x - left, right - x)) / fade + 0.5, 0, 1)
    rows, columns = np.flatnonzero(tall), np.flatnonzero(wide)
    made = rgb.copy()
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    share = (tall[rows, None] * wide[None, columns])[:, :, None]
    made[part] = np.rint(rgb[part] * (1 - share) + smooth[part] * share).astype(np.uint8)
    return made


def boxes(detector: object, rgb: NDArray[np.uint8]) -> list[Box]:
    """The parts of a picture ``uint8 (H, W, 3)`` RGB that a detector looks at; the whole where it does not say."""
    height, width = rgb.shape[:2]
    if not isinstance(detector, OnDetails):
        return [(0, 0, height, width)]
    places = np.moveaxis(np.mgrid[:height, :width], 0, 2)
    found = views.details(places)
    return [tuple(map(int, (*part.min((0, 1)), *part.max((0, 1)) + 1))) for part in found]  # type: ignore[misc]


def with_score(detector: object, name: str) -> Scores:
    """The detector as one that gives a score.

    Raises:
        VeriscopeError: it gives none.
    """
    if not isinstance(detector, Scores):
        raise VeriscopeError(f"{name} has no score of a picture's pixels alone, so that covering them shows nothing")
    return detector


def _of_pixels(picture: Picture, rgb: NDArray[np.uint8]) -> Picture:
    return replace(picture, rgb=rgb, data=b"", _views={})
