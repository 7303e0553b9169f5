"""Geometric constructions drawn over a picture, for ``veriscope geometry --overlay``."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from veriscope.reporting.files import write_atomically
from veriscope.reporting.overlay import over_picture
from veriscope.tampering.perspective import Floats, Frame

LONGEST = 1600  # pixels: the overlay's longer side, at most
FAR = 4.0  # half diagonals: lines are drawn no farther
# Okabe and Ito's, for any colour vision.
COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66))
WRONG = (213, 60, 0)


class Drawing:
    """A picture, darkened, that lines are drawn on; coordinates are a ``Frame``'s half diagonals."""

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        shrink = min(1.0, LONGEST / max(rgb.shape[:2]))
        size = max(1, round(rgb.shape[1] * shrink)), max(1, round(rgb.shape[0] * shrink))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if shrink < 1 else rgb
        self.canvas = np.ascontiguousarray((0.6 * small).astype(np.uint8))
        self.frame = Frame(*size)
        self.thick = max(1, round(max(size) / 500))

    def _pixel(self, point: Floats) -> tuple[int, int]:
        x, y = self.frame.outward(np.array([*np.clip(point, -FAR * 4, FAR * 4), 1.0]))  # type: ignore[misc]
        return round(float(x)), round(float(y))

    def segment(self, ends: Floats, colour: tuple[int, int, int], *, thin: bool = False) -> None:
        """A line from x, y to x, y: ``ends`` (4,)."""
        width = max(1, self.thick // 2) if thin else 2 * self.thick
        cv2.line(self.canvas, self._pixel(ends[:2]), self._pixel(ends[2:]), colour, width, cv2.LINE_AA)

    def towards(self, ends: Floats, point: Floats, colour: tuple[int, int, int]) -> None:
        """From a segment's middle to a homogeneous point (3,), or as far as lines are drawn."""
        middle = (ends[:2] + ends[2:]) / 2
        way = point[:2] - point[2] * middle
        length = float(np.hypot(*way))
        if length < 1e-12:
            return
        distance = min(FAR, length / max(abs(point[2]), 1e-9))
        sign = 1 if point[2] >= 0 else -1
        self.segment(np.concatenate([middle, middle + sign * way / length * distance]), colour, thin=True)

    def line(self, line: Floats, colour: tuple[int, int, int]) -> None:
        """A whole homogeneous line (3,)."""
        normal = line[:2] / max(float(np.hypot(*line[:2])), 1e-12)
        foot = -line[2] / max(float(np.hypot(*line[:2])), 1e-12) * normal
        if float(np.hypot(*foot)) < FAR:
            along = np.array([-normal[1], normal[0]]) * FAR
            self.segment(np.concatenate([foot - along, foot + along]), colour)

    def polygon(self, corners: Floats, colour: tuple[int, int, int]) -> None:
        """A filled area (K, 2), half clear."""
        if len(corners) < 3:
            return
        filled = self.canvas.copy()
        cv2.fillPoly(filled, [np.array([self._pixel(corner) for corner in corners], np.int32)], colour)
        self.canvas = cv2.addWeighted(self.canvas, 0.6, filled, 0.4, 0)

    def label(self, at: Floats, text: str, colour: tuple[int, int, int]) -> None:
        """Words beside a point (2,)."""
        plain = text.encode("ascii", "replace").decode()
        x, y = self._pixel(at)
        size = self.thick * 0.35 + 0.2
        cv2.putText(self.canvas, plain, (x + 4, y - 4), cv2.FONT_HERSHEY_SIMPLEX, size, colour, self.thick, cv2.LINE_AA)

    def save(self, path: Path) -> None:
        """Write the drawing as a PNG."""
        save_png(Image.fromarray(self.canvas), path)


def save_map(rgb: NDArray[np.uint8], found: NDArray[np.float32], path: Path) -> None:
    """Write a map (h, w) in [0, 1] over its picture as a PNG."""
    values = (255 * np.clip(found, 0, 1)).round().astype(np.uint8)
    side = min(LONGEST, max(rgb.shape[:2]))
    drawn = over_picture(values, Image.fromarray(rgb), (rgb.shape[1], rgb.shape[0]), side)
    save_png(Image.open(io.BytesIO(drawn)), path)


def save_png(image: Image.Image, path: Path) -> None:
    """Write a picture as a PNG, whole or not at all."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
