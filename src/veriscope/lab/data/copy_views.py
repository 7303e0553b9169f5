"""Batches of views for a descriptor to learn from: pictures, each beside copies of it by the tamper patterns of the training.

A picture is kept as its middle square at 256 px, so that thousands fit; a part of it of any shape is the "original" each time.
Some are replaced by what an autoencoder makes of them before they are copied: re-generation, as one more pattern.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from veriscope.copies.learned import as_input, square
from veriscope.lab.data.augmentation import jpeg
from veriscope.lab.data.copy_patterns import chained
from veriscope.lab.data.manifest import Row, load_pixels
from veriscope.lab.data.samples import Shards, kept
from veriscope.lab.generators.methods import Method

Pixels = NDArray[np.uint8]
Say = Callable[[str], None]
KEPT_SIDE = 256  # pixels of the square that is kept
REGENERATED_SIDE = 160  # pixels at which a picture is re-generated
LEAST_AREA = 0.6  # of the kept square that is taken for the original
WIDEST = 1.6  # width to height, or height to width, of an original
REGENERATED = 0.5  # chance that a copy of a picture that has been re-generated is made from that
COPIES = 2  # of a picture in a batch, beside itself
VIEWS = 1 + COPIES


def middles(rows: Sequence[Row], folder: Path, say: Say) -> tuple[list[Row], Shards]:
    """The middle square ``uint8 (256, 256, 3)`` of each picture that can be opened, and the rows of these; resumed."""

    def make(place: int) -> Pixels:
        rgb = load_pixels(rows[place])
        side = min(rgb.shape[:2])
        top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
        return square(rgb[top : top + side, left : left + side], KEPT_SIDE)

    places, squares = kept([row.key for row in rows], make, folder, "pictures", say)
    return [rows[place] for place in places], squares


def regenerated(
    rows: Sequence[Row], squares: Shards, by: Sequence[Method], most: int, folder: Path, say: Say
) -> dict[int, Pixels]:
    """What autoencoders, which take turns, make of the first ``most`` pictures, by their place; resumed."""
    count = min(most, len(rows)) if by else 0
    methods = [by[place % len(by)] for place in range(count)]
    names = [f"{row.key}#{method.label}" for row, method in zip(rows, methods, strict=False)]

    def make(place: int) -> Pixels:
        generator = np.random.default_rng(zlib.crc32(names[place].encode()))
        return methods[place].make(square(squares[place], REGENERATED_SIDE), generator).picture

    places, made = kept(names, make, folder, "re-generated", say)
    return {int(place): made[number] for number, place in enumerate(places)}


def original(kept_square: Pixels, generator: np.random.Generator) -> Pixels:
    """A part ``uint8 (h, w, 3)`` of random shape of a kept square, at least ``LEAST_AREA`` of what its shape allows."""
    side = len(kept_square)
    ratio = float(np.exp(generator.uniform(-np.log(WIDEST), np.log(WIDEST))))  # of width to height
    scale = float(np.sqrt(generator.uniform(LEAST_AREA, 1.0)))
    height, width = (round(side * scale * size) for size in (min(1.0, 1 / ratio), min(1.0, ratio)))
    top, left = int(generator.integers(0, side - height + 1)), int(generator.integers(0, side - width + 1))
    return np.ascontiguousarray(kept_square[top : top + height, left : left + width])


class Views(Dataset[tuple[Tensor, Tensor]]):
    """Batches of squares ``uint8 (3 P, 128, 128, 3)`` and of the number of each one's picture, ``int64 (3 P,)``.

    A batch holds P pictures and then ``COPIES`` times a copy of each. It depends on its index and the seed alone.

    Args:
        squares: of the pictures, ``uint8 (256, 256, 3)``.
        regenerated: what autoencoders made of some, by the picture's place.
        pictures: P.
        count: batches in an epoch; there are others after them, by any index.
        seed: of the draws.
    """

    def __init__(self, squares: Shards, regenerated: dict[int, Pixels], pictures: int, count: int, seed: int) -> None:
        self.squares, self.regenerated = squares, regenerated
        self.pictures, self.count, self.seed = min(pictures, len(squares) - 1), count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        cv2.setNumThreads(1)  # the trainer's process has the other core
        generator = np.random.default_rng((self.seed, index))
        drawn = generator.permutation(len(self.squares))
        return self.batch(drawn[: self.pictures], drawn[self.pictures :], generator)

    def batch(
        self, chosen: NDArray[np.int64], strangers: NDArray[np.int64], generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """The batch of the pictures at ``chosen``; copies that need another picture take one of ``strangers``."""
        views: list[list[Pixels]] = [[] for _ in range(VIEWS)]
        for place in chosen:
            for number, view in enumerate(self._views(int(place), strangers, generator)):
                views[number].append(view)
        squares = np.stack([view for each in views for view in each])
        return torch.from_numpy(squares), torch.from_numpy(np.tile(chosen, VIEWS))

    def _views(self, place: int, strangers: NDArray[np.int64], generator: np.random.Generator) -> list[Pixels]:
        shown = original(self.squares[place], generator)
        found = [square(jpeg(shown, int(generator.integers(60, 96))) if generator.random() < 0.5 else shown)]
        for _ in range(COPIES):
            of = shown
            if place in self.regenerated and generator.random() < REGENERATED:
                of = original(self.regenerated[place], generator)
            other = original(self.squares[int(generator.choice(strangers))], generator)
            found.append(square(chained(of, other, generator)[0]))
        return found


def pixels_of(squares: Tensor) -> Tensor:
    """Squares ``uint8 (N, S, S, 3)`` as the network's input, as ``copies.learned.as_input`` makes it."""
    return torch.from_numpy(as_input(list(squares.numpy())))
