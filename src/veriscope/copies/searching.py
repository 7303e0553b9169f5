"""Which known pictures is this one a copy of? Candidates by hash and by vector, then each is checked point by point.

The hash finds whole pictures, saved again, made smaller, turned or mirrored; the vector also parts and pictures drawn on. Both
give candidates for little; what is listed was verified on the pixels, or agrees so closely as a whole that chance is no
explanation. Misses what no descriptor brings among the first candidates: small crops above all. After: Wang et al., "D2LV: A
Data-Driven and Local-Verification Approach for Image Copy Detection", 2021.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies import levels, pdq, verification
from veriscope.copies.alignment import resizing
from veriscope.copies.describing import hashed
from veriscope.copies.store import Index
from veriscope.errors import VeriscopeError
from veriscope.evidence import Sighting
from veriscope.picture import Picture, open_picture

MOST = 10  # matches that are listed
BY_VECTOR, BY_MIRRORED_VECTOR, BY_HASH = 24, 8, 8  # candidates, beside all near-duplicates by hash
MOST_NEAR = 32  # near-duplicates by hash that are verified
LEAST_SCORE = 0.3  # below, a verified match is not listed
SAME = 12  # bits: as a whole the same, even where the local points of a blurred copy do not agree
HIGHEST = 5  # replication level of the picture itself


@dataclass(frozen=True)
class Candidate:
    """A row that may be what the query was made of.

    Attributes:
        row: its id.
        distance: bits of 256 in which the hashes differ, the query turned and mirrored as ``turn`` says.
        turn: a key of ``pdq.TURNS``; empty as it is.
        similarity: cosine of the vectors; 0 where the vectors did not bring it.
    """

    row: int
    distance: int
    turn: str = ""
    similarity: float = 0.0

    @property
    def nearness(self) -> float:
        """The score by the hash alone: 1 for the same hash, 0.5 at the limit of near-duplicates, 0 beyond it."""
        return 1 - self.distance / (2 * pdq.NEAR) if self.distance <= pdq.NEAR else 0.0


@dataclass(frozen=True)
class Match:
    """A known picture that the query is a copy of.

    Attributes:
        reference: its path, or what the user calls it.
        score: in [0, 1]; unrelated pictures are not listed at all.
        level: how much of it the query replicates, 0 to 5; None where no pixels of it are left to tell.
        says: what a reader should know, in plain words.
        details: the values behind it, JSON types only.
    """

    reference: str
    score: float
    level: int | None
    says: str
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As ``veriscope index search --json`` prints it."""
        shown = {"reference": self.reference, "score": round(self.score, 4), "level": self.level, "says": self.says}
        return shown | {"details": self.details}


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
    judged = (_judged(index, picture, query, candidate, rows[candidate.row]) for candidate in found)
    matches = [match for match in judged if match is not None]
    return sorted(matches, key=lambda match: (-match.score, match.reference))[:most]


def sightings(picture: Picture, folder: Path, *, most: int = MOST) -> list[Sighting]:
    """The matches in the index in ``folder``, as a report holds them.

    Raises:
        VeriscopeError: there is no index, or it is of another version or cannot be read.
    """
    return [
        Sighting(reference=m.reference, score=round(m.score, 4), says=m.says, details={"level": m.level} | m.details)
        for m in search(_opened(folder), picture, most=most)
    ]


@lru_cache(maxsize=4)
def _opened(folder: Path) -> Index:
    return Index.open(folder)


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
    mirrored = np.ascontiguousarray(picture.rgb[:, ::-1])
    for rgb, most in ((picture.rgb, BY_VECTOR), (mirrored, BY_MIRRORED_VECTOR)):
        for row, similarity in index.nearest(index.descriptor(rgb), most):
            candidate = found.get(row) or at(int(np.searchsorted(rows, row)))
            found[row] = replace(candidate, similarity=max(similarity, candidate.similarity))
    return list(found.values())


def _judged(
    index: Index, picture: Picture, query: verification.Points, candidate: Candidate, row: dict[str, Any]
) -> Match | None:
    """What a candidate comes to once it is verified; None where it is no copy."""
    details = {name: row[name] for name in ("sha256", "added", "width", "height")}
    details |= {name: value for name, value in row["meta"].items() if name != "stamp"}
    details |= {"hash_distance": candidate.distance, "similarity": round(candidate.similarity, 4)}
    details |= {"turn": candidate.turn} if candidate.turn and candidate.nearness else {}
    if row["sha256"] == picture.sha256:
        return Match(row["reference"], 1.0, HIGHEST, _said("It is the very same file.", row), details)
    nearness = candidate.nearness if row["quality"] >= pdq.LEAST_QUALITY else 0.0
    whole = (
        f"As a whole it is nearly the same, {candidate.turn or 'as it is'} ({candidate.distance} of 256 bits differ)"
    )
    reference = pixels(index, row)
    if reference is None:
        says = _said(f"{whole}; neither the original nor a small copy of it is left to compare.", row)
        return Match(row["reference"], nearness, None, says, details) if nearness else None
    shown = verification.points(reference)
    found = verification.verify_points(query, shown)
    if found is not None and max(found.score, nearness) >= LEAST_SCORE:
        full = found.homography @ resizing((row["height"], row["width"]), reference.shape)
        full /= full[2, 2]
        details |= {
            "inliers": found.inliers,
            "overlap": round(found.overlap, 4),
            "agreement": round(found.agreement, 4),
        }
        details |= {"mirrored": found.mirrored, "negative": found.negative, "homography": full.tolist()}
        level, chances = levels.level(picture.rgb, reference, found)
        details |= {"levels": [round(chance, 4) for chance in chances]}
        return Match(row["reference"], max(found.score, nearness), level, _said(found.says, row), details)
    tells = min(len(query.places), len(shown.places)) >= verification.LEAST_INLIERS
    if not nearness or (tells and candidate.distance > SAME):
        return None
    doubt = "their details do not agree, as after a strong blur" if tells else "it has too little detail to compare"
    return Match(row["reference"], nearness / (1 + tells), None, _said(f"{whole}; {doubt}.", row), details)


def pixels(index: Index, row: dict[str, Any]) -> NDArray[np.uint8] | None:
    """What is left of a known picture, uint8 (H, W, 3) RGB: its small copy, or else its file where that is unchanged."""
    kept = index.preview(row["sha256"])
    if kept is not None:
        read = cv2.imdecode(np.frombuffer(kept, np.uint8), cv2.IMREAD_COLOR)
        if read is not None:
            return np.ascontiguousarray(read[:, :, ::-1]).astype(np.uint8)
    try:
        original = open_picture(row["reference"])
    except VeriscopeError:
        return None
    return original.rgb if original.sha256 == row["sha256"] else None


def _said(sentence: str, row: dict[str, Any]) -> str:
    taken = f" The original's file says that it was taken {row['meta']['taken']}." if row["meta"].get("taken") else ""
    return f"{sentence} Known since {row['added'][:10]}.{taken}"
