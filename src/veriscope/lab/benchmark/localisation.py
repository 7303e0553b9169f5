"""Measures of a localisation map against the mask of what was edited, as pure functions of arrays.

A place is called edited where the map reaches the threshold; places the method could not judge are passed as 0 and so count
as not called. On an authentic picture (an empty mask) every measure follows one convention: 1 where nothing is called, 0
where anything is. Memory stays bounded at any size: pictures are counted in strips, values by their leading bits.

Papers: Guillaro et al. 2023 (TruFor: F1 at the fixed threshold 0.5 and at the best one of each picture); Mann & Whitney 1947.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

FIXED = 0.5  # the field's fixed threshold
GRID = np.arange(1, 20) / 20  # thresholds of the best F1
AT_FIXED = int(np.flatnonzero(GRID == FIXED)[0])
STRIP = 1 << 22  # pixels counted at once
DROPPED_BITS = 13  # of a float32: values nearer than one in a thousand count as ties in the AUC
RANKS = (0x3F800000 >> DROPPED_BITS) + 1  # leading bits of the floats in [0, 1], in the floats' own order

Floats = NDArray[np.float64]


def counts(values: NDArray[np.float32], mask: NDArray[np.bool_], thresholds: Floats = GRID) -> NDArray[np.int64]:
    """Pixels rightly called, wrongly called and missed at each threshold: int64 (thresholds, 3).

    Args:
        values: float32 (h, w) in [0, 1], the map.
        mask: bool (h, w), true where edited.
        thresholds: (T,) increasing.
    Raises:
        ValueError: the two have different shapes.

    >>> counts(np.float32([[0.9, 0.6, 0.1]]), np.array([[True, False, True]]), np.array([0.5])).tolist()
    [[1, 1, 1]]
    """
    reached = np.zeros((2, len(thresholds) + 1), np.int64)  # by class: pixels that reach so many thresholds
    for some, edited in _strips(values, mask):
        levels = np.searchsorted(thresholds.astype(np.float32), some, side="right")
        reached += [np.bincount(levels[which], minlength=len(thresholds) + 1) for which in (~edited, edited)]
    wrongly, rightly = reached[:, ::-1].cumsum(1)[:, ::-1][:, 1:]
    return np.stack([rightly, wrongly, reached[1].sum() - rightly], 1)


def f1_of(counted: ArrayLike) -> Floats:
    """F1 of rows of ``counts``; 1 where nothing is edited and nothing called.

    >>> f1_of([[1, 1, 1], [0, 0, 0], [0, 3, 0]]).tolist()
    [0.5, 1.0, 0.0]
    """
    rightly, wrongly, missed = np.asarray(counted, np.float64).T
    return _share(2 * rightly, 2 * rightly + wrongly + missed)


def iou_of(counted: ArrayLike) -> Floats:
    """Intersection over union of rows of ``counts``; 1 where nothing is edited and nothing called.

    >>> iou_of([[2, 1, 1], [0, 0, 0]]).tolist()
    [0.5, 1.0]
    """
    rightly, wrongly, missed = np.asarray(counted, np.float64).T
    return _share(rightly, rightly + wrongly + missed)


def f1(values: NDArray[np.float32], mask: NDArray[np.bool_], threshold: float = FIXED) -> float:
    """Pixel F1 of a map ``float32 (h, w)`` against a mask ``bool (h, w)`` at a fixed threshold.

    >>> f1(np.float32([[0.9, 0.6, 0.1]]), np.array([[True, True, True]]))
    0.8
    >>> f1(np.zeros((1, 3), np.float32), np.zeros((1, 3), bool))
    1.0
    """
    return float(f1_of(counts(values, mask, np.array([threshold])))[0])


def best_f1(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The best pixel F1 over ``GRID`` and the lowest threshold that gives it; no user knows that threshold beforehand.

    >>> best_f1(np.float32([[0.3, 0.28, 0.1]]), np.array([[True, True, False]]))
    (1.0, 0.15)
    """
    found = f1_of(counts(values, mask))
    best = int(found.argmax())
    return float(found[best]), float(GRID[best])


def iou(values: NDArray[np.float32], mask: NDArray[np.bool_], threshold: float = FIXED) -> float:
    """Pixel intersection over union of a map ``float32 (h, w)`` and a mask ``bool (h, w)`` at a threshold.

    >>> iou(np.float32([[0.9, 0.6, 0.1]]), np.array([[True, False, False]]))
    0.5
    """
    return float(iou_of(counts(values, mask, np.array([threshold])))[0])


def pixel_auc(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> float | None:
    """How often an edited pixel has a higher value than another one of the picture, ties counted half.

    Pixels are ranked by the leading bits of their value, so two values within a thousandth of each other are a tie.

    Args:
        values: float32 (h, w) in [0, 1].
        mask: bool (h, w), true where edited.
    Returns:
        in [0, 1]; None where all pixels are of one class.

    >>> pixel_auc(np.float32([[0.1, 0.4, 0.35, 0.8]]), np.array([[False, False, True, True]]))
    0.75
    """
    held = np.zeros((2, RANKS), np.int64)  # by class: pixels of each rank
    for some, edited in _strips(values, mask):
        ranks = (np.clip(some, 0, 1) + np.float32(0)).view(np.uint32) >> DROPPED_BITS  # no -0.0
        held += [np.bincount(ranks[which], minlength=RANKS) for which in (~edited, edited)]
    others, edited_ones = held.astype(np.float64)
    if not others.sum() or not edited_ones.sum():
        return None
    below = others.cumsum() - others / 2
    return float(edited_ones @ below / (others.sum() * edited_ones.sum()))


def all_convention(of_edited: ArrayLike, empty: ArrayLike) -> Floats:
    """Values over edited and authentic pictures: a correct empty map on an authentic picture scores 1, any other 0.

    Args:
        of_edited: (E,) a measure of each edited picture.
        empty: (A,) whether nothing is called on each authentic picture.

    >>> all_convention([0.25], [True, False]).tolist()
    [0.25, 1.0, 0.0]
    """
    return np.r_[np.asarray(of_edited, np.float64), np.asarray(empty, np.float64)]


def mean_interval(
    values: ArrayLike, *, rounds: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float, float]:
    """The mean of a measure over pictures and its percentile bootstrap interval; not numbers where there is no picture.

    >>> mean_interval([0.5, 0.5, 0.5])
    (0.5, 0.5, 0.5)
    """
    x = np.asarray(values, np.float64)
    if not len(x):
        return float("nan"), float("nan"), float("nan")
    means = np.random.default_rng(seed).choice(x, (rounds, len(x))).mean(1)
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return float(x.mean()), float(low), float(high)


def _strips(
    values: NDArray[np.float32], mask: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    if values.shape != mask.shape:
        raise ValueError(f"a map and a mask must share one shape, not {values.shape} and {mask.shape}")
    rows = max(1, STRIP // max(1, values.shape[1]))
    for top in range(0, values.shape[0], rows):
        part = slice(top, top + rows)
        yield np.ascontiguousarray(values[part], np.float32).reshape(-1), mask[part].reshape(-1)


def _share(part: Floats, whole: Floats) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1), 1.0)
