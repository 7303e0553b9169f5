"""Where an edit lies: the outlines that editors draw, from a lasso's polygon to a cut along an object's edges.

A localiser that has only seen ellipses learns ellipses. Half of the regions here follow the picture's own edges, as a careful
cut does: basins of the gradient are joined, likest first, from one that stands out against the picture's border. The others
are drawn regardless of the picture.

Papers: Vincent and Soille 1991 (watersheds); Yang et al. 2023 (EditGuard, random free-form masks in training).
"""

from __future__ import annotations

import heapq
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.lab.generators.patches import random_mask

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
Mask = NDArray[np.bool_]  # (H, W)
AREA = (0.006, 0.38)  # of the picture: what drawing, blending and saving round stays within 0.5 to 40 %
OBJECT_SHARE = 0.5  # of the regions
BLOB_SHARE = 0.25  # of the others; the rest are ellipses, polygons and strokes of a brush
SKETCH = 112  # pixels of the longer side of the copy on which outlines are found
BASIN = 9  # pixels of the sketch between the seeds of two basins
LIKENESS = 60.0  # levels of colour between a basin and the first one that count 1 against joining it
COMPACTNESS = (1.0, 5.0)  # what a distance of the sketch's longer side counts, from sprawling regions to round ones


def random_region(
    rgb: Pixels,
    generator: np.random.Generator,
    area: tuple[float, float] = AREA,
    object_share: float = OBJECT_SHARE,
) -> tuple[Mask, dict[str, Any]]:
    """A random connected region of a picture, ``bool (H, W)``, and its description: shape and share of the area.

    Args:
        rgb: ``uint8 (H, W, 3)``, whose edges an "object" follows.
        generator: source of chance.
        area: least and largest share of the picture; the logarithm of the share is drawn evenly.
        object_share: of the regions that follow the picture's edges.
    """
    height, width = rgb.shape[:2]
    follows, drawn = generator.random() < object_share, generator.random() >= BLOB_SHARE
    if drawn and not follows:
        return random_mask(height, width, generator, area)
    wanted = float(np.exp(generator.uniform(*np.log(area))))
    scale = min(1.0, SKETCH / max(height, width))
    sketch = cv2.resize(
        rgb, (max(8, round(width * scale)), max(8, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    rough = _object(sketch, wanted, generator) if follows else _blob(sketch.shape[:2], wanted, generator)
    mask = enlarged(rough, height, width)
    if not area[0] <= mask.mean() <= area[1]:
        return random_mask(height, width, generator, area)
    return mask, {"shape": "object" if follows else "blob", "area": round(float(mask.mean()), 4)}


def enlarged(mask: Mask, height: int, width: int) -> Mask:
    """A ``bool (h, w)`` mask at another size, its steps smoothed away."""
    size = (width, height)
    smooth = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(smooth, size, interpolation=cv2.INTER_LINEAR) >= 0.5)


def _blob(size: tuple[int, int], wanted: float, generator: np.random.Generator) -> Mask:
    height, width = size
    rough = generator.random(tuple(generator.integers(3, 8, 2))).astype(np.float32)
    field = np.asarray(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    middle = generator.uniform(0.2, 0.8, 2) * (height, width)
    down, across = (np.arange(side, dtype=np.float32) - place for side, place in zip(size, middle, strict=True))
    field -= (down[:, None] ** 2 + across**2) / np.float32(2 * wanted * height * width)
    return _connected(field >= np.quantile(field, 1 - wanted), int(np.argmax(field)))


def _object(sketch: Pixels, wanted: float, generator: np.random.Generator) -> Mask:
    basins = _basins(sketch, generator)
    count = int(basins.max()) + 1
    sizes = np.bincount(basins.ravel(), minlength=count).astype(np.float64)
    lab = cv2.cvtColor(sketch, cv2.COLOR_RGB2LAB).astype(np.float64)
    down, across = np.indices(basins.shape)
    planes = (*np.moveaxis(lab, 2, 0), down, across)
    means = np.stack([np.bincount(basins.ravel(), plane.ravel(), count) / np.maximum(sizes, 1) for plane in planes], 1)
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]]).mean(0)
    inside = 1 - np.abs(2 * means[:, 3:] / basins.shape - 1).max(1)  # 0 at the border, 1 in the middle
    standing_out = (np.linalg.norm(means[:, :3] - border, axis=1) + 5) * np.clip(inside, 0.02, 1)
    first = int(generator.choice(count, p=standing_out / standing_out.sum()))
    apart = np.linalg.norm(means[:, :3] - means[first, :3], axis=1) / LIKENESS
    compactness = generator.uniform(*COMPACTNESS) / max(basins.shape)
    apart += compactness * np.linalg.norm(means[:, 3:] - means[first, 3:], axis=1)
    return _connected(np.isin(basins, _joined(basins, first, apart, sizes, wanted * basins.size)))


def _basins(sketch: Pixels, generator: np.random.Generator) -> NDArray[np.int32]:
    """Labels ``int32 (h, w)`` from 0 of the parts into which the sketch's edges cut it."""
    height, width = sketch.shape[:2]
    soft = cv2.GaussianBlur(sketch, (0, 0), 1.0)
    markers = np.zeros((height, width), np.int32)
    places = np.mgrid[BASIN // 2 : height : BASIN, BASIN // 2 : width : BASIN].reshape(2, -1)
    shaken = places + generator.integers(-(BASIN // 3), BASIN // 3 + 1, places.shape)
    down, across = (np.clip(line, 0, side - 1) for line, side in zip(shaken, (height, width), strict=True))
    markers[down, across] = np.arange(1, len(down) + 1)
    cv2.watershed(np.ascontiguousarray(soft), markers)
    between = markers < 1  # the lines between basins, one pixel wide: each goes to a basin beside it
    grown = cv2.dilate(np.where(between, 0, markers).astype(np.float32), np.ones((3, 3), np.uint8))
    return np.maximum(np.where(between, grown, markers).astype(np.int32) - 1, 0)


def _joined(
    basins: NDArray[np.int32], first: int, apart: NDArray[np.float64], sizes: NDArray[np.float64], wanted: float
) -> list[int]:
    """Basins from ``first`` on, the nearest neighbour of the region next, until it covers ``wanted`` pixels of the sketch."""
    neighbours: dict[int, set[int]] = {}
    for one, other in ((basins[:, 1:], basins[:, :-1]), (basins[1:], basins[:-1])):
        for pair in np.unique(np.stack([one[one != other], other[one != other]], 1), axis=0).tolist():
            neighbours.setdefault(pair[0], set()).add(pair[1])
            neighbours.setdefault(pair[1], set()).add(pair[0])
    taken: list[int] = []
    seen, covered, queue = {first}, 0.0, [(0.0, first)]
    while queue and covered < wanted:
        _, basin = heapq.heappop(queue)
        if taken and covered + sizes[basin] - wanted > wanted - covered:
            break  # nearer to what is wanted without it
        taken.append(basin)
        covered += sizes[basin]
        for beside in neighbours.get(basin, set()) - seen:
            seen.add(beside)
            heapq.heappush(queue, (float(apart[beside]), beside))
    return taken


def _connected(mask: Mask, within: int | None = None) -> Mask:
    """The part of a mask that holds the pixel ``within`` (its flat index), or the largest, without its holes."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count < 2:
        return mask
    kept = int(labels.flat[within]) if within is not None else 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    outlines, _ = cv2.findContours((labels == kept).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, outlines, -1, 1, -1)
    return filled.astype(bool)
