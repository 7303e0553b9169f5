"""Which known pictures is this one a copy of? Candidates by hash and by vector, then each is checked point by point.

The hash finds whole pictures, saved again, made smaller, turned or mirrored; the vector also parts and pictures drawn on. Both
give candidates for little; what is listed was verified on the pixels, or agrees so closely as a whole that chance is no
explanation. Misses what no descriptor brings among the first candidates: small crops above all. After: Wang et al., "D2LV: A
Data-Driven and Local-Verification Approach for Image Copy Detection", 2021.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from veriscope.copies import pdq, verification
from veriscope.copies.asking import questions
from veriscope.copies.describing import hashed
from veriscope.copies.judging import Candidate, Match, judged
from veriscope.copies.store import Index
from veriscope.picture import Picture

MOST = 10  # matches that are listed
BY_WHOLE, BY_VIEW = 24, 8  # rows that a view of the query brings: the whole, and each of the others
BY_VECTOR, BY_HASH = 32, 8  # candidates, beside all near-duplicates by hash
MOST_NEAR = 32  # near-duplicates by hash that are verified


def search(index: Index, picture: Picture, *, most: int = MOST) -> list[Match]:
    """The known pictures that ``picture`` is a copy of, best first; empty where there is none.

    Raises:
        VeriscopeError: the index cannot be read.
    """
    index.refresh()
    found = candidates(index, picture)
    if not found:
        return []
    rows = index.rows([candidate.row for candidate in found])
    query = verification.points(picture.rgb)
    answers = (judged(index, picture, query, candidate, rows[candidate.row]) for candidate in found)
    matches = [match for match in answers if match is not None]
    return sorted(matches, key=lambda match: (-match.score, match.reference))[:most]


def candidates(index: Index, picture: Picture) -> list[Candidate]:
    """The rows worth verifying: all near-duplicates by hash, and the next by hash and by vector."""
    hashes, rows = index.hashes()
    if not rows.size:
        return []
    known = hashed(picture)
    distances, turns = pdq.nearest_variants(known.variants, hashes)
    if known.quality < pdq.LEAST_QUALITY:  # nothing follows from the hash of a flat picture
        distances = np.maximum(distances, pdq.NEAR + 1)
    nearest = np.argsort(distances, kind="stable")[:MOST_NEAR]
    by_hash = [place for rank, place in enumerate(nearest) if rank < BY_HASH or distances[place] <= pdq.NEAR]
    names = list(pdq.TURNS)

    def at(place: int) -> Candidate:
        return Candidate(int(rows[place]), int(distances[place]), names[turns[place]])

    found = {int(rows[place]): at(place) for place in by_hash}
    for row, similarity in _by_vector(index, picture):
        candidate = found.get(row) or at(int(np.searchsorted(rows, row)))
        found[row] = replace(candidate, similarity=similarity)
    return list(found.values())


def _by_vector(index: Index, picture: Picture) -> list[tuple[int, float]]:
    """The ids of the rows that any view of the query comes nearest to, with their cosines.

    They are ranked by how far they lie above the surroundings of the view that brought them.
    """
    asked = questions(picture.rgb, index.descriptor, index.folder)
    best: dict[int, tuple[float, float]] = {}  # how far above the surroundings, and how near
    for number, (vector, crowd) in enumerate(zip(asked.vectors, asked.crowds, strict=True)):
        for row, similarity in index.nearest(vector, BY_VIEW if number else BY_WHOLE):
            best[row] = max((similarity - float(crowd), similarity), best.get(row, (-2.0, -2.0)))
    order = sorted(best, key=lambda row: -best[row][0])
    return [(row, best[row][1]) for row in order[:BY_VECTOR]]
