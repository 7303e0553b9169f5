"""Is a picture nearly the same as another as a whole? 256 bits that change little when it is saved again or made smaller.

Trace: the signs, against their median, of the sixteen lowest horizontal and vertical frequencies of a 64 x 64 px copy. Saving
and scaling touch high frequencies. Fails on crops, borders and large overlays, which move every frequency, and on flat
pictures, whose signs are noise: the quality says so. Turned and mirrored copies are found by eight variants of the query.
After: Meta, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

VERSION = "1"
BITS = 256
NEAR = 31  # bits of 256 that near-duplicates may differ in; published
LEAST_QUALITY = 50  # of 100: below, a hash is not to be compared; published
LEAST_SIDE = 5  # pixels: below, there is no hash; published
SIDE = 64  # pixels of the small copy
COEFFICIENTS = 16  # a side, from frequency 1
WORKING_SIDE = 512  # pixels: larger pictures are first made this size; published
PASSES = 2  # of the box filter: together a tent
CHUNK = 65_536  # hashes compared at a time, so that a pass stays in the cache

# The eight turns of a picture: whether rows and columns are exchanged first, then what is mirrored (down, across).
TURNS: dict[str, tuple[bool, bool, bool]] = {
    "": (False, False, False),
    "turned left by 90 degrees": (True, True, False),
    "turned upside down": (False, True, True),
    "turned right by 90 degrees": (True, False, True),
    "mirrored left to right": (False, False, True),
    "mirrored top to bottom": (False, True, False),
    "mirrored along the falling diagonal": (True, False, False),
    "mirrored along the rising diagonal": (True, True, True),
}


@dataclass(frozen=True, eq=False)
class Hash:
    """A picture's hash.

    Attributes:
        bits: uint8 (32,), least significant bit of the lowest frequency first.
        quality: in 0..100, how much the picture varies; under ``LEAST_QUALITY`` it is not to be compared.
        variants: uint8 (8, 32), the hashes of the picture turned and mirrored, in the order of ``TURNS``.
    """

    bits: NDArray[np.uint8]
    quality: int
    variants: NDArray[np.uint8]

    @property
    def hexadecimal(self) -> str:
        """The 64 digits by which other tools write this hash."""
        return to_hexadecimal(self.bits)


def pdq(rgb: NDArray[np.uint8]) -> Hash:
    """The hash of ``uint8 (H, W, 3) RGB``; all zeros and of quality 0 under 5 px a side."""
    if min(rgb.shape[:2]) < LEAST_SIDE:
        return Hash(np.zeros(BITS // 8, np.uint8), 0, np.zeros((len(TURNS), BITS // 8), np.uint8))
    small = _small(rgb)
    basis = _basis()
    found = basis @ small @ basis.T
    variants = np.stack([_bits(turned_spectrum(found, *turn)) for turn in TURNS.values()])
    return Hash(variants[0], _quality(small), variants)


def to_hexadecimal(bits: NDArray[np.uint8]) -> str:
    """64 digits, the highest frequency first.

    >>> to_hexadecimal(np.arange(32, dtype=np.uint8))[-8:]
    '03020100'
    """
    return bits[::-1].tobytes().hex()


def turned(rgb: NDArray[np.uint8], exchanged: bool, down: bool, across: bool) -> NDArray[np.uint8]:
    """The picture ``(H, W, 3)`` turned as a row of ``TURNS`` says."""
    found = rgb.transpose(1, 0, 2) if exchanged else rgb
    found = found[::-1] if down else found
    return np.ascontiguousarray(found[:, ::-1] if across else found)


def turned_spectrum(found: NDArray[np.float64], exchanged: bool, down: bool, across: bool) -> NDArray[np.float64]:
    """The coefficients ``(16, 16)`` of the picture turned so: a mirror changes the sign of every odd frequency."""
    signs = np.where(np.arange(COEFFICIENTS) % 2 == 0, -1.0, 1.0)  # the first is frequency 1
    found = found.T if exchanged else found
    found = found * signs[:, None] if down else found
    return found * signs if across else found


def packed(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hashes ``uint8 (N, 32)`` as ``uint64 (4, N)``, the form in which many are compared."""
    return np.ascontiguousarray(np.ascontiguousarray(hashes).view(np.uint64).T)


def distances(query: NDArray[np.uint8], references: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Bits in which ``query``, uint8 (32,), differs from each of ``references``, uint64 (4, N) of ``packed``: uint16 (N,)."""
    words = np.ascontiguousarray(query).view(np.uint64)
    found = np.zeros(references.shape[1], np.uint16)
    for start in range(0, found.size, CHUNK):
        part = slice(start, start + CHUNK)
        for word, row in zip(words, references[:, part], strict=True):
            found[part] += np.bitwise_count(row ^ word)
    return found


def nearest_variants(
    variants: NDArray[np.uint8], references: NDArray[np.uint64]
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """The least distance of any of ``variants``, uint8 (8, 32), to each reference, and which variant it is: two (N,)."""
    best = distances(variants[0], references)
    which = np.zeros(best.size, np.uint8)
    for number in range(1, len(variants)):
        found = distances(variants[number], references)
        which[found < best] = number
        np.minimum(best, found, out=best)
    return best, which


def _small(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The luma after two box passes along each axis, taken at 64 x 64 places: float64 (64, 64) in [0, 255]."""
    if max(rgb.shape[:2]) > WORKING_SIDE:
        rgb = np.asarray(cv2.resize(rgb, (WORKING_SIDE, WORKING_SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    luma = 0.299 * rgb[:, :, 0] + 0.587 * rgb[:, :, 1] + 0.114 * rgb[:, :, 2]
    return np.asarray(_filter(luma.shape[0]) @ luma @ _filter(luma.shape[1]).T, np.float64)


@lru_cache(maxsize=64)
def _filter(size: int) -> NDArray[np.float64]:
    """What takes ``size`` pixels to 64: float64 (64, size). Windows are cut off, not padded, at the ends."""
    window = (size + 2 * SIDE - 1) // (2 * SIDE)
    right = (window + 2) // 2 - 1
    left = window - right - 1
    places = np.arange(size)
    offsets = places[None, :] - places[:, None]
    box = ((offsets >= -left) & (offsets <= right)).astype(np.float64)
    box /= box.sum(1, keepdims=True)
    taken = box[((np.arange(SIDE) + 0.5) * size / SIDE).astype(int)]
    for _ in range(PASSES - 1):
        taken = taken @ box
    taken.setflags(write=False)
    return np.asarray(taken, np.float64)


@lru_cache(maxsize=1)
def _basis() -> NDArray[np.float64]:
    """The cosine transform from 64 samples to frequencies 1 to 16: float64 (16, 64)."""
    frequencies, places = np.arange(1, COEFFICIENTS + 1)[:, None], np.arange(SIDE)[None, :]
    return np.asarray(np.sqrt(2 / SIDE) * np.cos(np.pi / 2 / SIDE * frequencies * (2 * places + 1)))


def _bits(found: NDArray[np.float64]) -> NDArray[np.uint8]:
    median = np.partition(found, BITS // 2 - 1, axis=None)[BITS // 2 - 1]  # the lower one of the two in the middle
    return np.packbits(found.ravel() > median, bitorder="little")


def _quality(small: NDArray[np.float64]) -> int:
    """The sum of the steps between neighbours, each in whole hundredths of the range, over 90: at most 100."""
    steps = sum(int(np.trunc(np.abs(np.diff(small, axis=axis)) * 100 / 255).sum()) for axis in (0, 1))
    return min(100, steps // 90)
