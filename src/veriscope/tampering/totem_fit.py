"""What is not known exactly about a totem: where the balls are and how far the wall is, from what agrees best.

A ball that is misplaced by one percent of its distance shifts its whole view by more than an edit does. The right place is that
at which the views agree over most of the picture; a median is made least, so that an edit has no say unless it covers half of
what both show. An error of the room's shape may be taken up by the balls' places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from veriscope.tampering.rays import Ball, Pinhole, Room
from veriscope.tampering.totems import LEAST_SEEN, bounded, correspondences, two_views

STEP = 0.04  # radii: the first step by which a ball is moved to fit
LAST_STEP = 0.002  # radii: where that ends


def misfit(rgb: NDArray[np.uint8], camera: Pinhole, balls: Sequence[Ball], room: Room) -> float:
    """The usual difference of the two views, of full light: a median, so that an edit of less than half of it has no say.

    Infinite where the balls show too little of what the camera shows.
    """
    rgb, camera = bounded(rgb, camera)
    height, width = rgb.shape[:2]
    views = two_views(rgb, correspondences(height, width, camera, balls, room))
    if views is None:
        return float("inf")
    return float(np.median(np.abs(views.shown - views.expected)[views.seen >= LEAST_SEEN]))


def estimated_depth(
    rgb: NDArray[np.uint8], camera: Pinhole, balls: Sequence[Ball], room: Room, depths: Sequence[float]
) -> float:
    """The far wall's distance, of those given, at which the balls and the camera agree best.

    Raises:
        ValueError: at none of them do the balls show enough of what the camera shows.
    """
    rgb, camera = bounded(rgb, camera)
    misfits = [misfit(rgb, camera, balls, _with_far_wall(room, depth)) for depth in depths]
    if not np.isfinite(misfits).any():
        raise ValueError("at none of these distances do the balls show enough of what the camera shows")
    return float(depths[int(np.argmin(misfits))])


def _with_far_wall(room: Room, depth: float) -> Room:
    walls = room.walls
    return replace(room, walls=replace(walls, high=(walls.high[0], walls.high[1], float(depth))))


def refined(rgb: NDArray[np.uint8], camera: Pinhole, balls: Sequence[Ball], room: Room) -> list[Ball]:
    """The balls moved to where they agree best with the camera, from places known to a twentieth of their radius or so.

    Each coordinate is tried a step to each side while that helps, and then by half the step.
    """
    rgb, camera = bounded(rgb, camera)
    found = list(balls)
    for at in range(len(found)):
        best = misfit(rgb, camera, found[at : at + 1], room)
        step = STEP * found[at].radius
        while step > LAST_STEP * found[at].radius:
            moved = False
            for axis, way in ((0, -1), (0, 1), (1, -1), (1, 1), (2, -2), (2, 2)):
                centre = list(found[at].centre)
                centre[axis] += way * step
                tried = replace(found[at], centre=(centre[0], centre[1], centre[2]))
                value = misfit(rgb, camera, [tried], room)
                if value < best:
                    best, found[at], moved = value, tried, True
            if not moved:
                step /= 2
    return found
