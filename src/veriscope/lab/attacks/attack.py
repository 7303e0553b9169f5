"""An attack on a watermark as the measurements see it, and those that any program does: saving, geometry, light, overlays.

Each changes one picture of any size. The ones that everybody does without meaning harm come first; attacks that need a
model, or many pictures, are in the other files of this room. Chance is drawn from a picture's key and the attack's name, so
a run can be repeated and resumed.

Papers: Zhu et al. 2018 (HiDDeN); Bui et al. 2023 (TrustMark: the list of changes); An et al. 2024 (WAVES).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.perturbations import PERTURBATIONS, pixels_of

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
Change = Callable[[Pixels, np.random.Generator], Pixels]
COVERED = 0.15  # of the area, by an overlay
LEAST_SIDE = 32  # pixels: no crop makes a side shorter


@dataclass(frozen=True)
class Attack:
    """One way of changing pictures.

    Attributes:
        name: as tables show it.
        family: what kind it is.
        evade: a marked picture ``uint8 (H, W, 3)`` RGB and a source of chance to one that should read as unmarked.
        spoof: an unmarked picture to one that should read as marked; the same change where it only measures false alarms.
        forges: whether ``spoof`` means to fake the mark.
    """

    name: str
    family: str
    evade: Change
    spoof: Change
    forges: bool = False

    def on_marked(self, rgb: Pixels, key: str) -> Pixels:
        """A marked picture after it; the same for a key always."""
        return self.evade(rgb, self._chance(key))

    def on_unmarked(self, rgb: Pixels, key: str) -> Pixels:
        """An unmarked picture after it; the same for a key always."""
        return self.spoof(rgb, self._chance(key))

    def _chance(self, key: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{key}#{self.name}".encode()))


def alike(name: str, family: str, change: Change) -> Attack:
    """An attack that does the same to marked and unmarked pictures."""
    return Attack(name, family, change, change)


def cropped_to(rgb: Pixels, area: float, generator: np.random.Generator) -> Pixels:
    """A part of ``uint8 (H, W, 3)`` with a share of its area and its shape, from anywhere."""
    sizes = [max(min(LEAST_SIDE, side), round(side * math.sqrt(area))) for side in rgb.shape[:2]]
    top, left = (int(generator.integers(0, side - kept + 1)) for side, kept in zip(rgb.shape[:2], sizes, strict=True))
    return np.ascontiguousarray(rgb[top : top + sizes[0], left : left + sizes[1]])


def rotated(rgb: Pixels, degrees: float) -> Pixels:
    """``uint8 (H, W, 3)`` turned about its middle on a canvas of the same size, black where nothing is."""
    height, width = rgb.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(rgb, matrix, (width, height), flags=cv2.INTER_CUBIC), np.uint8)


def recoloured(rgb: Pixels, generator: np.random.Generator) -> Pixels:
    """``uint8 (H, W, 3)`` with another brightness, contrast, saturation and white balance, each by up to a fifth."""
    light, contrast, saturation = generator.uniform(0.8, 1.2, 3)
    x = rgb.astype(np.float32) * generator.uniform(0.92, 1.08, 3).astype(np.float32) * np.float32(light)
    grey = x.mean(2, keepdims=True)
    x = (grey + (x - grey) * np.float32(saturation) - 128) * np.float32(contrast) + 128
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def overlaid(rgb: Pixels, generator: np.random.Generator) -> Pixels:
    """``uint8 (H, W, 3)`` with a plain bar that covers ``COVERED`` of it and a line of text across."""
    made = rgb.copy()
    height, width = rgb.shape[:2]
    share = math.sqrt(COVERED)
    high, wide = round(height * share), round(width * share)
    top, left = int(generator.integers(0, height - high + 1)), int(generator.integers(0, width - wide + 1))
    made[top : top + high, left : left + wide] = generator.integers(0, 256, 3)
    scale = max(0.4, width / 420)
    place = (round(width * 0.05), int(generator.integers(height // 4, max(height // 4 + 1, 3 * height // 4))))
    thick = max(1, round(2 * scale))
    cv2.putText(
        made, "BREAKING NEWS TODAY", place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thick, cv2.LINE_AA
    )
    return made


def _as_file(name: str) -> Change:
    perturbation = PERTURBATIONS[name]
    return lambda rgb, generator: pixels_of(perturbation.change(rgb, generator))


def _steady(change: Callable[[Pixels], Pixels]) -> Change:
    return lambda rgb, _: change(rgb)


def _crop(area: float) -> Change:
    return lambda rgb, generator: cropped_to(rgb, area, generator)


SIMPLE: dict[str, Attack] = {
    attack.name: attack
    for attack in (
        alike("none", "none", _steady(lambda rgb: rgb)),
        *(alike(f"JPEG {quality}", "saving", _as_file(f"JPEG {quality}")) for quality in (90, 70, 50)),
        alike("WebP 60", "saving", _as_file("WebP 60")),
        alike("resize to 50 %", "geometry", _as_file("half size")),
        alike("crop to 50 % of the area", "geometry", _crop(0.5)),
        alike("crop to 25 % of the area", "geometry", _crop(0.25)),
        alike("rotate 15°", "geometry", _steady(lambda rgb: rotated(rgb, 15))),
        alike("rotate 30°", "geometry", _steady(lambda rgb: rotated(rgb, 30))),
        alike("flip", "geometry", _steady(lambda rgb: np.ascontiguousarray(rgb[:, ::-1]))),
        alike("blur 1 px", "filter", _as_file("blur 1 px")),
        alike("blur 2 px", "filter", _as_file("blur 2 px")),
        alike("noise 10", "filter", _as_file("noise 10")),
        alike("colour", "filter", recoloured),
        alike("overlay", "overlay", overlaid),
        alike("screenshot", "chain", _as_file("screenshot 1x JPEG")),
        alike("messenger", "chain", _as_file("messenger")),
    )
}


def simple(names: tuple[str, ...] = ()) -> list[Attack]:
    """The attacks of these names that need nothing; all by default.

    Raises:
        VeriscopeError: there is none of a name.
    """
    unknown = [name for name in names if name not in SIMPLE]
    if unknown:
        raise VeriscopeError(f"no attack is called {unknown[0]!r}; there are: {', '.join(SIMPLE)}")
    return [SIMPLE[name] for name in names or SIMPLE]
