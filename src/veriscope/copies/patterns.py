"""A new way of copying, learned from five to fifty pairs of originals and replicas, without training the network again.

A replica's vector lies off its original's in a way that a pattern has in common. A linear map, near to the identity and fitted
to the pairs by ridge regression, takes it back; a query is asked once as it is and once through each map. How strongly the map
may bend is chosen by leaving one pair out at a time, and a map that does not help then is refused. Fails where a pattern moves
vectors at random, as crops do.

Paper: Wang et al. 2024 (AnyPattern: in-context copy detection).
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veriscope.copies.normalisation import crowd
from veriscope.errors import VeriscopeError

FOLDER = "patterns"  # in an index's
LEAST, MOST = 5, 50  # pairs
STIFFNESS = (0.1, 0.3, 1.0, 3.0, 10.0)  # of the map, that are tried: weight of the ridge, in vectors of length 1
ERRORS = 2.5  # standard errors by which pairs left out must gain; below, a map is refused
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]{0,63}")

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pattern:
    """What takes a replica's vector to its original's.

    Attributes:
        name: as the user calls it.
        descriptor: name and version of what made the vectors.
        matrix: float32 (D, D).
        offset: float32 (D,).
        pairs: that it was learned from.
        stiffness: of the map.
        margin, plain: how much nearer an original is than the background, through the map and without it, in cosines; the mean
            over pairs of which each was left out.
    """

    name: str
    descriptor: str
    matrix: Vectors = field(repr=False)
    offset: Vectors = field(repr=False)
    pairs: int
    stiffness: float
    margin: float
    plain: float

    @property
    def gain(self) -> float:
        """By how much the margin grew."""
        return self.margin - self.plain

    def __call__(self, vectors: Vectors) -> Vectors:
        """Vectors (N, D) of queries through the map, of length 1."""
        return _mapped(vectors, self.matrix, self.offset)


def learn(name: str, descriptor: str, replicas: Vectors, originals: Vectors, background: Vectors) -> Pattern:
    """The map of a pattern.

    Args:
        name: of the pattern.
        descriptor: name and version of what made the vectors.
        replicas, originals: (N, D) of length 1, pair by pair.
        background: (B, D) of pictures that are no originals of these.
    Raises:
        VeriscopeError: too few or too many pairs, a name that cannot be a file's, or no map that helps.
    """
    check(name, len(replicas))
    plain = _told(replicas, originals, background)
    tried = {stiffness: _left_out(replicas, originals, background, stiffness) for stiffness in STIFFNESS}
    # both must grow: a map that scatters queries lowers the crowd and helps nobody
    gains = {stiffness: min(_surely(told[row] - plain[row]) for row in (0, 1)) for stiffness, told in tried.items()}
    best = max(gains, key=lambda stiffness: gains[stiffness])
    if gains[best] <= 0:
        raise VeriscopeError(
            f"pattern {name}: no map helps with a pair that it was not fitted to; nothing was stored. Give more pairs, "
            "or pairs of one pattern only"
        )
    matrix, offset = _fitted(replicas, originals, best)
    return Pattern(
        name, descriptor, matrix, offset, len(replicas), best, float(tried[best][1].mean()), float(plain[1].mean())
    )


def check(name: str, pairs: int) -> None:
    """See that a pattern can be learned under this name and from so many pairs.

    Raises:
        VeriscopeError: it cannot.
    """
    if not NAME.fullmatch(name):
        raise VeriscopeError(f"pattern {name!r}: a name is of letters, digits, spaces, - and _, at most 64")
    if not LEAST <= pairs <= MOST:
        raise VeriscopeError(f"pattern {name}: {pairs} pairs; between {LEAST} and {MOST} are needed")


def _fitted(replicas: Vectors, originals: Vectors, stiffness: float) -> tuple[Vectors, Vectors]:
    """The ridge regression of what originals are beside their replicas, from these and a constant."""
    given = np.concatenate([replicas, np.ones((len(replicas), 1), np.float32)], 1).astype(np.float64)
    missing = (originals - replicas).astype(np.float64)
    change = missing.T @ np.linalg.solve(given @ given.T + stiffness * np.eye(len(given)), given)
    return (np.eye(replicas.shape[1]) + change[:, :-1]).astype(np.float32), change[:, -1].astype(np.float32)


def _mapped(vectors: Vectors, matrix: Vectors, offset: Vectors) -> Vectors:
    found = vectors @ matrix.T + offset
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9), np.float32)


def _told(replicas: Vectors, originals: Vectors, background: Vectors) -> Vectors:
    """The cosine of each replica to its original, and the same above its crowd: float32 (2, N)."""
    near = (replicas * originals).sum(1)
    return np.stack([near, near - crowd(replicas, background)])


def _surely(gains: Vectors) -> float:
    """How far the mean of gains lies above what chance makes of that many."""
    return float(gains.mean() - ERRORS * gains.std() / len(gains) ** 0.5)


def _left_out(replicas: Vectors, originals: Vectors, background: Vectors, stiffness: float) -> Vectors:
    mapped = []
    for place in range(len(replicas)):
        others = np.arange(len(replicas)) != place
        mapped.append(_mapped(replicas[place : place + 1], *_fitted(replicas[others], originals[others], stiffness)))
    return _told(np.concatenate(mapped), originals, background)


def save(folder: Path, pattern: Pattern) -> Path:
    """Keep a pattern in the folder of an index; one of its name is replaced. Returns the file, which is whole or not there.

    Raises:
        VeriscopeError: it cannot be written.
    """
    path = folder / FOLDER / f"{pattern.name}.npz"
    data = io.BytesIO()
    words = {"descriptor": pattern.descriptor}
    figures = {name: getattr(pattern, name) for name in ("pairs", "stiffness", "margin", "plain")}
    np.savez_compressed(data, matrix=pattern.matrix, offset=pattern.offset, **words, **figures)  # type: ignore[arg-type]
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data.getvalue())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise VeriscopeError(f"{path}: cannot be written ({error.strerror}); nothing else was touched") from error
    return path


def read(folder: Path, descriptor: str) -> list[Pattern]:
    """The patterns that an index's folder holds, by name.

    Raises:
        VeriscopeError: one is damaged, or was learned with another descriptor; names it and the mend.
    """
    found = []
    for path in sorted((folder / FOLDER).glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as held:
                made = Pattern(
                    path.stem,
                    str(held["descriptor"]),
                    held["matrix"].astype(np.float32),
                    held["offset"].astype(np.float32),
                    int(held["pairs"]),
                    *(float(held[name]) for name in ("stiffness", "margin", "plain")),
                )
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise VeriscopeError(f"{path}: not a pattern ({error}); remove it, or learn it again") from error
        if made.descriptor != descriptor:
            raise VeriscopeError(
                f"{path}: learned with the descriptor {made.descriptor}, and the index has {descriptor}; learn it again"
            )
        found.append(made)
    return found


def remove(folder: Path, name: str) -> None:
    """Forget a pattern.

    Raises:
        VeriscopeError: there is none of that name, or it cannot be removed.
    """
    held = sorted(path.stem for path in (folder / FOLDER).glob("*.npz"))
    if name not in held:
        raise VeriscopeError(f"{folder}: no pattern {name!r}; there are: {', '.join(held) or 'none'}")
    try:
        (folder / FOLDER / f"{name}.npz").unlink()
    except OSError as error:
        raise VeriscopeError(f"{folder}: pattern {name} cannot be removed ({error.strerror})") from error
