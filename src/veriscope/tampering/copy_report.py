"""Copy-move: what its two ways of searching share before and after the search.

Before it the picture is scaled to what can be afforded; after it candidates are verified one by one, source and target are
told apart, and the pairs become a map and a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.tampering import regions
from veriscope.tampering.copy_direction import directed
from veriscope.tampering.copy_matches import LEAST_FINE, CopyMatch, verified
from veriscope.tampering.copy_regions import Affine, Mask, Plane, box_of
from veriscope.tampering.localisation import CLIPPED, FLAT, LEAST_SIDE, Localisation

COPY, ORIGINAL, EITHER = (0.6, 1.0), (0.2, 0.45), (0.5, 0.9)  # map values at the least and at full correlation
BLOCK = 8  # pixels: of the test whether a place carries traces
LIMITS = "Identical objects, printed letters and drawn pictures repeat without any edit"


def scaled(rgb: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) averaged down to at most so many pixels, no side below 64; itself where it is small enough."""
    factor = np.sqrt(pixels / (rgb.shape[0] * rgb.shape[1]))
    if factor >= 1:
        return rgb
    height, width = (max(LEAST_SIDE, int(side * factor)) for side in rgb.shape[:2])
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def planes(rgb: NDArray[np.uint8]) -> tuple[Plane, Plane]:
    """Luma float32 (h, w) in [0, 255] and the two colour differences float32 (h, w, 2), of uint8 (h, w, 3)."""
    apart = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    return np.ascontiguousarray(apart[..., 0]), np.ascontiguousarray(apart[..., 1:])


def settled(luma: Plane, candidates: Iterable[tuple[Affine, Mask]], original_scale: bool) -> tuple[CopyMatch, ...]:
    """The candidates that hold, each pair of parts once, source and target told apart where traces tell.

    Args:
        luma: float32 (h, w), grey levels.
        candidates: transforms of (x, y, 1), each with where it was found, bool (h, w); the best supported first.
        original_scale: whether ``luma`` is the picture at its own size.
    """
    found: list[CopyMatch] = []
    for affine, seed in candidates:
        if any((seed & (match.source | match.target)).sum() > 0.5 * seed.sum() for match in found):
            continue
        match = verified(luma, affine, seed)
        if match is not None:
            found.append(directed(luma, match, original_scale))
    return tuple(found)


def localised(found: tuple[CopyMatch, ...], rgb: NDArray[np.uint8]) -> Localisation:
    """The map of the matches on the scaled picture they were found in, and a sentence on the largest."""
    textured = _textured(planes(rgb)[0])
    values, verified_area = np.zeros_like(textured), np.zeros(textured.shape, bool)
    for match in found:
        sure = (match.correlation - LEAST_FINE) / (1 - LEAST_FINE)
        for part, (least, most) in (
            (match.source, ORIGINAL if match.told_apart else EITHER),
            (match.target, COPY if match.told_apart else EITHER),
        ):
            values[part] = np.maximum(values[part], least + (most - least) * sure)
            verified_area |= part
    judged = np.maximum(textured, verified_area.astype(np.float32))
    return Localisation(
        map=values,
        judged=judged,
        score=float(values.max()),
        says=sentence(found),
        reliability=0.5 if judged.mean() > 0.1 else 0.2,
        reason=f"{LIMITS}; flat parts and strongly scaled copies tell nothing.",
    )


def sentence(found: tuple[CopyMatch, ...]) -> str:
    """What was found, for a reader; the largest pair is described."""
    if not found:
        return "No part of the picture repeats another in its fine detail."
    match = max(found, key=lambda each: int(each.target.sum()))
    changes = []
    if match.mirrored:
        changes.append("mirrored")
    if abs(match.rotation) >= 1:
        changes.append(f"turned by {abs(match.rotation):.0f} degrees")
    if abs(match.scale - 1) >= 0.03:
        changes.append(f"scaled to {match.scale:.0%}")
    place, other = where(match.target), where(match.source)
    if place == other:
        says = f"Two parts {place} repeat one another"
    elif match.told_apart:
        says = f"The part {place} repeats the part {other}"
    else:
        says = f"The parts {place} and {other} repeat one another"
    says += f", {' and '.join(changes)}" if changes else ", down to the fine detail"
    says += "; which is the copy cannot be told" if not match.told_apart else ""
    more = len(found) - 1
    return says + (f"; so do {more} other pairs." if more > 1 else "; so does one other pair." if more else ".")


def where(mask: Mask) -> str:
    """A mask's place in words, by its box.

    >>> corner = np.zeros((90, 90), bool)
    >>> corner[:20, 70:] = True
    >>> where(corner)
    'at the upper right'
    """
    (rows, columns), (height, width) = box_of(mask), mask.shape
    box = columns.start / width, rows.start / height, columns.stop / width, rows.stop / height
    return regions.where(regions.place(box))


def _textured(luma: Plane) -> Plane:
    """1 where the surroundings are neither flat nor clipped, else 0: float32 (h, w)."""
    mean = cv2.blur(luma, (BLOCK, BLOCK))
    spread = cv2.blur(luma * luma, (BLOCK, BLOCK)) - mean * mean
    clipped = cv2.blur(((luma < 2.5) | (luma > 252.5)).astype(np.float32), (BLOCK, BLOCK))
    return np.asarray((spread >= FLAT**2) & (clipped <= CLIPPED), np.float32)
