"""The classical mark: a raw bit in each block, in the largest singular value of the cosine transform of a wavelet band.

The picture is brought to an area of 512 x 512; its luma's coarse wavelet band is cut into blocks of 4 x 4. Each is transformed,
and its largest singular value is moved onto one of two lattices, which the key shifts from block to block. Raw bits repeat over
all blocks. It holds against compression, noise and another size; a crop, a stretch or a turn ends it.
Papers: Navas et al. 2008 (DWT-DCT-SVD); Chen and Wornell 2001 (quantisation index modulation with a secret dither).
"""

from __future__ import annotations

import hashlib
import hmac
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.watermarks import payload, strength

NAME = "dwt_dct_svd"
SIDE = 512  # pixels: the root of the area at which blocks are cut
BLOCK = 4  # coefficients a side
STEP = 54.0  # between two points of a lattice: its error at full size is 42 dB and a little more under the picture
LEAST_SIDE = 256  # pixels: in a smaller picture, brought up to size, blocks are not the picture's own
REPEATED = 6  # times at least that each raw bit must find a block
LABEL = b"veriscope watermark dwt_dct_svd 1"
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def require_room(height: int, width: int) -> None:
    """Refuse a picture that is too small or too narrow for the payload.

    Raises:
        VeriscopeError: it is.
    """
    rows, columns = _shape(height, width)
    if min(height, width) < LEAST_SIDE or rows * columns < REPEATED * payload.RAW_BITS:
        raise VeriscopeError(
            f"the picture of {width} x {height} pixels is too small for a payload of 64 bits by {NAME}: both sides must be at "
            f"least {LEAST_SIDE} pixels, and neither many times the other"
        )


def _shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of blocks."""
    scale = SIDE / math.sqrt(height * width)
    return round(height * scale) // (2 * BLOCK), round(width * scale) // (2 * BLOCK)


def _canvas(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma at the size at which blocks are cut, float32."""
    height, width = rgb.shape[:2]
    scale = SIDE / math.sqrt(height * width)
    size = round(width * scale), round(height * scale)
    resized = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(resized @ LUMA, np.float32)


def _cosines() -> NDArray[np.float64]:
    place = np.arange(BLOCK)
    matrix = np.cos((2 * place[None] + 1) * place[:, None] * np.pi / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return np.asarray(matrix, np.float64)


def _blocks(luma: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine transforms of the blocks of the coarse band of the orthonormal Haar wavelet, (rows, columns, 4, 4)."""
    rows, columns = luma.shape[0] // (2 * BLOCK), luma.shape[1] // (2 * BLOCK)
    part = luma[: rows * 2 * BLOCK, : columns * 2 * BLOCK].astype(np.float64)
    coarse = part.reshape(rows * BLOCK, 2, columns * BLOCK, 2).sum((1, 3)) / 2
    blocks = coarse.reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3)
    cosines = _cosines()
    return np.asarray(cosines @ blocks @ cosines.T, np.float64)


def _keyed(rows: int, columns: int, key: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which raw bit each block carries, (rows, columns), and how far its lattices are shifted, in steps."""
    seed = hmac.new(payload.require_key(key), LABEL, hashlib.sha256).digest()
    count = rows * columns
    words = np.frombuffer(hashlib.shake_256(seed).digest(16 * count), "<u8").reshape(2, count)
    order = np.argsort(words[0], kind="stable") % payload.RAW_BITS
    return order.reshape(rows, columns), (words[1] / 2.0**64).reshape(rows, columns)


def embed_data(rgb: NDArray[np.uint8], data: bytes, key: str) -> NDArray[np.uint8]:
    """A picture with 8 bytes in it, uint8 (H, W, 3).

    Raises:
        VeriscopeError: the picture is too small, or the key is empty.
    """
    require_room(*rgb.shape[:2])
    return np.asarray(strength.added(rgb, residual(rgb, payload.raw_bits(data, key), key), 1.0, 255), np.uint8)


def residual(rgb: NDArray[np.uint8], raw: NDArray[np.uint8], key: str) -> NDArray[np.float32]:
    """What is added to luma (and nothing to chroma), float32 (h, w, 2) in steps of 1/255, at the size of the blocks.

    Args:
        rgb: uint8 (H, W, 3).
        raw: (RAW_BITS,) of 0 and 1.
        key: shifts the lattices.
    """
    luma = _canvas(rgb)
    blocks = _blocks(luma)
    rows, columns = blocks.shape[:2]
    order, shift = _keyed(rows, columns, key)
    left, values, right = np.linalg.svd(blocks)
    largest = values[..., 0]
    offset = (shift + raw[order] / 2) * STEP
    wanted = np.rint((largest - offset) / STEP) * STEP + offset
    wanted = np.where(wanted < 0, wanted + STEP, wanted)
    change = (wanted - largest)[..., None, None] * left[..., :, :1] @ right[..., :1, :]
    cosines = _cosines()
    coarse = (cosines.T @ change @ cosines).transpose(0, 2, 1, 3).reshape(rows * BLOCK, columns * BLOCK) / 2
    found = np.zeros((*luma.shape, 2), np.float32)
    found[: 2 * coarse.shape[0], : 2 * coarse.shape[1], 0] = coarse.repeat(2, 0).repeat(2, 1)
    return found


def odds(rgb: NDArray[np.uint8], key: str) -> NDArray[np.float64]:
    """Evidence for each raw bit being 1, (RAW_BITS,): the sum over its blocks, in no unit."""
    blocks = _blocks(_canvas(rgb))
    order, shift = _keyed(blocks.shape[0], blocks.shape[1], key)
    largest = np.linalg.svd(blocks, compute_uv=False)[..., 0]
    agreement = -np.cos(2 * np.pi * (largest / STEP - shift))
    return np.asarray(np.bincount(order.reshape(-1), agreement.reshape(-1), payload.RAW_BITS), np.float64)


def read(rgb: NDArray[np.uint8], key: str) -> payload.Reading:
    """What a picture's mark says under a key; mirrored pictures are tried as well.

    Raises:
        VeriscopeError: the key is empty.
    """
    readings = [payload.read(odds(rgb, key), key)]
    if not readings[0].found and min(_shape(*rgb.shape[:2])) > 0:
        readings.append(payload.read(odds(np.ascontiguousarray(rgb[:, ::-1]), key), key))
    return payload.best(readings, 2)


def read_data(rgb: NDArray[np.uint8], key: str) -> tuple[NDArray[np.uint8], float]:
    """The likeliest 64 bits (64,) of 0 and 1 that a picture carries under a key, marked or not, and the p-value."""
    reading = read(rgb, key)
    return reading.bits, reading.p_value
