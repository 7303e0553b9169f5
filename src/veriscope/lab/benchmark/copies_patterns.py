"""What a handful of pairs of a new tamper pattern is worth: the held-out patterns before and after learning each from pairs.

For each pattern some pictures that are in no part of the benchmark are copied by it; its map is learned from these pairs and
nothing else. The benchmark's queries are then asked once as they are and once through each map, all maps for every query, as
an index that has learned them does. Beside the held-out patterns, what becomes of the others is measured.

Paper: Wang et al. 2024 (AnyPattern).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from veriscope.copies import patterns
from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.copies_vectors import Piece, Vectors
from veriscope.lab.data.copy_patterns import HELD_OUT
from veriscope.lab.data.manifest import Row

PAIRS = 20  # of each pattern


def learned_maps(
    rows: Sequence[Row],
    vectors: Vectors,
    name: str,
    background: NDArray[np.float32],
    seed: int,
    say: Callable[[str], None],
    pairs: int = PAIRS,
) -> list[patterns.Pattern]:
    """The map of each held-out pattern that pairs help with.

    Args:
        rows: pictures that are copied for the pairs; the last of them is what copies are put together with.
        vectors: where they are kept.
        name: of the descriptor.
        background: (B, D).
        seed: of the copies.
        say: told which patterns no map helps with.
        pairs: of each pattern.
    """
    some, other = tuple(rows[:pairs]), rows[-1]
    copies = Piece("queries", some, (other,) * len(some), (), HELD_OUT, seed)
    originals = Piece("references", some)
    for piece in (copies, originals):
        vectors.make([piece], [name])
    whole = _wholes(vectors.read([originals], name))
    replicas = _wholes(vectors.read([copies], name)).reshape(len(some), len(HELD_OUT), -1)
    found = []
    for number, pattern in enumerate(HELD_OUT):
        try:
            found.append(patterns.learn(pattern, name, replicas[:, number], whole, background))
        except VeriscopeError as error:
            say(str(error))
    return found


def asked_again(queries: NDArray[np.float32], maps: Sequence[patterns.Pattern]) -> NDArray[np.float32]:
    """Queries ``(Q, P, D)`` with their wholes through each map as further parts, ``(Q, P + maps, D)``."""
    wholes = queries[:, 0]
    return np.concatenate([queries, *(one(wholes)[:, None] for one in maps)], axis=1)


def _wholes(found: NDArray[np.float32]) -> NDArray[np.float32]:
    return found if found.ndim == 2 else np.ascontiguousarray(found[:, 0])
