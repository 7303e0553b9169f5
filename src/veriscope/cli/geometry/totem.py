"""``veriscope geometry totem``: whether glass balls in the picture show what the camera shows."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from veriscope.cli.geometry.drawing import save_map
from veriscope.cli.geometry.marks import Totem, read
from veriscope.errors import VeriscopeError
from veriscope.picture import Picture
from veriscope.tampering import rays, totem_fit, totems

DEPTHS = 24  # distances of the far wall that are tried

Found = dict[str, Any]


def find(picture: Picture, options: argparse.Namespace) -> Found:
    """Whether glass balls show what the camera shows."""
    marks = read(options.totem, Totem)
    middle = ((picture.width - 1) / 2, (picture.height - 1) / 2)
    camera = rays.Pinhole(marks.camera.focal, marks.camera.centre or middle)
    entry = "balls"
    try:
        balls = []
        for at, mark in enumerate(marks.balls):
            entry = f"balls[{at}]"
            balls.append(rays.Ball(mark.centre, mark.radius, mark.index))
        entry = "room"
        walls = rays.Box(marks.room.low, marks.room.high)
        boxes = []
        for at, box in enumerate(marks.boxes):
            entry = f"boxes[{at}]"
            boxes.append(rays.Box(box.low, box.high))
        room = rays.Room(walls, tuple(boxes))
        for at, ball in enumerate(balls):
            entry = f"balls[{at}]"
            _inside(ball.centre, ball.radius, walls)
        entry = "room"
        _inside((0.0, 0.0, 0.0), 0.0, walls)
        depth = None
        if marks.far_wall:
            entry = "far_wall"
            tried = np.linspace(min(marks.far_wall), max(marks.far_wall), DEPTHS)
            depth = totem_fit.estimated_depth(picture.rgb, camera, balls, room, [float(value) for value in tried])
            room = rays.Room(rays.Box(walls.low, (walls.high[0], walls.high[1], depth)), room.solids)
    except ValueError as error:
        raise VeriscopeError(f"{options.totem}: {entry}: {error}") from error
    if marks.refine:
        balls = totem_fit.refined(picture.rgb, camera, balls, room)
    found = totems.check(picture.rgb, camera, balls, room)
    if options.overlay:
        save_map(picture.rgb, found.map, options.overlay)
    return {
        "says": [found.says, found.reason],
        "score": found.score,
        "reliability": found.reliability,
        "judged": float(found.judged.mean()),
        "called": float((found.map >= 0.5).mean()),
        "far_wall": depth,
        "balls": [list(ball.centre) for ball in balls],
    }


def _inside(centre: tuple[float, float, float], radius: float, walls: Any) -> None:
    if not all(
        low + radius <= at <= high - radius for at, low, high in zip(centre, walls.low, walls.high, strict=True)
    ):
        raise ValueError("the camera, at 0, 0, 0, and every ball must lie inside the room")
