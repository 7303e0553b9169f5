"""Where in a picture could a mark be, and how well do their edges agree there?

The edges of the mark, at small turns and mirrored, are laid over those of the picture at all places and sizes; the likeliest
places are then fitted by a homography, by maximising the enhanced correlation of edge strength, and compared at a finer scale.
Fails on marks under about 24 px, turns over 15 degrees, and where less than half of a mark is seen.

Papers: Evangelidis and Psarakis 2008 (ECC); Steger 2002 (matching by the directions of edges).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies.alignment import Homography, inverse, resizing, warped
from veriscope.copies.mark_edges import COARSE, MARGIN, Outline, edges_of

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
LEAST_SHARE = 0.045  # of the picture's longer side: square root of the area of the smallest mark that is looked for
STEP = 1.16  # of one size to the next
MOST_ENLARGED = 2.0  # times, for small pictures
AT_A_SIZE, KEPT = 2, 6  # places kept of one size and turn, and of all
WEAK = 0.15  # of the mark's energy that is added to a place's: places with few edges are likely by chance
OUTSIDE = 0.2  # weight of edges where the mark has none
CELLS = 5  # a side, of the grid on which a mark is compared
ITERATIONS = 40  # of a fit
SOFTENING = 11, 5  # pixels: windows of the fit, one after the other
APART = 0.25  # of a mark's sides: places nearer to a likelier one are the same


@dataclass(frozen=True, eq=False)
class Size:
    """A picture's edges at one size, float32 (h, w, 2), with a border; and what takes its (x, y, 1) to the picture's."""

    edges: Floats = field(repr=False)
    energy: Floats = field(repr=False)
    to_picture: Homography


@dataclass(frozen=True, eq=False)
class Place:
    """Where a mark may be.

    Attributes:
        transform: float64 (3, 3), takes ``Outline.rgb``'s (x, y, 1) to the picture's.
        score: how well edges agree there, at most 1.
        mark: the shape of ``Outline.rgb``.
    """

    transform: Homography
    score: float
    mark: tuple[int, ...]

    @property
    def ends(self) -> NDArray[np.float64]:
        """The mark's corners in the picture, (4, 2), x and y in pixels, clockwise from the mark's upper left."""
        return np.asarray(cv2.perspectiveTransform(inner(self.mark), self.transform)[0])

    @property
    def side(self) -> float:
        """The square root of the mark's area in the picture, in pixels."""
        return float(abs(cv2.contourArea(self.ends.astype(np.float32))) ** 0.5)


def sizes(picture: Pixels) -> list[Size]:
    """The edges of ``uint8 (H, W, 3)`` RGB at all sizes in which a mark would have the area that is searched."""
    longer = max(picture.shape[:2])
    made = []
    side = COARSE * 0.8
    while side <= min(COARSE / LEAST_SHARE, MOST_ENLARGED * longer):
        scale = side / longer
        shape = max(8, round(picture.shape[0] * scale)), max(8, round(picture.shape[1] * scale))
        small = cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        border = round(COARSE / 3)
        edges = cv2.copyMakeBorder(edges_of(small), *(border,) * 4, cv2.BORDER_CONSTANT)
        back = resizing(shape, picture.shape) @ np.array([[1, 0, -border], [0, 1, -border], [0, 0, 1.0]])
        made.append(Size(np.asarray(edges, np.float32), np.square(edges).sum(2), back))
        side *= STEP
    return made


def proposals(mark: Outline, of: Sequence[Size]) -> list[Homography]:
    """The likeliest places of a mark in a picture of these sizes: transforms from its pixels to the picture's, best first."""
    found: list[tuple[float, Homography]] = []
    for size in of:
        for template, transform in mark.searched:
            for score, x, y in _peaks(size, template):
                found.append((score, size.to_picture @ np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]) @ transform))
    found.sort(key=lambda item: -item[0])
    kept: list[Homography] = []
    for _, place in found:
        if len(kept) < KEPT and not any(_same(place, other, mark.rgb.shape) for other in kept):
            kept.append(place)
    return kept


def _peaks(size: Size, template: Floats) -> list[tuple[float, int, int]]:
    """The best places of a template in a picture's edges: correlation, x, y."""
    high, wide = template.shape[:2]
    if high > size.edges.shape[0] or wide > size.edges.shape[1]:
        return []
    own = float(np.square(template).sum())
    product = cv2.matchTemplate(size.edges, template, cv2.TM_CCORR)
    energy = cv2.boxFilter(size.energy, cv2.CV_32F, (wide, high), anchor=(0, 0), normalize=False)
    energy = energy[: product.shape[0], : product.shape[1]]
    alike = product / np.sqrt(own * (np.maximum(energy, 0) + WEAK * own))
    found = []
    for _ in range(AT_A_SIZE):
        _, score, _, (x, y) = cv2.minMaxLoc(alike)
        found.append((float(score), int(x), int(y)))
        alike[max(0, y - high // 4) : y + high // 4 + 1, max(0, x - wide // 4) : x + wide // 4 + 1] = -1
    return found


def _same(one: Homography, other: Homography, shape: tuple[int, ...]) -> bool:
    ends = corners(shape)
    first, second = (cv2.perspectiveTransform(ends, transform)[0] for transform in (one, other))
    extent = np.ptp(first, axis=0)
    return bool((np.abs(first - second) < APART * extent).all())


def corners(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The corners of a mark of ``shape``, float64 (1, 4, 2), x and y."""
    right, bottom = shape[1] - 1.0, shape[0] - 1.0
    return np.array([[[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]]])


def inner(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The corners of a mark itself within ``Outline.rgb`` of ``shape``, which has a margin around it; as ``corners``."""
    margin = MARGIN * max(shape[:2]) / (1 + 2 * MARGIN)
    ends = corners(shape)
    return np.asarray(ends + margin * np.sign(ends.mean(1, keepdims=True) - ends))


def fitted(picture: Pixels, mark: Outline, place: Homography) -> Place:
    """A place brought to fit as well as it can, and its score."""
    best = Place(place, _score(picture, mark, place), mark.rgb.shape)
    strength = np.hypot(mark.edges[..., 0], mark.edges[..., 1])
    for motion, softening in zip((cv2.MOTION_AFFINE, cv2.MOTION_HOMOGRAPHY), SOFTENING, strict=True):
        seen = edges_of(_seen(picture, mark, best.transform))
        start = np.eye(2, 3, dtype=np.float32) if motion == cv2.MOTION_AFFINE else np.eye(3, dtype=np.float32)
        enough = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ITERATIONS, 1e-4)
        try:
            _, moved = cv2.findTransformECC(
                strength, np.hypot(seen[..., 0], seen[..., 1]), start, motion, enough, None, softening
            )
        except cv2.error:
            continue
        whole = np.vstack([moved, [0, 0, 1]]) if motion == cv2.MOTION_AFFINE else moved
        transform = best.transform @ np.asarray(whole, np.float64)
        score = _score(picture, mark, transform)
        if score > best.score:
            best = Place(transform / transform[2, 2], score, mark.rgb.shape)
    return best


def _seen(picture: Pixels, mark: Outline, place: Homography) -> Floats:
    """The picture in the mark's frame; only the part around the mark is resampled, as pictures can be large."""
    ends = cv2.perspectiveTransform(corners(mark.rgb.shape), place)[0]
    if not np.isfinite(ends).all():
        return np.zeros(mark.rgb.shape, np.float32)
    margin = 0.1 * np.ptp(ends, axis=0) + 4
    low = np.clip(np.floor(ends.min(0) - margin), 0, np.array(picture.shape[1::-1]) - 1).astype(int)
    high = np.clip(np.ceil(ends.max(0) + margin), low + 1, picture.shape[1::-1]).astype(int)
    part = picture[low[1] : high[1], low[0] : high[0]]
    into = inverse(np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1.0]]) @ place)
    return warped(part, into, mark.rgb.shape, cv2.BORDER_REPLICATE)


def _score(picture: Pixels, mark: Outline, place: Homography) -> float:
    if not _plausible(place, mark.rgb.shape, picture.shape):
        return -1.0
    return agreement(mark, edges_of(_seen(picture, mark, place)))


def _plausible(place: Homography, mark: tuple[int, ...], picture: tuple[int, ...]) -> bool:
    """Whether the mark would be neither folded, tiny nor squeezed, and at least half of it in the picture."""
    ends = cv2.perspectiveTransform(corners(mark), place)[0]
    if not np.isfinite(ends).all() or not cv2.isContourConvex(ends.astype(np.float32)):
        return False
    sides = np.linalg.norm(ends - np.roll(ends, 1, axis=0), axis=1)
    if (
        sides.min() < 6
        or sides[[0, 2]].max() > 1.6 * sides[[0, 2]].min()
        or sides[[1, 3]].max() > 1.6 * sides[[1, 3]].min()
    ):
        return False
    squeezed = (sides[0] + sides[2]) / (sides[1] + sides[3]) * mark[1] / mark[0]
    frame = np.array([[0, 0], [picture[1], 0], [picture[1], picture[0]], [0, picture[0]]], np.float32)
    inside, _ = cv2.intersectConvexConvex(ends.astype(np.float32), frame)
    return bool(0.6 < squeezed < 1.7 and inside >= 0.5 * abs(cv2.contourArea(ends.astype(np.float32))))


def agreement(mark: Outline, edges: Floats) -> float:
    """How well a picture's edges, in the mark's frame, agree with the mark's: 1 where they are the same, about 0 by chance.

    The mean of the whole and of the cells of a grid, so that one long outline, as any disc has, does not outweigh all within.
    """
    weight = mark.near + OUTSIDE * (1 - mark.near)
    planes = [(mark.edges * edges).sum(2), np.square(mark.edges).sum(2), weight * np.square(edges).sum(2)]
    cells = [np.asarray(cv2.resize(plane, (CELLS, CELLS), interpolation=cv2.INTER_AREA)) for plane in planes]
    shared, own, seen = cells
    whole = float(shared.sum() / np.sqrt(own.sum() * (seen.sum() + 1e-6)))
    each = shared / np.sqrt(own * (seen + WEAK * own) + 1e-9)
    parts = float((np.sqrt(own) * np.clip(each, -0.5, 1)).sum() / np.sqrt(own).sum())
    return (whole + parts) / 2
