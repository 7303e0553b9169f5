"""Rendered rooms with glass balls, to try totems on: a small ray tracer, and edits of the camera's view alone.

Light is diffuse and even, surfaces are painted with solid patterns, and the balls refract and reflect (Fresnel's equations in
Schlick's approximation). It is a simulation: no lens blur, no caustics, no dust on the glass, and the geometry is known exactly
unless an error is put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veriscope.tampering.perspective import Floats
from veriscope.tampering.rays import Ball, Box, Pinhole, Room, ball_hit, room_hit, through
from veriscope.tampering.totems import GAMMA

WAVES = 7  # of the pattern on each surface
PASSES = 3  # balls that one ray may pass through
NOISE = 0.01  # of full scale: standard deviation of the sensor's noise in stored values
CHANGED = 6 / 255  # of full scale: by how much an edit must change a stored value to count as one


@dataclass(frozen=True)
class Scene:
    """What is rendered: a camera and its size in pixels, a room, glass balls in it, and the number its patterns grow from."""

    camera: Pinhole
    height: int
    width: int
    room: Room
    balls: tuple[Ball, ...]
    seed: int = 0


def example(height: int = 240, width: int = 320, seed: int = 0) -> Scene:
    """A room with two boxes on its floor and two glass balls before them."""
    room = Room(
        Box((-2.2, -1.5, -2.0), (2.2, 1.0, 4.2)),
        (Box((0.9, 0.0, 2.8), (1.4, 1.0, 3.3)), Box((-1.6, -0.3, 3.0), (-1.0, 1.0, 3.6))),
    )
    camera = Pinhole(0.85 * width, ((width - 1) / 2, (height - 1) / 2))
    balls = (Ball((-0.3, 0.33, 1.15), 0.17, 1.52), Ball((0.33, 0.35, 1.2), 0.17, 1.52))
    return Scene(camera, height, width, room, balls, seed)


def painted(points: Floats, surfaces: NDArray[np.int64], seed: int) -> Floats:
    """The colours (N, 3) in [0, 1], linear light, of points (N, 3) on numbered surfaces (N,)."""
    colours = np.zeros((len(points), 3))
    for surface in np.unique(surfaces):
        here = surfaces == surface
        random = np.random.default_rng([seed, int(surface)])
        base = random.uniform(0.2, 0.6, 3)
        ways = random.normal(0, 1, (WAVES, 3)) * np.geomspace(1.5, 18, WAVES)[:, None]
        phases, amounts = random.uniform(0, 2 * np.pi, WAVES), random.normal(0, 0.07, (WAVES, 3))
        tiles = (np.floor(points[here] * random.uniform(1.2, 2.5) + random.uniform(0, 1, 3)).sum(1) % 2 - 0.5) * 0.15
        colours[here] = base + np.sin(points[here] @ ways.T + phases) @ amounts + tiles[:, None]
    return np.clip(colours, 0, 1)


def traced(origins: Floats, ways: Floats, scene: Scene, room: Room, passes: int = PASSES) -> Floats:
    """The light (N, 3) that comes in along rays."""
    distance, surface = room_hit(room, origins, ways)
    colours = painted(origins + distance[:, None] * ways, surface, scene.seed)
    if not passes or not scene.balls:
        return colours
    entries = np.stack([ball_hit(ball, origins, ways) for ball in scene.balls])
    front, nearest = entries.argmin(0), entries.min(0)
    for number, ball in enumerate(scene.balls):
        here = np.flatnonzero((front == number) & (nearest < distance))
        if not here.size:
            continue
        leaving, onward = through(ball, origins[here], ways[here], nearest[here])
        entry = origins[here] + nearest[here, None] * ways[here]
        normal = (entry - ball.centre) / ball.radius
        cosine = -(ways[here] * normal).sum(1)
        mirrored = ways[here] + 2 * cosine[:, None] * normal
        least = ((ball.index - 1) / (ball.index + 1)) ** 2
        share = (least + (1 - least) * (1 - cosine) ** 5)[:, None]
        clear = traced(leaving + 1e-4 * onward, onward, scene, room, passes - 1)
        reflected, at = room_hit(room, entry, mirrored)
        glint = painted(entry + reflected[:, None] * mirrored, at, scene.seed)
        colours[here] = (1 - share) ** 2 * clear + share * glint
    return colours


def render(scene: Scene, room: Room | None = None, *, samples: int = 2) -> Floats:
    """The picture (H, W, 3) in linear light, ``samples`` squared rays a pixel; ``room`` stands in for the scene's own."""
    total = np.zeros((scene.height * scene.width, 3))
    rows, columns = np.mgrid[: scene.height, : scene.width]
    pixels = np.column_stack([columns.ravel(), rows.ravel()]).astype(np.float64)
    steps = (np.arange(samples) + 0.5) / samples - 0.5
    for right in steps:
        for down in steps:
            ways = scene.camera.rays(pixels + np.array([right, down]))
            total += traced(np.zeros_like(ways), ways, scene, room or scene.room)
    return (total / samples**2).reshape(scene.height, scene.width, 3)


def stored(light: Floats, *, seed: int = 0) -> NDArray[np.uint8]:
    """Linear light (H, W, 3) as a camera stores it: gamma, sensor noise and 8 bits."""
    noise = np.random.default_rng(seed).normal(0, NOISE, light.shape)
    return (255 * np.clip(light ** (1 / GAMMA) + noise, 0, 1)).round().astype(np.uint8)


def in_balls(scene: Scene) -> NDArray[np.bool_]:
    """Where the balls are in the picture, with a pixel around: bool (H, W)."""
    rows, columns = np.mgrid[: scene.height, : scene.width]
    rays = scene.camera.rays(np.column_stack([columns.ravel(), rows.ravel()]))
    near = [ball_hit(Ball(ball.centre, ball.radius * 1.02, ball.index), np.zeros(3), rays) for ball in scene.balls]
    return np.asarray(np.isfinite(np.min(near, axis=0)).reshape(scene.height, scene.width), np.bool_)


def edited(light: Floats, other: Floats, scene: Scene) -> tuple[Floats, NDArray[np.bool_]]:
    """The scene's picture with all but its balls taken from another rendering of it, and where that changed it.

    With ``other`` rendered of a room in which a box is missing, the box was erased; with one more, it was pasted.

    Args:
        light, other: (H, W, 3) linear light.
        scene: tells where the balls are.
    Returns:
        (H, W, 3) linear light, and bool (H, W).
    """
    outside = ~in_balls(scene)
    made = np.where(outside[..., None], other, light)
    return made, np.abs(made ** (1 / GAMMA) - light ** (1 / GAMMA)).max(2) > CHANGED


def without_last(room: Room) -> Room:
    """The room with its last solid box taken away; the others keep their patterns."""
    return Room(room.walls, room.solids[:-1])


def with_boxes(room: Room, boxes: Sequence[Box]) -> Room:
    """The room with more solid boxes in it, after its own."""
    return Room(room.walls, (*room.solids, *boxes))
