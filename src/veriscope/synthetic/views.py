"""The square of a picture that the backbone looks at, the same in training and in use.

The picture's middle at 224 px: composition, lighting and texture at large. Traces at the pixel level are averaged away, and
with them most of what saving and resizing change, so the verdict stays when the picture is shared.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 224  # pixels
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


def _middle(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    return rgb[top : top + side, left : left + side]
