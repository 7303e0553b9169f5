"""Is one picture made from the other? Local points are matched, and what they claim is checked on the pixels.

A copy shows the same surface, so its points fall on the original's under one plane transform, and between the points the
pixels agree too. Look-alikes fail the second: twins of a building or two frames of one broadcast share windows or a bar, and
their matches fall there alone, while the rest of the area that the transform claims to be shared disagrees. Mirrored and
negative copies are tried as well. Pictures with next to no detail, strong bending, and copies smaller than about 60 px in
the query are missed.

Papers: Wang et al. 2021 (D2LV: verify after retrieval); Cai et al. 2023 (Doppelgangers: where matches fall tells twins apart);
Lowe 2004 (SIFT); Arandjelovic and Zisserman 2012 (RootSIFT).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies.alignment import (
    SIDE,
    Homography,
    compared,
    inverse,
    plausible,
    refitted,
    resizing,
    shown_share,
    working,
)

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Scalar = TypeVar("Scalar", bound=np.generic)
MOST_POINTS = 900
LEAST_CONTRAST = 0.015  # of SIFT: a third of its usual value, so that faded copies keep points
RATIO = 0.85  # of the nearest to the second nearest descriptor's distance; the geometry sorts out the rest
NEAR = 4.0  # pixels of the working frame within which a match fits a transform
LEAST_INLIERS = 8
FEW_INLIERS = 15  # below which the pixels must agree better
LEAST_AGREEMENT, LEAST_AGREEMENT_FEW = 0.4, 0.6  # of the detailed part of the shared area
LEAST_SPREAD = 0.25  # of the shared area's detailed cells that hold a match
CELLS = 4  # a side, of the grid on which the spread is counted
INLIERS_SCALE = 12.0  # matches that take the score to 63 % of its height
SURE = 0.75  # score from which no other reading of the query (mirrored, negative) is tried


@dataclass(frozen=True, eq=False)
class Points:
    """What verification needs of one picture; made once for a query that is checked against many references.

    Attributes:
        grey: float32 (h, w), the picture at most 512 px a side, or as was asked.
        shape: (H, W) of the picture.
        places: float32 (N, 2), x and y in ``grey``.
        descriptors: float32 (N, 128), RootSIFT, of norm 1.
    """

    grey: Floats = field(repr=False)
    shape: tuple[int, int]
    places: Floats = field(repr=False)
    descriptors: Floats = field(repr=False)


@dataclass(frozen=True, eq=False)
class Verification:
    """How a query shows a reference.

    Attributes:
        homography: float64 (3, 3), takes the reference's (x, y, 1) to the query's, pixels of the full pictures.
        inliers: matches that fit it.
        overlap: share of the reference that lies inside the query, in [0, 1].
        agreement: share of the shared area's detailed part in which the pixels agree, in [0, 1].
        score: agreement, lowered where it rests on few matches, in [0, 1].
        mirrored: left and right are exchanged.
        negative: light and dark are exchanged.
        says: one sentence for the reader.
    """

    homography: Homography
    inliers: int
    overlap: float
    agreement: float
    score: float
    mirrored: bool
    negative: bool
    says: str


def points(rgb: Pixels, side: int = SIDE, most: int = MOST_POINTS) -> Points:
    """The local points of ``uint8 (H, W, 3)`` RGB, at most ``most``, found with no side over ``side`` pixels."""
    grey = working(rgb, side)
    sift = cv2.SIFT.create(nfeatures=most, contrastThreshold=LEAST_CONTRAST, enable_precise_upscale=True)
    found, raw = sift.detectAndCompute(np.clip(np.rint(grey), 0, 255).astype(np.uint8), None)
    shape = rgb.shape[0], rgb.shape[1]
    if raw is None or len(found) < LEAST_INLIERS:
        return Points(grey, shape, np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    root = np.sqrt(raw / np.maximum(raw.sum(1, keepdims=True), 1e-6))
    return Points(grey, shape, np.array([point.pt for point in found], np.float32), root.astype(np.float32))


def verify(query: Pixels, reference: Pixels) -> Verification | None:
    """How a query shows a reference, both ``uint8 (H, W, 3)`` RGB of any size; None where it does not, or nothing tells."""
    return verify_points(points(query), points(reference))


def verify_points(query: Points, reference: Points) -> Verification | None:
    """As ``verify``, of points found before."""
    best: Verification | None = None
    if min(len(query.places), len(reference.places)) < LEAST_INLIERS:
        return None
    for negative, mirrored in product((False, True), repeat=2):
        found = _read(query, reference, mirrored, negative)
        if found is not None and (best is None or found.score > best.score):
            best = found
        if best is not None and best.score >= SURE:
            break
    return best


def _read(query: Points, reference: Points, mirrored: bool, negative: bool) -> Verification | None:
    """What one reading of the reference's descriptors leads to."""
    start, end = matches(read_as(reference.descriptors, mirrored, negative), query.descriptors)
    here, there = reference.places[start], query.places[end]
    found = fitted(here, there, mirrored)
    if found is None:
        return None
    transform, fits = found
    inliers = _distinct(here[fits], there[fits])
    if inliers < LEAST_INLIERS:
        return None
    transform = refitted(transform, reference.grey, query.grey, negative)
    agreeing, detailed = compared(reference.grey, query.grey, transform, negative)
    if not detailed.any():
        return None
    agreement = float(agreeing.mean(where=detailed))
    if agreement < (LEAST_AGREEMENT if inliers >= FEW_INLIERS else LEAST_AGREEMENT_FEW):
        return None
    if spread(here[fits], detailed) < LEAST_SPREAD:
        return None
    overlap = shown_share(transform, reference.grey.shape, query.grey.shape)
    score = agreement * float(1 - np.exp(-inliers / INLIERS_SCALE))
    back_to_full = inverse(resizing(query.shape, query.grey.shape))
    full = back_to_full @ transform @ resizing(reference.shape, reference.grey.shape)
    full /= full[2, 2]
    says = _says(inliers, overlap, agreement, mirrored, negative)
    return Verification(full, inliers, overlap, agreement, score, mirrored, negative, says)


def read_as(descriptors: NDArray[Scalar], mirrored: bool, negative: bool) -> NDArray[Scalar]:
    """SIFT descriptors (N, 128) as they would be of the mirrored or negative picture, without computing it.

    A descriptor is 4 rows by 4 columns of 8 directions, all relative to the point's own direction. A mirror turns round the
    rows and the sense of directions; a negative turns the point's direction by half, and so both rows and columns.
    """
    grid = descriptors.reshape(-1, 4, 4, 8)
    if negative:
        grid = grid[:, ::-1, ::-1]
    if mirrored:
        grid = grid[:, ::-1][..., -np.arange(8) % 8]
    return np.ascontiguousarray(grid.reshape(descriptors.shape))


def matches(first: Floats, second: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs that are each other's nearest and clearly nearer than the next: indices into (N, 128) and (M, 128) of norm 1."""
    alike = first @ second.T
    forth, back = alike.argmax(1), alike.argmax(0)
    start = np.flatnonzero(back[forth] == np.arange(len(first)))
    end = forth[start]
    distance = np.sqrt(np.maximum(2 - 2 * alike[start, end], 0))
    next_best = np.maximum(_second(alike[start]), _second(alike[:, end].T))
    clear = distance < RATIO * np.sqrt(np.maximum(2 - 2 * next_best, 0))
    return start[clear], end[clear]


def _second(rows: Floats) -> Floats:
    """The second largest value of each row."""
    if not rows.size or rows.shape[1] < 2:
        return np.zeros(len(rows), np.float32)
    return np.asarray(np.partition(rows, -2, axis=1)[:, -2], np.float32)


def fitted(here: Floats, there: Floats, mirrored: bool) -> tuple[Homography, NDArray[np.bool_]] | None:
    """The affine transform or the homography that more matches fit; the affine one unless the other gains clearly.

    Args:
        here, there: (N, 2), x and y of matches.
        mirrored: whether the transform must turn the picture over.
    Returns:
        what takes (x, y, 1) of ``here`` to ``there``, and bool (N,), which matches fit it; None where nothing plausible does.
    """
    if len(here) < LEAST_INLIERS:
        return None
    best: tuple[Homography, NDArray[np.bool_]] | None = None
    affine, _ = cv2.estimateAffine2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=NEAR, maxIters=3000)
    general, _ = cv2.findHomography(here, there, cv2.USAC_MAGSAC, NEAR, maxIters=3000)
    for found in (None if affine is None else np.vstack([affine, [0, 0, 1]]), general):
        if found is None or not plausible(found, here, mirrored):
            continue
        moved = cv2.perspectiveTransform(here[:, None].astype(np.float64), found)[:, 0]
        fits = np.linalg.norm(moved - there, axis=1) < NEAR
        if best is None or fits.sum() > 1.1 * best[1].sum() + 2:
            best = np.asarray(found, np.float64), fits
    return best


def _distinct(here: Floats, there: Floats) -> int:
    """How many matches are at places of their own in both pictures; SIFT gives one corner in several scales and directions."""
    both = np.unique(np.rint(np.hstack([here, there]) / 3), axis=0)
    return min(len(np.unique(both[:, :2], axis=0)), len(np.unique(both[:, 2:], axis=0)))


def spread(places: Floats, detailed: NDArray[np.bool_]) -> float:
    """Share of the shared area's detailed cells that hold a match, in [0, 1].

    Args:
        places: (N, 2), x and y of matches in the reference.
        detailed: bool (h, w), where the reference is shared and has detail, at the same scale.
    """
    rows, columns = np.flatnonzero(detailed.any(1)), np.flatnonzero(detailed.any(0))
    if not rows.size:
        return 0.0
    top, left = rows[0], columns[0]
    tall, wide = rows[-1] + 1 - top, columns[-1] + 1 - left
    part = np.ascontiguousarray(detailed[top : top + tall, left : left + wide], np.float32)
    wanted = cv2.resize(part, (CELLS, CELLS), interpolation=cv2.INTER_AREA) > 0.1
    held = np.zeros((CELLS, CELLS), bool)
    cells = np.floor((places - (left, top)) / (wide, tall) * CELLS).astype(int).clip(0, CELLS - 1)
    held[cells[:, 1], cells[:, 0]] = True
    return float(held[wanted].mean()) if wanted.any() else 0.0


def _says(inliers: int, overlap: float, agreement: float, mirrored: bool, negative: bool) -> str:
    ways = [way for way, holds in (("mirrored", mirrored), ("in negative", negative)) if holds]
    how = f", {' and '.join(ways)}" if ways else ""
    return (
        f"It shows {100 * overlap:.0f} % of the original{how}; {inliers} points fall on the original's, "
        f"and {100 * agreement:.0f} % of the detail between them agrees."
    )
