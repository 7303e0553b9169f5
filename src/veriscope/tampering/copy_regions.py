"""Copy-move: where, around a first guess, do two parts of one picture agree once they are laid over each other?

A guess of the transform is made exact to a fraction of a pixel, then the part is grown over the area where the detail of
the picture and of the picture seen through the transform correlate. Flat places have no detail to correlate and are taken
in only between places that agree. After Pan and Lyu, "Region duplication detection using image feature matching", IEEE
TIFS 2010; the alignment is Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient
maximization", IEEE TPAMI 2008.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]
Affine = NDArray[np.float64]
Box = tuple[slice, slice]

COARSE = 3.0  # pixels: standard deviation of the smoothing that takes shading away and leaves detail
WINDOW = 9  # pixels: of the correlation that grows a part
AGREEING = 0.7  # correlation of a window from which it belongs to a copy
DETAIL = 1.0  # grey levels: standard deviation of detail in a window below which it cannot agree
ALIKE = 3.0  # grey levels: root mean square difference in a window below which a flat place between may belong
BORDER = 2.0  # of the copy's own root mean square difference: how far its outermost pixels may differ
SMALLER = 0.1  # of a part's largest piece, below which another piece is not of it
LEAST_SEED = 16  # pixels that a piece shares with the guess
ITERATIONS = 20  # of ECC
CLOSING = 11  # pixels: gaps without detail that are bridged
SHIFTED = 0.05  # largest part of a transform besides the shift for a shift by whole pixels to be tried


def aligned(luma: Plane, affine: Affine, seed: Mask) -> Affine:
    """The transform made exact over an area: the best of itself, of a shift by whole pixels, and of what ECC finds."""
    box, inside = around(seed), seed[around(seed)]
    choices = [affine, *_by_ecc(luma, affine, inside, box)]
    middle = np.array([np.flatnonzero(seed.any(0)).mean(), np.flatnonzero(seed.any(1)).mean(), 1.0])
    for choice in list(choices):
        if np.abs(choice[:, :2] - np.eye(2)).max() < SHIFTED:
            choices.append(np.column_stack([np.eye(2), np.rint(choice @ middle - middle[:2])]))
    here = detail(luma[box], COARSE)
    return max(choices, key=lambda choice: correlation(here, detail(seen(luma, choice, box), COARSE), inside))


def _by_ecc(luma: Plane, affine: Affine, inside: Mask, box: Box) -> list[Affine]:
    """What ECC makes of the transform, looking only where it leads; nothing where it does not converge."""
    rows, columns = box
    corners = np.array([[x, y, 1.0] for x in (columns.start, columns.stop) for y in (rows.start, rows.stop)]) @ affine.T
    left, top = np.clip(corners.min(0).astype(int) - CLOSING, 0, None)
    right, bottom = corners.max(0).astype(int) + CLOSING
    there = luma[top : max(top, bottom), left : max(left, right)]
    if min(there.shape) < WINDOW:
        return []
    corner, goal = np.array([columns.start, rows.start], np.float64), np.array([left, top], np.float64)
    local = affine.copy()
    local[:, 2] += affine[:, :2] @ corner - goal
    enough = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ITERATIONS, 1e-4)
    wanted = inside.astype(np.uint8) * 255
    try:
        _, found = cv2.findTransformECC(
            luma[box], there, local.astype(np.float32), cv2.MOTION_AFFINE, enough, wanted, 3
        )
    except cv2.error:
        return []
    exact = np.asarray(found, np.float64)
    exact[:, 2] += goal - exact[:, :2] @ corner
    return [exact]


def grown(luma: Plane, affine: Affine, seed: Mask) -> Mask:
    """Where the picture agrees with itself seen through the transform, around the first guess of that area.

    Args:
        luma: float32 (h, w), grey levels.
        affine: takes the part's (x, y, 1) to its counterpart.
        seed: bool (h, w), the guess.
    Returns:
        bool (h, w), within the guess's box grown threefold; empty where nothing agrees.
    """
    box = around(seed)
    here, there = luma[box], seen(luma, affine, box)
    agreement, spread = windowed_correlation(detail(here, COARSE), detail(there, COARSE))
    agreeing = ((agreement > AGREEING) & (spread > DETAIL) & _reached(luma.shape, affine, box)).astype(np.uint8)
    round_window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (CLOSING, CLOSING))
    small = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    solid = cv2.morphologyEx(cv2.morphologyEx(agreeing, cv2.MORPH_OPEN, small), cv2.MORPH_CLOSE, round_window)
    _, labels = cv2.connectedComponents(solid, connectivity=4)
    counts = np.bincount(labels[seed[box]], minlength=labels.max() + 1)
    counts[0] = 0
    alike = cv2.blur(np.square(here - there), (WINDOW, WINDOW)) < ALIKE**2
    whole = np.zeros_like(alike)
    for label in np.flatnonzero(counts >= max(LEAST_SEED, SMALLER * counts.max())):
        piece = labels == label
        whole |= filled(piece | (_hull(piece) & alike))
    found = np.zeros(luma.shape, bool)
    found[box] = _to_border(cv2.morphologyEx(whole.astype(np.uint8), cv2.MORPH_OPEN, round_window), here - there)
    return found


def _to_border(solid: NDArray[np.uint8], difference: Plane) -> Mask:
    """The region grown by half a window, as windows across its border do not agree, where single pixels do."""
    wider = cv2.dilate(solid, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (WINDOW, WINDOW)))
    inside = difference[solid > 0]
    most = BORDER * np.sqrt(np.square(inside).mean()) + 1 if inside.size else 0.0
    near = cv2.blur(np.square(difference), (3, 3)) < most**2
    joined = ((solid > 0) | ((wider > 0) & near)).astype(np.uint8)
    return filled(cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0)


def _hull(mask: Mask) -> Mask:
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(drawn, cv2.convexHull(points), 1)
    return drawn > 0


def filled(mask: Mask) -> Mask:
    """The mask with its holes filled."""
    padded = np.pad(mask.astype(np.uint8), 1)
    cv2.floodFill(padded, None, (0, 0), 2)
    return np.asarray(padded[1:-1, 1:-1] != 2)


def seen(plane: Plane, affine: Affine, box: Box) -> Plane:
    """The plane as seen through the transform: at each (x, y) of the box what stands at ``affine @ (x, y, 1)``; 0 outside."""
    rows, columns = box
    local = affine.copy()
    local[:, 2] += affine[:, :2] @ np.array([columns.start, rows.start], np.float64)
    size = columns.stop - columns.start, rows.stop - rows.start
    return np.asarray(cv2.warpAffine(plane, local, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP), np.float32)


def _reached(shape: tuple[int, ...], affine: Affine, box: Box) -> Mask:
    """Where in the box the transform stays inside the picture."""
    return seen(np.ones(shape, np.float32), affine, box) > 0.99


def box_of(mask: Mask) -> Box:
    """The rows and columns that a mask, not empty, takes up."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def around(mask: Mask) -> Box:
    """The mask's box, grown by its own size and at least 48 px on each side, inside the picture."""
    rows, columns = box_of(mask)
    more = max(48, rows.stop - rows.start, columns.stop - columns.start)
    return (
        slice(max(0, rows.start - more), min(mask.shape[0], rows.stop + more)),
        slice(max(0, columns.start - more), min(mask.shape[1], columns.stop + more)),
    )


def detail(plane: Plane, smoothing: float) -> Plane:
    """What Gaussian smoothing of that standard deviation (pixels) takes away from ``float32 (H, W)``."""
    return np.asarray(plane - cv2.GaussianBlur(plane, (0, 0), smoothing), np.float32)


def windowed_correlation(first: Plane, second: Plane, size: int = WINDOW) -> tuple[Plane, Plane]:
    """Zero-mean normalised correlation in each square window, and the smaller standard deviation of the two there.

    Args:
        first, second: float32 (h, w), grey levels.
        size: of the window in pixels.
    Returns:
        float32 (h, w) in [-1, 1], and float32 (h, w) in grey levels.
    """

    def mean(values: Plane) -> Plane:
        return np.asarray(cv2.blur(values, (size, size), borderType=cv2.BORDER_REFLECT), np.float32)

    one, two = mean(first), mean(second)
    spread_one = np.maximum(mean(first * first) - one * one, 0)
    spread_two = np.maximum(mean(second * second) - two * two, 0)
    shared = mean(first * second) - one * two
    found = shared / np.sqrt(spread_one * spread_two + np.float32(1e-3))
    return np.asarray(found, np.float32), np.asarray(np.sqrt(np.minimum(spread_one, spread_two)), np.float32)


def correlation(first: Plane, second: Plane, where: Mask) -> float:
    """Zero-mean normalised correlation of two planes over a mask, in [-1, 1]; 0 where either is flat there."""
    one, two = first[where].astype(np.float64), second[where].astype(np.float64)
    if one.size < 16:
        return 0.0
    one, two = one - one.mean(), two - two.mean()
    return float((one * two).sum() / (np.sqrt((one * one).sum() * (two * two).sum()) + 1e-9))


def carried(mask: Mask, affine: Affine) -> Mask:
    """Where a mask comes to lie by the transform: bool of the same shape."""
    size = mask.shape[1], mask.shape[0]
    return np.asarray(cv2.warpAffine(mask.astype(np.uint8) * 255, affine, size) > 127)


def inverse(affine: Affine) -> Affine:
    """The transform that takes the copy back to its source."""
    return np.asarray(cv2.invertAffineTransform(affine), np.float64)
