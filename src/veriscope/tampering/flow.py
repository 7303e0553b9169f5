"""Flow fields: a picture moved by one, and the field that moves it back.

A flow is float32 (h, w, 2), in pixels of the picture, x before y: the picture moved by it shows at ``p`` what stood at
``p + flow(p)``. Its grid may be coarser than the picture's, for local warps are smooth. A field is undone by the fixed point
``inverse(q) = -flow(q + inverse(q))``, which exists where the field does not fold: neighbours move by less than the distance
between them. What a fold or the border hid does not come back.

Paper: Chen et al. 2008 (A simple fixed-point approach to invert a deformation field).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

TILE = 1024  # pixels a side that are moved at once; OpenCV moves nothing from a picture of 32768 px or more a side
REACH = 4  # pixels: what the widest interpolation reads to either side
ITERATIONS = 30  # of the fixed point; with neighbours moving by half their distance, nine halve the error to 0.2 %

Flow = NDArray[np.float32]


def applied(rgb: NDArray[np.uint8], flow: Flow, interpolation: int = cv2.INTER_CUBIC) -> NDArray[np.uint8]:
    """A picture moved by a flow; pixels where it is zero stay exactly what they are.

    Args:
        rgb: uint8 (H, W, 3).
        flow: float32 (h, w, 2), in pixels of ``rgb``, on a grid of any size over it.
        interpolation: as OpenCV names it.
    Returns:
        uint8 (H, W, 3): at ``p`` what stood at ``p + flow(p)``; beyond the border the picture is mirrored.
    """
    height, width = rgb.shape[:2]
    moved = np.empty_like(rgb)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            rows, columns = np.arange(top, min(top + TILE, height)), np.arange(left, min(left + TILE, width))
            part = sampled(flow, rows, columns, (height, width))
            reach = int(np.ceil(np.abs(part).max())) + REACH
            high, near = max(0, top - reach), max(0, left - reach)
            window = rgb[high : rows[-1] + 1 + reach, near : columns[-1] + 1 + reach]
            part[..., 0] += (columns - near).astype(np.float32)
            part[..., 1] += (rows - high).astype(np.float32)[:, None]
            moved[top : rows[-1] + 1, left : columns[-1] + 1] = cv2.remap(
                window, part, None, interpolation, borderMode=cv2.BORDER_REFLECT_101
            )
    return moved


def undone(rgb: NDArray[np.uint8], flow: Flow, interpolation: int = cv2.INTER_CUBIC) -> NDArray[np.uint8]:
    """The picture as it was before ``applied`` moved it by ``flow``; arguments as there, up to what interpolation lost."""
    step = rgb.shape[1] / flow.shape[1], rgb.shape[0] / flow.shape[0]
    return applied(rgb, inverse(flow, step), interpolation)


def inverse(flow: Flow, step: tuple[float, float] = (1.0, 1.0)) -> Flow:
    """The flow that undoes another one.

    Args:
        flow: float32 (h, w, 2), in pixels.
        step: pixels between neighbours of its grid, across and down.
    Returns:
        float32 (h, w, 2), in pixels. Where ``flow`` folds it is finite, and undoes nothing.
    """
    across, down = (np.arange(size, dtype=np.float32) for size in (flow.shape[1], flow.shape[0]))
    grid = np.stack(np.meshgrid(across, down), -1)
    cells = np.asarray(flow / np.array(step, np.float32), np.float32)
    found = -cells
    for _ in range(ITERATIONS):
        found = -cv2.remap(cells, grid + found, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found * np.array(step, np.float32), np.float32)


def sampled(flow: Flow, rows: NDArray[np.int64], columns: NDArray[np.int64], size: tuple[int, int]) -> Flow:
    """A flow at some rows and columns of a picture of ``size`` (height, width): a new float32 (rows, columns, 2)."""
    if flow.shape[:2] == size:
        return np.array(flow[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    above, below, down = _neighbours(rows, size[0], flow.shape[0])
    before, after, across = _neighbours(columns, size[1], flow.shape[1])
    tall = flow[above] * (1 - down)[:, None, None] + flow[below] * down[:, None, None]
    return np.asarray(tall[:, before] * (1 - across)[:, None] + tall[:, after] * across[:, None], np.float32)


def _neighbours(
    places: NDArray[np.int64], size: int, cells: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The two cells around each place, whose centres are even over ``size`` pixels, and the share of the second one."""
    exact = np.clip((places + 0.5) * cells / size - 0.5, 0, cells - 1)
    first = np.minimum(exact.astype(np.int64), max(cells - 2, 0))
    return first, np.minimum(first + 1, cells - 1), (exact - first).astype(np.float32)


def resized(flow: Flow, height: int, width: int) -> Flow:
    """A flow that covers a picture, for the same picture at ``(height, width)``: on that grid and in those pixels."""
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    return np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale, np.float32)


def lengths(flow: Flow) -> NDArray[np.float32]:
    """How far each place moves, in pixels: float32 (h, w)."""
    return np.asarray(np.hypot(flow[..., 0], flow[..., 1]), np.float32)
