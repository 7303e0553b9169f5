"""Where the light seems to come from, and whether the shadows of a picture agree on it.

One sun casts shadows to one side: across a shadow's edge the light drops and the colour hardly changes, and the darker sides
lie the same way in all parts of a picture. A lamp nearby, several lamps and dark paint break this, so it is a weak trace.

Papers: Finlayson et al. 2006 (shadow edges change light, not chromaticity); Johnson & Farid 2005 (one direction of light);
Sarkar et al. 2024 (Shadows Don't Lie and Lines Can't Bend).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.synthetic.lines import Segments, families

Floats = NDArray[np.float64]

SIDE = 256  # pixels, the longer side
GRID = 4  # cells an axis
LEAST_IN_CELL = 12  # pixels of edges that give a cell a direction
STEP = 0.12  # of the natural logarithm of light a pixel: a strong edge
NEUTRAL = 0.3  # of the change of light that a change of colour may be across a shadow's edge
DARK = 0.6  # of the light around it: a dark region
LEAST_REGION = 0.003  # of the picture
MOST_REGIONS = 12
LIGHT = np.array([0.299, 0.587, 0.114], np.float32)


def relations(rgb: NDArray[np.uint8], these: Segments) -> dict[str, float]:
    """How the edges of shadows, dark regions and shading of ``uint8 (H, W, 3)`` RGB lie to one another, by name.

    Directions enter as their two parts, agreement as the length of a mean of directions (1 where all are alike).
    """
    scale = SIDE / max(rgb.shape[:2])
    size = max(16, round(rgb.shape[1] * scale)), max(16, round(rgb.shape[0] * scale))
    colours = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32) + 4
    light = np.log(colours @ LIGHT)
    tints = [np.log(colours[..., channel] / colours[..., 1]) for channel in (0, 2)]
    slopes = _slopes(light, 1.2)
    change = np.hypot(*slopes)
    tinted = np.sqrt(np.sum([np.square(_slopes(tint, 1.2)) for tint in tints], axis=(0, 1)))
    strong = change > STEP
    shadow = strong & (tinted < NEUTRAL * change)
    darker = -slopes / np.maximum(change, 1e-6)  # of length 1, into the shadow
    shading = -_slopes(light, SIDE / 14)
    shading = shading / np.maximum(np.hypot(*shading), 1e-6)
    everywhere = np.ones_like(shadow)
    return {
        "edges strong": float(strong.mean()),
        "edges of shadows": float(shadow.sum() / max(strong.sum(), 1)),
        **_agreement("edges", darker, shadow),
        **_agreement("shading", shading, everywhere),
        "shading with edges": float(_mean(darker, shadow) @ _mean(shading, everywhere)),
        **_shadow_lines(these, shadow),
        **_regions(light, change, _mean(darker, shadow)),
    }


def _slopes(values: NDArray[np.float32], blur: float) -> Floats:
    smooth = cv2.GaussianBlur(values, (0, 0), blur)
    return np.stack([cv2.Sobel(smooth, cv2.CV_32F, *way, ksize=3) / 8 for way in ((1, 0), (0, 1))]).astype(np.float64)


def _mean(ways: Floats, where: NDArray[np.bool_]) -> Floats:
    return np.asarray(ways[:, where].mean(1) if where.any() else np.zeros(2))


def _agreement(name: str, ways: Floats, where: NDArray[np.bool_]) -> dict[str, float]:
    """Of directions ``(2, H, W)``: where they point together, how far they agree, and how far the picture's cells do."""
    whole = _mean(ways, where)
    axis = _mean(np.stack([ways[0] ** 2 - ways[1] ** 2, 2 * ways[0] * ways[1]]), where)
    cells = [
        _mean(ways[:, top : top + tall, left : left + wide], where[top : top + tall, left : left + wide])
        for tall, wide in [(-(-where.shape[0] // GRID), -(-where.shape[1] // GRID))]
        for top in range(0, where.shape[0], tall)
        for left in range(0, where.shape[1], wide)
        if where[top : top + tall, left : left + wide].sum() >= LEAST_IN_CELL
    ]
    within = [float(np.hypot(*cell)) for cell in cells]
    between = [cell / max(length, 1e-6) for cell, length in zip(cells, within, strict=True)]
    return {
        f"{name} x": float(whole[0]),
        f"{name} y": float(whole[1]),
        f"{name} agreement": float(np.hypot(*whole)),
        f"{name} axis upright": float(axis[0]),
        f"{name} axis slanted": float(axis[1]),
        f"{name} agreement in cells": float(np.mean(within)) if cells else 0.0,
        f"{name} agreement of cells": float(np.hypot(*np.mean(between, 0))) if cells else 0.0,
    }


def _shadow_lines(these: Segments, shadow: NDArray[np.bool_]) -> dict[str, float]:
    """Straight edges of shadows: how many, and how nearly they meet in one point, as those of one lamp on a plane do."""
    height, width = shadow.shape
    points = these.middles * np.hypot(height, width) / 2 + np.array([width, height]) / 2
    columns, rows = np.clip(points.astype(int), 0, [width - 1, height - 1]).T if len(these) else np.zeros((2, 0), int)
    on = cv2.dilate(shadow.astype(np.uint8), np.ones((3, 3), np.uint8))[rows, columns] > 0
    lines = these.chosen(on)
    total = max(float(these.lengths.sum()), 1e-9)
    found = families(lines)[:1]
    return {
        "shadow lines": float(lines.lengths.sum()) / total,
        "shadow lines meeting": float(lines.lengths[found[0].members].sum() / lines.lengths.sum()) if found else 0.0,
        "shadow lines missing": float(found[0].residuals.mean()) if found else 0.0,
    }


def _regions(light: NDArray[np.float32], change: Floats, into_shadow: Floats) -> dict[str, float]:
    """Dark regions and what stands beside them: a cast shadow lies on the dark side of what casts it."""
    around = cv2.GaussianBlur(light, (0, 0), SIDE / 8)
    dark = cv2.morphologyEx((light - around < np.log(DARK)).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, marks, stats, centres = cv2.connectedComponentsWithStats(dark, connectivity=8)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:MOST_REGIONS]
    places = [place for place in order if stats[place, cv2.CC_STAT_AREA] >= LEAST_REGION * light.size]
    axes, objects, long, weights = [], [], [], []
    for place in places:
        region = (marks == place).astype(np.uint8)
        moments = cv2.moments(region, binaryImage=True)
        spread = np.array([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]]) / moments["m00"]
        sizes, ways = np.linalg.eigh(spread)
        x, y = ways[:, 1]
        long.append(1 - np.sqrt(max(sizes[0], 0) / max(sizes[1], 1e-9)))
        axes.append([x * x - y * y, 2 * x * y])
        ring = cv2.dilate(region, np.ones((13, 13), np.uint8)) - region
        mass = np.where(ring > 0, change, 0)
        rows, columns = np.nonzero(mass)
        beside = (
            np.average(np.column_stack([columns, rows]), axis=0, weights=mass[rows, columns])
            if len(rows)
            else centres[place]
        )
        away = centres[place] - beside
        objects.append(away / max(float(np.hypot(*away)), 1e-6))
        weights.append(np.sqrt(stats[place, cv2.CC_STAT_AREA]))
    if not places:
        return dict.fromkeys(REGIONS, 0.0)
    axis, side = (np.average(ways, axis=0, weights=weights) for ways in (axes, objects))
    heights = centres[places, 1] / light.shape[0] - 0.5
    values = (
        float(np.log1p(len(places))),
        float(stats[places, cv2.CC_STAT_AREA].sum() / light.size),
        float(np.average(long, weights=weights)),
        float(np.hypot(*axis)),
        float(axis[0]),
        float(np.hypot(*side)),
        float(side @ into_shadow),
        float(np.average(heights, weights=weights)),
    )
    return dict(zip(REGIONS, values, strict=True))


REGIONS = (
    "regions",
    "regions area",
    "regions long",
    "regions axes agree",
    "regions axes level",
    "regions sides agree",
    "regions sides with edges",
    "regions low",
)
