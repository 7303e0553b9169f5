"""Run a dense network over a picture of any size: bounded tiles, and a bounded number of pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

TILE = 1024  # pixels a side
OVERLAP = 64  # pixels: what a network's reach needs on each side of a tile
MULTIPLE = 16  # pixels: sides of what a network is given

Run = Callable[[NDArray[np.float32], tuple[float, float, float, float]], list[NDArray[np.float32]]]


def chance(odds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log odds, of any shape, as chances in (0, 1)."""
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -30, 30))), np.float32)


def limited(rgb: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """``uint8 (H, W, 3)`` made smaller, if need be, to at most ``most`` pixels."""
    height, width = rgb.shape[:2]
    scale = (most / (height * width)) ** 0.5
    if scale >= 1:
        return rgb
    size = max(MULTIPLE, int(width * scale)), max(MULTIPLE, int(height * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def as_input(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``uint8 (H, W, 3)`` as ``float32 (1, 3, H', W')`` in [0, 1], mirrored to multiples of 16 at the right and below."""
    height, width = rgb.shape[:2]
    more = [(0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0)]
    padded = np.pad(rgb, more, mode="symmetric") if any(after for _, after in more) else rgb
    return np.asarray(np.ascontiguousarray(padded.transpose(2, 0, 1)[None]) / np.float32(255), np.float32)


def tiles(height: int, width: int) -> Iterator[tuple[slice, slice, slice, slice]]:
    """Tiles that cover ``(height, width)``: the rows and columns of what each is given, and those that are kept of it."""
    for given_rows, kept_rows in _spans(height):
        for given_columns, kept_columns in _spans(width):
            yield given_rows, given_columns, kept_rows, kept_columns


def _spans(size: int) -> list[tuple[slice, slice]]:
    if size <= TILE:
        return [(slice(0, size), slice(0, size))]
    step = TILE - 2 * OVERLAP
    return [
        (slice(max(0, at - OVERLAP), min(size, at + step + OVERLAP)), slice(at, min(size, at + step)))
        for at in range(0, size, step)
    ]


def tiled(rgb: NDArray[np.uint8], run: Run, stride: int) -> list[NDArray[np.float32]]:
    """What ``run`` gives for each tile, put together.

    Args:
        rgb: uint8 (H, W, 3).
        run: called with ``float32 (1, 3, h, w)`` in [0, 1] and the tile's place (top, left, height, width) in shares of the
            picture; gives arrays ``(C, h / stride, w / stride)``.
        stride: pixels a side of one value; divides 16.
    Returns:
        arrays ``(C, ceil(H / stride), ceil(W / stride))``.
    """
    height, width = rgb.shape[:2]
    rows, columns = -(-height // stride), -(-width // stride)
    whole: list[NDArray[np.float32]] = []
    for given_rows, given_columns, kept_rows, kept_columns in tiles(height, width):
        part = rgb[given_rows, given_columns]
        place = (
            given_rows.start / height,
            given_columns.start / width,
            len(part) / height,
            part.shape[1] / width,
        )
        found = run(as_input(part), place)
        whole = whole or [np.zeros((len(each), rows, columns), np.float32) for each in found]
        top, left = (kept_rows.start - given_rows.start) // stride, (kept_columns.start - given_columns.start) // stride
        for target, each in zip(whole, found, strict=True):
            first, second = kept_rows.start // stride, kept_columns.start // stride
            tall = min(-(-kept_rows.stop // stride), rows) - first
            wide = min(-(-kept_columns.stop // stride), columns) - second
            target[:, first : first + tall, second : second + wide] = each[:, top : top + tall, left : left + wide]
    return whole
