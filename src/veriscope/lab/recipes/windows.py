"""Batches of squares of real pictures after known histories: what the fingerprint and the consistency network learn from.

Every square was saved and resized as its picture's sample was (``lab/data/samples.py``); on top of that one more history is
drawn for it: a scale, a rendering of colour, a save. The same square also enters with a second history, so that only the
history can tell the two apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from veriscope.lab.data.augmentation import jpeg, resized
from veriscope.lab.data.manifest import Row
from veriscope.lab.data.samples import Samples, prepare
from veriscope.lab.recipes.fitting import Fitted, Learning, fit_aside
from veriscope.lab.recipes.localising import folds_of_real, real
from veriscope.lab.recipes.recipe import Say, Settings

SIDE = 160  # pixels of a square
SCALES = (1.0, 0.85, 0.7, 1.25)
QUALITIES = (0, 95, 88, 80, 70, 60)  # of the last save; 0: none
GAMMAS = (1.0, 0.8, 1.25, 1.0)  # of a rendering of colour
SATURATIONS = (1.0, 1.2, 0.85, 0.6)


@dataclass(frozen=True)
class History:
    """Places in ``SCALES``, ``GAMMAS`` and ``QUALITIES``."""

    scale: int
    colour: int
    compression: int


def drawn(generator: np.random.Generator) -> History:
    """A history; each step is left out in about half of them."""
    kinds = (len(SCALES), len(GAMMAS), len(QUALITIES))
    scale, colour, quality = (int(generator.integers(kind)) if generator.random() < 0.6 else 0 for kind in kinds)
    return History(scale, colour, quality)


def aged(square: NDArray[np.uint8], history: History, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A random part ``uint8 (160, 160, 3)`` of a square ``uint8 (S, S, 3)`` after a history, S at least 240."""
    scale = SCALES[history.scale]
    if scale != 1:
        square = resized(square, scale, cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if history.colour:
        square = _rendered(square, GAMMAS[history.colour], SATURATIONS[history.colour])
    top, left = generator.integers(0, len(square) - SIDE + 1, 2)
    square = np.ascontiguousarray(square[top : top + SIDE, left : left + SIDE])
    quality = QUALITIES[history.compression]
    return jpeg(square, quality) if quality else square


def _rendered(square: NDArray[np.uint8], gamma: float, saturation: float) -> NDArray[np.uint8]:
    light = square.astype(np.float32) / 255
    grey = light.mean(2, keepdims=True)
    light = np.clip(grey + saturation * (light - grey), 0, 1) ** gamma
    return np.rint(light * 255).astype(np.uint8)


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Batches of squares ``float32 (2 P, 3, 160, 160)`` and of what they are, ``int64 (2 P, 4)``: picture, save, scale, colour.

    Args:
        samples: real pictures; their details are read.
        pictures: P, in a batch; each comes twice, with two histories.
        count: batches in an epoch; there are others after them, by any index.
        seed: they depend on it and on their index.
    """

    def __init__(self, samples: Samples, pictures: int, count: int, seed: int) -> None:
        self.samples, self.pictures, self.count, self.seed = samples, pictures, count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng((self.seed, index))
        chosen = generator.choice(len(self.samples), self.pictures, replace=len(self.samples) < self.pictures)
        squares, told = [], []
        for place in chosen:
            square = self.samples.detail[int(place)]
            for _ in range(2):
                history = drawn(generator)
                squares.append(aged(square, history, generator))
                told.append((int(place), history.compression, history.scale, history.colour))
        return as_pixels(squares), torch.tensor(told)


def fit_on_squares(
    make: Callable[[], Learning],
    rows: Sequence[Row],
    work: Path,
    name: str,
    settings: Settings,
    say: Say,
    *,
    pictures: int,
    aside: int,
) -> Fitted:
    """Train on squares of real pictures of all folds but the first, which stops it.

    Args:
        make: the untrained module, made after the seed is set.
        rows: of the manifests; the real ones are used.
        work, settings, say: as for every recipe.
        name: of the recipe, and of the folder of its training.
        pictures: in a batch, each twice.
        aside: batches of the first fold, to stop on, and as many others to report on.
    """
    samples, _ = prepare(real(rows), work / "samples", seed=settings.seed, say=say)
    folds = folds_of_real(samples.rows, settings.folds)
    fitted, kept_aside = samples.chosen(folds != 0), samples.chosen(folds == 0)
    return fit_aside(
        make,
        Batches(fitted, pictures, max(1, settings.draws // (2 * pictures)), settings.seed + 1),
        Batches(kept_aside, pictures, aside, settings.seed),
        Batches(kept_aside, pictures, aside, settings.seed + 2),
        fitted.rows,
        work / name,
        settings,
        say,
    )


def as_pixels(squares: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Squares ``uint8 (H, W, 3)`` of one size as ``float32 (N, 3, H, W)`` in [0, 1]."""
    stacked: NDArray[Any] = np.stack(squares).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(stacked)).float() / 255
