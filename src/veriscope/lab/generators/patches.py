"""A real picture of which one part is made by a generator: what inpainting leaves, with the mask that says where.

The part shows what the picture showed there, so nothing but the generator's trace tells it from the rest, and neither subject
nor composition can be learned in its place. The edge is feathered, as editors do; beyond it every pixel is the original's.

Papers: Li et al. 2020 (Face X-ray: blended parts as training data); Mareen et al. 2024 (TGIF: inpainting spliced into the
picture against pictures wholly regenerated).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SHAPES = ("ellipse", "polygon", "brush")
AREA = (0.02, 0.5)  # of the picture
FEATHER = (0.0, 0.02)  # spread of the edge's blur, in longer sides
TRIES = 12  # at finding the size that gives the wanted area


def random_mask(
    height: int, width: int, generator: np.random.Generator, area: tuple[float, float] = AREA
) -> tuple[NDArray[np.bool_], dict[str, float | str]]:
    """A connected random shape, ``bool (H, W)``, and its description: shape and share of the area.

    Args:
        height, width: pixels.
        generator: source of chance.
        area: least and largest share of the picture; the logarithm of the share is drawn evenly.
    """
    kind = str(generator.choice(SHAPES))
    wanted = float(np.exp(generator.uniform(*np.log(area))))
    seed = int(generator.integers(1 << 31))
    low, high = 0.0, 3.0
    mask = np.zeros((height, width), bool)
    for _ in range(TRIES):  # the same shape larger or smaller, until it covers what is wanted
        size = (low + high) / 2
        mask = _drawn(kind, height, width, size * np.sqrt(wanted), np.random.default_rng(seed))
        low, high = (size, high) if mask.mean() < wanted else (low, size)
    if not mask.any():
        mask[height // 2, width // 2] = True
    return mask, {"shape": kind, "area": round(float(mask.mean()), 4)}


def _drawn(kind: str, height: int, width: int, size: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    canvas = np.zeros((height, width), np.uint8)
    centre = generator.uniform(0.2, 0.8, 2) * (width, height)
    reach = size * np.sqrt(height * width / np.pi)  # the radius of a disc of the wanted area
    if kind == "ellipse":
        stretch = np.exp(generator.uniform(-0.6, 0.6))
        axes = max(1, round(reach * stretch)), max(1, round(reach / stretch))
        cv2.ellipse(canvas, _point(centre), axes, float(generator.uniform(0, 180)), 0, 360, 1, -1)
    elif kind == "polygon":
        corners = int(generator.integers(4, 10))
        angles = np.sort(generator.uniform(0, 2 * np.pi, corners))
        radii = reach * generator.uniform(0.5, 1.5, corners)
        points = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
        cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], 1)
    else:
        heading, thick = generator.uniform(0, 2 * np.pi), max(1, round(reach * 0.7))
        for turn in generator.normal(0, 0.7, 8):
            heading += turn
            onward = np.clip(
                centre + 0.5 * reach * np.array([np.cos(heading), np.sin(heading)]), 0, (width - 1, height - 1)
            )
            cv2.line(canvas, _point(centre), _point(onward), 1, thick)
            centre = onward
    return canvas.astype(bool)


def _point(place: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(place[0])), round(float(place[1]))


def patched(
    rgb: NDArray[np.uint8], made: NDArray[np.uint8], mask: NDArray[np.bool_], feather: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The picture with a generator's pixels inside the mask, and where it then differs from the original by the blend.

    Args:
        rgb: the original, ``uint8 (H, W, 3)``.
        made: the generator's version, same shape.
        mask: ``bool (H, W)``, where the generator's version goes.
        feather: spread of the edge's blur, pixels.
    Returns:
        ``uint8 (H, W, 3)``, and ``bool (H, W)``, true where at least half of a pixel is the generator's.
    """
    share = mask.astype(np.float32)
    if feather > 0:
        share = np.asarray(cv2.GaussianBlur(share, (0, 0), feather), np.float32)
        share[share < 1 / 255] = 0
    blended = rgb + share[:, :, None] * (made.astype(np.float32) - rgb)
    return np.asarray(np.rint(blended), np.uint8), share >= 0.5


def random_patch(
    rgb: NDArray[np.uint8], made: NDArray[np.uint8], generator: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], dict[str, float | str]]:
    """A random part of ``made`` set into ``rgb``, both ``uint8 (H, W, 3)``: the picture, its mask and the settings."""
    mask, settings = random_mask(rgb.shape[0], rgb.shape[1], generator)
    feather = float(generator.uniform(*FEATHER)) * max(rgb.shape[:2])
    picture, mask = patched(rgb, made, mask, feather)
    return picture, mask, {**settings, "feather": round(feather, 2), "area": round(float(mask.mean()), 4)}
