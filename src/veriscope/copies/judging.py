"""Is a candidate from the index a copy, what differs, and how much of the original is replicated?

What the local points or, without them, the picture as a whole say is verified on the pixels; the pixels also give the
difference and the level. A candidate that neither confirms is dropped, whatever brought it. After: Wang et al., "D2LV: A
Data-Driven and Local-Verification Approach for Image Copy Detection", 2021.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies import levels, pdq, verification
from veriscope.copies.alignment import resizing
from veriscope.copies.difference import Difference, difference
from veriscope.copies.store import Index
from veriscope.copies.verification import Verification
from veriscope.copies.whole import LEAST_AGAINST_POINTS, LEAST_AGREEMENT, verify_whole
from veriscope.errors import VeriscopeError
from veriscope.picture import Picture, open_picture

Pixels = NDArray[np.uint8]
LEAST_SCORE = 0.3  # below, a verified match is not listed
HIGHEST = levels.LEVELS - 1  # replication level of the picture itself
FACTS = ("sha256", "width", "height")


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
        added: when it came into the index, ISO 8601 in UTC.
        taken: when its file says it was taken; empty where it does not.
        levels: the probabilities of the six levels; empty where the level is None.
        details: the values behind it, JSON types only.
        original: uint8 (h, w, 3) RGB, what is left of it; None where nothing is.
        verification: how the query shows ``original``; None where it is the same file, or nothing is left to compare.
        difference: what differs between the two; None where there is no ``verification``.
    """

    reference: str
    score: float
    level: int | None
    says: str
    added: str
    taken: str = ""
    levels: tuple[float, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    original: Pixels | None = field(default=None, repr=False, compare=False)
    verification: Verification | None = field(default=None, repr=False, compare=False)
    difference: Difference | None = field(default=None, repr=False, compare=False)

    def as_json(self, *, details: bool = False) -> dict[str, Any]:
        """As ``veriscope index search --json`` prints it, with ``details`` where they are asked for."""
        shown = {"reference": self.reference, "score": round(self.score, 4), "level": self.level, "says": self.says}
        if not details:
            return shown
        more = {"added": self.added, "levels": [round(chance, 4) for chance in self.levels]}
        return shown | {"details": more | ({"taken": self.taken} if self.taken else {}) | self.details}


def judged(
    index: Index, picture: Picture, query: verification.Points, candidate: Candidate, row: dict[str, Any]
) -> Match | None:
    """What a candidate comes to once it is verified; None where it is no copy.

    Args:
        index: that holds it.
        picture: the query.
        query: its local points.
        candidate: what was found.
        row: of the candidate, with the keys of ``rows.SHOWN``.
    """
    details = {name: row[name] for name in FACTS}
    details |= {name: value for name, value in row["meta"].items() if name not in ("stamp", "taken")}
    details |= {"hash_distance": candidate.distance, "similarity": round(candidate.similarity, 4)}
    details |= {"turn": candidate.turn} if candidate.turn and candidate.nearness else {}
    same = row["sha256"] == picture.sha256
    nearness = candidate.nearness if row["quality"] >= pdq.LEAST_QUALITY else 0.0
    reference = pixels(index, row)
    if same:
        certain = (0.0,) * HIGHEST + (1.0,)
        return _match(row, 1.0, "It is the very same file.", details, level=HIGHEST, levels=certain, original=reference)
    if reference is None:
        way = candidate.turn or "as it is"
        says = f"As a whole it is nearly the same, {way} ({candidate.distance} of 256 bits differ); neither the original nor a "
        return _match(row, nearness, f"{says}small copy of it is left to compare.", details) if nearness else None
    found, score = _verified(picture.rgb, query, reference, candidate, nearness)
    if found is None or score < LEAST_SCORE:
        return None
    full = found.homography @ resizing((row["height"], row["width"]), reference.shape)
    full /= full[2, 2]
    details |= {"inliers": found.inliers, "overlap": round(found.overlap, 4), "agreement": round(found.agreement, 4)}
    details |= {"mirrored": found.mirrored, "negative": found.negative, "homography": full.tolist()}
    differs = difference(picture.rgb, reference, found)
    level, chances = levels.level_of(found, differs)
    seen = {"level": level, "levels": chances, "original": reference, "verification": found, "difference": differs}
    return _match(row, score, f"{found.says} {differs.says}", details, **seen)


def pixels(index: Index, row: dict[str, Any]) -> Pixels | None:
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


def _verified(
    rgb: Pixels, query: verification.Points, reference: Pixels, candidate: Candidate, nearness: float
) -> tuple[Verification | None, float]:
    """How the query shows the reference, by points or else as a whole, and the score of that."""
    shown = verification.points(reference)
    found = verification.verify_points(query, shown)
    if found is not None:
        return found, max(found.score, nearness)
    if not nearness:
        return None, 0.0
    tells = min(len(query.places), len(shown.places)) >= verification.LEAST_INLIERS
    found = verify_whole(rgb, reference, candidate.turn, least=LEAST_AGAINST_POINTS if tells else LEAST_AGREEMENT)
    return found, 0.0 if found is None else nearness * found.score


def _match(row: dict[str, Any], score: float, says: str, details: dict[str, Any], **seen: Any) -> Match:
    taken = str(row["meta"].get("taken") or "")
    told = f"{says} Known since {row['added'][:10]}."
    told += f" The original's file says that it was taken {taken}." if taken else ""
    seen = {"level": None} | seen
    return Match(row["reference"], score, says=told, added=row["added"], taken=taken, details=details, **seen)
