"""The parts of a picture whose vectors are compared beside those of the whole.

A small crop of an original is nearer to a part of it than to all of it, and an original that was put on another picture is
nearer to a part of the copy. So references are described by six windows and queries by ten; the whole of one is compared with
the parts of the other, both ways. After: Wang et al., "D2LV", 2021.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Window = tuple[float, float, float, float]  # top, bottom, left, right as shares

WHOLE: Window = (0.0, 1.0, 0.0, 1.0)
OF_REFERENCES: tuple[Window, ...] = (
    WHOLE,
    (0.25, 0.75, 0.25, 0.75),
    (0.0, 0.5, 0.0, 0.5),
    (0.0, 0.5, 0.5, 1.0),
    (0.5, 1.0, 0.0, 0.5),
    (0.5, 1.0, 0.5, 1.0),
)
OF_QUERIES: tuple[Window, ...] = (
    *OF_REFERENCES,
    (0.0, 1.0, 0.0, 0.5),
    (0.0, 1.0, 0.5, 1.0),
    (0.0, 0.5, 0.0, 1.0),
    (0.5, 1.0, 0.0, 1.0),
)
LEAST_SIDE = 16  # pixels of a part; a smaller one is the whole again


def windows(rgb: NDArray[np.uint8], shares: tuple[Window, ...]) -> list[NDArray[np.uint8]]:
    """The parts of ``uint8 (H, W, 3)`` RGB; the whole in place of those that would be smaller than ``LEAST_SIDE``."""
    height, width = rgb.shape[:2]
    found = []
    for top, bottom, left, right in shares:
        part = rgb[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
        found.append(part if min(part.shape[:2]) >= LEAST_SIDE else rgb)
    return found
