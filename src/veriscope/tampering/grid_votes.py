"""Votes for a JPEG grid: which of the 64 possible 8x8 grids does each pixel of a picture lie on?

A JPEG save sets many DCT coefficients of its own blocks to zero, and windows on any other grid have fewer zeros. Each pixel
votes for the grid of the window around it with the most. Votes of flat or clipped places are ties and are not counted, and
where a save was so light that hardly anything became zero they are noise. After Nikoukhah, Anger, Colom, Morel and
Grompone von Gioi, "ZERO: a Local JPEG Grid Origin Detector Based on the Number of DCT Zeros", IPOL 2021.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.container.jpeg_coefficients import as_stored
from veriscope.container.jpeg_traces import BASIS
from veriscope.picture import Picture

GRIDS = 64  # origins: grid g begins at (g % 8, g // 8)
NO_VOTE = GRIDS  # two grids have the same number of zeros, or the window is constant along an axis
ZERO = 0.499  # largest magnitude of a coefficient taken for zero: the paper's "below 0.5", which rounding does not sway
BLOCK = 64  # pixels: as many votes are not independent, as one window decides them
CELL = 8  # pixels a side: the resolution of what is counted
BAND = 8  # rows of cells looked at together
LOOKED_AT = 4_000_000  # pixels: of a larger picture, every nth band
TILE = 1024  # windows across at a time: keeps the coefficients in the processor's cache

_ONE = np.ones(1, np.float32)
_COSINES = np.ascontiguousarray(BASIS[::8, ::8] / BASIS[0, 0] ** 0.5)


def stored_grey(picture: Picture) -> NDArray[np.uint8]:
    """Luma rounded to uint8 (H, W), in the stored orientation, where a JPEG's blocks begin at (0, 0); computed once."""
    return picture.once("stored grey", lambda: _stored_grey(picture))


def _stored_grey(picture: Picture) -> NDArray[np.uint8]:
    upright = np.asarray(cv2.cvtColor(np.ascontiguousarray(picture.rgb), cv2.COLOR_RGB2GRAY), np.uint8)
    return np.ascontiguousarray(as_stored(upright, picture.orientation))


def dct_zeros(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How many of its 64 DCT coefficients are zero, for every 8x8 window: uint8 (H-7, W-7).

    Args:
        luma: uint8 (H, W), at least 8 a side.
    Returns:
        0..64; 0 for windows that are constant along rows or columns, whose zeros tell of no quantisation.
    """
    height, width = luma.shape[0] - 7, luma.shape[1] - 7
    zeros = np.zeros((height, width), np.uint8)
    for left in range(0, width, TILE):
        here = zeros[:, left : left + TILE]
        tile = luma[:, left : left + TILE + 7].astype(np.float32)
        # Filters, not matrix products: a product this narrow gains nothing from threads, and loses much on a busy machine.
        for across in _COSINES:
            rows = cv2.sepFilter2D(tile, -1, across, _ONE, anchor=(0, 0))[:, : here.shape[1]]
            for down in _COSINES:
                both = cv2.sepFilter2D(rows, -1, _ONE, down, anchor=(0, 0))[:height]
                here -= cv2.inRange(both, -ZERO, ZERO)  # it gives 255, which is -1 in eight bits
    zeros[_constant(luma)] = 0
    return zeros


def _constant(luma: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which windows have no step between any neighbours across, or none down: bool (H-7, W-7)."""
    across = cv2.dilate(cv2.absdiff(luma[:, 1:], luma[:, :-1]), np.ones((8, 7), np.uint8), anchor=(0, 0))
    down = cv2.dilate(cv2.absdiff(luma[1:], luma[:-1]), np.ones((7, 8), np.uint8), anchor=(0, 0))
    height, width = luma.shape[0] - 7, luma.shape[1] - 7
    return np.asarray((across[:height, :width] == 0) | (down[:height, :width] == 0))


def grid_votes(luma: NDArray[np.uint8], origin: tuple[int, int] = (0, 0)) -> NDArray[np.uint8]:
    """The grid each pixel votes for, of the 64 windows around it the one with the most zeros: uint8 (H-14, W-14).

    Args:
        luma: uint8 (H, W), at least 15 a side.
        origin: the place (x, y) of its first pixel in the picture, from which grids are counted.
    Returns:
        0..63 or ``NO_VOTE``, for the pixels from (7, 7) on, which have all their windows.
    """
    zeros = dct_zeros(luma).astype(np.uint16)
    rows, columns = ((np.arange(size) + start) % 8 for size, start in zip(zeros.shape, origin[::-1], strict=True))
    grid = (rows[:, None] * 8 + columns).astype(np.uint16)
    # The highest and the lowest grid among those with the most zeros: the same where there is but one.
    kernel = np.ones((8, 8), np.uint8)
    highest = cv2.dilate(zeros * GRIDS + grid, kernel, anchor=(7, 7))[7:, 7:]
    lowest = cv2.dilate(zeros * GRIDS + (GRIDS - 1 - grid), kernel, anchor=(7, 7))[7:, 7:]
    one = (highest % GRIDS + lowest % GRIDS == GRIDS - 1) & (highest >= GRIDS)
    return np.where(one, highest % GRIDS, NO_VOTE).astype(np.uint8)


def log10_false_alarms(
    votes: NDArray[np.float64] | float, voters: NDArray[np.float64] | float, tests: float, share: float = 1 / GRIDS
) -> NDArray[np.float64]:
    """log10 of the number of false alarms: how often so many votes for one grid would come about by chance in ``tests``.

    The binomial tail is bounded by Hoeffding's inequality, so it is never understated. Votes are counted by the block.

    Args:
        votes, voters: pixels.
        tests: how many regions and grids were there to try.
        share: of votes for the grid by chance.
    """
    blocks = np.asarray(voters, np.float64) / BLOCK
    seen = np.clip(np.asarray(votes, np.float64) / np.maximum(voters, 1e-9), 1e-12, 1 - 1e-12)
    divergence = seen * np.log(seen / share) + (1 - seen) * np.log((1 - seen) / (1 - share))
    return np.asarray(np.log10(tests) - np.where(seen > share, blocks * divergence, 0) / np.log(10))


@dataclass(frozen=True, eq=False)
class Ballot:
    """The votes of a picture, by cells.

    Attributes:
        by_cell: uint8 (rows, columns, 64), how many pixels of each cell vote for each grid; only rows that were looked at.
        row: int (H/8 rounded up,), which row of ``by_cell`` stands for each row of cells.
        pixels: of the picture.
    """

    by_cell: NDArray[np.uint8] = field(repr=False)
    row: NDArray[np.int64] = field(repr=False)
    pixels: int

    @property
    def main(self) -> int | None:
        """The grid most of the picture lies on; None where no grid has more votes than chance would give it."""
        counts = self.by_cell.sum((0, 1), dtype=np.int64)
        best = int(counts.argmax())
        return best if log10_false_alarms(float(counts[best]), float(counts.sum()), GRIDS) < 0 else None

    @property
    def regions_tried(self) -> float:
        """How many regions and grids could be tried: the paper's count of rectangles, for each grid."""
        return float(GRIDS * self.pixels**1.5)


@dataclass(frozen=True, eq=False)
class Band:
    """Rows of cells looked at together.

    Attributes:
        first: its first row of cells.
        rows: how many there are.
        pixels: uint8 (h, W), its pixels and up to seven rows more above and below, which its windows reach into.
        top: the picture's row that ``pixels`` begin at.
    """

    first: int
    rows: int
    pixels: NDArray[np.uint8] = field(repr=False)
    top: int


def bands(luma: NDArray[np.uint8]) -> Iterator[Band]:
    """The bands of uint8 (H, W) to look at: all, or evenly spaced ones of a picture over ``LOOKED_AT`` pixels."""
    rows = -(-luma.shape[0] // CELL)
    for first in range(0, rows, BAND * max(1, -(-luma.size // LOOKED_AT))):
        top = max(0, first * CELL - 7)
        yield Band(first, min(BAND, rows - first), luma[top : (first + BAND) * CELL + 7], top)


def counted(pixels: NDArray[np.uint8], band: Band, width: int) -> NDArray[np.uint8]:
    """The votes of a band's ``pixels``, or of a changed copy of them, by cells: uint8 (rows, columns, 64)."""
    columns = -(-width // CELL)
    votes = np.full((band.rows * CELL, columns * CELL), NO_VOTE, np.int64)
    if len(pixels) >= 15:
        top = band.top + 7 - band.first * CELL
        seen = grid_votes(pixels, (0, band.top))[: len(votes) - top]
        votes[top : top + seen.shape[0], 7 : 7 + seen.shape[1]] = seen
    cell = np.arange(band.rows)[:, None, None, None] * columns + np.arange(columns)[None, None, :, None]
    slots = votes.reshape(band.rows, CELL, columns, CELL) + cell * (GRIDS + 1)
    counts = np.bincount(slots.ravel(), minlength=band.rows * columns * (GRIDS + 1))
    return counts.astype(np.uint8).reshape(band.rows, columns, GRIDS + 1)[:, :, :GRIDS]


def ballot(luma: NDArray[np.uint8]) -> Ballot:
    """The votes of uint8 (H, W), at least 64 a side; of a picture over ``LOOKED_AT`` pixels, those of every nth band."""
    rows = -(-luma.shape[0] // CELL)
    looked = list(bands(luma))
    by_cell = np.concatenate([counted(band.pixels, band, luma.shape[1]) for band in looked])
    places = np.concatenate([np.arange(band.first, band.first + band.rows) for band in looked])
    after = np.minimum(np.searchsorted(places, np.arange(rows)), len(places) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(places[before] - np.arange(rows)) < np.abs(places[after] - np.arange(rows))
    return Ballot(by_cell, np.where(nearer, before, after), luma.size)
