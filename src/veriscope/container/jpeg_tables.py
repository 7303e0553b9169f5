"""Which quality a quantisation table stands for.

The IJG library, and nearly all software built on it, scales two fixed tables (ITU-T T.81, annex K) by a quality of 1 to
100. Cameras, phones and Adobe's programs have tables of their own; for those only the nearest quality is stated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# ITU-T T.81, tables K.1 and K.2.
LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.int32,
).ravel()
_CORNER = np.array([[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]], np.int32)
CHROMA = np.pad(_CORNER, ((0, 4), (0, 4)), constant_values=99).ravel()


def standard_table(quality: int, *, chroma: bool = False) -> NDArray[np.int32]:
    """The IJG table at ``quality`` in [1, 100], int32 (64,) row-major.

    >>> standard_table(75)[:4].tolist()
    [8, 6, 5, 8]
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip(((CHROMA if chroma else LUMA) * scale + 50) // 100, 1, 255).astype(np.int32)


STANDARD_LUMA = np.stack([standard_table(quality) for quality in range(1, 101)])  # row q-1 is quality q
STANDARD_CHROMA = np.stack([standard_table(quality, chroma=True) for quality in range(1, 101)])


@dataclass(frozen=True)
class TableMatch:
    """What is known of a file's quantisation tables.

    Attributes:
        quality: the IJG quality, exact or the nearest.
        standard: the tables are the IJG tables at exactly that quality.
        same_chroma: luma and chroma share one table; None for grey pictures.
    """

    quality: int
    standard: bool
    same_chroma: bool | None


def match_tables(luma: NDArray[np.int32], chroma: NDArray[np.int32] | None = None) -> TableMatch:
    """The IJG quality of a pair of tables, each int (64,) row-major.

    The nearest quality is the one whose luma table has the least mean absolute log ratio to the file's.
    """
    same = None if chroma is None else bool(np.array_equal(luma, chroma))
    exact = (luma == STANDARD_LUMA).all(1)
    if chroma is not None:
        exact &= (chroma == STANDARD_CHROMA).all(1)
    if exact.any():
        return TableMatch(int(np.flatnonzero(exact)[0]) + 1, True, same)
    distance = np.abs(np.log(STANDARD_LUMA / np.maximum(luma, 1))).mean(1)
    return TableMatch(int(distance.argmin()) + 1, False, same)
