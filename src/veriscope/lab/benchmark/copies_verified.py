"""What an index's search comes to: candidates by vector and by hash, verified point by point, ranked by the verified score.

Descriptors alone are measured on all queries; verification takes half a second a query, so it is measured on the copies of the
first pictures, among all references. As in a search, what does not pass is not listed, and a reference is verified on the small
copy that an index keeps.

Paper: Wang et al. 2021 (D2LV: local verification).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies.describing import small_jpeg
from veriscope.copies.verification import Points, points, verify_points
from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.copies_protocol import Ranking
from veriscope.lab.benchmark.copies_vectors import Piece
from veriscope.processes import in_processes


@dataclass(frozen=True)
class Task:
    """Copies of one picture and what each may be a copy of.

    Attributes:
        number: of the first of the copies among the queries.
        copies: a piece of one picture.
        references: pieces of one picture each that are asked for, by their number among the references.
        candidates: the numbers of each copy's candidates.
    """

    number: int
    copies: Piece
    references: dict[int, Piece]
    candidates: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Verified:
    """Scores of the candidates of copies, in [0, 1]; ``error`` says why there are none."""

    number: int
    scores: tuple[tuple[float, ...], ...] = ()
    error: str = ""


def verified(task: Task) -> Verified:
    """Verify all candidates of the copies of one picture."""
    found = []
    for copy, candidates in zip(task.copies.pictures(), task.candidates, strict=True):
        asked = points(copy)
        shown = [verify_points(asked, _shown(task.references[number])) for number in candidates]
        found.append(tuple(0.0 if one is None else one.score for one in shown))
    return Verified(task.number, tuple(found))


@lru_cache(maxsize=64)
def _shown(reference: Piece) -> Points:
    (rgb,) = reference.pictures()
    kept = cv2.imdecode(np.frombuffer(small_jpeg(rgb), np.uint8), cv2.IMREAD_COLOR)
    return points(np.ascontiguousarray(np.asarray(kept, np.uint8)[:, :, ::-1]))


def reranked(
    places: NDArray[np.int64],
    known: NDArray[np.int64],
    queries: Sequence[Piece],
    references: Sequence[Piece],
    processes: int,
    say: Callable[[str], None],
) -> Ranking:
    """The ranking of candidates by their verified scores, without those that do not pass.

    Args:
        places: (Q, K) the numbers of the references that are candidates of each query; one that comes twice counts once.
        known: (Q,) that of its original, -1 where it has none.
        queries, references: the pieces that these are of.
        processes: that verify.
        say: called with lines of progress.
    Raises:
        VeriscopeError: verifying the copies of a picture brought its process down.
    """
    each = [one for piece in references for one in _single(piece)]
    tasks, number = [], 0
    for piece in queries:
        for one in _single(piece):
            candidates = tuple(tuple(int(place) for place in row) for row in places[number : number + len(one.names)])
            asked = {place: each[place] for row in candidates for place in row}
            tasks.append(Task(number, one, asked, candidates))
            number += len(one.names)
    scores = np.zeros((number, places.shape[1]))
    for done, answer in enumerate(in_processes(tasks, verified, processes, _crashed), 1):
        if answer.error:
            raise VeriscopeError(answer.error)
        scores[answer.number : answer.number + len(answer.scores)] = answer.scores
        say(f"verified: copies of {done} of {len(tasks)} pictures")
    again = np.array([[place in row[:at] for at, place in enumerate(row)] for row in places.tolist()], bool)
    passed = (scores > 0) & ~again.reshape(scores.shape)
    owners = np.broadcast_to(np.arange(number)[:, None], scores.shape)
    return Ranking(scores[passed], (places == known[:, None])[passed], owners[passed])


def _single(piece: Piece) -> list[Piece]:
    if piece.kind == "rendered":
        return [Piece("rendered", numbers=(number,)) for number in piece.numbers]
    if piece.kind == "references":
        return [Piece("references", (row,)) for row in piece.rows]
    together = zip(piece.rows, piece.others, strict=True)
    return [Piece("queries", (row,), (other,), (), piece.names, piece.seed) for row, other in together]


def _crashed(task: Task) -> Verified:
    return Verified(task.number, error=f"verifying copies of {task.copies.rows[0].path} brought its process down twice")
