"""The edges of a mark or a picture, by direction alone: colours, and what is light against what is dark, play no part.

A logo keeps the directions of its outlines when it is recoloured, thinned to its outline, blurred or partly covered. Each pixel
is described by twice the angle of its gradient, scaled by how far it stands out of its surroundings, so that an edge and its
reverse are the same, and edges at right angles count against each other. Flat marks have none; marks of a few straight lines
have those that any page holds. After: Di Zenzo 1986 (gradients of colour); Steger 2002 (matching by the directions of edges).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies.alignment import Homography, resizing, warped

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
COARSE, FINE = 40.0, 112.0  # pixels: square root of a mark's area where it is searched, and where it is compared
TURNS = (0.0, -8.0, 8.0)  # degrees
MARGIN = 0.08  # of the longer side, around a mark
FLOOR = 5.0  # grey levels a pixel: gradient that counts half where all around is flat
AROUND = 15  # pixels: window of the surroundings
PLAY = 1.6  # pixels: standard deviation by which an edge may lie off
GROUND, MOSTLY = 24, 0.7  # grey levels within which a rim is of one colour; share of it that must be
LEAST_EDGES = 0.02  # of a mark's pixels that must be edges
LONGEST = 6.0  # times its shorter side, to which a mark's longer side is cut in the search


@dataclass(frozen=True, eq=False)
class Outline:
    """A mark's edges.

    Attributes:
        rgb: uint8 (h, w, 3), the mark with a margin, its area ``FINE`` squared.
        edges: float32 (h, w, 2) of ``rgb``; see ``edges_of``.
        near: float32 (h, w) in [0, 1], 1 at its edges.
        searched: edges (h', w', 2) for each turn and mirror image, of area ``COARSE`` squared, and the transforms that take
            pixels of ``rgb`` there.
    """

    rgb: Pixels = field(repr=False)
    edges: Floats = field(repr=False)
    near: Floats = field(repr=False)
    searched: tuple[tuple[Floats, Homography], ...] = field(repr=False)


def edges_of(rgb: NDArray[np.generic], play: float = PLAY) -> Floats:
    """The edges of a picture (H, W, 3): float32 (H, W, 2), strength in [0, 1] times the cosine and sine of twice the angle."""
    smooth = cv2.GaussianBlur(np.asarray(rgb, np.float32), (0, 0), 0.9)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3, scale=1 / 4) for order in ((1, 0), (0, 1)))
    double = np.stack([(across**2 - down**2).sum(2), (2 * across * down).sum(2)], axis=2)
    size = np.sqrt(np.hypot(double[..., 0], double[..., 1]))
    around = cv2.blur(size, (AROUND, AROUND))
    strength = size / (size + around + FLOOR)
    made = double * (strength / np.maximum(size, 1e-3) ** 2)[..., None]
    return np.asarray(cv2.GaussianBlur(made, (0, 0), play), np.float32)


def outline(rgb: Pixels) -> Outline | None:
    """The edges of a mark ``uint8 (H, W, 3)`` RGB, cut to what is not ground; None where there are next to none."""
    cut = trimmed(rgb)
    if cut is None:
        return None
    cut = cut[: round(LONGEST * cut.shape[1]), : round(LONGEST * cut.shape[0])]
    scale = FINE / np.sqrt(cut.shape[0] * cut.shape[1])
    fine = with_margin(_resized(cut, scale))
    edges = edges_of(fine)
    near = np.clip(4 * np.hypot(edges[..., 0], edges[..., 1]), 0, 1).astype(np.float32)
    if (near > 0.5).mean() < LEAST_EDGES:
        return None
    return Outline(fine, edges, near, tuple(_searched(fine)))


def trimmed(rgb: Pixels) -> Pixels | None:
    """A mark without the plain ground around it; None where it is plain all over."""
    edges = edges_of(rgb, 0.8)
    strong = np.hypot(edges[..., 0], edges[..., 1]) > 0.2
    rows, columns = np.flatnonzero(strong.any(1)), np.flatnonzero(strong.any(0))
    if rows.size < 8 or columns.size < 8:
        return None
    return rgb[max(0, rows[0] - 2) : rows[-1] + 3, max(0, columns[0] - 2) : columns[-1] + 3]


def with_margin(rgb: Pixels) -> Pixels:
    """The picture on more of its ground: one colour where most of its rim has that, as logos do, or else its rim drawn out."""
    margin = max(2, round(MARGIN * max(rgb.shape[:2])))
    rim = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]]).astype(np.float32)
    ground = np.median(rim, axis=0)
    plain = (np.abs(rim - ground).max(1) < GROUND).mean() > MOSTLY
    kind = cv2.BORDER_CONSTANT if plain else cv2.BORDER_REPLICATE
    colour = [float(value) for value in ground]
    return np.asarray(cv2.copyMakeBorder(rgb, margin, margin, margin, margin, kind, value=colour), np.uint8)


def _searched(fine: Pixels) -> Iterator[tuple[Floats, Homography]]:
    smaller = COARSE / FINE
    shape = max(8, round(fine.shape[0] * smaller)), max(8, round(fine.shape[1] * smaller))
    middle = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    for mirrored, turn in product((False, True), TURNS):
        transform = resizing(fine.shape, shape)
        if mirrored:
            transform = np.array([[-1.0, 0, shape[1] - 1], [0, 1, 0], [0, 0, 1]]) @ transform
        transform = np.vstack([cv2.getRotationMatrix2D(middle, turn, 1), [0, 0, 1]]) @ transform
        yield edges_of(warped(fine, transform, shape, cv2.BORDER_REPLICATE)), transform


def _resized(rgb: Pixels, scale: float) -> Pixels:
    size = max(8, round(rgb.shape[1] * scale)), max(8, round(rgb.shape[0] * scale))
    made = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(made, np.uint8)
