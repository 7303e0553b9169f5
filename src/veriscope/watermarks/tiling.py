"""The tile that a learned mark repeats over a picture, as harmonics: those that carry bits and those of the template.

A mark lives on a canonical canvas whose area is 384 x 384 whatever the picture's size, so a resized picture needs no search.
It repeats every 96 canonical pixels, so a crop keeps whole periods. Luma and blue-yellow chroma (Cb) carry it. A few
harmonics are the template: the same in every mark, known to all, by which scale, turn, mirroring and place are found again.
Papers: Kutter 1998 and Pereira and Pun 2000 (templates in the Fourier domain against geometric change).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIDE = 384  # canonical pixels: the root of the canvas's area
TILE = 96  # canonical pixels a period
HIGHEST = 32  # periods in a tile: the highest harmonic in each direction
WAVES = 2 * HIGHEST + 1  # of one direction: the constant, and cosine and sine of each harmonic
BANDS = ((8.0, 32.0), (4.0, 19.2))  # periods in a tile of luma's and of chroma's bits: wavelengths 3 to 12 and 5 to 24
TEMPLATE_BANDS = ((12.0, 24.0), (5.0, 16.0))  # as above, of the template
PEAKS = 24  # template harmonics in each of luma and chroma
APART = 1.5  # periods: two template harmonics are no nearer to each other
TEMPLATE_SEED = 2024
CHANNELS = 2  # luma and Cb


@lru_cache(maxsize=1)
def waves() -> NDArray[np.float64]:
    """The waves of one direction, float64 (WAVES, TILE), orthonormal: 1, cos 1, sin 1, cos 2, sin 2, ..."""
    place = 2 * np.pi * np.arange(TILE) / TILE
    rows = [np.full(TILE, math.sqrt(0.5))]
    for harmonic in range(1, HIGHEST + 1):
        rows += [np.cos(harmonic * place), np.sin(harmonic * place)]
    return np.array(rows) * math.sqrt(2 / TILE)


@lru_cache(maxsize=1)
def template_peaks() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The template: harmonics int64 (CHANNELS, PEAKS, 2), down and across in periods a tile, and phases (CHANNELS, PEAKS).

    They lie at random in half a ring, never at the mirror image of another, so that a mirrored picture is told apart.
    """
    generator = np.random.default_rng(TEMPLATE_SEED)
    harmonics = np.zeros((CHANNELS, PEAKS, 2), np.int64)
    for channel, (least, most) in enumerate(TEMPLATE_BANDS):
        found: list[tuple[int, int]] = []
        while len(found) < PEAKS:
            down, across = int(generator.integers(-24, 25)), int(generator.integers(1, 25))
            near = any(
                min(
                    math.hypot(down - a, across - b), math.hypot(down + a, across - b), math.hypot(down + a, across + b)
                )
                < APART
                for a, b in found
            )
            if least <= math.hypot(down, across) <= most and abs(down) > 1 and not near:
                found.append((down, across))
        harmonics[channel] = found
    return harmonics, generator.uniform(0, 2 * np.pi, (CHANNELS, PEAKS))


@lru_cache(maxsize=1)
def template_tile() -> NDArray[np.float32]:
    """The template over one period, float32 (CHANNELS, TILE, TILE), of root mean square 1 in each channel."""
    harmonics, phases = template_peaks()
    y, x = np.mgrid[:TILE, :TILE]
    tile = np.zeros((CHANNELS, TILE, TILE))
    for channel in range(CHANNELS):
        for (down, across), phase in zip(harmonics[channel], phases[channel], strict=True):
            tile[channel] += np.cos(2 * np.pi * (down * y + across * x) / TILE + phase)
    return np.asarray(tile * math.sqrt(2 / PEAKS), np.float32)


@lru_cache(maxsize=1)
def carriers() -> NDArray[np.bool_]:
    """Which products of a wave down and a wave across carry bits, bool (CHANNELS, WAVES, WAVES); the template's do not."""
    harmonic = (np.arange(WAVES) + 1) // 2
    length = np.hypot(harmonic[:, None], harmonic[None, :])
    allowed = np.stack([(length >= least) & (length <= most) for least, most in BANDS])
    for channel, peaks in enumerate(template_peaks()[0]):
        for down, across in np.abs(peaks):
            allowed[channel] &= ~((harmonic[:, None] == down) & (harmonic[None, :] == across))
    return allowed


def canonical_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the canonical canvas of a picture: its shape, and an area of SIDE x SIDE.

    >>> canonical_size(3000, 4000)
    (333, 443)
    """
    scale = SIDE / math.sqrt(height * width)
    return max(1, round(height * scale)), max(1, round(width * scale))
