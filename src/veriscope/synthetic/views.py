"""The two squares of a picture that the backbone looks at, the same in training and in use.

*whole* is the picture at 224 px: composition, lighting, texture at large. *detail* is a central window of the picture at
a common working scale, where traces of upsampling and of the denoiser's texture are still visible. The working scale is
fixed so that a picture and its half-size copy give nearly the same window, and with it the same verdict.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 224  # pixels
WORKING_SIDE = 448  # pixels: the short side at which the detail window is cut
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)  # CLIP's own normalisation
SPREAD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def whole(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The central square of ``uint8 (H, W, 3)`` RGB at 224 x 224 pixels."""
    return _central_square(_with_short_side(rgb, SIDE))


def detail(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A central 224 x 224 window of ``uint8 (H, W, 3)`` RGB brought down to a short side of at most 448 pixels."""
    short = min(rgb.shape[:2])
    return _central_square(_with_short_side(rgb, min(WORKING_SIDE, max(short, SIDE))))


def normalised(squares: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Squares ``uint8 (224, 224, 3)`` as the backbone's input, ``float32 (N, 3, 224, 224)``."""
    stacked = (np.stack(squares).astype(np.float32) / 255 - MEAN) / SPREAD
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))


def _with_short_side(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    scale = side / min(height, width)
    if scale == 1:
        return rgb
    size = max(side, round(width * scale)), max(side, round(height * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8)


def _central_square(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = (rgb.shape[0] - SIDE) // 2, (rgb.shape[1] - SIDE) // 2
    return rgb[top : top + SIDE, left : left + SIDE]
