"""Can all marked shadows have been cast by one light?

A point of a cast shadow, the point that casts it and the light lie on one line of the scene, hence of the picture. Which part
of an object casts which point of its shadow is seldom known exactly, so each mark leaves the light a wedge, with its tip at
the shadow; a shaded edge leaves it half the plane. If no point lies in all, in front of the camera or behind it (where the
wedge is turned round), the shadows are not of one scene. It holds for any focal length and ground, for lamps and the sun; it
fails where there are several lights, a mark is wrong, or the lens distorts much. That all agree proves nothing.

Paper: Kee, O'Brien & Farid, "Exposing photo manipulation with inconsistent shadows", ACM TOG 2013.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from veriscope.tampering.perspective import Floats

CLICK = 3.0  # pixels: error within which a click certainly lies; points in soft shadows are hard to place
NARROWEST = math.radians(0.25)  # a wedge's least half angle
WIDEST = math.radians(89.9)  # and its greatest: beyond it, it is no wedge
MOST = 24  # marks: all groups of four are looked at
LEAST_MARGIN = 1e-9  # by which the light must lie within all marks
GROUP = 4  # Helly's theorem: marks that conflict hold as few as four that do
AT_ONCE = 2000  # groups that are solved in one go, to bound memory
BOX = 8.0  # half diagonals to which regions are cut for drawing


@dataclass(frozen=True)
class Wedge:
    """Where a cast shadow leaves the light: from its tip, within ``half`` radians of ``angle``.

    Attributes:
        tip: the shadowed point, half diagonals.
        angle: radians, of the wedge's middle, from x right towards y down.
        half: radians, half of its opening.
    """

    tip: tuple[float, float]
    angle: float
    half: float


@dataclass(frozen=True)
class HalfPlane:
    """Where a shaded edge leaves the light: on the side of ``at`` to which ``angle`` (radians) points."""

    at: tuple[float, float]
    angle: float


Mark = Wedge | HalfPlane


@dataclass(frozen=True, eq=False)
class Shadows:
    """Whether one light explains all marks.

    Attributes:
        consistent: whether it does.
        light: (3,) homogeneous, the point best within all marks, half diagonals; its third is negative behind the camera and
            0 for a sun square to the view. None where there is none.
        in_front, behind: whether a light there explains all.
        conflict: places of the fewest marks that already contradict one another; empty where consistent.
        odd: places of the marks without each of which the others agree; empty where consistent.
        widening: degrees by which every wedge must be opened to each side before all agree; 0 where they do, infinite where
            none is enough.
    """

    consistent: bool
    light: Floats | None = field(repr=False)
    in_front: bool
    behind: bool
    conflict: tuple[int, ...]
    odd: tuple[int, ...]
    widening: float


def exact_pair(shadow: Floats, caster: Floats, error: float) -> Wedge:
    """The wedge of a shadowed point (2,) and the very point (2,) that casts it, both clicked within ``error`` half diagonals.

    Raises:
        ValueError: they are nearer to one another than the error.
    """
    way = np.asarray(caster) - shadow
    length = float(np.hypot(*way))
    if length <= 2 * error:
        raise ValueError("the shadow and what casts it are too near to one another to give a direction")
    half = max(NARROWEST, math.asin(2 * error / length))
    return Wedge((float(shadow[0]), float(shadow[1])), math.atan2(way[1], way[0]), half)


def between(shadow: Floats, bounds: Floats, error: float) -> Wedge:
    """The wedge of a shadowed point (2,) cast by something between two points (2, 2), as seen from it.

    Raises:
        ValueError: the shadowed point lies on one of the two, or between them.
    """
    one, other = (exact_pair(shadow, bound, error) for bound in bounds)
    turn = math.remainder(other.angle - one.angle, 2 * math.pi)
    half = max((abs(turn) + one.half + other.half) / 2, one.half, other.half)
    if half > WIDEST:
        raise ValueError("seen from the shadow, the two points must lie less than 180 degrees apart")
    return Wedge(one.tip, one.angle + turn / 2, half)


def normals(mark: Mark, widening: float = 0.0) -> Floats:
    """The mark as planes (K, 3) through the origin: a light ``s`` in signed homogeneous coordinates obeys ``normals @ s >= 0``.

    ``widening`` in radians opens a wedge to each side; a half-plane is left as it is.
    """
    if isinstance(mark, HalfPlane):
        found = np.array([[math.cos(mark.angle), math.sin(mark.angle), 0.0]])
        tip = mark.at
    else:
        half = min(max(mark.half + widening, NARROWEST), WIDEST)
        low, high = mark.angle - half, mark.angle + half
        found = np.array([[-math.sin(low), math.cos(low), 0.0], [math.sin(high), -math.cos(high), 0.0]])
        tip = mark.tip
    found[:, 2] = -found[:, :2] @ tip
    return np.asarray(found / np.linalg.norm(found, axis=1)[:, None])


def best_within(planes: Floats) -> tuple[Floats, Floats]:
    """For groups of planes (G, M, 3), the unit direction (G, 3) farthest within all of each, and by how much (G,).

    The margin is at most 0 where nothing lies within. The best direction is as far from one, two or three planes as from no
    other, so all such are tried; exact, and quick for the few planes that marks make.
    """
    count = planes.shape[1]
    singles = [planes]
    if count > 1:
        one, other = np.triu_indices(count, 1)
        singles.append(planes[:, one] + planes[:, other])
    if count > 2:
        places = np.array(list(combinations(range(count), 3)))
        corner = planes[:, places[:, 0]]
        found = np.cross(planes[:, places[:, 1]] - corner, planes[:, places[:, 2]] - corner)
        singles += [found, -found]
    tried = np.concatenate(singles, axis=1)
    lengths = np.linalg.norm(tried, axis=2)
    tried = tried / np.maximum(lengths, 1e-12)[..., None]
    margins = np.where(lengths > 1e-12, np.einsum("gtk,gmk->gtm", tried, planes).min(2), -1.0)
    best = margins.argmax(1)
    rows = np.arange(len(planes))
    return tried[rows, best], margins[rows, best]


def _agree(marks: Sequence[Mark], widening: float = 0.0) -> tuple[Floats, bool]:
    light, margin = best_within(np.vstack([normals(mark, widening) for mark in marks])[None])
    return light[0], bool(margin[0] > LEAST_MARGIN)


def one_light(marks: Sequence[Mark]) -> Shadows:
    """Whether one light explains all marks, and which do not fit together where none does.

    Raises:
        ValueError: there are fewer than two marks or more than 24.
    """
    if not 2 <= len(marks) <= MOST:
        raise ValueError(f"comparing shadows needs 2 to {MOST} marks, not {len(marks)}")
    light, agreed = _agree(marks)
    if agreed:
        planes = np.vstack([normals(mark) for mark in marks])
        in_front, behind = (
            bool(best_within(np.vstack([planes, [[0.0, 0.0, side]]])[None])[1][0] > LEAST_MARGIN) for side in (1, -1)
        )
        return Shadows(True, light, in_front, behind, (), (), 0.0)
    odd = [at for at in range(len(marks)) if len(marks) > 2 and _agree([*marks[:at], *marks[at + 1 :]])[1]]
    return Shadows(False, None, False, False, _fewest(marks), tuple(odd), _needed(marks))


def _fewest(marks: Sequence[Mark]) -> tuple[int, ...]:
    """The fewest marks that contradict one another; of several such groups, that which does so most."""
    # A half-plane stands for two equal planes, so that all marks fill arrays of one shape.
    planes = np.array([np.resize(normals(mark), (2, 3)) for mark in marks])
    for size in range(2, GROUP + 1):
        worst, found = LEAST_MARGIN, None
        groups = np.array(list(combinations(range(len(marks)), size)), np.int64).reshape(-1, size)
        for start in range(0, len(groups), AT_ONCE):
            part = groups[start : start + AT_ONCE]
            margins = best_within(planes[part].reshape(len(part), -1, 3))[1]
            at = int(margins.argmin())
            if margins[at] <= worst:
                worst, found = float(margins[at]), tuple(int(place) for place in part[at])
        if found is not None:
            return found
    return tuple(range(len(marks)))


def _needed(marks: Sequence[Mark]) -> float:
    low, high = 0.0, WIDEST
    if not _agree(marks, high)[1]:
        return math.inf
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if _agree(marks, middle)[1] else (middle, high)
    return math.degrees(high)


def region(marks: Sequence[Mark], *, behind: bool = False, box: float = BOX) -> Floats:
    """The corners (K, 2) of where the light's image may lie, cut to ``box`` half diagonals around the centre; none where empty.

    Args:
        marks: what it obeys.
        behind: whether the light is behind the camera, so that each wedge is turned round.
        box: half of the square's side, half diagonals.
    """
    corners = [np.array(corner) * box for corner in ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))]
    for plane in np.vstack([normals(mark) for mark in marks]) * (-1 if behind else 1):
        corners = _cut(corners, plane)
    return np.array(corners).reshape(-1, 2)


def _cut(corners: list[NDArray[np.float64]], plane: Floats) -> list[NDArray[np.float64]]:
    """The part of a convex polygon where ``plane`` is not negative (Sutherland & Hodgman)."""
    kept = []
    for here, after in zip(corners, corners[1:] + corners[:1], strict=True):
        one, other = (float(point @ plane[:2] + plane[2]) for point in (here, after))
        if one >= 0:
            kept.append(here)
        if one * other < 0:
            kept.append(here + (after - here) * (one / (one - other)))
    return kept
