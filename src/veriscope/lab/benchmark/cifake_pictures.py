"""Class-matched pictures of 32 px: squares of real pictures, and what generators make of these very squares.

CIFAKE matches real and generated pictures by class, ten of them; here each fake has the content of one real picture, so that
nothing but the generator's trace tells them apart. As in CIFAKE a generator works at a larger size and the fake is made small
afterwards, by the same step as the real square; made at 32 px the fakes of a small autoencoder are told by their blur alone.

Papers: Bird & Lotfi 2024 (CIFAKE); Rajan et al. 2025 (aligned reconstructions).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import Row, load_pixels
from veriscope.lab.data.samples import kept
from veriscope.lab.data.splitting import SPLITS, split_rows
from veriscope.lab.generators.methods import Method, methods
from veriscope.lab.generators.small import Shape
from veriscope.lab.generators.training import Schedule, train_autoencoder
from veriscope.lab.networks.cifake import SIDE

LARGE = 128  # pixels a side of a square when a generator sees it; real ones pass through this size as well
SHAPE = Shape("nearest", 4, 8)  # of the generator that is trained on the spot
SQUARES = 2000  # it learns from
Say = Callable[[str], None]


@dataclass(frozen=True)
class Mirrored:
    """Real pictures and the fakes of the same content.

    Attributes:
        rows: (N,) the picture behind each.
        real: uint8 (N, 32, 32, 3) RGB.
        made: uint8 (N, 32, 32, 3) RGB.
        by: (N,) the name of the generator of each fake.
    """

    rows: list[Row]
    real: NDArray[np.uint8]
    made: NDArray[np.uint8]
    by: list[str]


def parts_of(rows: Sequence[Row], seed: int, say: Say) -> dict[str, list[Row]]:
    """The real pictures for training, choosing and testing: as the manifests deal them, or else as ``split_rows`` does.

    Raises:
        VeriscopeError: there are too few for three parts.
    """
    real = [row for row in rows if not row.generated]
    splits = [row.split for row in real]
    if not set(SPLITS) <= set(splits):
        say("the manifests lack real pictures in train, val or test: dealt anew by source and group")
        splits = split_rows(real, seed=seed, say=say)
    parts = {name: [row for row, split in zip(real, splits, strict=True) if split == name] for name in SPLITS}
    if not all(parts.values()):
        raise VeriscopeError(
            f"{len(real)} real pictures of {len({row.source for row in real})} sources cannot be dealt to train, val and test: "
            "add some, of other groups"
        )
    return parts


def mirrored(rows: Sequence[Row], each: int, by: Sequence[Method], folder: Path, seed: int, say: Say) -> Mirrored:
    """``each`` squares of every picture, with a fake of each; the generators take turns; kept and resumed.

    Args:
        rows: real pictures; those that cannot be opened or are smaller than 32 px are left out.
        each: squares of one picture, of random place and size.
        by: the generators.
        folder: where the pairs are kept.
        seed: of the places and of what generators draw.
        say: called with each line of progress.
    Raises:
        VeriscopeError: no picture is left.
    """
    turns = [[(zlib.crc32(row.key.encode()) + number) % len(by) for number in range(each)] for row in rows]

    def make(place: int) -> NDArray[np.uint8]:
        rgb = load_pixels(rows[place])
        if min(rgb.shape[:2]) < SIDE:
            raise VeriscopeError(f"{rows[place].path}: under {SIDE} px a side")
        generator = np.random.default_rng(zlib.crc32(f"{rows[place].key}#cifake#{seed}".encode()))
        return np.stack([_pair(rgb, by[turn], generator) for turn in turns[place]])

    weights = hashlib.sha256(" ".join(f"{method.name} {method.weights}" for method in by).encode()).hexdigest()[:12]
    places, found = kept([row.key for row in rows], make, folder / f"cifake-{each}-{seed}-{weights}", "pairs", say)
    if not len(places):
        raise VeriscopeError(f"none of {len(rows)} real pictures is readable and at least {SIDE} px a side")
    pairs = np.concatenate(found.stacked())
    names = [by[turn].name for place in places for turn in turns[place]]
    return Mirrored([rows[place] for place in places for _ in range(each)], pairs[:, 0], pairs[:, 1], names)


def _pair(rgb: NDArray[np.uint8], by: Method, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A square of ``uint8 (H, W, 3)`` RGB and its fake, ``uint8 (2, 32, 32, 3)``."""
    short = min(rgb.shape[:2])
    side = int(generator.integers(min(LARGE, short), short + 1))
    top, left = (int(generator.integers(0, size - side + 1)) for size in rgb.shape[:2])
    large = _resized(rgb[top : top + side, left : left + side], LARGE)
    return np.stack([_resized(large, SIDE), _resized(by.make(large, generator).picture, SIDE)])


def _resized(square: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    interpolation = cv2.INTER_AREA if len(square) > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(square), (side, side), interpolation=interpolation), np.uint8)


def generators(
    specs: Sequence[str], rows: Sequence[Row], folder: Path, minutes: float, seed: int, say: Say
) -> list[Method]:
    """The generators that ``specs`` name; a small autoencoder, trained here on ``rows``, where there are none.

    Raises:
        VeriscopeError: one cannot be opened, or changes a part of a picture only.
    """
    if not specs:
        place = folder / "cifake-generator"
        train_autoencoder(SHAPE, rows, [], folder, place, Schedule(minutes, count=SQUARES, seed=seed), say)
        specs = [f"small={place}"]
    found = methods(specs)
    parts = [method.name for method in found if method.label != "generated"]
    if parts:
        raise VeriscopeError(
            f"--generators {', '.join(parts)}: changes a part of a picture; name ways that make the whole"
        )
    return found
