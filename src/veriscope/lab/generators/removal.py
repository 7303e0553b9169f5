"""Taking an object out of a picture: the hole is filled from its border, or with patches copied from elsewhere in the picture.

Filling from the border leaves a smooth, noiseless patch. Copying leaves real texture that occurs twice. The exemplar fill works
on a copy so small that it takes milliseconds: the hole closes from its border inwards, each step copying the patch that agrees
best with what is known; then the pixels of full size are fetched from where the small ones came from.

Limits: structures that run into the hole are continued by luck. Papers: Telea 2004; Bertalmio et al. 2001 (Navier-Stokes);
Criminisi et al. 2004 (exemplars).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from veriscope.lab.generators.blending import feathered, mixed, with_light_of

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
Mask = NDArray[np.bool_]  # (H, W)
WAYS = ("telea", "navier-stokes", "exemplar", "exemplar healed")
SHARES = (0.25, 0.15, 0.35, 0.25)
RADIUS = 3  # pixels around each that the two fills from the border look at
BEYOND = 16  # pixels of the picture around the hole that they are given
DIFFUSED = 112  # pixels a side of the hole; a larger one is filled from the border on a smaller copy
SKETCH = 72  # pixels of the longer side of the copy on which exemplars are found
PATCH = 7  # pixels a side of an exemplar on that copy
MOST_EXEMPLARS = 1000  # that are compared, drawn from all
FINEST = 2  # pixels of the picture to one of the copy, at least: smaller ones show no texture


def removed(rgb: Pixels, hole: Mask, generator: np.random.Generator) -> tuple[Pixels, dict[str, Any]]:
    """``uint8 (H, W, 3)`` RGB whose hole, ``bool (H, W)``, is filled in a random one of ``WAYS``, and which."""
    way = str(generator.choice(WAYS, p=SHARES))
    if way in ("telea", "navier-stokes"):
        return _from_border(rgb, hole, cv2.INPAINT_TELEA if way == "telea" else cv2.INPAINT_NS), {"way": way}
    made = exemplar_filled(rgb, hole, generator)
    if way == "exemplar healed":
        return with_light_of(rgb, made, hole), {"way": way}
    return mixed(rgb, made, np.maximum(feathered(hole, 1.0), hole)), {"way": way}


def _from_border(rgb: Pixels, hole: Mask, way: int) -> Pixels:
    left, top, width, height = cv2.boundingRect(hole.astype(np.uint8))
    box = np.s_[max(0, top - BEYOND) : top + height + BEYOND, max(0, left - BEYOND) : left + width + BEYOND]
    part, within = np.ascontiguousarray(rgb[box]), hole[box]
    scale = min(1.0, DIFFUSED / max(width, height))
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(small, (cv2.resize(within.astype(np.float32), size) > 0).astype(np.uint8), RADIUS, way)
    picture = rgb.copy()
    picture[box][within] = cv2.resize(filled, part.shape[1::-1], interpolation=cv2.INTER_CUBIC)[within]
    return picture


def exemplar_filled(rgb: Pixels, hole: Mask, generator: np.random.Generator) -> Pixels:
    """``uint8 (H, W, 3)`` RGB with the hole, ``bool (H, W)``, filled by pixels copied from outside it."""
    height, width = hole.shape
    factor = max(FINEST, -(-max(height, width) // SKETCH))
    size = -(-width // factor), -(-height // factor)
    grown = cv2.copyMakeBorder(rgb, 0, size[1] * factor - height, 0, size[0] * factor - width, cv2.BORDER_REFLECT_101)
    covered = cv2.copyMakeBorder(
        hole.astype(np.uint8), 0, size[1] * factor - height, 0, size[0] * factor - width, cv2.BORDER_REPLICATE
    )
    small = cv2.resize(grown, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    open_ = covered.reshape(size[1], factor, size[0], factor).any((1, 3))
    down, across = (np.repeat(np.repeat(place, factor, 0), factor, 1) for place in _sources(small, open_, generator))
    rows, columns = np.nonzero(hole)
    picture = rgb.copy()
    picture[rows, columns] = grown[
        down[rows, columns] * factor + rows % factor, across[rows, columns] * factor + columns % factor
    ]
    return picture


def _sources(
    small: NDArray[np.float32], hole: Mask, generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each pixel of the sketch the row and the column of the pixel that it shows: itself outside the hole."""
    down, across = np.indices(hole.shape)[0], np.indices(hole.shape)[1]
    half = PATCH // 2
    windows = sliding_window_view(np.pad(hole, half, constant_values=True), (PATCH, PATCH))
    centres = np.argwhere(~windows.any((2, 3)))  # of patches wholly outside the hole and inside the picture
    if not len(centres):  # no patch fits beside the hole: single pixels from anywhere outside it
        outside = np.argwhere(~hole)
        if len(outside):
            down[hole], across[hole] = outside[generator.integers(0, len(outside), int(hole.sum()))].T
        return down, across
    if len(centres) > MOST_EXEMPLARS:
        centres = centres[generator.choice(len(centres), MOST_EXEMPLARS, replace=False)]
    around = np.mgrid[-half : half + 1, -half : half + 1].reshape(2, -1).T
    places = centres[:, None] + around
    candidates = small[places[:, :, 0], places[:, :, 1]]  # (candidates, pixels of a patch, 3)
    square = (candidates**2).sum(2)
    work, known = small.copy(), ~hole
    while not known.all():
        support = cv2.boxFilter(
            known.astype(np.float32), -1, (PATCH, PATCH), normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        support[known] = -1
        centre = np.array(np.unravel_index(int(np.argmax(support)), hole.shape))
        patch = centre + around
        inside = ((patch >= 0) & (patch < hole.shape)).all(1)
        rows, columns = patch[inside].T
        seen = known[rows, columns]
        given = work[rows[seen], columns[seen]]
        which = np.flatnonzero(inside)[seen]
        costs = square[:, which].sum(1) - 2 * np.tensordot(candidates[:, which], given, 2)
        best = centres[int(np.argmin(costs))]
        fresh = np.flatnonzero(inside)[~seen]
        rows, columns = (centre + around[fresh]).T
        origin = best + around[fresh]
        work[rows, columns] = small[origin[:, 0], origin[:, 1]]
        down[rows, columns], across[rows, columns] = origin.T
        known[rows, columns] = True
    return down, across
