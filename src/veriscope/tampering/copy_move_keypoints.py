"""Copy-move by keypoints: do corners and blobs of one part come again in another, all moved by one transform?

SIFT keypoints are matched within the picture, with the test that the match is much nearer than the next one; matches that
start close together and end close together are tried for one affine transform, which ``copy_matches`` verifies. It follows
turning and any scaling that leaves detail, and costs little; it finds nothing where there are few keypoints, as in smooth
or small parts, and nothing where a pattern repeats often, which the test of the next match leaves out. After Amerini,
Ballan, Caldelli, Del Bimbo and Serra, "A SIFT-based forensic method for copy-move attack detection and transformation
recovery", IEEE TIFS 2011, and Pan and Lyu, "Region duplication detection using image feature matching", 2010.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.picture import Picture
from veriscope.tampering.copy_matches import CopyMatch, plausible
from veriscope.tampering.copy_regions import Affine, Mask
from veriscope.tampering.copy_report import localised, planes, scaled, settled
from veriscope.tampering.localisation import Localisation, Localiser

PIXELS = 1_500_000  # the picture is scaled down to this
KEYPOINTS = 3_000  # the strongest, so that all pairs are compared in a tenth of a second
CONTRAST = 0.01  # SIFT's contrast threshold; a quarter of its default, as pasted parts are often soft
NEXT = 0.7  # a distance over the next larger one, below which it and the nearer ones are matches; 0.5 in the paper
NEIGHBOURS = 4  # nearest descriptors looked at: up to three copies of one part
LEAST_OFFSET = 0.03  # of the picture's diagonal, and at least 16 px: nearer keypoints describe one place
TOGETHER = 0.08  # of the diagonal: matches whose both ends lie so close support each other
LEAST_MATCHES = 4  # that one transform must explain; three fix it, so one more confirms
REPROJECTION = 3.0  # pixels
MOST_CANDIDATES = 8  # transforms that are verified, the best supported first
CHUNK = 512  # descriptors compared with all others at a time, for bounded memory

Points = NDArray[np.float32]


def keypoints(grey: NDArray[np.uint8]) -> tuple[Points, NDArray[np.float32]]:
    """Where keypoints stand and their descriptors (RootSIFT), of uint8 (h, w): float32 (N, 2) x and y, float32 (N, 128)."""
    found, described = cv2.SIFT.create(nfeatures=KEYPOINTS, contrastThreshold=CONTRAST).detectAndCompute(grey, None)
    if described is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    places = np.array([point.pt for point in found], np.float32)
    shares = described / (described.sum(1, keepdims=True) + 1e-6)
    return places, np.asarray(np.sqrt(shares), np.float32)


def repeated(places: Points, described: NDArray[np.float32], least_offset: float) -> NDArray[np.intp]:
    """Pairs of keypoints by the generalised test of the second neighbour: int (M, 2), each pair both ways round.

    Args:
        places: float32 (N, 2), pixels.
        described: float32 (N, 128), of unit length.
        least_offset: pixels that the two of a pair lie apart at least; nearer ones are not looked at.
    """
    pairs = [np.zeros((0, 2), np.intp)]
    across, down = np.ascontiguousarray(places.T)
    for start in range(0, len(places), CHUNK):
        own = np.arange(start, min(start + CHUNK, len(places)))
        alike = described[own] @ described.T
        near = np.abs(across[own, None] - across) < least_offset
        near &= np.abs(down[own, None] - down) < least_offset
        np.copyto(alike, -1, where=near)
        best, values = [], []
        for _ in range(min(NEIGHBOURS, len(places))):
            chosen = alike.argmax(1)
            best.append(chosen)
            values.append(alike[np.arange(len(own)), chosen])
            alike[np.arange(len(own)), chosen] = -1
        distance = np.sqrt(np.maximum(2 - 2 * np.array(values), 1e-6))
        clear = (distance[:-1] < NEXT * distance[1:]) & (np.array(values)[:-1] > 0)
        for rank in range(clear.shape[0]):
            within = clear[rank:].any(0)
            pairs.append(np.column_stack([own[within], best[rank][within]]))
    found = np.concatenate(pairs)
    return np.unique(np.concatenate([found, found[:, ::-1]]), axis=0)


def clusters(start: Points, end: Points, reach: float) -> list[NDArray[np.intp]]:
    """Which matches belong together: those linked through matches whose starts, and whose ends, lie within ``reach``.

    Args:
        start, end: float32 (M, 2), pixels.
        reach: pixels.
    Returns:
        The indices of each cluster of at least ``LEAST_MATCHES``, the largest first.
    """
    linked = np.abs(start[:, None] - start[None]).max(2) < reach
    linked &= np.abs(end[:, None] - end[None]).max(2) < reach
    label = np.arange(len(start))
    while True:
        lowest = np.where(linked, label[None], len(start)).min(1, initial=len(start))
        lowest = np.minimum(lowest, lowest[lowest])
        if np.array_equal(lowest, label):
            break
        label = lowest
    groups = [np.flatnonzero(label == each) for each in np.unique(label)]
    return sorted((group for group in groups if len(group) >= LEAST_MATCHES), key=len, reverse=True)


def candidates(start: Points, end: Points, shape: tuple[int, int]) -> Iterator[tuple[Affine, Mask]]:
    """The transforms that matches agree on, best supported first, each with the area its matches start in."""
    reach = TOGETHER * float(np.hypot(*shape))
    found: list[tuple[int, Affine, Points]] = []
    for group in clusters(start, end, reach):
        left = group
        while len(left) >= LEAST_MATCHES and len(found) < 4 * MOST_CANDIDATES:
            affine, inlying = cv2.estimateAffine2D(
                start[left], end[left], method=cv2.RANSAC, ransacReprojThreshold=REPROJECTION
            )
            if affine is None:
                break
            chosen = left[inlying[:, 0] > 0]
            if len(np.unique(np.rint(start[chosen]), axis=0)) < LEAST_MATCHES:
                break
            if plausible(np.asarray(affine, np.float64)):
                found.append((len(chosen), np.asarray(affine, np.float64), start[chosen]))
            left = left[inlying[:, 0] == 0]
    found.sort(key=lambda each: -each[0])
    for _, transform, points in found[:MOST_CANDIDATES]:
        area = np.zeros(shape, np.uint8)
        cv2.fillConvexPoly(area, cv2.convexHull(np.rint(points).astype(np.int32)), 1)
        yield transform, cv2.dilate(area, np.ones((9, 9), np.uint8)) > 0


def copies(rgb: NDArray[np.uint8], original_scale: bool = False) -> tuple[CopyMatch, ...]:
    """The copied parts of uint8 (h, w, 3), already scaled to what can be afforded; or ``original_scale`` as it was."""
    luma = planes(rgb)[0]
    places, described = keypoints(luma.astype(np.uint8))
    pairs = repeated(places, described, max(16.0, LEAST_OFFSET * float(np.hypot(*luma.shape))))
    if len(pairs) < LEAST_MATCHES:
        return ()
    height, width = luma.shape
    return settled(luma, candidates(places[pairs[:, 0]], places[pairs[:, 1]], (height, width)), original_scale)


def matches(picture: Picture) -> tuple[CopyMatch, ...]:
    """The parts of the picture that repeat others, by keypoints, in pixels of ``scaled(picture.rgb, PIXELS)``."""
    return picture.once("copy-move keypoint matches", lambda: _matches(picture))


def _matches(picture: Picture) -> tuple[CopyMatch, ...]:
    rgb = scaled(picture.rgb, PIXELS)
    return copies(rgb, original_scale=rgb.shape == picture.rgb.shape)


class CopyMoveKeypoints(Localiser):
    """Which part repeats another, by keypoints: the map of ``matches``."""

    name: ClassVar[str] = "copy_move_keypoints"
    quick: ClassVar[bool] = True

    def find(self, picture: Picture) -> Localisation:
        """The map, 0 throughout where nothing is repeated, and a sentence on it."""
        return localised(matches(picture), scaled(picture.rgb, PIXELS))
