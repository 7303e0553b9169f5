"""What editors do to a part of a picture without bringing anything in: blur, relight, resample, and add or take away noise.

Each leaves its own trace: blur and denoising take away the camera's noise and the high frequencies, relighting stretches the
histogram, resampling makes neighbours depend on each other with a period. All functions take ``uint8 (H, W, 3)`` RGB and a
source of chance and give the whole picture changed, and the settings; where the change shows is the mask's business.

Papers: Popescu and Farid 2005 (traces of resampling); Kirchner and Fridrich 2010 (median filtering).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
Changed = tuple[Pixels, dict[str, Any]]
BLURS = ("gaussian", "median", "motion", "mosaic")
SPREAD = (0.8, 4.0)  # pixels of a Gaussian blur; the logarithm is drawn evenly
BRIGHTER = (0.35, 1.0)  # stops, either way
CONTRAST, SATURATION = (0.7, 1.45), (0.3, 1.8)  # factors
WARMER = (0.05, 0.2)  # of the red gain, either way, and of the blue one the other way
SMALLER, LARGER = (0.35, 0.85), (1.2, 2.0)  # sizes between which a part goes and comes back
TURNED = (1.0, 15.0)  # degrees, either way
ZOOMED = (1.05, 1.3)
NOISE = (2.0, 12.0)  # levels of 255, spread of Gaussian noise
INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4, cv2.INTER_AREA)


def _between(generator: np.random.Generator, limits: tuple[float, float]) -> float:
    """A number whose logarithm is drawn evenly."""
    return float(np.exp(generator.uniform(*np.log(limits))))


def _either(generator: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(generator.uniform(*limits) * generator.choice((-1, 1)))


def blurred(rgb: Pixels, generator: np.random.Generator) -> Changed:
    """Blurred by a Gaussian, a median, a motion, or in squares as faces and plates are."""
    way = str(generator.choice(BLURS, p=(0.55, 0.15, 0.15, 0.15)))
    if way == "gaussian":
        spread = _between(generator, SPREAD)
        return np.asarray(cv2.GaussianBlur(rgb, (0, 0), spread), np.uint8), {"way": way, "spread": round(spread, 2)}
    if way == "median":
        size = int(generator.choice((3, 5, 7)))
        return np.asarray(cv2.medianBlur(rgb, size), np.uint8), {"way": way, "size": size}
    if way == "motion":
        size = 2 * int(generator.integers(2, 9)) + 1
        angle = float(generator.uniform(0, np.pi))
        kernel = np.zeros((size, size), np.float32)
        reach = (size - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(map(int, np.rint((size - 1) / 2 + sign * reach))) for sign in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0)
        return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), np.uint8), {"way": way, "size": size}
    size = int(generator.integers(4, max(5, min(rgb.shape[:2]) // 14) + 1))
    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (-(-width // size), -(-height // size)), interpolation=cv2.INTER_AREA)
    squares = np.repeat(np.repeat(small, size, 0), size, 1)[:height, :width]
    return np.ascontiguousarray(squares), {"way": way, "size": size}


def relit(rgb: Pixels, generator: np.random.Generator) -> Changed:
    """Made brighter or darker, of other contrast, warmer or colder, of other saturation; one of these, or two at once."""
    chosen = generator.choice(
        ("light", "contrast", "warmth", "saturation"), int(generator.integers(1, 3)), replace=False
    )
    facts: dict[str, Any] = {}
    levels = np.repeat(np.arange(256, dtype=np.float32)[:, None] / 255, 3, 1)
    if "light" in chosen:
        stops = _either(generator, BRIGHTER)
        levels = levels ** np.float32(2**-stops)
        facts["stops"] = round(stops, 2)
    if "contrast" in chosen:
        factor = _between(generator, CONTRAST)
        middle = np.float32(rgb.mean() / 255)
        levels = (levels - middle) * np.float32(factor) + middle
        facts["contrast"] = round(factor, 2)
    if "warmth" in chosen:
        amount = _either(generator, WARMER)
        levels = levels * np.array([1 + amount, 1, 1 - amount], np.float32)
        facts["warmth"] = round(amount, 2)
    made = cv2.LUT(rgb, np.clip(np.rint(levels * 255), 0, 255).astype(np.uint8)[None])
    if "saturation" in chosen:
        factor = _between(generator, SATURATION)
        grey = cv2.cvtColor(cv2.cvtColor(made, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        made = cv2.addWeighted(made, factor, grey, 1 - factor, 0)
        facts["saturation"] = round(factor, 2)
    return np.asarray(made, np.uint8), facts


def resampled(rgb: Pixels, generator: np.random.Generator, middle: tuple[float, float]) -> Changed:
    """Made smaller or larger and brought back to size, or turned or enlarged about ``middle``, ``(x, y)``."""
    height, width = rgb.shape[:2]
    way = str(generator.choice(("smaller", "larger", "turned", "zoomed"), p=(0.3, 0.2, 0.3, 0.2)))
    there, back = (int(generator.choice(INTERPOLATIONS)) for _ in range(2))
    if way in ("smaller", "larger"):
        scale = float(generator.uniform(*(SMALLER if way == "smaller" else LARGER)))
        size = max(4, round(width * scale)), max(4, round(height * scale))
        made = cv2.resize(cv2.resize(rgb, size, interpolation=there), (width, height), interpolation=back)
        return np.asarray(made, np.uint8), {"way": way, "scale": round(scale, 3)}
    angle = _either(generator, TURNED) if way == "turned" else 0.0
    scale = float(generator.uniform(*ZOOMED)) if way == "zoomed" else 1.0
    matrix = cv2.getRotationMatrix2D(middle, angle, scale)
    flags = there if there != cv2.INTER_AREA else cv2.INTER_LINEAR
    made = cv2.warpAffine(rgb, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(made, np.uint8), {"way": way, "angle": round(angle, 1), "scale": round(scale, 3)}


def renoised(rgb: Pixels, generator: np.random.Generator) -> Changed:
    """With Gaussian or film-like noise added, grey or coloured, or denoised by a bilateral filter."""
    way = str(generator.choice(("grey noise", "coloured noise", "grain", "denoised"), p=(0.25, 0.25, 0.15, 0.35)))
    if way == "denoised":
        levels, reach = float(generator.uniform(12, 45)), float(generator.uniform(1.5, 4))
        made = cv2.bilateralFilter(rgb, 7, levels, reach)
        return np.asarray(made, np.uint8), {"way": way, "levels": round(levels, 1), "reach": round(reach, 1)}
    spread = _between(generator, NOISE)
    shape = rgb.shape if way == "coloured noise" else (*rgb.shape[:2], 1)
    noise = generator.standard_normal(shape, np.float32)
    if way == "grain":
        noise = cv2.GaussianBlur(noise, (0, 0), 0.8)[:, :, None]
        noise /= max(float(noise.std()), 1e-6)
    made = np.clip(np.rint(rgb + np.float32(spread) * noise), 0, 255).astype(np.uint8)
    return made, {"way": way, "spread": round(spread, 2)}
