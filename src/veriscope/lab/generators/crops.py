"""Squares of real pictures at many scales, cut once and kept: what the generators learn to draw."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.data.augmentation import resized
from veriscope.lab.data.manifest import Row, load_pixels
from veriscope.lab.data.samples import write_whole

SIDE = 128  # pixels
COUNT = 4000  # squares of one training
NATIVE_SHARE = 0.5  # of the squares are cut at the picture's own resolution; the others from a smaller copy of it


def crops(
    rows: Sequence[Row],
    folder: Path,
    *,
    count: int = COUNT,
    side: int = SIDE,
    seed: int = 0,
    say: Callable[[str], None],
) -> NDArray[np.uint8]:
    """About ``count`` squares ``uint8 (N, side, side, 3)`` RGB, the same number of each picture, read from a file as needed.

    Args:
        rows: the pictures.
        folder: where the file is kept; made again for other rows, sizes or seeds.
        count: how many are wanted.
        side: pixels; pictures with a shorter side are passed over.
        seed: of the places and scales.
        say: called with a line for each picture that could not be opened.
    Raises:
        VeriscopeError: no picture is left, or the file cannot be written.
    """
    each = -(-count // max(1, len(rows)))
    named = f"{side} {seed} {each} " + " ".join(sorted(row.key for row in rows))
    path = folder / f"crops-{hashlib.sha256(named.encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        found: list[NDArray[np.uint8]] = []
        for row in rows:
            try:
                rgb = load_pixels(row)
            except VeriscopeError as error:
                say(f"left out: {error}")
                continue
            generator = np.random.default_rng(zlib.crc32(f"{row.key}#{seed}".encode()))
            if min(rgb.shape[:2]) >= side:
                found += [_cut(rgb, side, generator) for _ in range(each)]
        if not found:
            raise VeriscopeError(f"none of {len(rows)} real pictures is readable and at least {side} px a side")
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, np.stack(found))
    return np.asarray(np.load(path, mmap_mode="r"))


def _cut(rgb: NDArray[np.uint8], side: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    least = side / min(rgb.shape[:2])
    if generator.random() >= NATIVE_SHARE:
        rgb = resized(rgb, max(least, float(least ** generator.random())), cv2.INTER_AREA)
    top, left = (int(generator.integers(0, size - side + 1)) for size in rgb.shape[:2])
    return rgb[top : top + side, left : left + side]
