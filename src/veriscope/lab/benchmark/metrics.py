"""Measures of a detector, as pure functions of scores and labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counted half (Mann-Whitney).

    Args:
        scores: (N,) higher speaks for positive.
        positive: (N,) 1 or 0.
    Raises:
        ValueError: one class only.

    >>> auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    x, y = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if y.all() or not y.any():
        raise ValueError("AUC needs both classes")
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]
    positives = int(y.sum())
    return float((ranks[y].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives)))


def rate_above(scores: ArrayLike, threshold: float) -> float:
    """The share of scores above a threshold.

    >>> rate_above([1, 2, 3, 4], 2)
    0.5
    """
    x = np.asarray(scores, np.float64)
    return float((x > threshold).mean()) if len(x) else float("nan")


def tpr_at_fpr(scores: ArrayLike, positive: ArrayLike, rate: float) -> float:
    """True-positive rate at the threshold that this very sample's negatives pass at ``rate``.

    >>> tpr_at_fpr([0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1], 0.05)
    1.0
    """
    x, y = np.asarray(scores, np.float64), np.asarray(positive, bool)
    return rate_above(x[y], float(np.quantile(x[~y], 1 - rate)))


def mean_source_pair_auc(scores: ArrayLike, positive: ArrayLike, sources: ArrayLike, *, least: int = 8) -> float:
    """Mean AUC over all pairs of one positive and one negative source with at least ``least`` pictures each.

    It cannot be raised by telling one large source from another, nor by a per-source offset that happens to be right.
    """
    x, y, names = np.asarray(scores, np.float64), np.asarray(positive, bool), np.asarray(sources)
    sets = {name: names == name for name in np.unique(names)}
    kept = {name: members for name, members in sets.items() if members.sum() >= least}
    pairs = [
        auc(np.r_[x[a], x[b]], np.r_[np.ones(a.sum()), np.zeros(b.sum())])
        for a in kept.values()
        if y[a].all()
        for b in kept.values()
        if not y[b].any()
    ]
    return float(np.mean(pairs)) if pairs else float("nan")


def expected_calibration_error(log10_lrs: ArrayLike, positive: ArrayLike, *, bins: int = 10) -> float:
    """ECE of the posterior at even prior odds, with equally filled bins (Guo et al. 2017)."""
    lr, y = np.asarray(log10_lrs, np.float64), np.asarray(positive, np.float64)
    posterior = 1 / (1 + 10 ** -np.clip(lr, -12, 12))
    prior = y.mean()
    weights = np.where(y == 1, 0.5 / prior, 0.5 / (1 - prior))  # as if both classes were equally frequent
    groups = np.array_split(np.argsort(posterior), bins)
    gaps = [
        weights[g].sum() * abs(np.average(posterior[g], weights=weights[g]) - np.average(y[g], weights=weights[g]))
        for g in groups
        if len(g)
    ]
    return float(sum(gaps) / weights.sum())


def bootstrap_interval(
    scores: ArrayLike, positive: ArrayLike, *, rounds: int = 500, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """A percentile bootstrap interval of the AUC over pictures."""
    x, y = np.asarray(scores, np.float64), np.asarray(positive, bool)
    generator = np.random.default_rng(seed)
    ones, zeros = np.flatnonzero(y), np.flatnonzero(~y)
    values = []
    for _ in range(rounds):
        chosen = np.r_[generator.choice(ones, len(ones)), generator.choice(zeros, len(zeros))]
        values.append(auc(x[chosen], y[chosen]))
    tail = (1 - level) / 2
    return float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail))
