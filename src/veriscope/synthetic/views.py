"""The squares of a picture that detectors look at, the same in training and in use.

*Whole* is the picture's middle at 224 px: composition, lighting and texture at large. Traces at the pixel level are averaged
away, and with them most of what saving and resizing change, so the verdict stays when the picture is shared. *Details* are
parts at native resolution, where traces at the pixel level are, as long as the picture was not made smaller.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 224  # pixels
DETAIL = 256  # pixels
MOST_DETAILS = 3
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)  # CLIP's own normalisation
SPREAD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def whole(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The central square of ``uint8 (H, W, 3)`` RGB at 224 x 224 pixels."""
    square = _middle(rgb)
    if len(square) == SIDE:
        return square
    interpolation = cv2.INTER_AREA if len(square) > SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(square), (SIDE, SIDE), interpolation=interpolation), np.uint8)


def normalised(squares: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Squares ``uint8 (224, 224, 3)`` as the backbone's input, ``float32 (N, 3, 224, 224)``."""
    stacked = (np.stack(squares).astype(np.float32) / 255 - MEAN) / SPREAD
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))


def details(rgb: NDArray[np.uint8], most: int = MOST_DETAILS) -> NDArray[np.uint8]:
    """Up to ``most`` parts of ``uint8 (H, W, 3)`` RGB at native resolution, ``uint8 (N, 256, 256, 3)``.

    They lie evenly along the longer side of the picture's middle, and do not overlap unless the picture is small. A picture
    under 256 px a side is mirrored at its edges.
    """
    rgb = _at_least(rgb, DETAIL)
    height, width = rgb.shape[:2]
    count = int(np.clip(max(height, width) // DETAIL, 1, most))
    places = np.linspace(0, 1, count + 2)[1:-1]
    across, along = min(height, width) - DETAIL, max(height, width) - DETAIL
    squares = []
    for place in places:
        here, there = across // 2, round(place * along)
        top, left = (there, here) if height > width else (here, there)
        squares.append(rgb[top : top + DETAIL, left : left + DETAIL])
    return np.stack(squares)


def closeup(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of ``uint8 (H, W, 3)`` RGB at native resolution, ``uint8 (224, 224, 3)``: a detail for the backbone."""
    return np.asarray(closeup_of(details(rgb, 1))[0], np.uint8)


def closeup_of(squares: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle 224 x 224 pixels of squares ``uint8 (N, S, S, 3)``, ``S`` at least 224."""
    edge = (squares.shape[1] - SIDE) // 2
    return np.ascontiguousarray(squares[:, edge : edge + SIDE, edge : edge + SIDE])


def random_detail(rgb: NDArray[np.uint8], generator: np.random.Generator, side: int = DETAIL) -> NDArray[np.uint8]:
    """One part of ``uint8 (H, W, 3)`` RGB at native resolution from anywhere, ``uint8 (side, side, 3)``, for training."""
    rgb = _at_least(rgb, side)
    top, left = (int(generator.integers(0, size - side + 1)) for size in rgb.shape[:2])
    return rgb[top : top + side, left : left + side]


def _at_least(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    short = [max(0, side - size) for size in rgb.shape[:2]]
    if not any(short):
        return rgb
    return np.pad(rgb, [*((size // 2, size - size // 2) for size in short), (0, 0)], mode="symmetric")


def _middle(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    return rgb[top : top + side, left : left + side]
