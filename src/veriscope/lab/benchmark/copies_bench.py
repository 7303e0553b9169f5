"""``veriscope lab bench-copies``: how well descriptors find the original of a copy among distractors.

References are originals and distractors: the rest of the pictures, and rendered textures after them. Queries are copies of the
originals by each pattern and by chains of patterns, and copies of strangers, pictures that are not among the references, for
which every answer is wrong. What is slow is measured on a smaller part, and everything else on that part too, in a table of
its own. Protocol: ``copies_protocol``. A run resumes.

Paper: Papakipos et al. 2022 (Results and findings of the 2021 Image Similarity Challenge).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.copies.normalisation import background
from veriscope.copies.patterns import Pattern
from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.copies_described import HASHED, MEASURES, SEARCHED, SLOW, Measure, described
from veriscope.lab.benchmark.copies_patterns import learned_maps
from veriscope.lab.benchmark.copies_protocol import Ranking, measured, restricted
from veriscope.lab.benchmark.copies_vectors import (
    CHAINS,
    COPIED_A_PIECE,
    STRANGER,
    Described,
    Piece,
    Vectors,
    pieces_of,
    query_pieces,
    rendered_pieces,
)
from veriscope.lab.benchmark.copies_verified import reranked
from veriscope.lab.data.copy_patterns import HELD_OUT, PATTERNS, TRAINING
from veriscope.lab.data.manifest import read_manifests, spread
from veriscope.reporting.files import write_atomically

LEAST_PICTURES = 8  # that are copied, so that two are strangers
BY_HASH = 5  # candidates by hash, beside those by vector
HEAVY_CROPS = ("crop quarter", "crop tenth", "crop wide", "crop tall")
HEAVY_OVERLAYS = ("on other", "small on other", "on billboard", "picture in picture", "collage four")


@dataclass(frozen=True)
class Order:
    """What a run is asked for.

    Attributes:
        data: the manifests.
        out: the folder of results and of what is kept to resume.
        split: of the pictures that are copied.
        distractors: how many references are nobody's original; pictures of all other splits first, rendered ones after.
        most: pictures that are copied; every fourth of them is not among the references.
        patterns: of ``PATTERNS``; all, and chains of them, where empty.
        seed: of the copies.
        processes: that make and describe pictures.
        slow_most, slow_distractors: the same for descriptors that are slow.
        verified_most: pictures whose copies are also searched for as an index does, with verification; 0 for none.
        command: that prints these figures again.
    """

    data: tuple[Path, ...]
    out: Path
    split: str = "test"
    distractors: int = 2000
    most: int = 40
    patterns: tuple[str, ...] = ()
    seed: int = 0
    processes: int = 1
    slow_most: int = 12
    slow_distractors: int = 400
    verified_most: int = 0
    command: str = ""


class CopiesBench:
    """One run: makes references and queries, describes them, ranks and measures.

    Args:
        order: what is asked for.
        measures: what is measured, of the descriptors that ``made_anew`` makes.
        made_anew: makes the descriptors by name, here and in other processes.
        say: called with lines of progress.
    Raises:
        VeriscopeError: there are too few pictures, or a pattern is unknown.
    """

    def __init__(
        self,
        order: Order,
        measures: Sequence[Measure] = MEASURES,
        made_anew: Callable[[], dict[str, Described]] = described,
        say: Callable[[str], None] = print,
    ) -> None:
        self.order, self.measures, self.say = order, measures, say
        unknown = [name for name in order.patterns if name not in PATTERNS]
        if unknown:
            raise VeriscopeError(f"no tamper pattern {', '.join(unknown)}; there are: {', '.join(PATTERNS)}")
        self.patterns = order.patterns or (*PATTERNS, *CHAINS)
        rows = read_manifests(order.data)
        self.copied = spread([row for row in rows if row.split == order.split], order.most)
        if len(self.copied) < LEAST_PICTURES:
            held = f"split {order.split} has {len(self.copied)} pictures that may be copied"
            raise VeriscopeError(f"{order.data[0]}: {held}; at least {LEAST_PICTURES} are needed")
        self.stranger = np.arange(len(self.copied)) % STRANGER == STRANGER - 1
        taken = {row.group for row in self.copied}
        self.others = spread([row for row in rows if row.group not in taken], order.distractors)
        self.vectors = Vectors(order.out / "vectors", made_anew, order.processes, say)

    def run(self) -> dict[str, Any]:
        """Measure all and write ``copies.json``; returns the tables."""
        fast = [measure for measure in self.measures if measure.of not in SLOW]
        tables: dict[str, Any] = {"about": self._about(), "figures": self._figures(fast)}
        if len(fast) < len(self.measures):
            fewer = replace(
                self.order, most=self.order.slow_most, distractors=self.order.slow_distractors, verified_most=0
            )
            part = CopiesBench(fewer, self.measures, self.vectors.made_anew, self.say)
            tables |= {"about_slow": part._about(), "figures_slow": part._figures(self.measures)}
        write_atomically(self.order.out / "copies.json", json.dumps(tables, indent=1).encode())
        return tables

    def _about(self) -> dict[str, Any]:
        order = {name: value for name, value in asdict(self.order).items() if name not in ("data", "out")}
        return {
            "data": ["/".join(path.parts[-2:]) for path in self.order.data],
            "order": order,
            "originals": int((~self.stranger).sum()),
            "strangers": int(self.stranger.sum()),
            "photographed_distractors": len(self.others),
            "rendered_distractors": max(0, self.order.distractors - len(self.others)),
        }

    def _figures(self, measures: Sequence[Measure]) -> list[dict[str, Any]]:
        originals = [row for row, stranger in zip(self.copied, self.stranger, strict=True) if not stranger]
        references = [
            *pieces_of(originals),
            *pieces_of(self.others),
            *rendered_pieces(self.order.distractors - len(self.others)),
        ]
        queries = query_pieces(self.copied, self.patterns, self.order.seed)
        names = list(dict.fromkeys(measure.of for measure in measures))
        for pieces in (queries, references):
            self.vectors.make(pieces, names)
        numbers = np.where(self.stranger, -1, np.cumsum(~self.stranger) - 1)
        known = np.repeat(numbers, len(self.patterns))
        figures = []
        for measure in measures:
            asked, held = (self.vectors.read(pieces, measure.of) for pieces in (queries, references))
            maps = self._maps(measure.of) if measure.taught else ()
            figures += self._read_off(measure.name, measure.ranking(asked, held, known, maps), known)
            self.say(f"{measure.name}: measured")
        if self.order.verified_most and SEARCHED in measures:
            some = queries[: -(-self.order.verified_most // COPIED_A_PIECE)]
            places = self._candidates(SEARCHED, some, references)
            if HASHED in measures:
                by_hash = self._candidates(HASHED, some, references)[:, :BY_HASH]
                places = np.concatenate([places, by_hash], axis=1)
            ranking = reranked(places, known[: len(places)], some, references, self.order.processes, self.say)
            figures += self._read_off("a search: both, verified", ranking, known[: len(places)])
        return figures

    def _candidates(self, measure: Measure, queries: Sequence[Piece], references: Sequence[Piece]) -> NDArray[np.int64]:
        asked, held = (self.vectors.read(pieces, measure.of) for pieces in (queries, references))
        return measure.candidates(asked, held)

    def _maps(self, name: str) -> list[Pattern]:
        """What is learned from pairs of pictures that are not copied for the benchmark."""
        return learned_maps(self.others, self.vectors, name, background(), self.order.seed, self.say)

    def _read_off(self, name: str, ranking: Ranking, known: NDArray[np.int64]) -> list[dict[str, Any]]:
        pattern = np.tile(np.array(self.patterns, dtype=object), len(known) // len(self.patterns))
        single = tuple(one for one in self.patterns if one not in CHAINS)
        groups: dict[str, tuple[str, ...]] = {"all": single}
        groups["training patterns"] = tuple(one for one in single if one in TRAINING)
        groups["held out patterns"] = tuple(one for one in single if one in HELD_OUT)
        groups["chained"] = tuple(one for one in self.patterns if one in CHAINS)
        groups["heavy crops"] = tuple(one for one in single if one in HEAVY_CROPS)
        groups["heavy overlays"] = tuple(one for one in single if one in HEAVY_OVERLAYS)
        groups |= {one: (one,) for one in self.patterns}
        found = []
        for group, members in groups.items():
            if members:
                held = np.isin(pattern, members)
                figures = measured(restricted(ranking, held), int((held & (known >= 0)).sum()))
                found.append({"descriptor": name, "patterns": group} | figures)
        return found
