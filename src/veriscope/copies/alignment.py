"""Two pictures brought into one frame: transforms between their pixels, and how far the pixels agree there.

Where one of the two is coarser, both are compared at the coarser one's resolution, as detail that one cannot hold would
count as disagreement. Pixel centres lie at whole numbers, so a change of scale shifts by half a pixel.

Paper: Evangelidis and Psarakis 2008 (alignment by the enhanced correlation coefficient).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Homography = NDArray[np.float64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
SIDE = 512  # pixels: longest side of the working frame
SCALES = 0.08, 12.0  # of a copy to its original, along a side
LEAST_ASPECT = 0.35  # of the two stretches of the transform
WINDOW = 17  # pixels: of the correlation
SMOOTHING = 1.2  # pixels: standard deviation, before pixels are compared, for bends and saving
DETAIL = 4.0  # grey levels: standard deviation in a window from which it can agree or disagree
AGREEING = 0.5  # correlation of a window that shows the same; chance gives 0, unlike detail at best 0.3
ITERATIONS = 15  # of ECC
LEAST_SHARED = 24 * 24  # pixels that must be shared


def working(rgb: NDArray[np.uint8], side: int = SIDE) -> Floats:
    """Luma of ``uint8 (H, W, 3)`` RGB with no side over ``side`` pixels, float32 (h, w), in grey levels."""
    scale = min(1.0, side / max(rgb.shape[:2]))
    if scale < 1:
        size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), np.float32)


def resizing(shape: tuple[int, ...], to: tuple[int, ...]) -> Homography:
    """Takes (x, y, 1) of a picture of ``shape`` (H, W) to those of the picture resized to another shape."""
    across, down = to[1] / shape[1], to[0] / shape[0]
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]], np.float64)


def inverse(transform: Homography) -> Homography:
    """The transform back."""
    return np.asarray(np.linalg.inv(transform), np.float64)


def local_scale(transform: Homography, shape: tuple[int, ...]) -> float:
    """How many times larger, along a side, the middle of a picture of ``shape`` becomes."""
    x, y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    depth = float(transform[2] @ (x, y, 1))
    return float(np.sqrt(abs(np.linalg.det(transform)) / max(abs(depth) ** 3, 1e-12)))


def plausible(transform: Homography, places: Floats, mirrored: bool) -> bool:
    """Whether a copy would be made by the transform: of a possible size, little stretched, and turned over if mirrored."""
    transform = np.asarray(transform, np.float64)
    if not np.isfinite(transform).all() or abs(transform[2, 2]) < 1e-9:
        return False
    x, y = places.mean(0)
    ends = np.hstack([places, np.ones((len(places), 1), np.float32)]) @ transform[2]
    if ends.min() <= 0.2 * ends.max():
        return False
    depth, (u, v, _) = float(transform[2] @ (x, y, 1)), transform @ (x, y, 1)
    slope = (transform[:2, :2] - np.outer([u, v], transform[2, :2]) / depth) / depth
    if (np.linalg.det(slope) < 0) != mirrored:
        return False
    stretches = np.linalg.svd(slope, compute_uv=False)
    return bool(SCALES[0] <= stretches[1] and stretches[0] <= SCALES[1] and stretches[1] >= LEAST_ASPECT * stretches[0])


def warped(
    plane: NDArray[np.generic], transform: Homography, shape: tuple[int, ...], border: int = cv2.BORDER_CONSTANT
) -> Floats:
    """A plane or picture seen through the transform in a frame of ``shape``, float32, outside 0 by default; not aliased."""
    values = np.asarray(plane, np.float32)
    scale = local_scale(transform, values.shape)
    if scale < 0.75:
        size = max(2, round(values.shape[1] * scale)), max(2, round(values.shape[0] * scale))
        transform = transform @ inverse(resizing(values.shape, (size[1], size[0])))
        values = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
    made = cv2.warpPerspective(values, transform, (shape[1], shape[0]), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(made, np.float32)


def reached(shape: tuple[int, ...], transform: Homography, frame: tuple[int, ...]) -> Mask:
    """Where in a frame the picture of ``shape`` comes to lie, without its outermost pixels."""
    inside = np.zeros(shape[:2], np.float32)
    inside[1:-1, 1:-1] = 1
    made = cv2.warpPerspective(inside, transform, (frame[1], frame[0]), flags=cv2.INTER_LINEAR)
    return np.asarray(made > 0.99)


def shown_share(transform: Homography, shape: tuple[int, ...], frame: tuple[int, ...]) -> float:
    """Share of a picture of ``shape`` that the transform takes inside a frame, in [0, 1]."""
    down, across = ((np.arange(40) + 0.5) / 40 * side - 0.5 for side in shape[:2])
    x, y = np.meshgrid(across, down)
    ends = transform @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    ahead = np.where(ends[2] > 1e-9, ends[2], np.nan)
    u, v = ends[0] / ahead, ends[1] / ahead
    return float(((u >= -0.5) & (u <= frame[1] - 0.5) & (v >= -0.5) & (v <= frame[0] - 0.5)).mean())


def refitted(transform: Homography, reference: Floats, query: Floats, negative: bool) -> Homography:
    """The transform made exact to a fraction of a pixel, where that makes the two agree better.

    Args:
        transform: takes the reference's (x, y, 1) to the query's.
        reference, query: float32 (h, w), grey levels.
        negative: whether light and dark are exchanged.
    """
    inside = reached(query.shape, inverse(transform), reference.shape)
    if inside.sum() < LEAST_SHARED:
        return transform
    seen = -query if negative else query
    enough = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ITERATIONS, 1e-4)
    mask = inside.astype(np.uint8) * 255
    try:
        _, found = cv2.findTransformECC(
            reference, seen, transform.astype(np.float32), cv2.MOTION_HOMOGRAPHY, enough, mask, 5
        )
    except cv2.error:
        return transform
    exact = np.asarray(found, np.float64)
    return max((transform, exact), key=lambda choice: _overall(reference, query, choice, negative))


def _overall(reference: Floats, query: Floats, transform: Homography, negative: bool) -> float:
    alike, detailed, _ = _side_by_side(reference, query, transform, negative)
    return float(alike.mean(where=detailed)) if detailed.sum() > LEAST_SHARED else -1.0


def compared(reference: Floats, query: Floats, transform: Homography, negative: bool) -> tuple[Mask, Mask]:
    """Where two pictures agree, in the reference's frame.

    Args:
        reference, query: float32 (h, w), grey levels.
        transform: takes the reference's (x, y, 1) to the query's.
        negative: whether light and dark are exchanged.
    Returns:
        bool (h, w) where windows correlate, and bool (h, w) where both are seen and either has detail to tell.
    """
    alike, detailed, both = _side_by_side(reference, query, transform, negative)
    agreeing = detailed & both & (alike > AGREEING)
    return _resized(agreeing, reference.shape), _resized(detailed, reference.shape)


def _side_by_side(reference: Floats, query: Floats, transform: Homography, negative: bool) -> tuple[Floats, Mask, Mask]:
    """Correlation of windows, where either has detail, and where both have some; the reference as coarse as it is shown."""
    scale = min(1.0, local_scale(transform, reference.shape))
    size = max(8, round(reference.shape[1] * scale)), max(8, round(reference.shape[0] * scale))
    here = np.asarray(cv2.resize(reference, size, interpolation=cv2.INTER_AREA)) if scale < 1 else reference
    back = resizing(reference.shape, here.shape) @ inverse(transform)
    there = warped(-query if negative else query, back, here.shape)
    shared = reached(query.shape, back, here.shape)
    first, second = (np.asarray(cv2.GaussianBlur(values, (0, 0), SMOOTHING), np.float32) for values in (here, there))
    alike, least, most = correlated(first, second, shared)
    told = shared & (most > DETAIL) if shared.sum() >= LEAST_SHARED else np.zeros_like(shared)
    return alike, told, least > DETAIL / 4


def correlated(first: Floats, second: Floats, where: Mask, size: int = WINDOW) -> tuple[Floats, Floats, Floats]:
    """Zero-mean normalised correlation in square windows, and the smaller and larger standard deviation there.

    Args:
        first, second: float32 (h, w).
        where: bool (h, w); only these pixels count.
        size: of the window, pixels.
    """
    weight = where.astype(np.float32)
    count = np.maximum(_blurred(weight, size), 1e-3)

    def mean(values: Floats) -> Floats:
        return np.asarray(_blurred(values * weight, size) / count, np.float32)

    one, two = mean(first), mean(second)
    spread_one = np.maximum(mean(first * first) - one * one, 0)
    spread_two = np.maximum(mean(second * second) - two * two, 0)
    shared = (mean(first * second) - one * two) / np.sqrt(spread_one * spread_two + 1e-3)
    low, high = np.minimum(spread_one, spread_two), np.maximum(spread_one, spread_two)
    return np.asarray(shared, np.float32), np.sqrt(low), np.sqrt(high)


def _blurred(values: Floats, size: int) -> Floats:
    return np.asarray(cv2.blur(values, (size, size), borderType=cv2.BORDER_CONSTANT), np.float32)


def _resized(mask: Mask, shape: tuple[int, ...]) -> Mask:
    if mask.shape == shape[:2]:
        return mask
    made = cv2.resize(mask.astype(np.uint8), (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(made > 0)
