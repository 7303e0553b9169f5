"""What a detector finds among the generated pictures that have already fooled another one.

Two detectors that read the same trace fail on the same pictures; one that reads another trace is worth most just there. The
protocol keeps the pictures that the first detector calls real, generated and real ones alike, and measures the second on them.

Paper: Sarkar et al. 2024 (prequalified generated pictures).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import auc, rate_above, tpr_at_fpr


def prequalified(fooled: ArrayLike, second: ArrayLike, generated: ArrayLike, *, rate: float = 0.05) -> dict[str, Any]:
    """The second detector on the pictures that the first calls real.

    Args:
        fooled: (N,) scores of the first detector, higher for generated.
        second: (N,) scores of the second.
        generated: (N,) 1 or 0.
        rate: the false-alarm rate that sets the first one's threshold.
    Returns:
        ``pictures`` that are left, ``share`` of the generated ones that fool the first, ``auc`` and ``tpr_at_fpr`` of the
        second on those left, ``auc_of_first`` on them, and ``auc_on_all``, the second's on all pictures.
    Raises:
        VeriscopeError: no picture of a class is left.

    >>> prequalified([0, 0, 9, 0, 9], [1, 2, 3, 4, 0], [0, 0, 0, 1, 1], rate=0.4)["auc"]
    1.0
    """
    first, other, positive = np.asarray(fooled, np.float64), np.asarray(second, np.float64), np.asarray(generated, bool)
    if positive.all() or not positive.any():
        raise VeriscopeError("the protocol needs real and generated pictures")
    threshold = float(np.quantile(first[~positive], 1 - rate))
    left = first <= threshold
    if not (left & positive).any() or not (left & ~positive).any():
        raise VeriscopeError(f"at a false-alarm rate of {rate:g} no generated picture fools the first detector")
    return {
        "pictures": {"real": int((left & ~positive).sum()), "generated": int((left & positive).sum())},
        "share": round(1 - rate_above(first[positive], threshold), 4),
        "auc": round(auc(other[left], positive[left]), 4),
        "tpr_at_fpr": round(tpr_at_fpr(other[left], positive[left], rate), 4),
        "auc_of_first": round(auc(first[left], positive[left]), 4),
        "auc_on_all": round(auc(other, positive), 4),
    }


def paired(one: Path, other: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Scores of two detectors on the samples that both were measured on, from their ``NAME.scores.parquet``.

    Returns:
        both scores (N,) and 1 where generated (N,).
    Raises:
        VeriscopeError: a file cannot be read, or they share no sample.
    """
    first, second = scores_in(one), scores_in(other)
    shared = sorted(first.keys() & second.keys())
    if not shared:
        raise VeriscopeError(f"{one} and {other} have no sample in common")
    return (
        np.array([first[key][1] for key in shared]),
        np.array([second[key][1] for key in shared]),
        np.array([first[key][0] == "generated" for key in shared], np.int64),
    )


def scores_in(path: Path) -> dict[tuple[str, int], tuple[str, float]]:
    """By key and turn of a sample, its label and held-out score, as a training wrote them.

    Raises:
        VeriscopeError: the file cannot be read or holds something else.
    """
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path, columns=["key", "turn", "label", "score"]).to_pylist()
    except (OSError, ArrowException) as error:
        raise VeriscopeError(f"{path}: not the scores of a training ({error})") from error
    return {(row["key"], row["turn"]): (row["label"], row["score"]) for row in table}
