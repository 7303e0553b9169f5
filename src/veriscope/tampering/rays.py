"""Rays through a glass ball and onto the planes of a simple scene.

Coordinates are the camera's: x right, y down, z ahead, the camera at the origin, in any one unit of length. A scene is a room
seen from inside, with solid boxes in it; the faces of all are square to the axes. Rays are (N, 3) origins and unit directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veriscope.tampering.perspective import Floats

Triple = tuple[float, float, float]

NEAR = 1e-6  # units of length: hits nearer than this are the ray's own start


@dataclass(frozen=True)
class Pinhole:
    """A camera without distortion: its focal length and the pixel x, y that it looks at, all in pixels."""

    focal: float
    centre: tuple[float, float]

    def rays(self, pixels: Floats) -> Floats:
        """The unit directions (N, 3) in which pixels (N, 2) look."""
        ways = np.column_stack([(pixels - self.centre) / self.focal, np.ones(len(pixels))])
        return np.asarray(ways / np.linalg.norm(ways, axis=1)[:, None])

    def pixels(self, points: Floats) -> Floats:
        """The pixels (N, 2) that show points (N, 3); not a number for points behind the camera."""
        depth = np.where(points[:, 2] > NEAR, points[:, 2], np.nan)
        return np.asarray(points[:, :2] / depth[:, None] * self.focal + self.centre)


@dataclass(frozen=True)
class Ball:
    """A ball of clear glass: its centre, radius and refractive index (1.52 for window glass, 1.49 for acrylic)."""

    centre: Triple
    radius: float
    index: float

    def __post_init__(self) -> None:
        if not 0 < self.radius < self.centre[2]:
            raise ValueError("a ball's radius must be positive, and the ball wholly in front of the camera")
        if not 1 < self.index < 3:
            raise ValueError("a ball's refractive index must lie between 1 and 3")


@dataclass(frozen=True)
class Box:
    """A box by its least and its greatest corner."""

    low: Triple
    high: Triple

    def __post_init__(self) -> None:
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("a box's low corner must be less than its high corner along every axis")


@dataclass(frozen=True)
class Room:
    """A scene's shape: walls that are seen from inside, and solid boxes in it."""

    walls: Box
    solids: tuple[Box, ...] = ()


def refracted(ways: Floats, normals: Floats, ratio: float) -> Floats:
    """Unit directions (N, 3) after a surface with ``normals`` (N, 3) against them, by Snell's law.

    ``ratio`` is the index before over that after it. Directions that are totally reflected come out as not a number.
    """
    cosine = -(ways * normals).sum(1)
    under = 1 - ratio**2 * (1 - np.square(cosine))
    root = np.sqrt(np.where(under >= 0, under, np.nan))
    return np.asarray(ratio * ways + (ratio * cosine - root)[:, None] * normals)


def ball_hit(ball: Ball, origins: Floats, ways: Floats) -> Floats:
    """The distance (N,) at which rays enter a ball; infinite where they miss it. One origin (3,) serves all rays."""
    offset = np.asarray(ball.centre) - origins
    along = (offset * ways).sum(-1)
    under = ball.radius**2 - (np.square(offset).sum(-1) - np.square(along))
    distance = along - np.sqrt(np.maximum(under, 0))
    return np.where((under > 0) & (distance > NEAR), distance, np.inf)


def through(ball: Ball, origins: Floats, ways: Floats, distances: Floats) -> tuple[Floats, Floats]:
    """Where rays that enter a ball at ``distances`` (N,) leave it, (N, 3), and their unit directions then, (N, 3)."""
    centre = np.asarray(ball.centre)
    entry = origins + distances[:, None] * ways
    inside = refracted(ways, (entry - centre) / ball.radius, 1 / ball.index)
    leaving = entry + 2 * ((centre - entry) * inside).sum(1)[:, None] * inside
    return leaving, refracted(inside, (centre - leaving) / ball.radius, ball.index)


def room_hit(room: Room, origins: Floats, ways: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """What rays from within a room meet first: the distance (N,), and which surface (N,).

    Surfaces are numbered six a box, the walls first: two times the axis, and one more for the side of the greater coordinate.
    """
    safe = np.where(np.abs(ways) < 1e-12, 1e-12, ways)
    low, high = (((np.asarray(end) - origins) / safe) for end in (room.walls.low, room.walls.high))
    far = np.maximum(low, high)
    axis = far.argmin(1)
    rows = np.arange(len(ways))
    distance, surface = far[rows, axis], 2 * axis + (safe[rows, axis] > 0)
    for number, solid in enumerate(room.solids, 1):
        low, high = (((np.asarray(end) - origins) / safe) for end in (solid.low, solid.high))
        near = np.minimum(low, high)
        axis = near.argmax(1)
        enters = near[rows, axis]
        nearer = (enters < np.maximum(low, high).min(1)) & (enters > NEAR) & (enters < distance)
        distance = np.where(nearer, enters, distance)
        surface = np.where(nearer, 6 * number + 2 * axis + (safe[rows, axis] < 0), surface)
    return distance, surface
