"""A picture given the colours and the focus of another that shows the same, though parts of its content may differ.

Colours are fitted in two steps, each with the places left out that do not follow: every channel as a smooth function of all
three, which covers exposure, contrast, casts, filters, grey and negatives; then a gain and an offset that vary slowly, for
vignettes and light from one side. The fit is by least squares with Tukey's weights.

Paper: HaCohen, Shechtman, Goldman and Lischinski 2011 (non-rigid dense correspondence: global, then local colour fits).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
MOST_SAMPLES = 20_000
ROUNDS = 6  # of weighing and fitting
REACH = 4.685  # of Tukey's weights, in robust standard deviations
LEAST_DEVIATION = 2.0  # grey levels: what saving changes at least
RIDGE = 1e-4  # of the normal equations
LOCAL = 0.1  # of the longer side: standard deviation of the slow gain and offset
FOCUS = (0.8, 1.6, 2.6, 4.0)  # pixels: standard deviations of blur that are tried


@dataclass(frozen=True, eq=False)
class Repainted:
    """A picture in another's colours.

    Attributes:
        picture: float32 (h, w, 3), about in [0, 255].
        residual: grey levels by which it typically differs from the other where the two agree.
        strength: root mean square change of its colours, in [0, 1] of the range.
    """

    picture: Floats = field(repr=False)
    residual: float
    strength: float


def repainted(picture: Floats, other: Floats, where: Mask) -> Repainted:
    """A picture given another's colours and focus.

    Args:
        picture, other: float32 (h, w, 3), grey levels, in one frame.
        where: bool (h, w), not empty; where both are seen.
    """
    soft = [cv2.GaussianBlur(values, (0, 0), 1.0) for values in (picture, other)]
    curve = _curve(np.asarray(soft[0], np.float32), np.asarray(soft[1], np.float32), where)
    painted = _applied(curve, picture)
    follows = _follows(np.asarray(soft[1] - cv2.GaussianBlur(painted, (0, 0), 1.0), np.float32), where)
    painted = _lit(painted, other, follows)
    painted = _focused(painted, other, follows)
    rest = np.abs(painted - other).mean(2)
    residual = float(np.median(rest[where & (follows > 0.5)])) if (where & (follows > 0.5)).any() else 0.0
    strength = float(np.sqrt(np.square(painted - picture)[where].mean()) / 255)
    return Repainted(painted, 1.48 * residual, strength)


def _features(rgb: Floats) -> Floats:
    """Colours (..., 3) as 1, r, g, b, their products and their roots, (..., 13), of values in [0, 1]."""
    red, green, blue = np.moveaxis(rgb / np.float32(255), -1, 0)
    one = np.ones_like(red)
    products = (red * red, green * green, blue * blue, red * green, green * blue, blue * red)
    roots = np.sqrt(red), np.sqrt(green), np.sqrt(blue)
    return np.stack([one, red, green, blue, *products, *roots], -1).astype(np.float32)


def _applied(curve: NDArray[np.float64], rgb: Floats) -> Floats:
    return np.asarray(np.clip(_features(np.clip(rgb, 0, 255)) @ curve.astype(np.float32), 0, 255), np.float32)


def _curve(picture: Floats, other: Floats, where: Mask) -> NDArray[np.float64]:
    """Coefficients (13, 3) that take a picture's colours to another's."""
    chosen = np.flatnonzero(where)
    chosen = chosen[:: max(1, len(chosen) // MOST_SAMPLES)]
    before = _features(picture.reshape(-1, 3)[chosen]).astype(np.float64)
    after = other.reshape(-1, 3)[chosen].astype(np.float64)
    weights = np.ones(len(chosen))
    curve: NDArray[np.float64] = np.zeros((before.shape[1], 3))
    for _ in range(ROUNDS):
        weighted = before * weights[:, None]
        ridge = RIDGE * max(float(weights.sum()), 1.0) * np.eye(before.shape[1])
        curve = np.asarray(np.linalg.solve(weighted.T @ before + ridge, weighted.T @ after), np.float64)
        weights = _tukey(np.abs(after - before @ curve).max(1))
    return curve


def _tukey(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tukey's weights in [0, 1] of absolute errors."""
    deviation = max(float(np.median(errors)) * 1.48, LEAST_DEVIATION)
    return np.asarray(np.square(np.maximum(1 - np.square(errors / (REACH * deviation)), 0)))


def _follows(errors: Floats, where: Mask) -> Floats:
    """In [0, 1], where the two differ by no more than is usual: float32 (h, w)."""
    largest = np.abs(errors).max(2)
    deviation = max(float(np.median(largest[where])) * 1.48, LEAST_DEVIATION)
    weight = np.square(np.maximum(1 - np.square(largest / (REACH * deviation)), 0))
    return np.asarray(weight * where, np.float32)


def _lit(picture: Floats, other: Floats, follows: Floats) -> Floats:
    """A slowly varying gain and offset of each channel, fitted where the two agree."""
    height, width = picture.shape[:2]
    small = max(8, round(width / 4)), max(8, round(height / 4))
    sigma = LOCAL * max(small)
    weight = cv2.resize(follows, small, interpolation=cv2.INTER_AREA)
    made = np.empty_like(picture)
    total = cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-3
    for channel in range(3):
        one, two = (
            cv2.resize(np.ascontiguousarray(rgb[..., channel]), small, interpolation=cv2.INTER_AREA)
            for rgb in (picture, other)
        )

        def mean(values: Floats) -> Floats:
            return np.asarray(cv2.GaussianBlur(values * weight, (0, 0), sigma) / total, np.float32)

        mean_one, mean_two = mean(one), mean(two)
        spread = mean(one * one) - mean_one * mean_one
        gain = np.clip((mean(one * two) - mean_one * mean_two + 60) / (spread + 60), 0.4, 2.5)
        offset = mean_two - gain * mean_one
        gain, offset = (cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in (gain, offset))
        made[..., channel] = picture[..., channel] * gain + offset
    return np.clip(made, 0, 255)


def _focused(picture: Floats, other: Floats, follows: Floats) -> Floats:
    """The picture blurred as far as that brings it nearer to the other where the two agree; sharp where none does."""
    weight = follows[..., None]

    def error(choice: Floats) -> float:
        return float((np.abs(choice - other) * weight).sum())

    blurs = (np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32) for sigma in FOCUS)
    return min((picture, *blurs), key=error)
