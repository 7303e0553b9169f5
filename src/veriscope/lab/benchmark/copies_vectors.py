"""The pictures that copy detection is measured on, and the vectors of all descriptors of them, made in parallel and kept.

Pictures are made piece by piece and described by every descriptor at once, as drawing and copying them costs more than most
descriptors. A piece is a file for each descriptor, named by all that went into it, so a run resumes and a larger one reuses.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import PictureError, VeriscopeError
from veriscope.lab.data.copy_patterns import PATTERNS, chained, copied_for
from veriscope.lab.data.manifest import Row, load_pixels
from veriscope.lab.data.procedural import telling
from veriscope.processes import in_processes

Pixels = NDArray[np.uint8]
REFERENCES_A_PIECE, COPIED_A_PIECE = 256, 4  # pictures in a piece
RENDERED_SIDE = 128  # pixels of rendered distractors
PROGRAM_SIDE = 160  # pixels of the texture that they are cut from
CUT_FROM_ONE = 8  # distractors of one texture: other parts, turns and colours
CHAINS = {"chain of two": 2, "chain of three": 3, "chain of four": 4}  # patterns stacked on each other
STRANGER = 4  # one copied picture in so many is not among the references


@dataclass(frozen=True, eq=False)
class Described:
    """A descriptor that is measured.

    Attributes:
        name: in tables.
        version: of what it does; vectors of another version are made again.
        describe: ``uint8 (H, W, 3)`` RGB of a reference to a vector (float32, compared by cosine) or to a hash (uint8); with
            parts, ``(P, D)``, the whole first.
        query: the same of a query; ``describe`` by default.
    """

    name: str
    version: str
    describe: Callable[[Pixels], NDArray[Any]]
    query: Callable[[Pixels], NDArray[Any]] | None = None

    def of(self, rgb: Pixels, kind: str) -> NDArray[Any]:
        """What is kept of a picture: as a reference, or as one of the "queries"."""
        made = (self.query if kind == "queries" and self.query else self.describe)(rgb)
        return made if made.dtype == np.uint8 else made.astype(np.float16)


@dataclass(frozen=True)
class Piece:
    """Pictures that are made and described together.

    Attributes:
        kind: "references", "rendered" or "queries".
        rows: the pictures; of queries those that are copied.
        others: for queries, the picture that each one's copies are put together with.
        numbers: of rendered distractors.
        names: of patterns and chains, for queries.
        seed: of the copies.
    """

    kind: Literal["references", "rendered", "queries"]
    rows: tuple[Row, ...] = ()
    others: tuple[Row, ...] = ()
    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    seed: int = 0

    @property
    def mark(self) -> str:
        """Sixteen digits that change with anything in it."""
        keys = [[row.key for row in rows] for rows in (self.rows, self.others)]
        said = f"{self.kind} {keys} {self.numbers} {self.names} {self.seed} {RENDERED_SIDE} {PROGRAM_SIDE}"
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def pictures(self) -> Iterator[Pixels]:
        """The pictures in order; of queries, all copies of the first, then all of the second, and so on."""
        if self.kind == "rendered":
            yield from map(rendered, self.numbers)
        elif self.kind == "references":
            yield from map(pixels, self.rows)
        else:
            for row, other in zip(self.rows, self.others, strict=True):
                rgb, beside = pixels(row), pixels(other)
                for name in self.names:
                    yield copy_of(rgb, beside, name, f"{row.key}#{self.seed}")


def copy_of(rgb: Pixels, other: Pixels, name: str, key: str) -> Pixels:
    """A picture copied by a pattern, or by a chain of random ones; chance is drawn from the key and the name."""
    if name not in CHAINS:
        return copied_for(rgb, other, name, key)
    generator = np.random.default_rng(zlib.crc32(f"{key}#{name}".encode()))
    return chained(rgb, other, generator, tuple(PATTERNS), CHAINS[name], CHAINS[name])[0]


def rendered(number: int) -> Pixels:
    """A distractor ``uint8 (128, 128, 3)``: a part of a random texture, turned and recoloured."""
    texture = _texture(number // CUT_FROM_ONE)
    generator = np.random.default_rng((8, number))
    side = int(generator.integers(PROGRAM_SIDE // 2, PROGRAM_SIDE + 1))
    top, left = generator.integers(0, PROGRAM_SIDE - side + 1, 2)
    part = np.rot90(texture[top : top + side, left : left + side], int(generator.integers(4)))
    part = part[:, :, generator.permutation(3)]
    lightness = np.float32(generator.uniform(0.6, 1.4))
    small = cv2.resize(np.ascontiguousarray(part), (RENDERED_SIDE, RENDERED_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(small * lightness, 0, 255), np.uint8)


@lru_cache(maxsize=2)
def _texture(number: int) -> Pixels:
    return telling(np.random.default_rng((7, number)), PROGRAM_SIDE).picture(PROGRAM_SIDE)


@lru_cache(maxsize=4)
def pixels(row: Row) -> Pixels:
    """The picture of a row; one that cannot be read is grey, and found by nobody."""
    try:
        return load_pixels(row)
    except PictureError:
        return np.full((64, 64, 3), 127, np.uint8)


def pieces_of(rows: Sequence[Row]) -> list[Piece]:
    """References in pieces."""
    return [Piece("references", tuple(part)) for part in _parts(rows, REFERENCES_A_PIECE)]


def rendered_pieces(count: int) -> list[Piece]:
    """Rendered distractors in pieces."""
    return [Piece("rendered", numbers=tuple(part)) for part in _parts(range(count), REFERENCES_A_PIECE)]


def query_pieces(rows: Sequence[Row], names: Sequence[str], seed: int) -> list[Piece]:
    """Copies of rows in pieces; a ground or neighbour is a stranger, as an original would be found in it, and rightly."""
    strangers = rows[STRANGER - 1 :: STRANGER]
    others = [strangers[(number + 1) // STRANGER % len(strangers)] for number in range(len(rows))]
    together = list(zip(rows, others, strict=True))
    return [
        Piece("queries", tuple(row for row, _ in part), tuple(other for _, other in part), (), tuple(names), seed)
        for part in _parts(together, COPIED_A_PIECE)
    ]


def _parts(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


class Vectors:
    """What descriptors say of pieces, kept in a folder.

    Args:
        folder: of the files.
        made_anew: makes the descriptors by name, in this process and in others; it can be pickled.
        processes: that describe; 1 works in this one.
        say: called with lines of progress.
    """

    def __init__(
        self,
        folder: Path,
        made_anew: Callable[[], dict[str, Described]],
        processes: int = 1,
        say: Callable[[str], None] = print,
    ) -> None:
        self.folder, self.made_anew, self.processes, self.say = folder, made_anew, processes, say
        self.versions = {name: one.version for name, one in made_anew().items()}

    def make(self, pieces: Sequence[Piece], names: Sequence[str]) -> None:
        """Make what is missing of these pieces, by these descriptors.

        Raises:
            VeriscopeError: a piece brought its process down, or the disk is full; the complete ones stay.
        """
        wanted = [(piece, tuple(name for name in names if not self._path(piece, name).exists())) for piece in pieces]
        todo = [(piece, missing) for piece, missing in wanted if missing]
        work = partial(_described, self.made_anew, self.folder)
        began = time.monotonic()
        done = map(work, todo) if self.processes == 1 else in_processes(todo, work, self.processes, _crashed)
        for number, error in enumerate(done, 1):
            if error:
                raise VeriscopeError(error)
            rest = (time.monotonic() - began) / number * (len(todo) - number)
            self.say(f"{todo[0][0].kind}: {number} of {len(todo)} pieces, about {rest / 60:.1f} minutes left")

    def read(self, pieces: Sequence[Piece], name: str) -> NDArray[Any]:
        """The vectors of pieces that were made, float32 or uint8 (N, ...)."""
        if not pieces:
            return np.zeros(0, np.float32)
        found = np.concatenate([np.load(self._path(piece, name), allow_pickle=False) for piece in pieces])
        return found if found.dtype == np.uint8 else found.astype(np.float32)

    def _path(self, piece: Piece, name: str) -> Path:
        return _path(self.folder, piece, name, self.versions[name])


def _path(folder: Path, piece: Piece, name: str, version: str) -> Path:
    mark = hashlib.sha256(f"{name} {version} {piece.mark}".encode()).hexdigest()[:16]
    return folder / f"{name}-{piece.kind}-{mark}.npy"


def _described(made_anew: Callable[[], dict[str, Described]], folder: Path, task: tuple[Piece, tuple[str, ...]]) -> str:
    piece, names = task
    descriptors = made_anew()
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    for rgb in piece.pictures():
        for name in names:
            found[name].append(descriptors[name].of(rgb, piece.kind))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = _path(folder, piece, name, descriptors[name].version)
            half = path.with_suffix(".partial.npy")
            np.save(half, np.stack(found[name]), allow_pickle=False)
            half.replace(path)
    except OSError as error:
        return f"{folder}: vectors cannot be written ({error.strerror}); run it again, it goes on"
    return ""


def _crashed(task: tuple[Piece, tuple[str, ...]]) -> str:
    return f"describing {task[0].kind} brought its process down twice, by: {', '.join(task[1])}"
