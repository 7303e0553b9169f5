"""What the frozen backbone sees of a scene, as a grid of tokens over the whole picture, for the localisers that read it.

The backbone takes squares of 224 px. A picture that is nearly square is squeezed into one; a longer one is seen in two
overlapping squares, whose tokens are blended. However large the picture is, the scene costs at most two passes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.picture import Picture
from veriscope.synthetic import backbone, views

GRID = 14  # tokens a side of a square
SQUEEZED = 1.25  # long side over short side up to which one square is enough


def scene(picture: Picture) -> NDArray[np.float32]:
    """The tokens of the picture, ``float32 (rows, columns, 768)``, 14 along the short side; computed once.

    Raises:
        ModelError: the backbone is missing or damaged.
    """
    return picture.once("scene tokens", lambda: _seen(picture.rgb))


def _seen(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = rgb.shape[:2]
    aspect = max(height, width) / min(height, width)
    if aspect <= SQUEEZED:
        return _grids([rgb])[0]
    upright = height > width
    if upright:
        rgb = rgb.transpose(1, 0, 2)
    short, long = rgb.shape[:2]
    side = min(long, max(short, round(0.55 * long)))  # squares of a very long picture are squeezed, too
    parts = [rgb[:, :side], rgb[:, long - side :]]
    first, second = _grids([part.transpose(1, 0, 2) if upright else part for part in parts])
    if upright:
        first, second = first.transpose(1, 0, 2), second.transpose(1, 0, 2)
    columns = max(GRID, round(GRID * long / side))
    places = (np.arange(columns) + 0.5) / columns * long
    from_first = _columns(first, places / side)
    from_second = _columns(second, (places - (long - side)) / side)
    share = np.clip((places - (long - side)) / max(2 * side - long, 1), 0, 1)[None, :, None].astype(np.float32)
    found = (1 - share) * from_first + share * from_second
    return np.ascontiguousarray(found.transpose(1, 0, 2) if upright else found)


def _grids(parts: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    squares = [
        np.asarray(
            cv2.resize(np.ascontiguousarray(part), (views.SIDE, views.SIDE), interpolation=cv2.INTER_AREA), np.uint8
        )
        for part in parts
    ]
    return [tokens[1:].reshape(GRID, GRID, -1) for tokens in backbone.pass_of(squares)[1]]


def _columns(grid: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Columns of a grid ``(h, w, C)`` at ``places``, in shares of its width, interpolated and held at its ends."""
    at = np.clip(places * grid.shape[1] - 0.5, 0, grid.shape[1] - 1)
    left = np.minimum(at.astype(np.int64), grid.shape[1] - 2)
    share = (at - left).astype(np.float32)[None, :, None]
    return np.asarray((1 - share) * grid[:, left] + share * grid[:, left + 1], np.float32)


def window(tokens: NDArray[np.float32], top: float, left: float, height: float, width: float) -> NDArray[np.float32]:
    """The tokens of a part of the picture at as many places, float32 (h, w, C).

    Args:
        tokens: (h, w, C) of the whole.
        top, left, height, width: of the part, in shares of the whole, each in [0, 1].
    """
    rows, columns = tokens.shape[:2]
    across = _columns(tokens, left + width * (np.arange(columns) + 0.5) / columns)
    down = _columns(across.transpose(1, 0, 2), top + height * (np.arange(rows) + 0.5) / rows)
    return np.ascontiguousarray(down.transpose(1, 0, 2))
