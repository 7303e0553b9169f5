"""Where is the horizon, what camera saw the vanishing points, and do objects on the ground have the height they should?

Vanishing points of level directions lie on the horizon, and the horizon cuts every upright object on the ground at the height
of the camera; so an object's height, in camera heights, can be read off its foot, its head and the horizon. A figure pasted at
the wrong size stands out among its likes. Two square directions fix the focal length, three also the principal point, which
lies near the centre unless the picture was cropped or composed. It fails on sloping ground, under lens distortion and where
the horizon is known badly, which its covariance tells.

Papers: Criminisi et al., "Single view metrology", IJCV 2000; Hoiem et al., "Putting objects in perspective", CVPR 2006;
Caprile & Torre, IJCV 1990; Johnson & Farid, "Detecting photographic composites of people", IWDW 2007.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from veriscope.tampering.perspective import INFINITE, Floats, VanishingPoint, across, chi_square_tail

SPREAD = 0.05  # relative: standard deviation of height of adults of one sex, about 7 cm of 170
STEP = 1e-6  # of numerical derivatives, half diagonals


@dataclass(frozen=True, eq=False)
class Horizon:
    """The line in which level planes vanish.

    Attributes:
        line: (3,) homogeneous, of length 1, in half diagonals; positive below it, where the ground is.
        covariance: (3, 3) of it, across it.
        chi_square, freedom: by how much the points miss one line; 0 degrees for two points.
    """

    line: Floats
    covariance: Floats = field(repr=False)
    chi_square: float
    freedom: int

    @property
    def p(self) -> float:
        """The chance that points on one line miss it by this much; 1 for two points."""
        return chi_square_tail(self.chi_square, self.freedom)

    @property
    def tilt(self) -> float:
        """Degrees by which it falls to the right."""
        return math.degrees(math.atan2(-self.line[0], self.line[1]))


@dataclass(frozen=True)
class Measured:
    """A value with its standard deviation, in half diagonals."""

    value: float
    error: float


@dataclass(frozen=True, eq=False)
class Heights:
    """How tall upright objects on one ground are.

    Attributes:
        ratios: (N,) in camera heights.
        errors: (N,) relative standard deviations of each, of the clicks and the horizon.
        chi_square, freedom, p: of all being equally tall up to ``spread``.
        deviations: (N,) of each from the others, in standard deviations.
    """

    ratios: Floats
    errors: Floats
    chi_square: float
    freedom: int
    p: float
    deviations: Floats


def horizon(points: Floats, covariances: Floats) -> Horizon:
    """The line through homogeneous points (M, 3) of length 1, each with its covariance (M, 3, 3), M at least 2.

    Raises:
        ValueError: there are fewer than two, or all are one point.
    """
    if len(points) < 2:
        raise ValueError("a horizon needs at least two points")
    line = np.linalg.eigh(points.T @ points)[1][:, 0]
    for _ in range(10):
        weights = 1 / np.maximum(np.einsum("i,mij,j->m", line, covariances, line), 1e-18)
        amounts, ways = np.linalg.eigh((points * weights[:, None]).T @ points)
        line = ways[:, 0]
    if amounts[1] < 1:  # the line turns freely: all points are one, as far as their errors tell
        raise ValueError("the points are too near to one another to fix a line")
    line = line if line[1] > 0 or (line[1] == 0 and line[0] > 0) else -line
    covariance = (ways[:, 1:] / amounts[1:]) @ ways[:, 1:].T
    missed = float((weights * np.square(points @ line)).sum())
    return Horizon(line, covariance, missed, len(points) - 2)


def clicked_horizon(ends: Floats, sigma: float) -> Horizon:
    """The horizon through two clicked points, ``ends`` (4,) as x, y, x, y and their error ``sigma``, in half diagonals."""
    points = np.column_stack([ends.reshape(2, 2), np.ones(2)])
    lengths = np.linalg.norm(points, axis=1)
    covariance = np.diag([sigma**2, sigma**2, 0.0])
    return horizon(points / lengths[:, None], covariance / np.square(lengths)[:, None, None])


def focal_length(one: VanishingPoint, other: VanishingPoint) -> Measured | None:
    """The focal length from vanishing points of two directions square to one another, with the principal point in the middle.

    None where it is not determined: one of them is as good as infinitely far, or no camera sees them square.
    """
    found = _propagated(_focal, [one, other])
    return found[0] if found is not None and found[0].error < found[0].value else None


def principal_point(points: Sequence[VanishingPoint]) -> tuple[Measured, Measured, Measured] | None:
    """Principal point x, y and focal length from three directions square to one another; None where not determined."""
    found = _propagated(_camera, list(points))
    return (found[0], found[1], found[2]) if found is not None and found[2].error < found[2].value else None


def _focal(ways: Sequence[Floats]) -> Floats:
    one, other = ways
    if min(abs(one[2]), abs(other[2])) < INFINITE:
        return np.array([np.nan])
    squared = -(one[:2] @ other[:2]) / (one[2] * other[2])
    return np.array([math.sqrt(squared) if squared > 0 else np.nan])


def _camera(ways: Sequence[Floats]) -> Floats:
    """The image of the absolute conic of square pixels, from three pairs that are conjugate to it."""
    pairs = [(ways[0], ways[1]), (ways[0], ways[2]), (ways[1], ways[2])]
    left = np.array([[a[0] * b[2] + b[0] * a[2], a[1] * b[2] + b[1] * a[2], a[2] * b[2]] for a, b in pairs])
    if np.linalg.cond(left) > 1 / INFINITE**2:
        return np.full(3, np.nan)
    x, y, rest = np.linalg.solve(left, [-(a[:2] @ b[:2]) for a, b in pairs])
    squared = rest - x * x - y * y
    return np.array([-x, -y, math.sqrt(squared) if squared > 0 else np.nan])


def _propagated(function: Callable[[Sequence[Floats]], Floats], points: list[VanishingPoint]) -> list[Measured] | None:
    """A function's values with the error that the points' covariances give them to first order; None where undetermined."""
    ways = [point.point for point in points]
    values, variances = function(ways), 0.0
    for at, point in enumerate(points):
        basis = across(point.point)
        slopes = [
            function([*ways[:at], ways[at] + STEP * side, *ways[at + 1 :]])
            - function([*ways[:at], ways[at] - STEP * side, *ways[at + 1 :]])
            for side in basis.T
        ]
        slope = np.column_stack(slopes) / (2 * STEP)
        variances = variances + np.einsum("ka,ab,kb->k", slope, basis.T @ point.covariance @ basis, slope)
    if not (np.isfinite(values).all() and np.isfinite(variances).all()):
        return None
    return [Measured(float(value), float(error)) for value, error in zip(values, np.sqrt(variances), strict=True)]


def height(feet: Floats, heads: Floats, line: Floats, vertical: Floats) -> Floats:
    """Heights (N,) in camera heights of upright objects on the ground, by the cross-ratio of four points of each.

    Args:
        feet, heads: (N, 2) half diagonals.
        line: (3,) the horizon, positive below.
        vertical: (3,) homogeneous, the vanishing point of upright edges.
    """
    foot, head = (np.column_stack([ends, np.ones(len(ends))]) for ends in (feet, heads))
    # With the foot at 0 and the head at 1 of a line, the horizon is met at ``level`` and the vertical's point is at ``far``.
    way = head - foot
    level = -(foot @ line) / (way @ line)
    along = np.square(way).sum(1)
    reach = ((vertical[None, :2] - vertical[2] * foot[:, :2]) * way[:, :2]).sum(1)  # far = reach / (third * along)
    nearness = vertical[2] * along / reach
    return np.asarray((level * nearness - 1) / (level * (nearness - 1)))


def equal_heights(
    feet: Floats,
    heads: Floats,
    found: Horizon,
    sigma: float,
    *,
    vertical: Floats | None = None,
    spread: float = SPREAD,
) -> Heights:
    """Test whether upright objects on one ground that should be about equally tall are so.

    The clicks' errors are each object's own; the horizon's is shared by all, so the test uses the whole covariance.

    Args:
        feet, heads: (N, 2) half diagonals, N at least 2.
        found: the horizon.
        sigma: standard deviation of a click along either axis, half diagonals.
        vertical: (3,) vanishing point of upright edges; square to the horizon, infinitely far, by default.
        spread: relative standard deviation of the objects' true heights.
    Raises:
        ValueError: there are fewer than two, or one's foot is not below the horizon or its head not above its foot.
    """
    if len(feet) < 2:
        raise ValueError("comparing heights needs at least two objects")

    def logs(feet: Floats, heads: Floats, line: Floats) -> Floats:
        up = np.array([line[0], line[1], 0.0]) if vertical is None else vertical
        return np.log(np.maximum(height(feet, heads, line, up), 1e-9))

    ground = np.column_stack([feet, np.ones(len(feet))]) @ found.line
    top = np.column_stack([heads, np.ones(len(heads))]) @ found.line
    if (wrong := np.flatnonzero((ground <= 0) | (top >= ground))).size:
        raise ValueError(f"object {wrong[0] + 1}'s foot must lie below the horizon, and its head above its foot")
    middle = logs(feet, heads, found.line)
    own = np.zeros(len(feet))
    for shift in np.eye(2) * STEP:
        own += np.square((logs(feet + shift, heads, found.line) - middle) / STEP * sigma)
        own += np.square((logs(feet, heads + shift, found.line) - middle) / STEP * sigma)
    basis = across(found.line)
    shared = np.column_stack([(logs(feet, heads, found.line + STEP * way) - middle) / STEP for way in basis.T])
    error = np.diag(own) + shared @ (basis.T @ found.covariance @ basis) @ shared.T
    whole = error + spread**2 * np.eye(len(feet))
    precision = np.linalg.inv(whole)
    mean = precision.sum(0) @ middle / precision.sum()
    off = middle - mean
    projected = precision - np.outer(precision.sum(0), precision.sum(0)) / precision.sum()
    deviations = (precision @ off) / np.sqrt(np.maximum(np.diag(projected), 1e-18))
    statistic, freedom = float(off @ precision @ off), len(feet) - 1
    return Heights(
        ratios=np.exp(middle),
        errors=np.sqrt(np.diag(error)),
        chi_square=statistic,
        freedom=freedom,
        p=chi_square_tail(statistic, freedom),
        deviations=deviations,
    )
