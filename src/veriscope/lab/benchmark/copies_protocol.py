"""The Image Similarity Challenge's protocol: one ranking of all pairs of queries and references, and what is read off it.

Every query is compared with every reference, and the pairs of all queries are ranked together by one score, so a score must
mean the same for every query. A query may be compared by its parts, and with parts of references: the best pair counts.

Paper: Papakipos et al. 2022 (Results and findings of the 2021 Image Similarity Challenge).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEAREST = 10  # references of each query that enter the ranking
AT_PRECISION = 0.9
QUERIES_AT_ONCE = 128  # that are compared together: with 100,000 references, 50 MB of scores


@dataclass(frozen=True, eq=False)
class Ranking:
    """Pairs of queries and references that entered: scores, whether each is right, and the query of each; all (N,)."""

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    queries: NDArray[np.int64]


def ranked(
    queries: NDArray[Any],
    references: NDArray[Any],
    originals: NDArray[np.int64],
    nearest: int = NEAREST,
    crowds: NDArray[np.float32] | None = None,
) -> Ranking:
    """The nearest references of each query.

    Args:
        queries: (Q, D) float32 vectors of length 1, or uint8 hashes of whole eight bytes; (Q, P, D): parts, the whole first.
        references: (R, D) or (R, P, D) likewise.
        originals: (Q,) the number of each query's original among the references; -1 where it has none.
        nearest: how many of each enter.
        crowds: (Q,) or (Q, P) what is taken off the similarities of each vector of a query; nothing by default.
    """
    scores, places = nearest_of(queries, references, nearest, crowds)
    right = places == originals[:, None]
    return Ranking(scores.ravel(), right.ravel(), np.repeat(np.arange(len(queries)), scores.shape[1]))


def nearest_of(
    queries: NDArray[Any],
    references: NDArray[Any],
    nearest: int = NEAREST,
    crowds: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores and numbers of the nearest references of each query, both (Q, nearest), unordered; arguments as of ``ranked``."""
    nearest = min(nearest, len(references))
    scores, places = [], []
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        some = slice(start, start + QUERIES_AT_ONCE)
        alike = likeness(queries[some], references, None if crowds is None else crowds[some])
        found = np.argpartition(-alike, nearest - 1, axis=1)[:, :nearest]
        places.append(found)
        scores.append(np.take_along_axis(alike, found, 1))
    return np.concatenate(scores).astype(np.float64), np.concatenate(places)


def likeness(
    queries: NDArray[Any], references: NDArray[Any], crowds: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """How alike queries are to each reference, float32 (Q, R); arguments as for ``ranked``.

    Cosine of vectors, or 1 less the share of bits that differ. With parts, the best of: the whole query against every part
    of the reference, and every part of the query against the whole reference.
    """
    if references.dtype == np.uint8:
        return np.stack([_bits_alike(query, references) for query in queries])
    whole = references if references.ndim == 2 else references[:, 0]
    asked = queries[:, None] if queries.ndim == 2 else queries
    less = np.zeros(asked.shape[:2], np.float32) if crowds is None else crowds.reshape(asked.shape[:2])
    pairs = [(asked[:, part], whole, less[:, part]) for part in range(asked.shape[1])]
    if references.ndim == 3:
        pairs += [(asked[:, 0], references[:, part], less[:, 0]) for part in range(1, references.shape[1])]
    best = np.full((len(queries), len(references)), -np.inf, np.float32)
    for query, reference, crowd in pairs:
        found = query @ reference.T
        found -= crowd[:, None]
        np.maximum(best, found, out=best)
    return best


def _bits_alike(query: NDArray[np.uint8], references: NDArray[np.uint8]) -> NDArray[np.float32]:
    words = [np.ascontiguousarray(bits).view(np.uint64) for bits in (query, references)]
    differing = np.bitwise_count(words[1] ^ words[0]).sum(1, dtype=np.uint16)
    return (1 - differing / np.float32(8 * references.shape[1])).astype(np.float32)


def precision_and_recall(ranking: Ranking, positives: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall after each distinct score of the common ranking; of ``positives`` queries that have an original."""
    order = np.argsort(-ranking.scores, kind="stable")
    hits = np.cumsum(ranking.right[order])
    last = np.append(np.diff(ranking.scores[order]) != 0, True) if len(order) else np.zeros(0, bool)
    taken = np.arange(1, len(order) + 1)
    return (hits / taken)[last], (hits / max(positives, 1))[last]


def micro_average_precision(ranking: Ranking, positives: int) -> float:
    """The area under precision over recall of the common ranking, ties taken together, in [0, 1].

    >>> right = np.array([True, False, True])
    >>> micro_average_precision(Ranking(np.array([0.9, 0.8, 0.7]), right, np.arange(3)), positives=2)
    0.8333333333333333
    """
    precision, recall = precision_and_recall(ranking, positives)
    return float((precision * np.diff(np.concatenate([[0.0], recall]))).sum())


def recall_at_precision(ranking: Ranking, positives: int, least: float = AT_PRECISION) -> float:
    """The largest recall at which precision is at least ``least``; 0 where it never is."""
    precision, recall = precision_and_recall(ranking, positives)
    return float(recall[precision >= least].max(initial=0.0))


def restricted(ranking: Ranking, queries: NDArray[np.bool_]) -> Ranking:
    """The pairs of the queries under a mask (Q,)."""
    held = queries[ranking.queries]
    return Ranking(ranking.scores[held], ranking.right[held], ranking.queries[held])


def measured(ranking: Ranking, positives: int) -> dict[str, float | int]:
    """The protocol's figures of a ranking of which ``positives`` queries have an original."""
    best = _first(ranking)
    return {
        "positives": positives,
        "micro_ap": round(micro_average_precision(ranking, positives), 4),
        "recall_at_precision_0.9": round(recall_at_precision(ranking, positives), 4),
        "first_is_right": round(float(best.sum() / max(positives, 1)), 4),
    }


def _first(ranking: Ranking) -> NDArray[np.bool_]:
    """Whether the best reference of each query is right, (Q,)."""
    order = np.lexsort((-ranking.scores, ranking.queries))
    first = np.unique(ranking.queries[order], return_index=True)[1]
    return np.asarray(ranking.right[order][first])
