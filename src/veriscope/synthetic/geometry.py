"""Is it generated? Whether lines, perspective and shadows are those that one camera and one light would give.

Trace: a generator draws what looks like a room or a street without projecting one, so that edges that should be parallel in the
scene do not meet in one point, long edges bend or end, corners do not close, and shadows fall to several sides. Only measures
of this geometry are judged, no pixel and no texture, so the trace is independent of those that other detectors read. It fails
where there is little to measure (portraits, nature, close views), on crops, whose middle is not the camera's, and wherever a
generator has learned its geometry well; alone it is weak.

Paper: Sarkar et al. 2024 (Shadows Don't Lie and Lines Can't Bend! Generative Models don't know Projective Geometry...for now).
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.evidence import Evidence
from veriscope.picture import Picture
from veriscope.synthetic import lines, scoring, shadows
from veriscope.synthetic.learned import Learned
from veriscope.synthetic.lines import AGREES, FAMILIES, FOCAL, Camera, Family, Segments

MODEL = "geometry"
VERSION = "1"  # of the measures: it changes when any of them does
LENGTHS = np.geomspace(lines.SHORTEST, 2.0, 8)  # half diagonals, edges of the histogram
ANGLES = 12  # bins of half a turn
CORNER = 0.02  # half diagonals between two ends that make a corner
CORNERS = np.radians([0, 20, 50, 80, 90.001])  # edges of the histogram of their angles
GRID = 3  # cells an axis of the perspective field
TILTED = np.radians(25)  # of upright edges


def measures(rgb: NDArray[np.uint8]) -> dict[str, float]:
    """All measures of ``uint8 (H, W, 3)`` RGB by name; their number and order never change."""
    found = lines.segments(rgb)
    together = lines.families(found)
    camera = lines.camera(together)
    made = {
        **_distributions(found),
        **_bending(found),
        **_corners(found),
        **_meeting(found, together),
        **_perspective(found, camera),
        **shadows.relations(rgb, found),
    }
    return {name: value if np.isfinite(value) else 0.0 for name, value in made.items()}


def features(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The measures of ``uint8 (H, W, 3)`` RGB as a vector, ``float32 (D,)``."""
    return np.array(list(measures(rgb).values()), np.float32)


def _distributions(found: Segments) -> dict[str, float]:
    lengths = found.lengths
    total = max(float(lengths.sum()), 1e-9)
    long = np.histogram(np.clip(lengths, LENGTHS[0], LENGTHS[-1]), LENGTHS, weights=lengths)[0] / total
    angles = np.arctan2(found.directions[:, 1], found.directions[:, 0]) % np.pi
    turned = np.histogram((angles + np.pi / 2 / ANGLES) % np.pi, ANGLES, (0, np.pi), weights=lengths)[0] / total
    quarters = []
    for right in (False, True):
        for low in (False, True):
            there = ((found.middles[:, 0] > 0) == right) & ((found.middles[:, 1] > 0) == low)
            held = np.histogram(angles[there], ANGLES, (0, np.pi), weights=lengths[there])[0]
            quarters.append(held / max(float(held.sum()), 1e-9))
    return {
        "lines": float(np.log1p(len(found))),
        "lines total": float(np.log1p(lengths.sum())),
        "lines longest": float(lengths.max()) if len(found) else 0.0,
        **{f"lines length {number}": float(share) for number, share in enumerate(long)},
        **{f"lines angle {number}": float(share) for number, share in enumerate(turned)},
        "lines angle entropy": _entropy(turned),
        "lines angle entropy in quarters": float(np.mean([_entropy(quarter) for quarter in quarters])),
        "lines angle unlike quarters": _entropy(np.mean(quarters, 0)) - float(np.mean([_entropy(q) for q in quarters])),
    }


def _entropy(shares: NDArray[np.float64]) -> float:
    there = shares[shares > 0]
    return float(-(there * np.log(there)).sum())


def _bending(found: Segments) -> dict[str, float]:
    straight = lines.straightness(found)
    made: dict[str, float] = {}
    for column, name in enumerate(("scatter", "arc", "goes on", "goes aside")):
        values = straight[:, column] * (1 if name == "goes on" else 1000) if len(straight) else np.zeros(1)
        made |= {f"{name} {share}": float(np.quantile(values, share / 100)) for share in (25, 50, 90)}
    return made


def _corners(found: Segments) -> dict[str, float]:
    """Which share of ends meets the end of another edge, at what angles, and which share ends on the middle of another."""
    ends = found.ends.reshape(-1, 2)
    owner, ways = np.repeat(np.arange(len(found)), 2), np.repeat(found.directions, 2, axis=0)
    apart = np.hypot(*(ends[:, None] - ends[None]).transpose(2, 0, 1))
    apart[owner[:, None] == owner[None]] = np.inf
    near = apart < CORNER
    one, other = np.nonzero(np.triu(near))
    angles = np.arccos(np.clip(np.abs((ways[one] * ways[other]).sum(1)), 0, 1))
    held = np.histogram(angles, CORNERS)[0] / max(len(angles), 1)
    off = ends[:, None] - found.ends[None, :, :2]
    along = (off * found.directions[None]).sum(2) / np.maximum(found.lengths, 1e-9)
    aside = np.abs(off[..., 0] * found.directions[:, 1] - off[..., 1] * found.directions[:, 0])
    touching = (aside < CORNER / 2) & (along > 0.1) & (along < 0.9) & (owner[:, None] != np.arange(len(found))[None])
    return {
        "corners": float(near.any(1).mean()) if len(found) else 0.0,
        "corners touching": float(touching.any(1).mean()) if len(found) else 0.0,
        **{f"corners angle {number}": float(share) for number, share in enumerate(held)},
    }


def _meeting(found: Segments, together: list[Family]) -> dict[str, float]:
    lengths = found.lengths
    total = max(float(lengths.sum()), 1e-9)
    made: dict[str, float] = {}
    for number in range(FAMILIES):
        family = together[number] if number < len(together) else None
        name = f"meeting {number}"
        values = (0.0,) * 9 if family is None else _family(found, family, lengths, total)
        parts = ("share", "misses", "misses most", "left right", "up down", "by chance", "across", "along", "ahead")
        made |= {f"{name} {part}": value for part, value in zip(parts, values, strict=True)}
    left = sum((family.members for family in together), np.zeros(len(found), bool))
    made["meeting nowhere"] = float(lengths[~left].sum() / total)
    made["meeting long nowhere"] = float((~left[:20]).mean()) if len(found) else 0.0
    return made


def _family(found: Segments, family: Family, lengths: NDArray[np.float64], total: float) -> tuple[float, ...]:
    """Share of length; how far its members miss the point; how far apart the points of its halves lie; where it lies."""
    members = family.members
    way = lines.viewing(family.point[None], FOCAL)[0]
    places = np.flatnonzero(members)
    halves = []
    for key in (found.middles[places, 0], found.middles[places, 1], np.arange(len(places)) * 7919 % len(places)):
        first = np.zeros(len(found), bool)
        first[places[key <= np.median(key)]] = True
        second = members & ~first
        if min(first.sum(), second.sum()) < 3:
            halves.append(0.0)
            continue
        ways = lines.viewing(np.array([lines.meeting(found, half) for half in (first, second)]), FOCAL)
        halves.append(float(np.arccos(np.clip(abs(ways[0] @ ways[1]), 0, 1))))
    return (
        float(lengths[members].sum() / total),
        float(np.average(family.residuals, weights=lengths[members]) / AGREES),
        float(np.quantile(family.residuals, 0.9) / AGREES),
        *halves,
        float(abs(way[0])),
        float(way[1]),
        float(way[2]),
    )


def _perspective(found: Segments, camera: Camera) -> dict[str, float]:
    """The camera, the upward directions and latitudes it gives on a grid, and how far upright edges there depart from them."""
    up = camera.up
    made = {
        "camera known": float(camera.known),
        "camera focal": float(np.log(camera.focal)),
        "camera misfit": camera.misfit,
        "camera roll": float(np.arctan2(up[0], -up[1])),
        "camera pitch": float(np.arcsin(np.clip(up[2], -1, 1))),
    }
    ways, middles, lengths = found.directions, found.middles, found.lengths
    tilts = np.arctan2(ways[:, 0], ways[:, 1])
    tilts = np.where(tilts > np.pi / 2, tilts - np.pi, np.where(tilts < -np.pi / 2, tilts + np.pi, tilts))
    upright = np.abs(tilts) < TILTED
    expected = _upward(middles, camera)
    off = (tilts - expected + np.pi / 2) % np.pi - np.pi / 2
    reach = np.abs(found.ends).max(0)[:2] if len(found) else np.ones(2)
    edges = np.linspace(-1, 1, GRID + 1)
    departures = []
    for row in range(GRID):
        for column in range(GRID):
            centre = np.array([[(edges[column] + edges[column + 1]) / 2, (edges[row] + edges[row + 1]) / 2]]) * reach
            there = upright & np.all(
                [
                    (middles[:, axis] >= edges[at] * reach[axis]) & (middles[:, axis] <= edges[at + 1] * reach[axis])
                    for axis, at in ((0, column), (1, row))
                ],
                axis=0,
            )
            weight = float(lengths[there].sum())
            departures.append(float(np.average(off[there], weights=lengths[there])) if weight else 0.0)
            name = f"field {row}{column}"
            made[f"{name} up"] = float(_upward(centre, camera)[0])
            made[f"{name} latitude"] = _latitude(centre[0], camera)
            made[f"{name} departure"] = departures[-1]
    made["field departure"] = float(np.sqrt(np.mean(np.square(departures))))
    made["field upright"] = float(lengths[upright].sum() / max(float(lengths.sum()), 1e-9))
    return made


def _upward(points: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """How far from the picture's vertical the upward direction is at points (N, 2), in radians."""
    x, y, z = camera.up
    across, down = x * camera.focal - z * points[:, 0], y * camera.focal - z * points[:, 1]
    return np.asarray((np.arctan2(across, down) + np.pi / 2) % np.pi - np.pi / 2)


def _latitude(point: NDArray[np.float64], camera: Camera) -> float:
    """How far above the horizon a point (2,) is seen, in radians."""
    ray = np.array([point[0], point[1], camera.focal])
    return float(np.arcsin(np.clip(ray @ camera.up / np.linalg.norm(ray), -1, 1)))


def off_lines(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A map ``float32 (h, w) in [0, 1]`` of the long straight edges that meet in none of the picture's vanishing points."""
    found = lines.segments(rgb)
    drawn = np.zeros(found.luma.shape, np.uint8)
    points = np.array([family.point for family in lines.families(found)])
    if len(points):
        misses = lines.residuals(found, points).min(0)
        for ends, off in zip(found.pixels, np.clip(misses / (6 * AGREES), 0, 1), strict=True):
            start, stop = np.rint(ends[:2]).astype(int).tolist(), np.rint(ends[2:]).astype(int).tolist()
            cv2.line(drawn, start, stop, int(255 * off), 3, cv2.LINE_AA)
    return np.asarray(drawn / np.float32(255), np.float32)


class Geometry(Learned):
    """Lines, perspective and shadows: do they fit one camera and one light, or was the picture generated?"""

    name = MODEL
    traces = "Lines, perspective and shadows"
    sizes = ((128, 0.0), (256, 0.6), (512, 1.0))

    def score(self, picture: Picture) -> float:
        """The score of the network on the measures."""
        return float(scoring.run(MODEL, features(picture.rgb)[None])[0])

    def __call__(self, picture: Picture) -> Evidence:
        """Evidence on "generated?", with a map of the long edges that meet in no vanishing point."""
        evidence = super().__call__(picture)
        return replace(evidence, map=off_lines(picture.rgb)) if evidence.log10_lr > 0 else evidence
