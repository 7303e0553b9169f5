"""Scripted local warps: pictures retouched as by the liquify brush, each with the exact flow that was applied.

A warp is a few strokes (push, bloat, pinch, twirl, and the long bands that slim a body), each smooth and zero beyond its
reach, so that the rest of the picture keeps its pixels. Strokes never fold the picture, hence every warp can be undone. Real
retouching follows faces and limbs; here strokes fall near a face where one is given and on texture elsewhere.

Paper: Wang et al. 2019 (Detecting Photoshopped Faces by Scripting Photoshop).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.tampering.flow import Flow, applied, lengths

Kind = Literal["push", "bloat", "pinch", "twirl", "slim"]
Box = tuple[float, float, float, float]  # left, top, right, bottom, pixels

MOST_STROKES = 4
REFERENCE = 384  # pixels: the short side that strengths are given for
STRENGTHS = (2.0, 12.0)  # pixels at REFERENCE: from a retouch that few people see to one that many do
RADII = (0.08, 0.3)  # of the short side
FACE_RADII = (0.2, 0.6)  # of the shorter side of a face's box
STRETCHES = (2.0, 4.0)  # length of a slimming band to its width
GENTLE = 6.0  # least ratio of a stroke's radius to its strength, below which it would fold or look torn
STEEPEST = 0.6  # pixels that neighbouring pixels may move apart; from 1 on the picture folds
REVERSED: dict[Kind, float] = {"slim": 0.3, "twirl": 0.5}  # share that widens, or turns the other way
PEAK = 25 * 5**0.5 / 16  # brings the largest value of r (1 - r^2)^2 to 1
INTERPOLATIONS = (cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
TEXTURE_SIDE = 32  # cells a side in which texture is weighed


@dataclass(frozen=True)
class Stroke:
    """One touch of the brush.

    Attributes:
        kind: what it does; "slim" narrows what lies along a line, or widens it where ``strength`` is negative.
        centre: (x, y) in pixels.
        radius: pixels from the centre beyond which nothing moves.
        strength: pixels that content moves where it moves most.
        angle: radians, of the direction of a push and of the line of a band.
        stretch: length of a band to its width; 1 for a round brush.
    """

    kind: Kind
    centre: tuple[float, float]
    radius: float
    strength: float
    angle: float = 0.0
    stretch: float = 1.0


def flow_of(strokes: list[Stroke], height: int, width: int) -> Flow:
    """The flow of strokes on a picture of ``height`` x ``width`` pixels.

    Returns:
        float32 (height, width, 2): from a pixel of the warped picture to where it stood, zero at the picture's border. It is
        made weaker as a whole where the strokes together would move neighbours apart by more than ``STEEPEST``.
    """
    flow = np.zeros((height, width, 2), np.float32)
    for stroke in strokes:
        _add(flow, stroke)
    apart = max(float(lengths(np.diff(flow, axis=axis)).max(initial=0)) for axis in (0, 1))
    return flow * np.float32(STEEPEST / apart) if apart > STEEPEST else flow


def _add(flow: Flow, stroke: Stroke) -> None:
    (x, y), reach = stroke.centre, stroke.radius * stroke.stretch
    top, bottom = max(0, int(y - reach)), min(flow.shape[0], int(y + reach) + 2)
    left, right = max(0, int(x - reach)), min(flow.shape[1], int(x + reach) + 2)
    if top >= bottom or left >= right:
        return
    rows = np.arange(top, bottom, dtype=np.float32)[:, None]
    columns = np.arange(left, right, dtype=np.float32)[None]
    cosine, sine = np.float32(np.cos(stroke.angle)), np.float32(np.sin(stroke.angle))
    along = ((columns - x) * cosine + (rows - y) * sine) / np.float32(reach)
    across = ((rows - y) * cosine - (columns - x) * sine) / np.float32(stroke.radius)
    weight = np.square(np.maximum(1 - np.square(along) - np.square(across), 0)) * np.float32(stroke.strength)
    pinned = np.float32(stroke.radius / 2)
    weight *= np.minimum(np.minimum(rows, flow.shape[0] - 1 - rows) / pinned, 1)
    weight *= np.minimum(np.minimum(columns, flow.shape[1] - 1 - columns) / pinned, 1)
    if stroke.kind == "push":
        moved = -weight, np.zeros_like(weight)
    elif stroke.kind == "slim":
        moved = np.zeros_like(weight), weight * across * np.float32(PEAK)
    elif stroke.kind == "twirl":
        moved = -weight * across * np.float32(PEAK), weight * along * np.float32(PEAK)
    else:
        sign = np.float32(-PEAK if stroke.kind == "bloat" else PEAK)
        moved = weight * along * sign, weight * across * sign
    flow[top:bottom, left:right, 0] += moved[0] * cosine - moved[1] * sine
    flow[top:bottom, left:right, 1] += moved[0] * sine + moved[1] * cosine


def random_strokes(
    rgb: NDArray[np.uint8], generator: np.random.Generator, face: Box | None = None, reference: float | None = None
) -> list[Stroke]:
    """One to four strokes that suit a picture.

    Args:
        rgb: uint8 (H, W, 3).
        generator: of the draws.
        face: the box of a face that is retouched; anywhere textured without one.
        reference: the short side of the picture that ``rgb`` is a part of, pixels; its own by default.
    """
    short = reference or min(rgb.shape[:2])
    count = int(generator.integers(1, MOST_STROKES + 1))
    centres = _in_box(face, count, generator) if face else _on_texture(rgb, count, generator)
    whole, radii = (min(face[2] - face[0], face[3] - face[1]), FACE_RADII) if face else (short, RADII)
    strokes = []
    for centre in centres:
        kind: Kind = get_args(Kind)[generator.integers(len(get_args(Kind)))]
        strength = generator.uniform(*STRENGTHS) * short / REFERENCE
        radius = max(generator.uniform(*radii) * whole, GENTLE * strength)
        if generator.random() < REVERSED.get(kind, 0.0):
            strength = -strength
        stretch = generator.uniform(*STRETCHES) if kind == "slim" else 1.0
        x, y = (_inside(place, radius / 2, size) for place, size in zip(centre, rgb.shape[1::-1], strict=True))
        strokes.append(Stroke(kind, (x, y), radius, strength, generator.uniform(0, 2 * np.pi), stretch))
    return strokes


def _inside(place: float, margin: float, size: int) -> float:
    """The nearest place that keeps a margin from both borders; the middle where there is no room for it."""
    return float(np.clip(place, margin, size - margin)) if 2 * margin < size else size / 2


def _in_box(box: Box, count: int, generator: np.random.Generator) -> list[tuple[float, float]]:
    left, top, right, bottom = box
    return [(float(generator.uniform(left, right)), float(generator.uniform(top, bottom))) for _ in range(count)]


def _on_texture(rgb: NDArray[np.uint8], count: int, generator: np.random.Generator) -> list[tuple[float, float]]:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (TEXTURE_SIDE * 4, TEXTURE_SIDE * 4), interpolation=cv2.INTER_AREA)
    detail = np.abs(cv2.Laplacian(small, cv2.CV_32F))
    weights = cv2.resize(detail, (TEXTURE_SIDE, TEXTURE_SIDE), interpolation=cv2.INTER_AREA).astype(np.float64) + 0.1
    cells = generator.choice(weights.size, count, p=(weights / weights.sum()).ravel())
    down, across = np.divmod(cells, TEXTURE_SIDE) + generator.uniform(0, 1, (2, count))
    scale = rgb.shape[1] / TEXTURE_SIDE, rgb.shape[0] / TEXTURE_SIDE
    return [(float(x * scale[0]), float(y * scale[1])) for x, y in zip(across, down, strict=True)]


def random_warp(
    rgb: NDArray[np.uint8], generator: np.random.Generator, face: Box | None = None, reference: float | None = None
) -> tuple[NDArray[np.uint8], Flow]:
    """A picture after a random local warp; arguments as for ``random_strokes``.

    Returns:
        uint8 (H, W, 3), and float32 (H, W, 2) in pixels, from each of its pixels to where it stood.
    """
    flow = flow_of(random_strokes(rgb, generator, face, reference), *rgb.shape[:2])
    return applied(rgb, flow, int(generator.choice(INTERPOLATIONS))), flow
