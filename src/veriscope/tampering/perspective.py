"""Do edges that are parallel in the scene meet in one point of the picture, and does a suspicious object share it?

A pinhole camera images parallel edges so that they meet in one vanishing point; a pasted object was seen by another camera or
stood otherwise, so that its edges meet elsewhere. Every segment's ends are measured with a known error, so the disagreement is
a chi-square with a p-value and not a matter of taste. It fails under lens distortion (edges bend), on objects that are not
parallel to what they are compared with, on short edges (they hold little), and on a paste that was put into perspective well.
This is the geometric family of the five that Farid tells apart (pixel, format, camera, physics, geometry).

Papers: Farid, "Image forgery detection", IEEE SPM 2009; Criminisi et al., "Single view metrology", IJCV 2000; von Gioi et al.,
LSD, TPAMI 2010; Desolneux et al. 2000 (how many segments would meet by chance).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.synthetic.lines import SHORTEST, detected, small

Floats = NDArray[np.float64]

CLICK = 1.5  # pixels: standard deviation of a careful click along either axis
DETECTED = 0.7  # pixels of the picture searched: that of a detected segment's ends
SEARCHED_SIDE = 1024  # pixels: the longer side at which edges are sought
MOST = 500  # detected segments, the longest
HYPOTHESES = 400  # pairs of segments that propose a vanishing point
AGREES = 2.5  # standard deviations within which a segment belongs to a vanishing point
LEAST = 4  # segments that a detected vanishing point needs
BY_CHANCE = 0.01  # vanishing points in a picture of unrelated segments that are let through
STEPS = 60  # of the search for the best point, at most
INFINITE = 1e-3  # third coordinate of a unit point below which it counts as infinitely far: 1000 half diagonals


@dataclass(frozen=True)
class Frame:
    """A picture's size, and coordinates in it: centred, x right and y down, in half diagonals."""

    width: int
    height: int

    @property
    def scale(self) -> float:
        """Pixels in a half diagonal."""
        return math.hypot(self.width, self.height) / 2

    def inward(self, pixels: Floats) -> Floats:
        """Pixel coordinates (..., 2k) of x, y pairs in half diagonals from the centre."""
        centre = np.resize([(self.width - 1) / 2, (self.height - 1) / 2], np.shape(pixels)[-1])
        return np.asarray((np.asarray(pixels, np.float64) - centre) / self.scale)

    def outward(self, point: Floats) -> Floats | None:
        """A homogeneous point (3,) in pixels (2,); None where it is infinitely far."""
        if abs(point[2]) < INFINITE * float(np.linalg.norm(point)):
            return None
        return np.asarray(point[:2] / point[2] * self.scale + np.array([self.width - 1, self.height - 1]) / 2)


@dataclass(frozen=True, eq=False)
class VanishingPoint:
    """Where segments meet.

    Attributes:
        point: (3,) homogeneous, of length 1, in half diagonals; the third is 0 where they are parallel in the picture.
        covariance: (3, 3) of it, across it.
        chi_square: sum of the squared distances of the segments, in standard deviations.
        freedom: degrees of freedom, the segments less two.
    """

    point: Floats
    covariance: Floats = field(repr=False)
    chi_square: float
    freedom: int

    @property
    def p(self) -> float:
        """The chance that segments which do meet in one point miss it by this much; 1 for two segments."""
        return chi_square_tail(self.chi_square, self.freedom)


@dataclass(frozen=True, eq=False)
class Agreement:
    """Whether an object's segments share the vanishing point of the rest.

    Attributes:
        rest: the rest's own vanishing point.
        together: the one of all.
        chi_square: by how much worse one point explains all than one for the rest and one for the object.
        freedom: 2, or 1 for a single segment.
        p: the chance of that or more where they share one.
        object_p: the chance of the object's segments missing a point of their own; 1 for one or two.
    """

    rest: VanishingPoint
    together: VanishingPoint
    chi_square: float
    freedom: int
    p: float
    object_p: float


def chi_square_tail(value: float, freedom: int) -> float:
    """The chance that a chi-square variable of ``freedom`` >= 0 degrees is ``value`` or more, by its finite series."""
    if freedom <= 0 or value <= 0:
        return 1.0
    half = value / 2
    start, total = (1.0, 0.0) if freedom % 2 == 0 else (1.5, math.erfc(math.sqrt(half)))
    for number in range(freedom // 2):
        power = start - 1 + number
        total += math.exp(power * math.log(half) - half - math.lgamma(power + 1))
    return min(1.0, total)


def residuals(ends: Floats, point: Floats, sigma: float) -> Floats:
    """How far segments (N, 4) miss a homogeneous point (3,), in standard deviations, signed (N,).

    The line through both ends misses the point; its error is that of the ends to first order (Sampson's distance), so that a
    long segment counts for more than a short one, and a point infinitely far is like any other.
    """
    first, second = _homogeneous(ends[:, :2]), _homogeneous(ends[:, 2:])
    one, other = np.cross(second, point)[:, :2], np.cross(point, first)[:, :2]
    spread = np.sqrt(np.square(one).sum(1) + np.square(other).sum(1))
    return np.asarray(np.cross(first, second) @ point / np.maximum(sigma * spread, 1e-15))


def vanishing_point(ends: Floats, sigma: float) -> VanishingPoint:
    """The point that segments (N, 4) in half diagonals most likely meet in, with its uncertainty.

    Args:
        ends: x, y, x, y of at least two segments.
        sigma: standard deviation of an end along either axis, half diagonals.
    Raises:
        ValueError: there are fewer than two segments, or one has no length.
    """
    if len(ends) < 2:
        raise ValueError("a vanishing point needs at least two segments")
    lengths = np.hypot(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1])
    if lengths.min() <= 1e-9:
        raise ValueError("a segment's two ends are the same point")
    lines = np.cross(_homogeneous(ends[:, :2]), _homogeneous(ends[:, 2:]))
    point = np.linalg.eigh(lines.T @ lines)[1][:, 0]
    point, slope = _descended(ends, point, sigma)
    basis = across(point)
    covariance = basis @ np.linalg.inv(slope.T @ slope + 1e-9 * np.eye(2)) @ basis.T
    missed = residuals(ends, point, sigma)
    return VanishingPoint(point, covariance, float(missed @ missed), len(ends) - 2)


def _descended(ends: Floats, point: Floats, sigma: float) -> tuple[Floats, Floats]:
    """Levenberg and Marquardt's descent on the sphere: the point, and the residuals' slope (N, 2) across it."""
    damping, missed = 1e-3, residuals(ends, point, sigma)
    slope = _slope(ends, point, sigma)
    for _ in range(STEPS):
        curve = slope.T @ slope
        step = np.linalg.solve(curve + damping * np.diag(np.diag(curve)) + 1e-12 * np.eye(2), -slope.T @ missed)
        tried = point + across(point) @ step
        tried = tried / np.linalg.norm(tried)
        now = residuals(ends, tried, sigma)
        if now @ now > missed @ missed:
            damping *= 8
            if damping > 1e9:
                break
            continue
        done = missed @ missed - now @ now < 1e-9 and float(np.abs(step).max()) < 1e-9
        point, missed, damping = tried, now, damping / 4
        slope = _slope(ends, point, sigma)
        if done:
            break
    return point, slope


def _slope(ends: Floats, point: Floats, sigma: float) -> Floats:
    step = 1e-6
    return np.column_stack(
        [
            (residuals(ends, point + step * way, sigma) - residuals(ends, point - step * way, sigma)) / (2 * step)
            for way in across(point).T
        ]
    )


def across(point: Floats) -> Floats:
    """Two unit directions (3, 2) square to a unit vector (3,) and to one another."""
    one = np.cross(point, np.eye(3)[int(np.argmin(np.abs(point)))])
    one = one / np.linalg.norm(one)
    return np.column_stack([one, np.cross(point, one)])


def agreement(rest: Floats, suspicious: Floats, sigma: float) -> Agreement:
    """Test whether an object's segments share the vanishing point of the rest: a likelihood-ratio test.

    Where the rest miss their own point by more than ``sigma`` explains, that larger error is taken for all.

    Args:
        rest: (N, 4) at least two segments, half diagonals.
        suspicious: (M, 4) at least one segment of the object.
        sigma: standard deviation of an end along either axis, half diagonals.
    """
    own = vanishing_point(rest, sigma)
    error = sigma * math.sqrt(max(1.0, own.chi_square / max(own.freedom, 1)))
    if error > sigma:
        own = vanishing_point(rest, error)
    together = vanishing_point(np.vstack([rest, suspicious]), error)
    alone = vanishing_point(suspicious, error) if len(suspicious) > 1 else None
    worse = max(0.0, together.chi_square - own.chi_square - (alone.chi_square if alone else 0.0))
    freedom = min(2, len(suspicious))
    return Agreement(own, together, worse, freedom, chi_square_tail(worse, freedom), alone.p if alone else 1.0)


def odd_one_out(ends: Floats, sigma: float) -> tuple[int, float]:
    """The segment of at least three that disagrees most with the others: its place, and the p-value of the worst of so many."""
    if len(ends) < 3:
        raise ValueError("an odd segment needs at least two others to differ from")
    chances = [agreement(np.delete(ends, at, axis=0), ends[at : at + 1], sigma).p for at in range(len(ends))]
    worst = int(np.argmin(chances))
    return worst, min(1.0, chances[worst] * len(ends))


def detected_segments(rgb: NDArray[np.uint8]) -> tuple[Floats, float]:
    """The straight edges of ``uint8 (H, W, 3)``, the longest first: (N, 4) and their ends' error, both in half diagonals."""
    luma = np.asarray(cv2.cvtColor(small(rgb, SEARCHED_SIDE), cv2.COLOR_RGB2GRAY), np.uint8)
    sigma = DETECTED / Frame(luma.shape[1], luma.shape[0]).scale
    ends = detected(luma)
    lengths = np.hypot(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1])
    order = np.argsort(-lengths, kind="stable")[:MOST]
    return ends[order[lengths[order] >= SHORTEST]], sigma


def detected_vanishing_points(
    ends: Floats, sigma: float, *, most: int = 3, seed: int = 0
) -> list[tuple[VanishingPoint, NDArray[np.bool_]]]:
    """Vanishing points of unsorted segments (N, 4), that of the greatest total length first, each with its members (N,).

    Found by RANSAC, then by least squares on the members. A point that as many unrelated segments would be expected to meet
    in by chance is not given.
    """
    generator = np.random.default_rng(seed)
    left, found = np.ones(len(ends), bool), []
    for _ in range(most):
        members = _best_meeting(ends, left, sigma, generator)
        if members.sum() < LEAST or _chance_meetings(ends[left], int(members.sum()), sigma) > BY_CHANCE:
            break
        fitted = vanishing_point(ends[members], sigma)
        inflated = max(1.0, fitted.chi_square / max(1, fitted.freedom))
        point = VanishingPoint(fitted.point, fitted.covariance * inflated, fitted.chi_square, fitted.freedom)
        found.append((point, members))
        left = left & ~members
    return found


def _best_meeting(
    ends: Floats, left: NDArray[np.bool_], sigma: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    places, members = np.flatnonzero(left), np.zeros(len(ends), bool)
    if len(places) < LEAST:
        return members
    lengths = np.hypot(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1])
    lines = np.cross(_homogeneous(ends[:, :2]), _homogeneous(ends[:, 2:]))
    best = 0.0
    for pair in generator.choice(places, (HYPOTHESES, 2), p=lengths[places] / lengths[places].sum()):
        point = np.cross(lines[pair[0]], lines[pair[1]])
        length = float(np.linalg.norm(point))
        if pair[0] == pair[1] or length < 1e-9:
            continue
        off = np.abs(residuals(ends, point / length, sigma)) / AGREES
        support = float((np.maximum(0, 1 - np.square(off)) * lengths)[left].sum())
        if support > best:
            best, members = support, left & (off < 1)
    for _ in range(3):
        if members.sum() >= LEAST:
            point = vanishing_point(ends[members], sigma).point
            members = left & (np.abs(residuals(ends, point, sigma)) < AGREES)
    return members


def _chance_meetings(ends: Floats, members: int, sigma: float) -> float:
    """How many points would be met by so many segments if their directions were random (a Poisson bound on all pairs)."""
    lengths = np.hypot(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1])
    tolerance = np.arctan(AGREES * sigma * math.sqrt(2) / np.maximum(lengths, 1e-9))
    expected = float(np.minimum(1, 2 * tolerance / np.pi).sum())
    count = members - 2  # two of them made the point
    if count <= expected:
        return float(len(ends) ** 2)
    log_first = count * math.log(expected) - expected - math.lgamma(count + 1)
    return len(ends) ** 2 / 2 * math.exp(log_first) / (1 - expected / (count + 1))


def _homogeneous(points: Floats) -> Floats:
    return np.column_stack([points, np.ones(len(points))])
