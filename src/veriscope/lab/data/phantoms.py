"""Rendered slices like those of a chest tomogram, with one nodule each, smooth or spiculated: pictures whose use is known.

Bodies, lungs, spine, ribs and vessels are drawn with random sizes and attenuations, blurred as by a scanner and covered
with noise that is correlated as a reconstruction's is. What a classifier must see is the nodule's edge, fine detail that a
watermark could blur or imitate. They stand for medical pictures where none may be used; they are no patients, and nothing
here is medical advice.

Paper: Shepp & Logan 1974 (phantoms of ellipses).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 192  # pixels
CLASSES = ("smooth", "spiculated")
FINE = 2  # times the size that is drawn at
AIR, LUNG, TISSUE, BONE = 8, 40, 120, 215  # grey levels


def phantom(generator: np.random.Generator, spiculated: bool, side: int = SIDE) -> NDArray[np.uint8]:
    """One slice, ``uint8 (side, side, 3)``, all three channels alike.

    Args:
        generator: source of chance.
        spiculated: whether its nodule has spikes.
        side: pixels.
    """
    size = FINE * side
    canvas = np.full((size, size), AIR, np.float32)
    middle = np.array([size / 2, size / 2]) + generator.normal(0, size * 0.01, 2)
    body = size * generator.uniform(0.40, 0.46), size * generator.uniform(0.30, 0.36)
    _ellipse(canvas, middle, body, 0, TISSUE * generator.uniform(0.92, 1.08))
    places = []
    for sign in (-1, 1):
        centre = middle + np.array(
            [sign * body[0] * generator.uniform(0.42, 0.5), -body[1] * generator.uniform(0.0, 0.1)]
        )
        axes = body[0] * generator.uniform(0.33, 0.4), body[1] * generator.uniform(0.58, 0.7)
        _ellipse(canvas, centre, axes, sign * generator.uniform(-12, 2), LUNG * generator.uniform(0.8, 1.2))
        places.append((centre, axes))
    _ellipse(canvas, middle + np.array([0, body[1] * 0.66]), (body[0] * 0.11, body[1] * 0.15), 0, BONE)
    for angle in np.linspace(0, 2 * np.pi, 14, endpoint=False) + generator.uniform(0, 0.4):
        at = middle + 0.94 * np.array([body[0] * np.cos(angle), body[1] * np.sin(angle)])
        _ellipse(
            canvas, at, (body[0] * 0.06, body[1] * 0.03), np.degrees(angle) + 90, BONE * generator.uniform(0.85, 1)
        )
    for centre, axes in places:
        for _ in range(int(generator.integers(10, 18))):
            _vessel(canvas, _inside(centre, axes, generator), size, generator)
    centre, axes = places[int(generator.integers(2))]
    _nodule(canvas, _inside(centre, axes, generator), size, spiculated, generator)
    scanned = cv2.resize(cv2.GaussianBlur(canvas, (0, 0), FINE * 0.6), (side, side), interpolation=cv2.INTER_AREA)
    noise = cv2.GaussianBlur(generator.standard_normal((side, side)).astype(np.float32), (0, 0), 0.8)
    scanned = scanned + noise / noise.std() * generator.uniform(3, 7)
    return np.repeat(np.clip(np.rint(scanned), 0, 255).astype(np.uint8)[..., None], 3, -1)


def phantoms(count: int, seed: int = 0, side: int = SIDE) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """``count`` slices ``uint8 (count, side, side, 3)`` and their classes ``int64 (count,)``, by turns; the same for a seed."""
    labels = np.arange(count) % len(CLASSES)
    made = [phantom(np.random.default_rng((seed, number)), bool(label), side) for number, label in enumerate(labels)]
    return np.stack(made), labels.astype(np.int64)


def _inside(
    centre: NDArray[np.floating], axes: tuple[float, float], generator: np.random.Generator
) -> NDArray[np.float64]:
    turn, far = generator.uniform(0, 2 * np.pi), 0.7 * np.sqrt(generator.random())
    return np.asarray(centre + far * np.array([axes[0] * np.cos(turn), axes[1] * np.sin(turn)]), np.float64)


def _ellipse(
    canvas: NDArray[np.float32], at: NDArray[np.floating], axes: tuple[float, float], degrees: float, level: float
) -> None:
    box = (tuple(float(value) for value in at), tuple(2 * float(value) for value in axes), float(degrees))
    cv2.ellipse(canvas, box, float(level), -1, cv2.LINE_AA)


def _pixel(at: NDArray[np.floating]) -> tuple[int, int]:
    return round(float(at[0])), round(float(at[1]))


def _vessel(canvas: NDArray[np.float32], at: NDArray[np.float64], size: int, generator: np.random.Generator) -> None:
    turn, length = generator.uniform(0, 2 * np.pi), size * generator.uniform(0.02, 0.06)
    end = at + length * np.array([np.cos(turn), np.sin(turn)])
    ends = _pixel(at), _pixel(end)
    cv2.line(canvas, *ends, float(generator.uniform(70, 110)), int(generator.integers(1, 4)), cv2.LINE_AA)


def _nodule(
    canvas: NDArray[np.float32], at: NDArray[np.float64], size: int, spiculated: bool, generator: np.random.Generator
) -> None:
    radius = size * generator.uniform(0.018, 0.03)
    level = float(generator.uniform(105, 130))
    _ellipse(canvas, at, (radius, radius * generator.uniform(0.8, 1.0)), generator.uniform(0, 180), level)
    if not spiculated:
        return
    for turn in np.linspace(0, 2 * np.pi, int(generator.integers(8, 13)), endpoint=False) + generator.normal(0, 0.1):
        end = at + radius * generator.uniform(1.6, 2.6) * np.array([np.cos(turn), np.sin(turn)])
        ends = _pixel(at), _pixel(end)
        cv2.line(canvas, *ends, 0.85 * level, 2, cv2.LINE_AA)
