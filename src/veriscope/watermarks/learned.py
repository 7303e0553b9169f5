"""The learned mark: put into pixels, found again and read.

The encoder sees the picture on the canonical canvas and gives a residual there, which is enlarged to the picture's own size.
The detector finds the canonical grid by the template, lays the picture on it, and the extractor reads the raw bits.
Papers: Zhu et al. 2018 (HiDDeN); Bui et al. 2023 (TrustMark: the residual is computed small and applied full size).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.errors import VeriscopeError
from veriscope.watermarks import alignment, payload, tiling
from veriscope.watermarks.alignment import Alignment

NAME = "learned"
MODEL = "watermark"
ENCODER = "watermark.encoder.onnx"
LEAST_SIDE = 128  # pixels: in a smaller picture the mark's finest waves have no room
TRIES = 3  # alignments that are read at most
SURE = 1e-6  # p-value under which a message is given out


def require_room(height: int, width: int) -> None:
    """Refuse a picture that is too small or too narrow for the payload.

    Raises:
        VeriscopeError: it is.
    """
    if min(height, width) < LEAST_SIDE or min(tiling.canonical_size(height, width)) < tiling.TILE:
        raise VeriscopeError(
            f"the picture of {width} x {height} pixels is too small for a payload of 64 bits: both sides must be at least "
            f"{LEAST_SIDE} pixels, and the longer one at most 16 times the shorter"
        )


def residual(rgb: NDArray[np.uint8], raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The residual that carries raw bits, up to a factor, float32 (h, w, 2): luma and Cb on the canonical canvas.

    Args:
        rgb: uint8 (H, W, 3).
        raw: (RAW_BITS,) of 0 and 1.
    """
    height, width = tiling.canonical_size(*rgb.shape[:2])
    fewer = height * width < rgb.shape[0] * rgb.shape[1]
    canvas = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if fewer else cv2.INTER_CUBIC)
    seen = np.zeros((1, 4, -(-height // tiling.TILE) * tiling.TILE, -(-width // tiling.TILE) * tiling.TILE), np.float32)
    below, right = seen.shape[2] - height, seen.shape[3] - width
    padded = cv2.copyMakeBorder(canvas, 0, below, 0, right, cv2.BORDER_REPLICATE)
    seen[0, :3] = np.moveaxis(padded, 2, 0) / np.float32(255)
    seen[0, 3, :height, :width] = 1
    signs = (2.0 * raw - 1).astype(np.float32)[None]
    (found,) = models.open_session(MODEL, ENCODER).run(None, {"pixels": seen, "signs": signs})
    return np.ascontiguousarray(np.moveaxis(found[0, :, :height, :width], 0, 2))


def odds(rgb: NDArray[np.uint8], where: Alignment) -> NDArray[np.float32]:
    """Log odds of the raw bits (RAW_BITS,) of a picture, uint8 (H, W, 3), under an alignment."""
    pixels = alignment.rectified(rgb, where)[None]
    (found,) = models.open_session(MODEL).run(None, {"pixels": pixels})
    return np.asarray(found[0], np.float32)


def read(rgb: NDArray[np.uint8], key: str) -> tuple[payload.Reading, Alignment]:
    """What a picture's mark says under a key, the p-value corrected for the alignments that were tried.

    Args:
        rgb: uint8 (H, W, 3) of any size.
        key: the text that it was marked with.
    Returns:
        the reading, and the alignment that it came from.
    Raises:
        VeriscopeError: the key is empty.
        ModelError: the weights are missing or damaged.
    """
    payload.require_key(key)
    canvas = alignment.small(rgb)
    found: list[tuple[payload.Reading, Alignment]] = []
    for where in alignment.align(canvas)[:TRIES]:
        found.append((payload.read(odds(canvas, where), key), where))
        if found[-1][0].message is not None and found[-1][0].p_value < SURE / TRIES:
            break
    best, where = max(found, key=lambda item: (item[0].message is not None, item[0].matches))
    p_value = payload.corrected_p(best.p_value, len(found))
    message = best.message if p_value < SURE else None
    corrected = best.bits_corrected if message is not None else None
    return payload.Reading(message, best.matches, p_value, corrected), where
