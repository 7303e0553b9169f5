"""Averaging many marked pictures: what they share is the mark, if it does not depend on the picture.

An attacker without the detector takes marked pictures, and unmarked ones of the same kind, at one size. The difference of
their means, or of the means of what a denoiser leaves, is an estimate of the mark's fixed part. Taken away it removes,
added to a real picture it forges. Marks that follow the content have little to show; the table says how much is left.

Papers: Yang et al. 2024 (steganalysis of digital watermarks: averaging); Kutter et al. 2000 (the copy attack).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.attacks.attack import Attack, Change, Pixels

LOUDNESS = (1.0, 2.0)  # times the estimate
BLUR = 1.5  # pixels: what a blur of so much takes away holds the mark


def pattern(marked: Sequence[Pixels], unmarked: Sequence[Pixels]) -> NDArray[np.float32]:
    """The fixed part of a mark, ``float32 (H, W, 3)`` in levels, without a mean.

    Args:
        marked: pictures ``uint8 (H, W, 3)`` RGB; they are brought to the size of the first.
        unmarked: of other pictures, from the same kind of source.
    Raises:
        VeriscopeError: there are none.
    """
    if not marked or not unmarked:
        raise VeriscopeError("averaging needs marked and unmarked pictures")
    height, width = marked[0].shape[:2]

    def mean(pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        total = np.zeros((height, width, 3), np.float64)
        for rgb in pictures:
            x = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
            total += x - cv2.GaussianBlur(x, (0, 0), BLUR)
        return (total / len(pictures)).astype(np.float32)

    found = mean(marked) - mean(unmarked)
    return np.asarray(found - found.mean((0, 1)), np.float32)


def averaging(
    marked: Sequence[Pixels], unmarked: Sequence[Pixels], loudness: Sequence[float] = LOUDNESS
) -> list[Attack]:
    """Attacks that take the average's pattern away from marked pictures, and add it to unmarked ones.

    Raises:
        VeriscopeError: there are no pictures.
    """
    found = pattern(marked, unmarked)
    return [
        Attack(
            f"averaging {len(marked)} x{times:g}", "averaging", adding(found, -times), adding(found, times), forges=True
        )
        for times in loudness
    ]


def adding(shared: NDArray[np.float32], times: float) -> Change:
    """Adds a pattern ``float32 (H, W, 3)``, enlarged to a picture's size, so many times."""

    def change(rgb: Pixels, _: np.random.Generator) -> Pixels:
        wide = cv2.resize(shared, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_CUBIC)
        return np.clip(np.rint(rgb + np.float32(times) * wide), 0, 255).astype(np.uint8)

    return change
