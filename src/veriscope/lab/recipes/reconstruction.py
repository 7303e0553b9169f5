"""Real pictures and the same pictures passed through autoencoders: what the detectors of reconstruction learn from.

A cut of a picture and its reconstruction show the same things and go through the same history *after* the pass, so that the
pass alone tells them apart. Cuts are first made smaller by chance, which wipes out most of what earlier saving left, for the
pass would wipe it out on one side only. Cuts and passes cost time and are kept; histories are drawn when a square is asked for.

Papers: Vesnin et al. 2024 (AEDetect); Rajan et al. 2025 (aligned reconstructions); Mandelli et al. 2024 (laundering).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.data.augmentation import random_history, resized
from veriscope.lab.data.manifest import Row, load_pixels
from veriscope.lab.data.samples import TURNS, Samples, Shards, kept
from veriscope.lab.generators.autoencoder import load_autoencoder
from veriscope.lab.generators.small import load_small
from veriscope.lab.recipes.recipe import Say, Settings
from veriscope.synthetic import views

CUT = 320  # pixels a side, before the history
PATCH = 128  # pixels a side, after it; no history makes a cut smaller
HISTORIES = 8  # of each cut; they cost nothing to keep
LEAST_SCALE = 0.5  # to which a large picture is made smaller before it is cut
NOTHING, PASSED, EVERYTHING = 0.0, 0.5, 1.0  # how much of a picture a model made: pristine, laundered, generated


@dataclass(frozen=True)
class Pass:
    """A pass through an autoencoder.

    Attributes:
        reconstruct: a picture ``uint8 (H, W, 3)`` RGB to its reconstruction, same shape.
        mark: changes with the weights; a pass with a new mark is made again.
    """

    reconstruct: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    mark: str


@dataclass(frozen=True)
class Aged(Shards):
    """Cuts after histories of their own, as patches ``uint8 (side, side, 3)``; the same for one seed always."""

    seeds: tuple[int, ...] = ()
    side: int = PATCH

    def __getitem__(self, index: int) -> NDArray[Any]:
        generator = np.random.default_rng(self.seeds[index])
        return views.random_detail(random_history(super().__getitem__(index), generator), generator, self.side)

    def chosen(self, places: NDArray[Any]) -> Aged:
        """Those at ``places``."""
        return replace(
            self,
            places=tuple(self.places[place] for place in places),
            seeds=tuple(self.seeds[place] for place in places),
        )

    def stacked(self) -> NDArray[Any]:
        """All of them as one array in memory."""
        return np.stack([self[index] for index in range(len(self))])


@dataclass(frozen=True)
class Told(Samples):
    """Samples of which it is told how much of each a model made.

    Attributes:
        made: float32 (N,), the labels: ``NOTHING``, ``PASSED`` or ``EVERYTHING``.
    """

    made: NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.float32]:
        """How much of each a model made."""
        return self.made

    def chosen(self, which: NDArray[Any]) -> Told:
        """The samples at the places, or under the mask, ``which``."""
        found = super().chosen(which)
        assert isinstance(found, Told)
        return replace(found, made=self.made[which])


def autoencoders(settings: Settings) -> dict[str, Pass]:
    """The autoencoders that ``settings.generators`` names: ``NAME=FOLDER`` or ``NAME=ENCODER,DECODER``.

    Raises:
        VeriscopeError: none is named, one is named wrongly or twice.
        ModelError: one cannot be opened.
    """
    if not settings.generators:
        raise VeriscopeError(
            "this recipe learns from reconstructions: name one autoencoder or more, --generators NAME=FOLDER ..."
        )
    found: dict[str, Pass] = {}
    for text in settings.generators:
        name, equals, where = text.partition("=")
        if not (name and equals and where) or name in found:
            raise VeriscopeError(f"--generators: {text!r} is not NAME=FOLDER or NAME=ENCODER,DECODER with a new name")
        paths = [Path(path) for path in where.split(",")]
        model = load_autoencoder(*paths) if len(paths) == 2 else load_small(paths[0])
        found[name] = Pass(model.reconstruct, mark(paths))
    return found


def mark(paths: Sequence[Path]) -> str:
    """Twelve hexadecimal digits that change with the weights in files or folders: their names, sizes and first megabytes."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                with file.open("rb") as opened:
                    digest.update(f"{file.name} {file.stat().st_size} ".encode() + opened.read(1 << 20))
    return digest.hexdigest()[:12]


def named(settings: Settings) -> list[str]:
    """The names in ``settings.generators``, without the paths of this machine."""
    return [text.partition("=")[0] for text in settings.generators]


def cut(rgb: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """A random part ``uint8 (320, 320, 3)`` of a picture ``uint8 (H, W, 3)`` RGB that was made smaller by chance."""
    least = min(1.0, max(LEAST_SCALE, CUT / min(rgb.shape[:2])))
    return views.random_detail(resized(rgb, generator.uniform(least, 1.0), cv2.INTER_AREA), generator, CUT)


def cuts(rows: Sequence[Row], folder: Path, seed: int, say: Say) -> tuple[list[Row], Shards]:
    """A cut of each picture that can be opened, and the rows of these; kept in ``folder`` and resumed."""
    names = [f"{row.key}#{seed}" for row in rows]

    def make(place: int) -> NDArray[np.uint8]:
        generator = np.random.default_rng(zlib.crc32(names[place].encode()))
        return cut(load_pixels(rows[place]), generator)

    places, squares = kept(names, make, folder / "cuts", "cuts", say)
    return [rows[place] for place in places], squares


def passes(
    rows: Sequence[Row], squares: Shards, by: Mapping[str, Pass], folder: Path, seed: int, say: Say
) -> tuple[list[Row], Shards]:
    """Each cut passed through one of the autoencoders, which take turns; kept in ``folder`` and resumed.

    Args:
        rows: (N,) the pictures.
        squares: (N,) their cuts.
        by: the autoencoders by name; one whose mark is new makes its passes again.
        folder: where they are kept.
        seed: of the cuts.
        say: called with each line of progress.
    Returns:
        the rows with ``origin`` and ``method`` set, and the reconstructions ``uint8 (320, 320, 3)``.
    """
    order = sorted(by)
    turn = [order[zlib.crc32(row.key.encode()) % len(order)] for row in rows]
    places, made = kept(
        [f"{row.key}#{seed}#{by[name].mark}" for row, name in zip(rows, turn, strict=True)],
        lambda place: by[turn[place]].reconstruct(squares[place]),
        folder / "passes",
        f"passes through {', '.join(order)}",
        say,
    )
    return [replace(rows[place], origin=rows[place].key, method=turn[place]) for place in places], made


def told(parts: Sequence[tuple[Sequence[Row], Shards, float]], seed: int, *, as_in_use: bool = False) -> Told:
    """Samples of cuts, each after several histories; the cuts of one picture go through the same ones.

    The patches stand for both views, for there is no whole picture behind a cut.

    Args:
        parts: rows, their cuts or passes, and how much of these a model made.
        seed: of the histories.
        as_in_use: fewer histories and larger patches, as other samples are, for measuring.
    """
    histories, side = (TURNS, views.DETAIL) if as_in_use else (HISTORIES, PATCH)
    rows: list[Row] = []
    files: list[Path] = []
    places: list[tuple[int, int]] = []
    made: list[float] = []
    for part, squares, share in parts:
        rows += [row for row in part for _ in range(histories)]
        places += [(file + len(files), row) for file, row in squares.places for _ in range(histories)]
        files += squares.files
        made += [share] * (len(part) * histories)
    turns = np.tile(np.arange(histories), len(rows) // histories)
    seeds = [zlib.crc32(f"{row.key}#{turn}#{seed}".encode()) for row, turn in zip(rows, turns, strict=True)]
    patches = Aged(tuple(files), tuple(places), tuple(seeds), side)
    return Told(rows, turns, patches, patches, np.array(made, np.float32))
