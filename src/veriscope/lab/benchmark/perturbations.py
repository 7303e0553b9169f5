"""What happens to a picture between its maker and its reader, as files: sweeps of one step, and chains of several.

Each perturbation gives the bytes of a file, because detectors also read the container. Chance (noise, where a crop lies, the
page behind a screenshot) is drawn from the picture's key and the perturbation's name, so a run can be repeated and resumed.

The chains are our approximations of what kinds of services do to uploads; none publishes its chain, and all change it.
*messenger*: longest side 1600 px, JPEG 70, 4:2:0. *microblog*: at most 1080 px wide, JPEG 85, and at 85 once more.
*photo page*: longest side 2048 px, JPEG 71, 4:2:0. *news site*: at most 800 px wide, WebP 75. *passed on three times*: the
messenger's chain thrice, the longest side 1600, 1440, 1280 px. *screenshot*: see the function.

Papers: Song et al. 2023 (DeepFakeFace: blur, low quality, compression); Wang et al. 2020 (robustness sweeps of CNNDetection).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from veriscope.errors import VeriscopeError
from veriscope.lab.data.augmentation import jpeg, resized
from veriscope.lab.data.variants import VARIANTS, saved

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], bytes]
AS_IS = "as is"
LEAST_SIDE = 32  # pixels: no crop or resize makes a side shorter
PAGE_WIDTH = 720  # CSS pixels that a page gives a picture
WIDE_GAMUT = np.array(  # linear sRGB to linear Display P3 (both D65)
    [[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]], np.float32
)


def _linear(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


LIGHT = _linear(np.arange(256, dtype=np.float32) / 255)  # of each 8-bit sRGB value, in [0, 1]
ENCODED = np.searchsorted(  # the 8-bit sRGB value of each amount of light, in 16,383 steps
    _linear((np.arange(255, dtype=np.float32) + 0.5) / 255), np.linspace(0, 1, 1 << 14)
).astype(np.uint8)


@dataclass(frozen=True)
class Perturbation:
    """One way of changing a picture.

    Attributes:
        name: as tables show it.
        family: the sweep it belongs to.
        amount: where it lies on the sweep's axis, in the family's unit.
        change: ``uint8 (H, W, 3)`` RGB and a source of chance to the bytes of a file.
    """

    name: str
    family: str
    amount: float
    change: Change

    def __call__(self, rgb: Pixels, key: str) -> bytes:
        """The perturbed file; the same for a picture's key always."""
        return self.change(rgb, np.random.default_rng(zlib.crc32(f"{key}#{self.name}".encode())))


UNITS = {  # family: unit of its axis
    "JPEG": "quality",
    "WebP": "quality",
    "resize": "share of each side",
    "blur": "sigma, pixels",
    "noise": "sigma, of 255 levels",
    "crop": "share of each side",
    "screenshot": "display factor",
    "chain": "",
    "DFF": "",
}


def blurred(rgb: Pixels, sigma: float) -> Pixels:
    """``uint8 (H, W, 3)`` RGB after a Gaussian of ``sigma`` pixels."""
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma), np.uint8)


def noisy(rgb: Pixels, sigma: float, generator: np.random.Generator) -> Pixels:
    """``uint8 (H, W, 3)`` RGB with independent Gaussian noise of ``sigma`` levels."""
    noise = generator.standard_normal(rgb.shape, np.float32) * np.float32(sigma)
    return np.clip(np.rint(rgb + noise), 0, 255).astype(np.uint8)


def cropped(rgb: Pixels, share: float, generator: np.random.Generator) -> Pixels:
    """A part of ``uint8 (H, W, 3)`` RGB, ``share`` of each side, from anywhere."""
    size = [max(min(LEAST_SIDE, side), round(side * share)) for side in rgb.shape[:2]]
    top, left = (int(generator.integers(0, side - kept + 1)) for side, kept in zip(rgb.shape[:2], size, strict=True))
    return rgb[top : top + size[0], left : left + size[1]]


def smaller(rgb: Pixels, scale: float) -> Pixels:
    """``uint8 (H, W, 3)`` RGB at ``scale`` times its size by area, the shorter side no less than 32 px."""
    return resized(rgb, max(scale, min(1.0, LEAST_SIDE / min(rgb.shape[:2]))))


def at_most(rgb: Pixels, longest: int) -> Pixels:
    """``uint8 (H, W, 3)`` RGB no longer than ``longest`` pixels on its longer side."""
    return resized(rgb, min(1.0, longest / max(rgb.shape[:2])))


def no_wider(rgb: Pixels, width: int) -> Pixels:
    """``uint8 (H, W, 3)`` RGB no wider than ``width`` pixels."""
    return resized(rgb, min(1.0, width / rgb.shape[1]))


def screenshot(rgb: Pixels, factor: float, generator: np.random.Generator) -> Pixels:
    """A picture as a screen showed it: scaled to a page and the display, on the page, in the display's colours.

    The page is plain, light or dark, with grey bars where its text is. Colours go to the display's wider gamut and back and
    are rounded to 8 bits both times, as colour-managed screens do. Scaling is bilinear, as browsers do.

    Args:
        rgb: ``uint8 (H, W, 3)``.
        factor: device pixels a CSS pixel.
        generator: source of chance: margins, page, text.
    Returns:
        ``uint8`` of another height and width.
    """
    width = max(LEAST_SIDE, round(min(rgb.shape[1], PAGE_WIDTH) * factor))
    height = max(1, round(rgb.shape[0] * width / rgb.shape[1]))
    shown = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    left, top, right, bottom = (round(float(value) * factor) for value in generator.uniform(8, 56, 4))
    page, ink = ((250, 90), (24, 170))[int(generator.integers(2))]
    canvas = np.full((top + height + bottom, left + width + right, 3), page, np.uint8)
    line = max(3, round(6 * factor))
    for place in range(line, bottom - line, 3 * line):  # a caption
        start = top + height + place
        canvas[start : start + line, left : left + round(width * float(generator.uniform(0.4, 0.95)))] = ink
    canvas[top : top + height, left : left + width] = shown
    return _shown_in_wide_gamut(canvas)


def _shown_in_wide_gamut(rgb: Pixels) -> Pixels:
    display = _encoded(LIGHT[rgb] @ WIDE_GAMUT.T)
    return _encoded(LIGHT[display] @ np.linalg.inv(WIDE_GAMUT).T)


def _encoded(light: NDArray[np.float32]) -> Pixels:
    return ENCODED[np.rint(np.clip(light, 0, 1) * (len(ENCODED) - 1)).astype(np.intp)]


def _passed_on(rgb: Pixels) -> bytes:
    for longest in (1600, 1440, 1280):
        rgb = jpeg(at_most(rgb, longest), 70)
    return saved(rgb, "JPEG", 70, subsampling="4:2:0")


def _steady(change: Callable[[Pixels], bytes]) -> Change:
    return lambda rgb, _: change(rgb)


def _all() -> list[Perturbation]:
    found = [
        Perturbation(f"JPEG {quality}", "JPEG", quality, _steady(_saved_as("JPEG", quality)))
        for quality in (95, 90, 80, 70, 60, 50, 40, 30, 20, 10)
    ]
    found += [
        Perturbation(f"WebP {quality}", "WebP", quality, _steady(_saved_as("WEBP", quality)))
        for quality in (90, 80, 60, 40)
    ]
    found += [Perturbation(_size(share), "resize", share, _scaled(share)) for share in (0.9, 0.75, 0.5, 0.35, 0.25)]
    found += [Perturbation(f"blur {sigma:g} px", "blur", sigma, _blur(sigma)) for sigma in (0.5, 1.0, 2.0, 3.0)]
    found += [Perturbation(f"noise {sigma}", "noise", sigma, _noise(sigma)) for sigma in (2, 5, 10, 20)]
    found += [
        Perturbation(f"crop {100 * share:.0f} %", "crop", share, _crop(share)) for share in (0.9, 0.75, 0.5, 0.25)
    ]
    found += [
        Perturbation(f"screenshot {factor:g}x {kind}", "screenshot", factor, _screenshot(factor, kind))
        for factor in (1.0, 1.5, 2.0)
        for kind in ("PNG", "JPEG")
    ]
    chains: dict[str, Callable[[Pixels], bytes]] = {
        "75 % + JPEG 70": lambda rgb: saved(smaller(rgb, 0.75), "JPEG", 70),
        "messenger": lambda rgb: saved(at_most(rgb, 1600), "JPEG", 70, subsampling="4:2:0"),
        "microblog": lambda rgb: saved(jpeg(no_wider(rgb, 1080), 85), "JPEG", 85, subsampling="4:2:0"),
        "photo page": lambda rgb: saved(at_most(rgb, 2048), "JPEG", 71, subsampling="4:2:0"),
        "news site": lambda rgb: saved(no_wider(rgb, 800), "WEBP", 75),
        "passed on three times": _passed_on,
    }
    found += [Perturbation(name, "chain", place, _steady(chain)) for place, (name, chain) in enumerate(chains.items())]
    dff: dict[str, Callable[[Pixels], bytes]] = {  # the amounts are ours
        "DFF blur": lambda rgb: saved(blurred(rgb, 1.5), "PNG"),
        "DFF low quality": lambda rgb: saved(resized(smaller(rgb, 0.5), 2.0, cv2.INTER_LINEAR), "PNG"),
        "DFF compression": lambda rgb: saved(rgb, "JPEG", 50),
    }
    found += [Perturbation(name, "DFF", place, _steady(change)) for place, (name, change) in enumerate(dff.items())]
    known = {item.name for item in found}
    found += [Perturbation(name, "other", 0, _steady(change)) for name, change in VARIANTS.items() if name not in known]
    return [replace(item, change=_steady(VARIANTS[item.name])) if item.name in VARIANTS else item for item in found]


def _size(share: float) -> str:
    return "half size" if share == 0.5 else f"size {100 * share:.0f} %"


def _saved_as(kind: str, quality: int) -> Callable[[Pixels], bytes]:
    return lambda rgb: saved(rgb, kind, quality)


def _scaled(share: float) -> Change:
    return lambda rgb, _: saved(smaller(rgb, share), "PNG")


def _blur(sigma: float) -> Change:
    return lambda rgb, _: saved(blurred(rgb, sigma), "PNG")


def _noise(sigma: float) -> Change:
    return lambda rgb, generator: saved(noisy(rgb, sigma, generator), "PNG")


def _crop(share: float) -> Change:
    return lambda rgb, generator: saved(cropped(rgb, share, generator), "PNG")


def _screenshot(factor: float, kind: str) -> Change:
    return lambda rgb, generator: saved(screenshot(rgb, factor, generator), kind, 90 if kind == "JPEG" else None)


PERTURBATIONS: dict[str, Perturbation] = {item.name: item for item in _all()}
DFF = tuple(name for name, item in PERTURBATIONS.items() if item.family == "DFF")
SWEEPS = tuple(name for name, item in PERTURBATIONS.items() if item.family in UNITS)
QUICK = (  # one or two of each family
    *("JPEG 90", "JPEG 70", "JPEG 30", "WebP 80", "half size", "blur 1 px", "noise 5", "crop 50 %"),
    *("screenshot 1x PNG", "75 % + JPEG 70", "messenger"),
)


def perturbed(rgb: Pixels, name: str, key: str) -> bytes:
    """The file that a named perturbation makes of ``uint8 (H, W, 3)`` RGB; the same for a picture's key always.

    Raises:
        VeriscopeError: there is no perturbation of that name.
    """
    if name not in PERTURBATIONS:
        raise VeriscopeError(f"no perturbation is called {name!r}; there are: {', '.join(PERTURBATIONS)}")
    return PERTURBATIONS[name](rgb, key)


def pixels_of(data: bytes) -> Pixels:
    """The pixels ``uint8 (H, W, 3)`` of a file that ``perturbed`` made."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.uint8)
