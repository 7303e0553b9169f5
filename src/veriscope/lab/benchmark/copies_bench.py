"""``veriscope lab bench-copies``: how well descriptors find the original of a copy among distractors.

The protocol is that of the Image Similarity Challenge: every query is compared with every reference, the pairs of all queries
are ranked together by one score, and precision and recall are read off that one ranking, so a score must mean the same for
every query. References are originals and distractors; queries are copies of the originals by each pattern, and copies of
pictures that are not among the references, for which every answer is wrong. Vectors are kept on disk and a run resumes.

Paper: Papakipos et al. 2022 (Results and findings of the 2021 Image Similarity Challenge).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import PictureError, VeriscopeError
from veriscope.lab.data.copy_patterns import HELD_OUT, PATTERNS, TRAINING, copied_for
from veriscope.lab.data.manifest import Row, load_pixels, read_manifests, spread
from veriscope.lab.data.procedural import telling
from veriscope.reporting.files import write_atomically

Pixels = NDArray[np.uint8]
NEAREST = 10  # references of each query that enter the ranking
AT_PRECISION = 0.9
LEAST_PICTURES = 8  # that are copied, so that two are strangers
CHUNK = 512  # pictures between two writings
RENDERED_SIDE = 128  # pixels of rendered distractors
HEAVY_CROPS = ("crop quarter", "crop tenth", "crop wide", "crop tall")
HEAVY_OVERLAYS = ("on other", "small on other", "on billboard", "collage four")


@dataclass(frozen=True, eq=False)
class Described:
    """A descriptor that is measured.

    Attributes:
        name: in tables.
        version: of what it does; vectors of another version are made again.
        describe: ``uint8 (H, W, 3)`` RGB to a vector (float32, compared by cosine) or to a hash (uint8, bits are compared).
        kind: "vector" or "hash".
    """

    name: str
    version: str
    describe: Callable[[Pixels], NDArray[Any]]
    kind: Literal["vector", "hash"] = "vector"


@dataclass(frozen=True)
class Order:
    """What a run is asked for.

    Attributes:
        data: the manifest.
        out: the folder of results and of what is kept to resume.
        split: of the pictures that are copied.
        distractors: how many references are nobody's original; pictures of all other splits first, rendered ones after.
        most: pictures that are copied; a quarter of them is not among the references.
        patterns: of ``PATTERNS``; all where empty.
        seed: of the copies.
        command: that prints these figures again.
    """

    data: Path
    out: Path
    split: str = "test"
    distractors: int = 2000
    most: int = 40
    patterns: tuple[str, ...] = ()
    seed: int = 0
    command: str = ""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Pairs of queries and references that entered: scores, whether each is right, and the query of each; all (N,)."""

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    queries: NDArray[np.int64]


def ranked(
    queries: NDArray[Any], references: NDArray[Any], originals: NDArray[np.int64], nearest: int = NEAREST
) -> Ranking:
    """The nearest references of each query.

    Args:
        queries: (Q, D) float32 vectors of length 1, or uint8 hashes.
        references: (R, D) likewise.
        originals: (Q,) the number of each query's original among the references; -1 where it has none.
        nearest: how many of each enter.
    """
    scores, right, owners = [], [], []
    nearest = min(nearest, len(references))
    for number, query in enumerate(queries):
        alike = likeness(query, references)
        best = np.argpartition(-alike, nearest - 1)[:nearest]
        scores.append(alike[best])
        right.append(best == originals[number])
        owners.append(np.full(nearest, number))
    return Ranking(np.concatenate(scores), np.concatenate(right), np.concatenate(owners))


def likeness(query: NDArray[Any], references: NDArray[Any]) -> NDArray[np.float64]:
    """How alike a query (D,) is to each reference (R, D): cosine of vectors, or 1 less the share of bits that differ."""
    if references.dtype == np.uint8:
        differing = np.bitwise_count(references ^ query).sum(1, dtype=np.int64)
        return 1 - differing / (8.0 * references.shape[1])
    return np.asarray(references @ query, np.float64)


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


def phash(rgb: Pixels) -> NDArray[np.uint8]:
    """The classic perceptual hash, uint8 (8,): the signs, against their median, of the 8 x 8 lowest frequencies at 32 px."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8]
    return np.packbits((low > np.median(low)).ravel())


def descriptors() -> dict[str, Described]:
    """Those that can be measured here, by name: PDQ, pHash, the index's own, and the frozen tower's last class token."""
    from veriscope.copies import descriptor
    from veriscope.copies.pdq import VERSION, pdq
    from veriscope.synthetic import backbone, views

    def tower(rgb: Pixels) -> NDArray[np.float32]:
        reading = backbone.readings_of([views.whole(rgb)])[0, -1, 0]
        return np.asarray(reading / max(float(np.linalg.norm(reading)), 1e-9), np.float32)

    found = [
        Described("pdq", VERSION, lambda rgb: pdq(rgb).bits, "hash"),
        Described("phash", "1", phash, "hash"),
        Described("tower", "1", tower),
    ]
    for name in descriptor.AVAILABLE:
        made = descriptor.make(name)
        found.append(Described(made.name, made.version, made))
    return {one.name: one for one in found}


class CopiesBench:
    """One run: makes references and queries, describes them, ranks and measures.

    Args:
        order: what is asked for.
        measured: the descriptors.
        say: called with lines of progress.
    Raises:
        VeriscopeError: there are too few pictures, or a pattern is unknown.
    """

    def __init__(self, order: Order, measured: Sequence[Described], say: Callable[[str], None] = print) -> None:
        self.order, self.measured, self.say = order, measured, say
        unknown = [name for name in order.patterns if name not in PATTERNS]
        if unknown:
            raise VeriscopeError(f"no tamper pattern {', '.join(unknown)}; there are: {', '.join(PATTERNS)}")
        self.patterns = order.patterns or tuple(PATTERNS)
        rows = read_manifests([order.data])
        chosen = spread([row for row in rows if row.split == order.split], order.most)
        if len(chosen) < LEAST_PICTURES:
            held = f"split {order.split} has {len(chosen)} pictures that may be copied"
            raise VeriscopeError(f"{order.data}: {held}; at least {LEAST_PICTURES} are needed")
        absent = len(chosen) // 4
        self.strangers, self.originals = chosen[:absent], chosen[absent:]
        taken = {row.group for row in chosen}
        self.others = spread([row for row in rows if row.group not in taken], order.distractors)

    def run(self) -> dict[str, Any]:
        """Measure all descriptors and write ``copies.json``; returns the tables."""
        tables: dict[str, Any] = {"about": self._about(), "figures": []}
        for one in self.measured:
            tables["figures"] += self._figures(one)
            self.say(f"{one.name}: measured")
        write_atomically(self.order.out / "copies.json", json.dumps(tables, indent=2).encode())
        return tables

    def _about(self) -> dict[str, Any]:
        order = {name: value for name, value in asdict(self.order).items() if name not in ("data", "out")}
        rendered = max(0, self.order.distractors - len(self.others))
        counts = {
            "originals": len(self.originals),
            "strangers": len(self.strangers),
            "photographed_distractors": len(self.others),
            "rendered_distractors": rendered,
        }
        return {"data": "/".join(self.order.data.parts[-2:]), "order": order} | counts

    def _figures(self, one: Described) -> list[dict[str, Any]]:
        references = np.concatenate(
            [
                self._vectors(one, "originals", len(self.originals), self._read(self.originals)),
                self._vectors(one, "others", len(self.others), self._read(self.others)),
                self._vectors(one, "rendered", self._about()["rendered_distractors"], self._rendered()),
            ]
        )
        held = {name: self._ranking(one, references, name) for name in self.patterns}
        groups: dict[str, tuple[str, ...]] = {"all": self.patterns}
        groups["training patterns"] = tuple(name for name in self.patterns if name in TRAINING)
        groups["held out patterns"] = tuple(name for name in self.patterns if name in HELD_OUT)
        groups["heavy crops"] = tuple(name for name in self.patterns if name in HEAVY_CROPS)
        groups["heavy overlays"] = tuple(name for name in self.patterns if name in HEAVY_OVERLAYS)
        groups |= {name: (name,) for name in self.patterns}
        return [
            {"descriptor": one.name, "patterns": group} | measured(joined([held[name] for name in names]))
            for group, names in groups.items()
            if names
        ]

    def _ranking(self, one: Described, references: NDArray[Any], pattern: str) -> tuple[Ranking, int]:
        rows = [*self.originals, *self.strangers]
        queries = self._vectors(one, f"queries {pattern}", len(rows), self._copies(rows, pattern))
        known = np.append(np.arange(len(self.originals)), np.full(len(self.strangers), -1))
        return ranked(queries, references, known), len(self.originals)

    def _copies(self, rows: Sequence[Row], pattern: str) -> Callable[[int], Pixels]:
        def copy(number: int) -> Pixels:
            row = rows[number]  # a ground or neighbour is a stranger, as an original would be found in it, and rightly
            other = self.strangers[(number - len(self.originals) + 1) % len(self.strangers)]
            return copied_for(_pixels(row), _pixels(other), pattern, f"{row.key}#{self.order.seed}")

        return copy

    def _read(self, rows: Sequence[Row]) -> Callable[[int], Pixels]:
        return lambda number: _pixels(rows[number])

    def _rendered(self) -> Callable[[int], Pixels]:
        return lambda number: telling(np.random.default_rng((7, number)), RENDERED_SIDE).picture(RENDERED_SIDE)

    def _vectors(self, one: Described, part: str, count: int, picture: Callable[[int], Pixels]) -> NDArray[Any]:
        """The vectors of a part, from disk as far as they are there; a part that changed is made again."""
        mark = hashlib.sha256(f"{one.name} {one.version} {part} {self._state}".encode()).hexdigest()[:16]
        folder = self.order.out / "vectors"
        made: list[NDArray[Any]] = []
        for start in range(0, count, CHUNK):
            path = folder / f"{one.name}-{mark}-{start}-{min(start + CHUNK, count)}.npy"
            if path.exists():
                made.append(np.load(path, allow_pickle=False))
                continue
            piece = np.stack([one.describe(picture(number)) for number in range(start, min(start + CHUNK, count))])
            folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial.npy")
            np.save(partial, piece, allow_pickle=False)
            partial.replace(path)
            made.append(piece)
            self.say(f"{one.name}: {part}, {min(start + CHUNK, count)} of {count}")
        if made:
            return np.concatenate(made)
        sample = one.describe(np.zeros((64, 64, 3), np.uint8))
        return np.zeros((0, *sample.shape), sample.dtype)

    @property
    def _state(self) -> str:
        keys = [row.key for row in (*self.originals, *self.strangers, *self.others)]
        return hashlib.sha256("\n".join([str(self.order.seed), *keys]).encode()).hexdigest()


def joined(rankings: Sequence[tuple[Ranking, int]]) -> tuple[Ranking, int]:
    """Rankings of several patterns as one, queries numbered apart, and how many queries have an original."""
    shifts = np.cumsum([0, *(int(ranking.queries.max(initial=-1)) + 1 for ranking, _ in rankings)])
    return Ranking(
        np.concatenate([ranking.scores for ranking, _ in rankings]),
        np.concatenate([ranking.right for ranking, _ in rankings]),
        np.concatenate([ranking.queries + shift for (ranking, _), shift in zip(rankings, shifts[:-1], strict=True)]),
    ), sum(positives for _, positives in rankings)


def measured(of: tuple[Ranking, int]) -> dict[str, float | int]:
    """The protocol's figures of a ranking and its number of positives."""
    ranking, positives = of
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


def _pixels(row: Row) -> Pixels:
    try:
        return load_pixels(row)
    except PictureError:
        return np.full((64, 64, 3), 127, np.uint8)  # one that cannot be read is found by nobody
