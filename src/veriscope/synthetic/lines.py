"""Straight edges of a picture, where they meet, and the camera that would see them so.

A camera images straight edges as straight, and parallel ones so that all of them, from everywhere in the picture, meet in one
vanishing point; three square directions fix the focal length and which way is up. Coordinates are centred, x right and y down,
in half diagonals, so that nothing here knows how many pixels a picture has.

Papers: von Gioi et al. 2010 (LSD); Coughlan & Yuille 1999 (Manhattan world); Caprile & Torre 1990 (focal length from vanishing
points).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIDE = 768  # pixels, the most of the longer side
SHORTEST = 0.045  # half diagonals: shorter segments are texture
MOST = 400  # segments, the longest
HYPOTHESES = 500  # pairs of segments that propose a vanishing point
AGREES = np.sin(np.radians(2.0))  # between a segment and the way to a vanishing point
FAMILIES = 3  # vanishing points that are sought
FOCAL = 2.0  # half diagonals, of a 43 mm lens on full frame: assumed where none can be estimated
FOCALS = np.geomspace(0.8, 8.0, 32)  # half diagonals: 17 to 170 mm on full frame
UPRIGHT = np.cos(np.radians(30))  # how near to the picture's vertical an upright direction must lie


@dataclass(frozen=True)
class Segments:
    """Straight edges.

    Attributes:
        ends: (N, 4) as x, y, x, y; the longest first.
        luma: float32 (H, W) in [0, 255], the picture they were found in.
    """

    ends: Floats
    luma: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def scale(self) -> float:
        """Pixels in a half diagonal."""
        return float(np.hypot(*self.luma.shape) / 2)

    @property
    def lengths(self) -> Floats:
        """(N,) half diagonals."""
        return np.asarray(np.hypot(*(self.ends[:, 2:] - self.ends[:, :2]).T))

    @property
    def middles(self) -> Floats:
        """(N, 2)."""
        return (self.ends[:, :2] + self.ends[:, 2:]) / 2

    @property
    def directions(self) -> Floats:
        """(N, 2) of length 1."""
        return (self.ends[:, 2:] - self.ends[:, :2]) / np.maximum(self.lengths, 1e-9)[:, None]

    @property
    def pixels(self) -> Floats:
        """(N, 4) the ends in pixels of ``luma``."""
        height, width = self.luma.shape
        return self.ends * self.scale + np.array([width, height, width, height]) / 2 - 0.5

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Segments:
        """Those under a mask or at places."""
        return Segments(self.ends[which], self.luma)


@dataclass(frozen=True)
class Family:
    """Segments that meet in one vanishing point.

    Attributes:
        point: (3,) homogeneous, of length 1; the third is 0 where they are parallel in the picture.
        members: bool (N,) of all segments.
        residuals: (members,) sine of the angle between each member and its way to the point.
    """

    point: Floats
    members: NDArray[np.bool_]
    residuals: Floats


@dataclass(frozen=True)
class Camera:
    """How a picture was taken, as far as its vanishing points tell.

    Attributes:
        focal: half diagonals.
        up: (3,) the scene's upward direction in the camera's frame (x right, y down, z ahead).
        misfit: mean absolute cosine between vanishing directions that should be square to one another; 0 is best.
        known: vanishing points it rests on.
    """

    focal: float
    up: Floats
    misfit: float
    known: int


def small(rgb: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.uint8]:
    """``uint8 (H, W, 3)`` RGB with its longer side at most ``side`` pixels."""
    scale = side / max(rgb.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(rgb)
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def detected(luma: NDArray[np.uint8]) -> Floats:
    """The straight edges of ``uint8 (H, W)`` as LSD finds them, in its order: (N, 4) x, y, x, y in half diagonals."""
    found = cv2.createLineSegmentDetector(cv2.LSD_REFINE_STD).detect(luma)[0]
    if found is None:
        return np.zeros((0, 4))
    height, width = luma.shape
    centre = np.array([width, height, width, height]) / 2 - 0.5
    return np.asarray((found.reshape(-1, 4).astype(np.float64) - centre) / (np.hypot(height, width) / 2))


def segments(rgb: NDArray[np.uint8]) -> Segments:
    """The straight edges of ``uint8 (H, W, 3)`` RGB, pieces of one edge joined."""
    luma = np.asarray(cv2.cvtColor(small(rgb), cv2.COLOR_RGB2GRAY), np.uint8)
    made = _longest(Segments(detected(luma), luma.astype(np.float32)), SHORTEST / 3)
    return _longest(_joined(made), SHORTEST)


def _longest(these: Segments, least: float) -> Segments:
    order = np.argsort(-these.lengths, kind="stable")[: MOST if least == SHORTEST else 2 * MOST]
    return these.chosen(order[these.lengths[order] >= least])


def _joined(these: Segments) -> Segments:
    """Collinear pieces with a small gap between them, each chain made one as long as its longest member points."""
    if not len(these):
        return these
    lengths, ways = these.lengths, these.directions
    begins = these.ends[:, :2]
    x, y = ways[:, :1], ways[:, 1:]
    # Where the ends of segment j lie along and beside segment i, (i, j).
    from_begin = [these.ends[None, :, at : at + 2] - begins[:, None] for at in (0, 2)]
    begin_along, end_along = (x * off[..., 0] + y * off[..., 1] for off in from_begin)
    begin_aside, end_aside = (np.abs(x * off[..., 1] - y * off[..., 0]) for off in from_begin)
    low, high = np.minimum(begin_along, end_along), np.maximum(begin_along, end_along)
    gap = np.maximum(low - lengths[:, None], -high)
    step = 1.5 / these.scale  # a pixel and a half
    near = (
        (np.maximum(begin_aside, end_aside) < step)
        & (gap > -step)
        & (gap < 0.25 * np.minimum(lengths[:, None], lengths))
    )
    head = np.arange(len(these))  # the segments are sorted, so that a chain's head is its longest
    for one, other in zip(*np.nonzero(near), strict=True):
        first, second = sorted((head[one], head[other]))
        if first != second:
            head[head == second] = first
    made = []
    for first in np.unique(head):
        chain = head == first
        reach = np.array([[low[first, chain].min()], [high[first, chain].max()]])
        made.append((begins[first] + reach * ways[first]).ravel())
    return Segments(np.array(made), these.luma)


def families(these: Segments, *, seed: int = 0) -> list[Family]:
    """Up to three vanishing points, that of the longest total of segments first, by RANSAC and weighted least squares."""
    generator = np.random.default_rng(seed)
    left = np.ones(len(these), bool)
    found = []
    for _ in range(FAMILIES):
        family = _largest(these, left, generator)
        if family is None:
            break
        found.append(family)
        left = left & ~family.members
    return found


def _largest(these: Segments, left: NDArray[np.bool_], generator: np.random.Generator) -> Family | None:
    places = np.flatnonzero(left)
    if len(places) < 4:
        return None
    lengths = these.lengths
    chances = lengths[places] / lengths[places].sum()
    pairs = places[generator.choice(len(places), (HYPOTHESES, 2), p=chances)]
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    lines = _lines(these)
    points = np.cross(lines[pairs[:, 0]], lines[pairs[:, 1]])
    points = points[np.linalg.norm(points, axis=1) > 1e-9]
    if not len(points):
        return None
    support = (np.maximum(0, 1 - residuals(these, points)[:, left] / AGREES) * lengths[left]).sum(1)
    point = points[int(np.argmax(support))]
    point = point / np.linalg.norm(point)
    for _ in range(3):
        members = left & (residuals(these, point[None])[0] < AGREES)
        if members.sum() < 4:
            return None
        point = meeting(these, members)
    error = residuals(these, point[None])[0]
    members = left & (error < AGREES)
    return Family(point, members, error[members]) if members.sum() >= 4 else None


def _lines(these: Segments) -> Floats:
    ones = np.ones((len(these), 1))
    lines = np.cross(np.hstack([these.ends[:, :2], ones]), np.hstack([these.ends[:, 2:], ones]))
    return np.asarray(lines / np.maximum(np.hypot(lines[:, 0], lines[:, 1]), 1e-12)[:, None])


def meeting(these: Segments, members: NDArray[np.bool_]) -> Floats:
    """The point (3,) that members come nearest to meeting in, long ones counting more."""
    lines = _lines(these)[members] * these.lengths[members][:, None]
    return np.asarray(np.linalg.eigh(lines.T @ lines)[1][:, 0])


def residuals(these: Segments, points: Floats) -> Floats:
    """Sine of the angle between segments and their way to homogeneous ``points (P, 3)``, ``(P, N)``."""
    ways = points[:, None, :2] - points[:, None, 2:] * these.middles[None]
    across = np.abs(ways[..., 0] * these.directions[:, 1] - ways[..., 1] * these.directions[:, 0])
    return np.asarray(across / np.maximum(np.linalg.norm(ways, axis=-1), 1e-12))


def viewing(points: Floats, focal: float) -> Floats:
    """The directions (P, 3) of length 1, ahead of a camera, in which homogeneous ``points (P, 3)`` lie."""
    ways = np.column_stack([points[:, 0], points[:, 1], points[:, 2] * focal])
    ways = ways / np.maximum(np.linalg.norm(ways, axis=1), 1e-12)[:, None]
    return np.asarray(np.where(ways[:, 2:] < 0, -ways, ways))


def camera(found: list[Family]) -> Camera:
    """The camera that sees vanishing points most nearly square to one another, and which way is up."""
    points = np.array([family.point for family in found]).reshape(-1, 3)
    focal, misfit = FOCAL, 0.0
    one, other = np.triu_indices(len(points), 1)
    if len(one):
        cosines = []
        for tried in FOCALS:
            ways = viewing(points, tried)
            cosines.append(np.abs((ways[one] * ways[other]).sum(1)).mean())
        best = int(np.argmin(cosines))
        misfit = float(cosines[best])
        if np.ptp(cosines) > 0.02:  # where all points lie far out, every focal length fits alike
            focal = float(FOCALS[best])
    ways = viewing(points, focal)
    upright = np.abs(ways[:, 1]) if len(ways) else np.zeros(1)
    up = np.array([0.0, -1.0, 0.0])
    if upright.max() > UPRIGHT:
        way = ways[int(np.argmax(upright))]
        up = way if way[1] < 0 else -way
    elif len(one):  # no upright edges: square to the two largest families, which then lie level
        way = np.cross(ways[0], ways[1])
        length = np.linalg.norm(way)
        if length > 0.3 and abs(way[1]) / length > UPRIGHT:
            up = way / length * (-1 if way[1] > 0 else 1)
    return Camera(focal, up, misfit, len(points))


def straightness(these: Segments, most: int = 48) -> Floats:
    """How straight the longest edges are and what they do beyond their ends.

    Across each edge, at 32 places from a quarter of its length before it to a quarter after it, the place of the steepest
    change within 4 pixels is sought.

    Returns:
        (M, 4) for each of the longest: the scatter about a line and the height of the best parabola's arc, both in lengths; the
        share of places beyond its ends where it goes on; and how far aside it is there, in lengths (0 where it ends).
    """
    chosen = these.chosen(np.arange(min(most, len(these))))
    if not len(chosen):
        return np.zeros((0, 4))
    ends = chosen.pixels
    along = np.linspace(-0.25, 1.25, 48)
    aside = np.arange(-4.5, 5.0)
    way = ends[:, 2:] - ends[:, :2]
    lengths = np.linalg.norm(way, axis=1)
    normal = np.column_stack([-way[:, 1], way[:, 0]]) / lengths[:, None]
    x = ends[:, None, None, 0] + along[None, :, None] * way[:, None, None, 0] + aside * normal[:, None, None, 0]
    y = ends[:, None, None, 1] + along[None, :, None] * way[:, None, None, 1] + aside * normal[:, None, None, 1]
    shape = (len(chosen) * len(along), len(aside))
    profile = cv2.remap(
        chosen.luma,
        x.reshape(shape).astype(np.float32),
        y.reshape(shape).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    steps = np.diff(np.asarray(profile, np.float64).reshape(x.shape), axis=2)
    inside = (along >= 0) & (along <= 1)
    sign = np.sign(steps[:, inside][:, :, 3:6].sum((1, 2)))
    steps = np.maximum(steps * np.where(sign == 0, 1, sign)[:, None, None], 0)
    peak = steps.max(2)
    window = np.where(steps > 0.5 * peak[..., None], steps, 0)
    places = (window * (aside[:-1] + 0.5)).sum(2) / np.maximum(window.sum(2), 1e-9)
    usual = np.median(peak[:, inside], axis=1)
    there = peak > 0.5 * np.maximum(usual, 1)[:, None]
    made = np.zeros((len(chosen), 4))
    for number in range(len(chosen)):
        kept = inside & there[number]
        if kept.sum() < 8:
            continue
        line = np.polyfit(along[kept], places[number, kept], 1)
        bow = np.polyfit(along[kept], places[number, kept], 2)
        beyond = ~inside
        goes_on = beyond & there[number]
        off = np.abs(places[number] - np.polyval(line, along))
        made[number] = (
            np.std(places[number, kept] - np.polyval(line, along[kept])) / lengths[number],
            abs(bow[0]) / 4 / lengths[number],
            goes_on.sum() / beyond.sum(),
            off[goes_on].mean() / lengths[number] if goes_on.any() else 0.0,
        )
    return made
