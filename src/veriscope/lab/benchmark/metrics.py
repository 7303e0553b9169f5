"""Measures of a detector, as pure functions of scores and labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Measure = Callable[[NDArray[np.float64], NDArray[np.bool_]], float]
LEVEL = 0.95  # of intervals


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


def average_precision(scores: ArrayLike, positive: ArrayLike) -> float:
    """Mean over the positives of the precision at each one's score, as CNNDetection reports it; ties share a precision.

    Raises:
        ValueError: no positive.

    >>> round(average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 4)
    0.8333
    """
    x, y = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if not y.any():
        raise ValueError("average precision needs a positive")
    order = np.argsort(-x, kind="stable")
    x, y = x[order], y[order]
    last = np.r_[np.flatnonzero(np.diff(x)), len(x) - 1]  # of each run of equal scores
    hits = np.cumsum(y)[last]
    return float((np.diff(np.r_[0, hits]) * hits / (last + 1)).sum() / y.sum())


def balanced_accuracy(scores: ArrayLike, positive: ArrayLike, threshold: float = 0.0) -> float:
    """Mean of the share of positives above and of negatives not above a threshold.

    >>> balanced_accuracy([-1, 2, 3, 4], [0, 0, 1, 1])
    0.75
    """
    x, y = np.asarray(scores, np.float64), np.asarray(positive, bool)
    return (rate_above(x[y], threshold) + 1 - rate_above(x[~y], threshold)) / 2


def roc_curve(scores: ArrayLike, positive: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False- and true-positive rates at every threshold, from (0, 0) to (1, 1).

    >>> [rates.tolist() for rates in roc_curve([1, 2, 3], [0, 1, 1])]
    [[0.0, 0.0, 0.0, 1.0], [0.0, 0.5, 1.0, 1.0]]
    """
    x, y = np.asarray(scores, np.float64), np.asarray(positive, bool)
    order = np.argsort(-x, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(x[order])), len(x) - 1]
    true, false = (np.r_[0, np.cumsum(which[order])[last]] / max(which.sum(), 1) for which in (y, ~y))
    return false, true


def mean_source_pair_auc(scores: ArrayLike, positive: ArrayLike, sources: ArrayLike, *, least: int = 8) -> float | None:
    """Mean AUC over all pairs of one positive and one negative source with at least ``least`` pictures each, if there are any.

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
    return float(np.mean(pairs)) if pairs else None


def per_source_auc(scores: ArrayLike, positive: ArrayLike, sources: ArrayLike) -> dict[str, float]:
    """AUC of each source against all pictures of the other class; a source of both classes against the other sources.

    >>> per_source_auc([1, 2, 3, 0], [0, 0, 1, 1], ["a", "b", "c", "d"])
    {'a': 0.5, 'b': 0.5, 'c': 1.0, 'd': 0.0}
    """
    x, y, names = np.asarray(scores, np.float64), np.asarray(positive, bool), np.asarray(sources)
    found = {}
    for name in np.unique(names):
        here = names == name
        values, weights = [], []
        for label in (True, False):
            own, others = x[here & (y == label)], x[~here & (y != label)]
            if len(own) and len(others):
                truth = np.r_[np.full(len(own), label), np.full(len(others), not label)]
                values.append(auc(np.r_[own, others], truth))
                weights.append(len(own))
        if values:
            found[str(name)] = float(np.average(values, weights=weights))
    return found


def expected_calibration_error(log10_lrs: ArrayLike, positive: ArrayLike, *, bins: int = 10) -> float:
    """ECE of the posterior at even prior odds, with equally filled bins (Guo et al. 2017)."""
    said, true, weights = reliability_diagram(log10_lrs, positive, bins=bins)
    return float((weights * np.abs(said - true)).sum())


def reliability_diagram(
    log10_lrs: ArrayLike, positive: ArrayLike, *, bins: int = 10
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Per bin of posteriors at even prior odds: the mean posterior, the share of positives, and the bin's weight.

    Classes are weighed as if both were equally frequent; bins are equally filled; the weights add up to 1.

    Raises:
        ValueError: one class only.
    """
    lr, y = np.asarray(log10_lrs, np.float64), np.asarray(positive, np.float64)
    prior = y.mean()
    if prior in (0, 1):
        raise ValueError("a reliability diagram needs both classes")
    posterior = 1 / (1 + 10 ** -np.clip(lr, -12, 12))
    weights = np.where(y == 1, 0.5 / prior, 0.5 / (1 - prior))
    groups = [group for group in np.array_split(np.argsort(posterior, kind="stable"), bins) if len(group)]
    said = [np.average(posterior[group], weights=weights[group]) for group in groups]
    true = [np.average(y[group], weights=weights[group]) for group in groups]
    return np.array(said), np.array(true), np.array([weights[group].sum() for group in groups]) / weights.sum()


def flip_rates(scores: ArrayLike, states: ArrayLike, thresholds: float | ArrayLike) -> dict[str, float]:
    """How often saving a picture again changes what is said of it.

    Args:
        scores: (N, V) of N pictures in V versions that show the same.
        states: (N, V) the verdicts: "yes", "no" or "cannot tell".
        thresholds: the operating point.
    Returns:
        shares of pictures: ``threshold_5`` lie on both sides of the operating point, ``yes_and_no`` are called both,
        ``any_change_of_state`` do not keep one verdict.
    """
    x, verdicts = np.asarray(scores, np.float64), np.asarray(states)
    above = x > np.asarray(thresholds)
    crossing = above.any(1) & ~above.all(1)
    both = (verdicts == "yes").any(1) & (verdicts == "no").any(1)
    change = (verdicts != verdicts[:, :1]).any(1)
    return {
        "threshold_5": float(crossing.mean()),
        "yes_and_no": float(both.mean()),
        "any_change_of_state": float(change.mean()),
    }


def bootstrap_interval(
    scores: ArrayLike,
    positive: ArrayLike,
    *,
    measure: Measure = auc,
    sources: ArrayLike | None = None,
    rounds: int = 500,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[float, float]:
    """A percentile bootstrap interval of a measure.

    Pictures are drawn again within their class. With ``sources`` whole sources are drawn instead, each class's on its own,
    because pictures of one source resemble each other and the next source may be unlike all of these: that interval is wider
    and is the one to quote. It is not a number where a class has a single source.

    Args:
        scores: (N,).
        positive: (N,) 1 or 0.
        measure: of scores and labels.
        sources: (N,) where each picture came from.
        rounds: how many draws.
        seed: of the draws.
        level: of the interval.
    """
    x, y = np.asarray(scores, np.float64), np.asarray(positive, bool)
    generator = np.random.default_rng(seed)
    names = np.zeros(len(x)) if sources is None else np.asarray(sources)
    clusters = [[np.flatnonzero(which & (names == name)) for name in np.unique(names[which])] for which in (y, ~y)]
    if sources is not None and min(map(len, clusters)) < 2:
        return float("nan"), float("nan")
    values = []
    for _ in range(rounds):
        drawn = []
        for members in clusters:
            if sources is None:
                drawn += [generator.choice(each, len(each)) for each in members]
            else:
                drawn += [members[place] for place in generator.integers(0, len(members), len(members))]
        chosen = np.concatenate(drawn)
        values.append(measure(x[chosen], y[chosen]))
    tail = (1 - level) / 2
    return float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail))


def wilson_interval(hits: int, tries: int, *, z: float = 1.96) -> tuple[float, float]:
    """An interval of a share, ``hits`` of ``tries`` (Wilson 1927).

    >>> [round(end, 3) for end in wilson_interval(5, 10)]
    [0.237, 0.763]
    """
    if not tries:
        return 0.0, 1.0
    share, inverse = hits / tries, z * z / tries
    middle = (share + inverse / 2) / (1 + inverse)
    reach = z * np.sqrt(share * (1 - share) / tries + inverse / (4 * tries)) / (1 + inverse)
    return float(middle - reach), float(middle + reach)
