"""Does what a glass ball in the picture shows agree with what the camera shows?

A ball of glass in the scene is a second lens: it holds a small, upturned, distorted view of the same place, which a forger
who edits the rest of the picture seldom edits too. Where the ball is, how large and of which index is known because it is the
user's own, so each of its pixels can be followed through two refractions to the scene and from there to the camera's pixel
that shows the same point; the two must agree up to exposure and blur. It needs the scene's rough shape (a room with boxes) and
sees about a quarter of the camera's detail. What is not in that shape is displaced and may look edited.

Paper: Ma et al., "Totems: physical objects for verifying visual integrity", ECCV 2022. Tried here on rendered scenes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.tampering.localisation import Localisation
from veriscope.tampering.perspective import Floats
from veriscope.tampering.rays import Ball, Pinhole, Room, ball_hit, room_hit, through

Values = NDArray[np.float32]

GAMMA = 2.2  # of stored values: light is compared in proportion to its amount
WIDEST_VIEW = 12.0  # camera pixels a side that one pixel of the ball may take together: nearer the rim all is smeared
MEETS = 0.01  # relative: distance within which camera and ball see the same point
LEAST_CELL = 3  # camera pixels a side of a cell of the comparison
GRAIN = 0.8  # cells: standard deviation over which a sample is spread
WINDOW = 2.0  # cells: standard deviation of the window in which the two views are compared
SHIFTS = (-1, 0, 1)  # cells by which they may be displaced, as the ball's place is never known exactly
LEAST_SEEN = 0.35  # samples a cell from which it is judged
FLOOR = 0.004  # of full light: no less is taken for the views' usual difference
CONTRAST = 4.0  # usual differences of contrast from which a window's structure counts
LEVEL = 8.0  # usual differences of a window's mean by which it must differ to be called
LEAST_SHARE = 0.1  # of a window that both must show
LEAST_REGION = 8  # cells: a smaller region is not pointed at
MOST_PIXELS = 16_000_000
LEAST_SAMPLES = 100  # fewer say nothing


@dataclass(frozen=True, eq=False)
class Correspondences:
    """Pixels of the balls and the camera pixels that show the same points of the scene.

    Attributes:
        ball: int64 (N, 2) x, y of pixels in a ball.
        camera: float64 (N, 2) x, y of the camera pixels.
        taken: float64 (N,) camera pixels a side that one pixel of the ball takes together.
        covered: bool (H, W), where the balls are.
    """

    ball: NDArray[np.int64]
    camera: Floats
    taken: Floats
    covered: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TwoViews:
    """The scene from the camera's place twice, in cells.

    Attributes:
        shown: float32 (h, w, 3) linear light, what the balls show.
        expected: float32 (h, w, 3), what they would show of what the camera shows, at their exposure and detail.
        seen: float32 (h, w), samples a cell; both views mean little where it is low.
        noise: the two's usual difference, of full light.
    """

    shown: Values = field(repr=False)
    expected: Values = field(repr=False)
    seen: Values = field(repr=False)
    noise: float


def bounded(rgb: NDArray[np.uint8], camera: Pinhole) -> tuple[NDArray[np.uint8], Pinhole]:
    """A picture and its camera, made smaller where it has more than 16 megapixels: balls do not resolve so much."""
    height, width = rgb.shape[:2]
    if height * width <= MOST_PIXELS:
        return rgb, camera
    scale = (MOST_PIXELS / (height * width)) ** 0.5
    size = int(width * scale), int(height * scale)
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    x, y = ((at + 0.5) * scale - 0.5 for at in camera.centre)
    return small, Pinhole(camera.focal * scale, (x, y))


def correspondences(height: int, width: int, camera: Pinhole, balls: Sequence[Ball], room: Room) -> Correspondences:
    """Which camera pixel each pixel of the balls looks at.

    Pixels are left out whose view passes a second ball, falls outside the picture, is hidden from the camera or is smeared.
    """
    covered = np.zeros((height, width), bool)
    found = []
    for ball in balls:
        top, bottom, left, right = _bounds(ball, camera, height, width)
        rows, columns = np.mgrid[top:bottom, left:right]
        rays = camera.rays(np.column_stack([columns.ravel(), rows.ravel()]))
        distance = ball_hit(ball, np.zeros(3), rays)
        covered[top:bottom, left:right] |= np.isfinite(distance).reshape(rows.shape)
        others = [other for other in balls if other is not ball]
        for other in others:
            distance[ball_hit(other, np.zeros(3), rays) < distance] = np.inf
        hit = np.isfinite(distance)
        looked = np.full((len(rays), 2), np.nan)
        looked[hit] = _looked_at(*through(ball, np.zeros(3), rays[hit], distance[hit]), camera, others, room)
        taken = _taken(looked.reshape(*rows.shape, 2)).ravel()
        inside = (looked >= 0).all(1) & (looked <= [width - 1, height - 1]).all(1) & (taken <= WIDEST_VIEW)
        found.append((columns.ravel()[inside], rows.ravel()[inside], looked[inside], taken[inside]))
    columns, rows, looked, taken = (np.concatenate(parts) for parts in zip(*found, strict=True))
    nearest = np.rint(looked).astype(np.int64)
    good = ~covered[nearest[:, 1], nearest[:, 0]]
    return Correspondences(np.column_stack([columns, rows])[good], looked[good], taken[good], covered)


def _bounds(ball: Ball, camera: Pinhole, height: int, width: int) -> tuple[int, int, int, int]:
    """Rows and columns that hold the ball, a little too many."""
    limits = []
    for place, centre, size in ((1, camera.centre[1], height), (0, camera.centre[0], width)):
        ends = [
            (ball.centre[place] + a * ball.radius) / (ball.centre[2] + b * ball.radius)
            for a in (-1, 1)
            for b in (-1, 1)
        ]
        low, high = (centre + camera.focal * end for end in (min(ends), max(ends)))
        limits += [int(np.clip(low - 1, 0, size)), int(np.clip(high + 2, 0, size))]
    return limits[0], limits[1], limits[2], limits[3]


def _looked_at(
    origins: Floats, ways: Floats, camera: Pinhole, others: Sequence[Ball], room: Room
) -> NDArray[np.float64]:
    """The camera pixels (N, 2) that show what rays meet; not a number where the camera does not see it."""
    distance, _ = room_hit(room, origins, ways)
    points = origins + distance[:, None] * ways
    for other in others:
        points[ball_hit(other, origins, ways) < distance] = np.nan
    away = np.linalg.norm(points, axis=1)
    first, _ = room_hit(room, np.zeros(3), points / np.maximum(away, 1e-12)[:, None])
    hidden = ~(np.abs(first - away) <= MEETS * away)
    return np.where(hidden[:, None], np.nan, camera.pixels(points))


def _taken(looked: Floats) -> Floats:
    """How many camera pixels a side one step in the ball passes: (h, w) from (h, w, 2); infinite at borders."""
    if min(looked.shape[:2]) < 2:
        return np.full(looked.shape[:2], np.inf)
    steps = [np.linalg.norm(np.gradient(looked, axis=axis), axis=2) for axis in (0, 1)]
    return np.asarray(np.nan_to_num(np.maximum(steps[0], steps[1]), nan=np.inf))


def two_views(rgb: NDArray[np.uint8], pairs: Correspondences) -> TwoViews | None:
    """The scene as the balls show it and as the camera does, at the same places, detail and exposure.

    Both are sampled at the balls' pixels and spread over the same cells by the same rule, so that what the balls do not resolve
    is missing in both. None where the balls see too little of what the camera sees.

    Args:
        rgb: uint8 (H, W, 3) the picture.
        pairs: of ``correspondences``.
    """
    if len(pairs.ball) < LEAST_SAMPLES:
        return None
    height, width = rgb.shape[:2]
    cell = max(LEAST_CELL, round(float(np.median(pairs.taken))))
    light = (np.arange(256) / 255) ** GAMMA
    shown = light[rgb[pairs.ball[:, 1], pairs.ball[:, 0]]]
    expected = _averaged(light.astype(np.float32)[rgb], ~pairs.covered, pairs)
    rows, columns = -(-height // cell), -(-width // cell)
    at = np.rint((pairs.camera + 0.5) / cell - 0.5).astype(np.int64).clip(0, [columns - 1, rows - 1])
    place = at[:, 1] * columns + at[:, 0]

    def spread(values: Floats) -> Values:
        sums = np.bincount(place, values, rows * columns).reshape(rows, columns).astype(np.float32)
        return np.asarray(cv2.GaussianBlur(sums, (0, 0), GRAIN, borderType=cv2.BORDER_CONSTANT))

    seen = spread(np.ones(len(place)))
    balls_view, camera_view = (
        np.asarray(
            np.stack([spread(channel) for channel in values.T], 2) / np.maximum(seen, 1e-6)[..., None], np.float32
        )
        for values in (shown, expected)
    )
    judged = seen >= LEAST_SEEN
    if judged.sum() < LEAST_REGION:
        return None
    fitted = np.empty_like(camera_view)
    for channel in range(3):
        gain, offset = _exposure(camera_view[..., channel][judged], balls_view[..., channel][judged])
        fitted[..., channel] = gain * camera_view[..., channel] + offset
    noise = 1.4826 * float(np.median(np.abs(balls_view - fitted)[judged]))
    return TwoViews(balls_view, fitted, seen, max(FLOOR, noise))


def _averaged(linear: Values, shows: NDArray[np.bool_], pairs: Correspondences) -> Floats:
    """The camera's colours (N, 3) at the pairs, averaged over what one pixel of the ball takes together, balls left out."""
    level = np.clip(np.log2(np.maximum(pairs.taken, 1) / 2), 0, 4)
    weight = shows.astype(np.float32)
    image = linear * weight[..., None]
    total, weights = np.zeros((len(level), 3)), np.zeros(len(level))
    for number in range(5):
        heard = np.flatnonzero(np.abs(level - number) < 1)
        if heard.size:
            share = 1 - np.abs(level[heard] - number)
            x, y = (pairs.camera[heard] / 2**number).astype(np.float32).T
            for start in range(0, heard.size, 30000):  # cv2.remap takes at most 32767 rows
                part = slice(start, start + 30000)
                maps = x[part, None], y[part, None]
                sampled = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                certain = cv2.remap(weight, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                total[heard[part]] += share[part, None] * sampled[:, 0]
                weights[heard[part]] += share[part] * certain[:, 0]
        image, weight = cv2.pyrDown(image), cv2.pyrDown(weight)
    return total / np.maximum(weights, 1e-6)[:, None]


def _exposure(camera: Values, ball: Values) -> tuple[float, float]:
    """Gain and offset from the camera's light to the ball's, by least squares in which outliers count little (Tukey)."""
    weights, gain, offset = np.ones(len(camera)), 1.0, 0.0
    for _ in range(15):
        total = weights.sum()
        middle, level = (weights @ camera) / total, (weights @ ball) / total
        spread = weights @ np.square(camera - middle)
        gain = max(0.05, float(weights @ ((camera - middle) * (ball - level)) / spread)) if spread > 1e-9 else 1.0
        offset = float(level - gain * middle)
        off = np.abs(ball - gain * camera - offset)
        bound = 4.685 * max(FLOOR, 1.4826 * float(np.median(off)))
        weights = np.square(np.maximum(0, 1 - np.square(off / bound))) + 1e-6
    return gain, offset


def disagreement(views: TwoViews) -> tuple[Values, Values]:
    """Where the two views differ: float32 (h, w) in [0, 1], at least 0.5 where they show different things; and where judged.

    In a window around each cell the structure is compared by zero-mean cross-correlation, so far as there is contrast, and the
    mean by how it usually differs; of displacements by up to a cell the most favourable counts.
    """
    seen = np.where(views.seen >= LEAST_SEEN, np.minimum(views.seen, 1), 0).astype(np.float32)
    level, structure = (np.full(seen.shape, np.inf, np.float32) for _ in range(2))
    for down in SHIFTS:
        for right in SHIFTS:
            expected, there = _moved(views.expected, down, right), _moved(seen, down, right)
            compared = _compared(views.shown, expected, seen * there, views.noise)
            level, structure = (np.minimum(*both) for both in zip((level, structure), compared, strict=True))
    judged = (seen > 0) & np.isfinite(level)
    level[~judged] = structure[~judged] = 0
    usual = max(FLOOR, float(np.median(level[judged]))) if judged.any() else FLOOR
    by_level = np.square(level) / (np.square(level) + (LEVEL * usual) ** 2)
    found = np.maximum(structure, by_level)
    return found.astype(np.float32), judged.astype(np.float32)


def _moved(values: Values, down: int, right: int) -> Values:
    """``values`` (h, w, ...) displaced by cells; what comes in at the borders is 0."""
    shift = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(values, shift, values.shape[1::-1], flags=cv2.INTER_NEAREST), np.float32)


def _compared(one: Values, other: Values, weight: Values, noise: float) -> tuple[Values, Values]:
    """By how much the means differ in a window around each cell, and how little its structure agrees, in [0, 1]."""
    share = _window(weight)

    def mean(values: Values) -> Values:
        return np.asarray(_window(values * weight[..., None]) / np.maximum(share, 1e-6)[..., None], np.float32)

    first, second = mean(one), mean(other)
    contrast_one = (mean(np.square(one)) - np.square(first)).sum(2)
    contrast_other = (mean(np.square(other)) - np.square(second)).sum(2)
    together = (mean(one * other) - first * second).sum(2)
    alike = together / np.sqrt(np.maximum(contrast_one, 1e-12) * np.maximum(contrast_other, 1e-12))
    contrast = np.maximum(contrast_one, contrast_other)
    structure = np.clip(1 - alike, 0, 1) * contrast / (contrast + 3 * (CONTRAST * noise) ** 2)
    enough = share > LEAST_SHARE
    return (
        np.where(enough, np.sqrt(np.square(first - second).mean(2)), np.inf).astype(np.float32),
        np.where(enough, structure, np.inf).astype(np.float32),
    )


def _window(values: Values) -> Values:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), WINDOW, borderType=cv2.BORDER_CONSTANT), np.float32)


def check(rgb: NDArray[np.uint8], camera: Pinhole, balls: Sequence[Ball], room: Room) -> Localisation:
    """Where the camera's view disagrees with what the balls show.

    Args:
        rgb: uint8 (H, W, 3) the picture.
        camera: that took it, with no distortion.
        balls: at least one, wholly in front of the camera and inside the room.
        room: the scene's shape.
    Raises:
        ValueError: there is no ball.
    """
    if not balls:
        raise ValueError("at least one ball is needed")
    rgb, camera = bounded(rgb, camera)
    height, width = rgb.shape[:2]
    views = two_views(rgb, correspondences(height, width, camera, balls, room))
    if views is None:
        nothing = np.zeros((-(-height // 8), -(-width // 8)), np.float32)
        reason = "The balls show too little of what the camera shows."
        return Localisation(nothing, nothing, 0.0, "The glass balls tell nothing about this picture.", 0.0, reason)
    found, judged = disagreement(views)
    area = _largest(found)
    share = area / max(1.0, float(judged.sum()))
    if area:
        says = f"The glass shows other things than the picture in one region, {share:.0%} of what both show."
    else:
        says = "What the glass shows agrees with the picture wherever both show the same place."
    seen = float(judged.mean())
    return Localisation(
        map=found,
        judged=judged,
        score=min(1.0, share),
        says=says,
        reliability=min(1.0, 0.3 + seen),
        reason=f"The glass shows {seen:.0%} of the picture; the rest is not judged.",
    )


def _largest(found: Values) -> int:
    """Cells of the largest region that is called, 0 where it is too small to point at."""
    number, _, facts, _ = cv2.connectedComponentsWithStats((found >= 0.5).astype(np.uint8), connectivity=4)
    area = int(facts[1:, cv2.CC_STAT_AREA].max()) if number > 1 else 0
    return area if area >= LEAST_REGION else 0
