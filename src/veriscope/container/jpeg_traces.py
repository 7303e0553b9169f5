"""Traces that earlier JPEG saves leave: combs in DCT histograms and an 8x8 blocking grid.

Each save rounds every DCT coefficient to a multiple of its step. A second save with another step leaves a periodic
pattern in the histograms (Popescu and Farid 2005; Bianchi and Piva 2012); pixels kept losslessly afterwards still lie
on the multiples; a crop shifts the grid. Both fail where the earlier steps were 1, where they equal or divide the
present ones, and after any resampling in between. Steps are searched among the standard tables at qualities 30 to 98.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.container.jpeg_markers import ZIGZAG
from veriscope.container.jpeg_tables import STANDARD_LUMA

Floats = NDArray[np.float64]

FREQUENCIES = ZIGZAG[1:15]  # the first AC coefficients: the others are mostly zero
QUALITIES = np.arange(30, 99)
STEPS = np.arange(1, 41)  # the largest step of FREQUENCIES at the lowest of QUALITIES is 34
_STEP_OF_QUALITY = STANDARD_LUMA[QUALITIES - 1][:, FREQUENCIES]  # (qualities, frequencies)

ROUNDING = 0.4  # standard deviation of a DCT coefficient after rounding to 8-bit RGB: 0.29 for luma alone
BINS = 64
RANGE = 100  # largest magnitude of an unquantised coefficient that the comb test looks at
FINE = 8  # its bins a unit
FIRST_LOOK = 1024  # blocks, to choose among offsets
HOPELESS_SCORE = 0.01  # nats a coefficient; below it, more blocks change nothing
SINGLE_SHARE = 0.05  # share of blocks taken to lack the first save, so that one odd bin rules nothing out


@dataclass(frozen=True)
class EarlierSave:
    """An earlier quantisation: how strongly it is seen (log likelihood ratio a frequency) and its nearest quality."""

    score: float
    quality: int
    steps: tuple[int, ...]


def double_quantisation_model(steps: Floats, second: Floats, decay: Floats, bins: Floats) -> Floats:
    """Probability of a quantised magnitude after two saves, for Laplacian coefficients.

    Args:
        steps: first quantisation steps; 1 stands for no first save.
        second: second steps.
        decay: the Laplacian's rate, 1/(mean absolute value), at the scale of unquantised coefficients.
        bins: successive magnitudes k >= 1 along the last axis. All four broadcast together.
    """

    def share_below(level: Floats) -> Floats:
        nearest = np.rint(level / steps)
        below = 0.5 * np.exp(-decay * np.maximum(nearest - 0.5, 0) * steps)
        above = 0.5 * np.exp(-decay * (nearest + 0.5) * steps)
        passed = 1 / (1 + np.exp(np.clip(-1.702 * (level - nearest * steps) / ROUNDING, -50, 50)))
        inside = np.where(nearest == 0, 1 - 2 * above, below - above)
        start = np.where(nearest == 0, above, 1 - below)
        return np.asarray(start + inside * passed)

    below = share_below((np.concatenate([bins[..., :1] - 1, bins], -1) + 0.5) * second)
    once = np.exp(-decay * np.maximum(bins - 0.5, 0) * second) - np.exp(-decay * (bins + 0.5) * second)
    return np.asarray(np.where(steps <= 1, once, 2 * np.diff(below, axis=-1)))


def earlier_quantisation(blocks: NDArray[np.int16], table: NDArray[np.int32]) -> EarlierSave | None:
    """The save before the present one, on the same grid, from the quantised coefficients.

    For each frequency and each candidate step the histogram is compared with the double-quantisation model times a
    smooth correction; the log likelihood ratio against "no earlier save" is averaged over frequencies for the steps of
    each standard quality.

    Args:
        blocks: int16 (..., 64) quantised coefficients.
        table: int (64,) their quantisation table.
    Returns:
        the best candidate, however weak; None where the picture has too little detail to say.
    """
    magnitudes = np.abs(blocks.reshape(-1, 64)[:, FREQUENCIES].T)
    counts = np.stack([np.bincount(np.minimum(row, BINS + 1), minlength=BINS + 2)[: BINS + 1] for row in magnitudes])
    usable = counts[:, 1:].sum(1) >= 200
    if usable.sum() < 3:
        return None
    ratio = np.zeros((len(FREQUENCIES), len(STEPS)))
    ratio[usable] = _step_ratios(counts[usable].astype(np.float64), table[FREQUENCIES][usable].astype(np.float64))
    totals = np.take_along_axis(ratio, _STEP_OF_QUALITY.T - 1, axis=1).sum(0) / usable.sum()
    best = _most_usual(totals)
    return _save(float(totals[best]), best)


def _save(score: float, best: int) -> EarlierSave:
    return EarlierSave(score, int(QUALITIES[best]), tuple(int(step) for step in _STEP_OF_QUALITY[best]))


def _most_usual(totals: Floats) -> int:
    """The index of the best quality; of several with the same steps, a multiple of five, as most programs offer."""
    ties = np.flatnonzero(totals >= totals.max() - 1e-9)
    return int(min(ties, key=lambda at: (QUALITIES[at] % 5 != 0, abs(at - ties.mean()))))


def _step_ratios(counts: Floats, second: Floats) -> Floats:
    """Log likelihood ratio of each of STEPS against step 1, (frequencies, steps)."""
    bins = np.arange(1, BINS + 1, dtype=np.float64)  # zero is left out: encoders treat it specially
    seen = counts[:, 1:]
    mean = (seen * bins).sum(1) / seen.sum(1)
    decay = -np.log(np.clip(1 - 1 / np.maximum(mean, 1.02), 0.02, 0.98)) / second
    model = double_quantisation_model(
        STEPS[None, :, None].astype(np.float64), second[:, None, None], decay[:, None, None], bins[None, None]
    )
    model = (1 - SINGLE_SHARE) * model + SINGLE_SHARE * model[:, :1] + 1e-12
    smooth = np.stack([np.ones_like(bins), bins / 10, np.log(bins), np.sqrt(bins)], 1)

    def fitted(weights: Floats, candidates: Floats) -> Floats:
        gram = np.einsum("kp,fk,kr->fpr", smooth, weights, smooth) + 1e-6 * np.eye(4)
        solve = np.linalg.solve(gram, np.swapaxes(smooth[None] * weights[:, :, None], 1, 2))  # (f, p, k)
        residual = np.clip(np.log((seen[:, None] + 0.3) / (candidates * seen.sum(1)[:, None, None] + 0.3)), -5, 5)
        correction = np.matmul(np.matmul(residual, np.swapaxes(solve, 1, 2)), smooth.T)
        expected = candidates * np.exp(np.clip(correction, -5, 5))
        return np.asarray(expected / expected.sum(-1, keepdims=True) * seen.sum(1)[:, None, None])

    plain = fitted(seen + 1, model[:, :1])[:, 0]
    expected = fitted(plain + 0.1, model) + 0.05
    deviance = 2 * (seen[:, None] * np.log((seen[:, None] + 1e-9) / expected) - seen[:, None] + expected).sum(-1)
    freedom = np.maximum((plain > 1).sum(1), 4)[:, None]
    return np.asarray(freedom / 2 * np.log((deviance[:, :1] + freedom) / (deviance + freedom)))


_COSINES = np.cos((2 * np.arange(8)[None] + 1) * np.arange(8)[:, None] * np.pi / 16) / 2
_COSINES[0] /= np.sqrt(2)
BASIS = np.kron(_COSINES, _COSINES).astype(np.float32)  # row: frequency, column: pixel of a block; orthonormal


def blocks_of(luma: NDArray[np.uint8], offset: tuple[int, int] = (0, 0), limit: int = 4096) -> NDArray[np.float32]:
    """The central whole 8x8 blocks of a grid starting at ``offset`` (x, y), float32 (N, 64), at most ``limit``."""
    across, down = offset
    rows, columns = (luma.shape[0] - down) // 8, (luma.shape[1] - across) // 8
    share = min(1.0, (limit / max(rows * columns, 1)) ** 0.5)
    high, wide = int(rows * share), int(columns * share)
    top, left = down + (rows - high) // 2 * 8, across + (columns - wide) // 2 * 8
    part = luma[top : top + 8 * high, left : left + 8 * wide].astype(np.float32)
    return np.ascontiguousarray(part.reshape(high, 8, wide, 8).swapaxes(1, 2).reshape(-1, 64))


def comb(
    luma: NDArray[np.uint8], offset: tuple[int, int], noise: float = ROUNDING, limit: int = 4096
) -> EarlierSave | None:
    """How well the DCT coefficients of a grid lie on the multiples of some standard quality's steps.

    Args:
        luma: uint8 (H, W).
        offset: the grid's origin (x, y) in pixels.
        noise: standard deviation of the coefficients about the multiples.
        limit: how many blocks to look at.
    Returns:
        the best quality, ``score`` in nats a coefficient that is away from zero; None where there are too few of them.
    """
    blocks = blocks_of(luma, offset, limit)
    if len(blocks):
        blocks = blocks[(blocks.min(1) > 0) & (blocks.max(1) < 255)]  # clipped pixels break the multiples
    values = np.abs(BASIS[FREQUENCIES] @ blocks.T)
    size = RANGE * FINE + 1
    cells = np.minimum(values * FINE + 0.5, size - 1).astype(np.int32) + np.arange(len(values))[:, None] * size
    counts = np.bincount(cells.ravel(), minlength=len(values) * size).reshape(-1, size)[:, :-1].astype(np.float64)
    gain, beyond = _comb_gain(noise)
    total = np.take_along_axis(counts @ gain, _STEP_OF_QUALITY.T - 1, axis=1).sum(0)
    support = np.take_along_axis(counts @ beyond, _STEP_OF_QUALITY.T - 1, axis=1).sum(0)
    enough = support >= 200
    if not enough.any():
        return None
    best = _most_usual(np.where(enough, total, -np.inf))
    return _save(float(total[best] / support[best]), best)


@lru_cache(maxsize=16)
def _comb_gain(noise: float) -> tuple[Floats, Floats]:
    """For each level and step: the log likelihood ratio of comb against smooth, and whether the level counts at all."""
    levels = np.arange(RANGE * FINE)[:, None] / FINE
    distance = levels - np.rint(levels / STEPS) * STEPS
    # A Gaussian wrapped at the step, relative to even: its nearest image where narrow, its Fourier series where wide.
    narrow = STEPS * np.exp(-((distance / noise) ** 2) / 2) / (noise * np.sqrt(2 * np.pi))
    wide = np.ones_like(narrow)
    for order in range(1, 5):
        damping = np.exp(-2 * (np.pi * order * noise / STEPS) ** 2)
        wide += 2 * damping * np.cos(2 * np.pi * order * distance / STEPS)
    density = np.where(noise / STEPS < 0.2, narrow, wide)
    beyond = ((levels > STEPS / 2) & (STEPS > 1)).astype(np.float64)
    return np.log(0.9 * density + 0.1) * beyond, beyond


def best_comb(
    luma: NDArray[np.uint8], offsets: list[tuple[int, int]], noise: float = ROUNDING
) -> tuple[tuple[int, int], EarlierSave] | None:
    """The offset whose comb is clearest, after a first look at fewer blocks; None where none has enough detail."""
    looks = [(comb(luma, offset, noise, limit=FIRST_LOOK), offset) for offset in offsets]
    seen = [(look.score, offset, look) for look, offset in looks if look is not None]
    best = max(seen, default=None, key=itemgetter(0))
    if best is None or best[0] < HOPELESS_SCORE:
        return None if best is None else (best[1], best[2])
    found = comb(luma, best[1], noise)
    return None if found is None else (best[1], found)


def blocking(luma: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """How strongly pixels break at each phase of an 8-pixel period, across and down, in standard deviations.

    A break is a difference between neighbours larger than both differences beside it, capped so that content does not
    outweigh blocking. Each is float64 (8,); phase p means a block begins at x (or y) = p modulo 8.
    """
    return _phases(luma), _phases(np.ascontiguousarray(luma.T))


def _phases(luma: NDArray[np.uint8]) -> Floats:
    if luma.shape[1] < 40 or luma.shape[0] < 8:
        return np.zeros(8)
    step = cv2.absdiff(luma[:, 1:], luma[:, :-1])  # step[x] lies between x and x+1
    spike = cv2.subtract(step[:, 1:-1], cv2.max(step[:, :-2], step[:, 2:]))
    _, spike = cv2.threshold(spike, 3, 255, cv2.THRESH_TRUNC)
    profile = cv2.reduce(spike, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0] / len(luma)  # index i: between i+1 and i+2
    starts = np.arange(len(profile)) + 2
    whole = len(profile) // 8 * 8
    by_phase = profile[:whole].reshape(-1, 8)
    by_phase = by_phase - np.median(by_phase, 1, keepdims=True)
    order = starts[:8] % 8
    mean = by_phase.mean(0)
    error = np.sqrt(by_phase.var(0) / len(by_phase) + 1e-8)
    strength = np.zeros(8)
    strength[order] = (mean - np.median(mean)) / np.maximum(error, np.median(error))
    return strength
