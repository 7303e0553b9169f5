"""What happens to an edited picture before and after the edit: saved by its camera, saved by the editor, passed on by a site.

What a localiser can find is what these steps leave. A picture that was a JPEG before the edit has its own 8 x 8 grid and
rounding, which the edit breaks inside the mask; saving it again lays a second grid over both, and resizing smears all of it.
Edited and untouched pictures pass through the same draws, so that no step tells the classes apart.

Papers: Lukas and Fridrich 2003 (double compression); Bianchi and Piva 2012 (aligned and shifted grids); Wu et al. 2022
(losses of social networks in training localisers of edits).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.lab.data.augmentation import INTERPOLATIONS, jpeg
from veriscope.lab.data.variants import saved

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
Mask = NDArray[np.bool_]  # (H, W), true where edited
GRID = 8  # pixels a side of JPEG's blocks
LEAST_SIDE = 64  # pixels: no resize makes a side shorter
SUBSAMPLED_SHARE = 0.7  # of the JPEG files, as cameras and editors set it
BEFORE_SHARE, BEFORE_QUALITY = 0.85, (60, 98)  # of the hosts were JPEG files when they were edited
SHIFTED_SHARE = 0.2  # of these were cut since they were saved, so that their grid does not begin at the corner
PNG_SHARE = 0.15  # of the edited pictures were saved without loss
AFTER_QUALITY = (60, 100)
# Of the edited pictures were saved once more by a site, which made half of them smaller.
PASSED_ON_SHARE, SITE_QUALITY = 0.3, (60, 88)
RESIZED_SHARE, RESIZED = 0.25, (0.5, 1.25)  # of the edited pictures were resized by the editor; times each side


@dataclass(frozen=True)
class Saving:
    """How a picture is saved: JPEG of a quality, with or without colour at half resolution; PNG where the quality is 0."""

    quality: int = 0
    subsampled: bool = False

    def __str__(self) -> str:
        return f"JPEG {self.quality} {'4:2:0' if self.subsampled else '4:4:4'}" if self.quality else "PNG"

    @property
    def suffix(self) -> str:
        """Of the file."""
        return ".jpg" if self.quality else ".png"

    def encoded(self, rgb: Pixels) -> bytes:
        """The file of ``uint8 (H, W, 3)`` RGB."""
        if not self.quality:
            return saved(rgb, "PNG")
        return saved(rgb, "JPEG", self.quality, subsampling="4:2:0" if self.subsampled else "4:4:4")

    def applied(self, rgb: Pixels) -> Pixels:
        """``uint8 (H, W, 3)`` RGB saved and read again."""
        return jpeg(rgb, self.quality, subsample=self.subsampled) if self.quality else rgb


def history(
    pixels: Pixels,
    mask: Mask,
    generator: np.random.Generator,
    when: Literal["before", "after"],
    *,
    resizing: bool = True,
) -> tuple[Pixels, Mask, list[str]]:
    """A picture after one random history; the same for a state of the source of chance.

    Args:
        pixels: ``uint8 (H, W, 3)`` RGB.
        mask: ``bool (H, W)``; what moves pixels moves it too.
        generator: source of chance.
        when: "before" the edit (the host's own JPEG; neither size nor mask change) or "after" it.
        resizing: whether the size may change, after the edit.
    Returns:
        the pixels as they are read from the last file, their mask, and the steps in words.
    """
    if when == "before":
        pixels, steps = _before(pixels, generator)
        return pixels, mask, steps
    pixels, mask, steps, last = unsaved(pixels, mask, generator, resizing=resizing)
    return last.applied(pixels), mask, [*steps, str(last)]


def unsaved(
    pixels: Pixels, mask: Mask, generator: np.random.Generator, *, resizing: bool = True
) -> tuple[Pixels, Mask, list[str], Saving]:
    """As ``history`` after an edit, all but the last saving, which is given back for whoever wants the file itself."""
    steps: list[str] = []
    if resizing and generator.random() < RESIZED_SHARE:
        pixels, mask, step = _resized(pixels, mask, generator, RESIZED)
        steps.append(step)
    draw = generator.random()
    if draw < PNG_SHARE:
        return pixels, mask, steps, Saving()
    last = _drawn(generator, AFTER_QUALITY)
    if draw < PNG_SHARE + PASSED_ON_SHARE:
        pixels = last.applied(pixels)
        steps.append(str(last))
        if resizing and generator.random() < 0.5:
            pixels, mask, step = _resized(pixels, mask, generator, (RESIZED[0], 1.0))
            steps.append(step)
        last = Saving(int(generator.integers(SITE_QUALITY[0], SITE_QUALITY[1] + 1)), subsampled=True)
    return pixels, mask, steps, last


def _before(pixels: Pixels, generator: np.random.Generator) -> tuple[Pixels, list[str]]:
    if generator.random() >= BEFORE_SHARE:
        return pixels, []
    saving = _drawn(generator, BEFORE_QUALITY)
    if generator.random() >= SHIFTED_SHARE:
        return saving.applied(pixels), [str(saving)]
    down, across = (int(shift) for shift in generator.integers(0, GRID, 2))
    height, width = pixels.shape[:2]
    whole = cv2.copyMakeBorder(pixels, down, 0, across, 0, cv2.BORDER_REFLECT_101)
    cut = saving.applied(np.asarray(whole, np.uint8))[down : down + height, across : across + width]
    return np.ascontiguousarray(cut), [f"{saving}, cut at {across} {down}"]


def _drawn(generator: np.random.Generator, quality: tuple[int, int]) -> Saving:
    return Saving(
        int(generator.integers(quality[0], quality[1] + 1)), subsampled=bool(generator.random() < SUBSAMPLED_SHARE)
    )


def _resized(
    pixels: Pixels, mask: Mask, generator: np.random.Generator, scales: tuple[float, float]
) -> tuple[Pixels, Mask, str]:
    scale = float(generator.uniform(*scales))
    interpolation = int(generator.choice(INTERPOLATIONS))
    scale = max(scale, min(1.0, LEAST_SIDE / min(pixels.shape[:2])))
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    made = cv2.resize(pixels, (width, height), interpolation=interpolation)
    covered = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(made, np.uint8), np.asarray(covered >= 0.5), f"resized {scale:.3f}"
