"""Real pictures and the same pictures passed through autoencoders: what the detectors of reconstruction learn from.

A cut of a picture and its reconstruction show the same things and go through the same history *after* the pass, so that the
pass alone tells them apart. Cuts are first made smaller by chance, which wipes out most of what earlier saving left, for the
pass would wipe it out on one side only. Cuts and passes cost time and are kept; histories are drawn when a square is asked for.

Papers: Vesnin et al. 2024 (AEDetect); Rajan et al. 2025 (aligned reconstructions); Mandelli et al. 2024 (laundering).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.data.augmentation import random_history, resized
from veriscope.lab.data.manifest import Row, load_pixels
from veriscope.lab.data.samples import TURNS, Samples, Shards, kept
from veriscope.lab.generators.methods import Method, methods
from veriscope.lab.recipes.recipe import Say, Settings
from veriscope.synthetic import views

CUT = 320  # pixels a side, before the history
PATCH = 128  # pixels a side, after it; no history makes a cut smaller
HISTORIES = 8  # of each cut; they cost nothing to keep
LEAST_SCALE = 0.5  # to which a large picture is made smaller before it is cut
NOTHING, PASSED, EVERYTHING = 0.0, 0.5, 1.0  # how much of a picture a model made: pristine, laundered, generated


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


def autoencoders(settings: Settings) -> list[Method]:
    """The autoencoders that ``settings.generators`` names.

    Raises:
        VeriscopeError: none is named, one is misspelt or makes more than a reconstruction, or one cannot be opened.
    """
    if not settings.generators:
        raise VeriscopeError(
            "this recipe learns from reconstructions: name one autoencoder or more, --generators NAME=PLACE ..."
        )
    found = methods(settings.generators, "cuda" if torch.cuda.is_available() else "cpu")
    for method in found:
        if method.way != "reconstruct":
            raise VeriscopeError(
                f"--generators: {method.name} makes more than a reconstruction; write reconstruct:NAME=PLACE"
            )
    return found


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
    rows: Sequence[Row], squares: Shards, by: Sequence[Method], folder: Path, seed: int, say: Say
) -> tuple[list[Row], Shards]:
    """Each cut passed through one of the autoencoders, which take turns; kept in ``folder`` and resumed.

    Args:
        rows: (N,) the pictures.
        squares: (N,) their cuts.
        by: the autoencoders; one with new weights makes its passes again.
        folder: where they are kept.
        seed: of the cuts.
        say: called with each line of progress.
    Returns:
        the rows with ``origin`` and ``method`` set, and the reconstructions ``uint8 (320, 320, 3)``.
    """
    turn = [by[zlib.crc32(row.key.encode()) % len(by)] for row in rows]

    def make(place: int) -> NDArray[np.uint8]:
        return turn[place].make(squares[place], np.random.default_rng(seed)).picture

    names = [f"{row.key}#{seed}#{method.weights}" for row, method in zip(rows, turn, strict=True)]
    what = f"passes through {', '.join(method.name for method in by)}"
    places, made = kept(names, make, folder / "passes", what, say)
    return [replace(rows[place], origin=rows[place].key, method=turn[place].name) for place in places], made


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
