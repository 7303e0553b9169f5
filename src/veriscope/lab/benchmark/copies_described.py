"""The descriptors of copies that are measured, and how a ranking comes of each: PDQ, pHash, the learned one, a frozen tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies.patterns import Pattern
from veriscope.errors import ModelError
from veriscope.lab.benchmark.copies_patterns import asked_again
from veriscope.lab.benchmark.copies_protocol import Ranking, nearest_of, ranked
from veriscope.lab.benchmark.copies_vectors import Described

Pixels = NDArray[np.uint8]
SLOW = ("tower",)  # a pass of it costs some hundred times what the others cost


@dataclass(frozen=True)
class Measure:
    """One row of the tables.

    Attributes:
        name: in them.
        of: the descriptor.
        parts: windows are compared too, both ways; otherwise the wholes alone.
        normalised: similarities are less the query's crowd.
        taught: the whole query is also asked through maps learned from pairs of the held-out patterns.
    """

    name: str
    of: str
    parts: bool = False
    normalised: bool = False
    taught: bool = False

    def ranking(
        self,
        queries: NDArray[Any],
        references: NDArray[Any],
        known: NDArray[np.int64],
        maps: Sequence[Pattern] = (),
    ) -> Ranking:
        """The ranking of vectors or hashes of queries among those of references.

        Args:
            queries, references, known: as ``queries``, ``references`` and ``originals`` of ``ranked``.
            maps: for one that is taught.
        """
        asked, held, crowds = self._given(queries, references, maps)
        return ranked(asked, held, known, crowds=crowds)

    def candidates(self, queries: NDArray[Any], references: NDArray[Any]) -> NDArray[np.int64]:
        """The numbers of the references that each query brings first, ``(Q, 10)``."""
        asked, held, crowds = self._given(queries, references, ())
        return nearest_of(asked, held, crowds=crowds)[1]

    def _given(
        self, queries: NDArray[Any], references: NDArray[Any], maps: Sequence[Pattern]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32] | None]:
        if not self.parts and queries.ndim == 3:
            queries, references = queries[:, :1], np.ascontiguousarray(references[:, 0])
        if self.taught:
            queries = asked_again(queries, maps)
        return queries, references, self._crowds(queries) if self.normalised else None

    def _crowds(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        from veriscope.copies.normalisation import background, crowd

        flat = queries.reshape(-1, queries.shape[-1])
        return crowd(flat, background()).reshape(queries.shape[:-1])


MEASURES = (
    Measure("pdq", "pdq"),
    Measure("phash", "phash"),
    Measure("statistics", "statistics"),
    Measure("learned", "learned"),
    Measure("learned, normalised", "learned", normalised=True),
    Measure("learned, parts", "learned", parts=True),
    Measure("learned, parts, normalised", "learned", parts=True, normalised=True),
    Measure("learned, normalised, taught", "learned", normalised=True, taught=True),
    Measure("learned, parts, normalised, taught", "learned", parts=True, normalised=True, taught=True),
    Measure("tower", "tower"),
)


HASHED, SEARCHED = MEASURES[0], MEASURES[6]  # what bring an index's candidates


def phash(rgb: Pixels) -> NDArray[np.uint8]:
    """The classic perceptual hash, uint8 (8,): the signs, against their median, of the 8 x 8 lowest frequencies at 32 px."""
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8]
    return np.packbits((low > np.median(low)).ravel())


def tower(rgb: Pixels) -> NDArray[np.float32]:
    """The frozen tower's class token after its last bundled block, float32 (768,) of length 1."""
    from veriscope.synthetic import backbone, views

    reading = backbone.readings_of([views.whole(rgb)])[0, -1, 0]
    return np.asarray(reading / max(float(np.linalg.norm(reading)), 1e-9), np.float32)


def described() -> dict[str, Described]:
    """The descriptors that can be measured here, by name; the learned one where it is installed."""
    from veriscope.copies import descriptor
    from veriscope.copies.learned import Learned
    from veriscope.copies.pdq import VERSION, pdq

    unlearned = descriptor.Statistics()
    found = [
        Described("pdq", VERSION, lambda rgb: pdq(rgb).bits),
        Described("phash", "1", phash),
        Described("tower", "1", tower),
        Described(unlearned.name, unlearned.version, unlearned),
    ]
    try:
        made = Learned()
    except ModelError:
        pass
    else:
        found.append(Described(made.name, f"{made.version} parts", made.of_reference, made.of_query))
    return {one.name: one for one in found}
