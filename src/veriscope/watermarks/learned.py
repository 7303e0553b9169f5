"""The learned mark: put into pixels, found again and read.

The encoder sees the picture on the canonical canvas and gives a residual there, which is enlarged to the picture's own size.
The detector finds the canonical grid by the template, lays the picture on it, and the extractor reads the raw bits.
Papers: Zhu et al. 2018 (HiDDeN); Bui et al. 2023 (TrustMark: the residual is computed small and applied full size).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.errors import VeriscopeError
from veriscope.watermarks import alignment, payload, strength, tiling
from veriscope.watermarks.alignment import Alignment

NAME = "learned"
MODEL = "watermark"
ENCODER = "watermark.encoder.onnx"
LEAST_SIDE = 128  # pixels: in a smaller picture the mark's finest waves have no room
TRIES = 3  # alignments that are read at most


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


def read(rgb: NDArray[np.uint8], key: str) -> payload.Reading:
    """What a picture's mark says under a key.

    Args:
        rgb: uint8 (H, W, 3) of any size.
        key: the text that it was marked with.
    Raises:
        VeriscopeError: the key is empty.
        ModelError: the weights are missing or damaged.
    """
    payload.require_key(key)
    canvas = alignment.small(rgb)
    return read_aligned(canvas, alignment.align(canvas), key)


def read_aligned(canvas: NDArray[np.uint8], places: Sequence[Alignment], key: str) -> payload.Reading:
    """As ``read``, of what ``alignment.small`` and ``alignment.align`` gave."""
    readings: list[payload.Reading] = []
    for where in places[:TRIES]:
        readings.append(payload.read(odds(canvas, where), key))
        if payload.best(readings, TRIES).found:
            break
    return payload.best(readings, TRIES)


def embed_data(rgb: NDArray[np.uint8], data: bytes, key: str, psnr: float = strength.PSNR) -> NDArray[np.uint8]:
    """A picture with 8 bytes in it, uint8 (H, W, 3), at a PSNR of at least ``psnr`` dB.

    Raises:
        VeriscopeError: the picture is too small, or the key is empty.
        ModelError: the weights are missing or damaged.
    """
    require_room(*rgb.shape[:2])
    found = residual(rgb, payload.raw_bits(data, key))
    return np.asarray(strength.strengthened(rgb, found, psnr, 255)[0], np.uint8)


def read_data(rgb: NDArray[np.uint8], key: str) -> tuple[NDArray[np.uint8], float]:
    """The likeliest 64 bits (64,) of 0 and 1 that a picture carries under a key, marked or not, and the p-value."""
    reading = read(rgb, key)
    return reading.bits, reading.p_value
