"""How a part comes into a picture: cut hard, feathered, or with its surroundings' light (Poisson blending), and where it goes.

The blend decides what traces are left. A hard cut leaves an edge; a feathered one mixes two noises along it; a Poisson blend
keeps the part's own gradients, noise included, and bends its colours so that they meet the host's at the border. Solving for
that bend is interpolating the difference at the border smoothly inwards, done here from coarse to fine.

Papers: Perez et al. 2003 (Poisson image editing); Farbman et al. 2009 (the same as an interpolated membrane); Reinhard et al.
2001 (colour transfer).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
Mask = NDArray[np.bool_]  # (H, W)
BLENDS = ("hard", "feathered", "poisson")
BLEND_SHARES = (0.35, 0.4, 0.25)
FEATHER = (0.5, 5.0)  # pixels, spread of the edge's blur; the logarithm is drawn evenly
SMOOTHINGS = 12  # passes at each size of the membrane; more change no level of 255 that a saving would keep
COARSEST = 8  # pixels: no smaller membrane is solved
INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
UNTOUCHED_SHARE = 0.35  # of the parts keep size and angle, so that their pixels are the donor's own
SCALE = (0.5, 2.0)  # of the other parts, times each side; the logarithm is drawn evenly
MOST_TURNED = 30.0  # degrees, either way
TURNED_SHARE, FLIPPED_SHARE = 0.5, 0.3  # of the parts
WITHIN = 0.8  # of a part's height and width at least come to lie in the host, where that can be


def feathered(mask: Mask, spread: float) -> NDArray[np.float32]:
    """A mask's edge softened by a Gaussian of ``spread`` pixels: ``float32 (H, W)`` in [0, 1], 0 and 1 away from it."""
    share = np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), spread), np.float32)
    share[share < 1 / 255] = 0
    return share


def mixed(rgb: Pixels, made: NDArray[Any], share: NDArray[np.float32]) -> Pixels:
    """``uint8 (H, W, 3)`` with ``made``, of the same shape, as far as ``share`` ``(H, W)`` in [0, 1] says."""
    there = cv2.boundingRect((share > 0).astype(np.uint8))
    box = np.s_[there[1] : there[1] + there[3], there[0] : there[0] + there[2]]
    picture = rgb.copy()
    part = rgb[box].astype(np.float32)
    part += share[box][:, :, None] * (made[box].astype(np.float32) - part)
    picture[box] = np.clip(np.rint(part), 0, 255).astype(np.uint8)
    return picture


def blended(
    host: Pixels, part: Pixels, mask: Mask, generator: np.random.Generator
) -> tuple[Pixels, Mask, dict[str, Any]]:
    """A part set into a host by a random one of ``BLENDS``.

    Args:
        host: ``uint8 (H, W, 3)`` RGB.
        part: same shape; looked at inside the mask and, where its edge is feathered, just outside it.
        mask: ``bool (H, W)``.
        generator: source of chance.
    Returns:
        the picture, ``bool (H, W)`` true where at least half of a pixel is the part's, and the settings.
    """
    blend = str(generator.choice(BLENDS, p=BLEND_SHARES))
    if blend == "feathered":
        spread = float(np.exp(generator.uniform(*np.log(FEATHER))))
        share = feathered(mask, spread)
        if (share >= 0.5).any():
            return mixed(host, part, share), share >= 0.5, {"blend": blend, "feather": round(spread, 2)}
        blend = "hard"
    if blend == "poisson":
        return with_light_of(host, part, mask), mask, {"blend": blend}
    picture = host.copy()
    picture[mask] = part[mask]
    return picture, mask, {"blend": blend}


def with_light_of(host: Pixels, part: Pixels, mask: Mask) -> Pixels:
    """A part ``uint8 (H, W, 3)`` set into a host of that shape so that its colours meet the host's at the mask's border."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    box = np.s_[max(0, top - 1) : top + height + 1, max(0, left - 1) : left + width + 1]
    difference = host[box].astype(np.float32) - part[box]
    inside = mask[box]
    picture = host.copy()
    lit = np.clip(np.rint(part[box] + membrane(difference, inside)), 0, 255).astype(np.uint8)
    picture[box] = np.where(inside[:, :, None], lit, host[box])
    return picture


def membrane(values: NDArray[np.float32], inside: Mask) -> NDArray[np.float32]:
    """Values ``float32 (h, w, 3)``, those ``inside`` replaced by a smooth interpolation of those around (nearly harmonic).

    Where nothing is outside, all are 0.
    """
    if inside.all():
        return np.zeros_like(values)
    known = (~inside).astype(np.float32)
    filled = values * known[:, :, None]
    height, width = inside.shape
    if min(height, width) > COARSEST:
        size = ((width + 1) // 2, (height + 1) // 2)
        weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
        small = cv2.resize(filled, size, interpolation=cv2.INTER_AREA) / np.maximum(weight, 1e-6)[:, :, None]
        rough = cv2.resize(
            membrane(small.astype(np.float32), weight < 1e-3), (width, height), interpolation=cv2.INTER_LINEAR
        )
    else:
        rough = np.broadcast_to(filled.sum((0, 1)) / known.sum(), values.shape)
    filled = np.where(inside[:, :, None], rough, values).astype(np.float32)
    kernel = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    for _ in range(SMOOTHINGS):
        smooth = cv2.filter2D(filled, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        cv2.copyTo(smooth, inside.astype(np.uint8), filled)
    return filled


def matched(part: Pixels, mask: Mask, host: Pixels) -> Pixels:
    """A part whose colours have, under the mask, the mean and about the spread that the host has there."""
    chosen, there = (array[mask].astype(np.float32) for array in (part, host))
    gain = np.clip(there.std(0) / np.maximum(chosen.std(0), 1), 0.6, 1.6)
    levels = np.arange(256, dtype=np.float32)[:, None]
    table = np.clip(np.rint((levels - chosen.mean(0)) * gain + there.mean(0)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(part, table[None]), np.uint8)


def placed(
    donor: Pixels,
    region: Mask,
    size: tuple[int, int],
    area: tuple[float, float],
    generator: np.random.Generator,
    *,
    away: float = 0.0,
) -> tuple[Pixels, Mask, dict[str, Any]]:
    """A donor's region scaled, turned, flipped and moved to a random place of a host.

    Args:
        donor: ``uint8 (h, w, 3)`` RGB.
        region: ``bool (h, w)``, not empty.
        size: height and width of the host.
        area: least and largest share of the host that the region may cover; scales are drawn within it.
        generator: source of chance.
        away: pixels that the region is moved at least, for copies within one picture.
    Returns:
        the donor moved, ``uint8 (H, W, 3)``, mirrored beyond its edges; the region moved, ``bool (H, W)``; the settings.
    """
    left, top, wide, tall = cv2.boundingRect(region.astype(np.uint8))
    middle = np.array([left + wide / 2, top + tall / 2])
    least, most = (float(np.sqrt(share * size[0] * size[1] / region.sum())) for share in area)
    scale, angle = float(np.clip(1.0, least * 1.05, most)), 0.0
    flipped = bool(generator.random() < FLIPPED_SHARE)
    if generator.random() >= UNTOUCHED_SHARE:
        scale = float(np.clip(np.exp(generator.uniform(*np.log(SCALE))), least * 1.05, most))
        angle = float(generator.uniform(-MOST_TURNED, MOST_TURNED)) if generator.random() < TURNED_SHARE else 0.0
    turn = cv2.getRotationMatrix2D((0.0, 0.0), angle, scale)[:, :2]
    if flipped:
        turn = turn * np.array([-1.0, 1.0])
    goal = _goal(middle, np.array([wide, tall]) * scale, size, generator, away)
    shift = goal - turn @ middle
    exact = scale == 1 and angle == 0
    if exact:  # whole pixels, so that none is interpolated
        shift = np.rint(shift)
        goal = turn @ middle + shift
    matrix = np.column_stack([turn, shift])
    interpolation = cv2.INTER_NEAREST if exact else int(generator.choice(INTERPOLATIONS))
    canvas = (size[1], size[0])
    moved = cv2.warpAffine(donor, matrix, canvas, flags=interpolation, borderMode=cv2.BORDER_REFLECT_101)
    covered = cv2.warpAffine(region.astype(np.float32), matrix, canvas, flags=cv2.INTER_LINEAR)
    facts = {
        "scale": round(scale, 3),
        "angle": round(angle, 1),
        "flipped": flipped,
        "shift": np.rint(goal - middle).tolist(),
    }
    return np.asarray(moved, np.uint8), np.asarray(covered >= 0.5), facts


def _goal(
    middle: NDArray[np.float64],
    extent: NDArray[np.float64],
    size: tuple[int, int],
    generator: np.random.Generator,
    away: float,
) -> NDArray[np.float64]:
    """Where a region's middle goes, ``(x, y)``, so that most of its box lies in the host and it moves far enough."""
    sides = np.array([size[1], size[0]])
    margin = np.minimum(extent * (WITHIN - 0.5), sides / 2)
    places = generator.uniform(margin, sides - margin, (16, 2))
    far = np.linalg.norm(places - middle, axis=1)
    return np.asarray(places[np.argmax(far >= away)] if (far >= away).any() else places[np.argmax(far)], np.float64)
