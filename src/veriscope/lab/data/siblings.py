"""Which pictures of a collection are one scene saved, resized or cropped differently? They must not straddle a split.

Two pictures are siblings where their whole layouts agree (the low frequencies of a small copy, whitened and compared by their
angle, which survives saving and resizing), or where many corners match and one shift, turn and scale carries most of them
from the one picture to the other (which survives cropping). Mirrored, strongly retouched and very small crops are not found.

Papers: Zauner 2010 (DCT hash); Rublee et al. 2011 (ORB); Indyk & Motwani 1998 (locality-sensitive hashing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 512  # pixels, the longer side on which corners are sought
CORNERS = 200  # a picture, the strongest
THUMB, LOW = 32, 8  # pixels of the small copy; frequencies kept an axis
SAME_LAYOUT = 0.98  # cosine of two layouts; at 0.9 aligned portraits of different people pass
TABLES, BITS = 8, 40  # of the hashing of descriptors: with 24 bits a fifth of all pairs would be worth a look
MOST_IN_BUCKET = 8  # a corner that more pictures share says nothing
LEAST_VOTES = 2  # shared buckets that make a pair worth a look
CLOSE = 56  # of 256 bits, between matching corners
LEAST_CORNERS = 14  # that one transform carries over
LEAST_SHARE = 0.4  # of the matched corners


@dataclass(frozen=True)
class Print:
    """What a picture is recognised by.

    Attributes:
        layout: float32 (63,) of length 1, or 0 for a flat picture.
        points: float32 (K, 2), corners in pixels.
        descriptors: uint8 (K, 32), 256 bits a corner.
    """

    layout: NDArray[np.float32]
    points: NDArray[np.float32]
    descriptors: NDArray[np.uint8]


def print_of(rgb: NDArray[np.uint8]) -> Print:
    """What ``uint8 (H, W, 3)`` RGB is recognised by."""
    luma = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    frequencies = cv2.dct(cv2.resize(luma, (THUMB, THUMB), interpolation=cv2.INTER_AREA).astype(np.float32))
    across, down = np.meshgrid(np.arange(LOW), np.arange(LOW))
    layout = (frequencies[:LOW, :LOW] * np.hypot(across, down)).ravel()[1:]
    length = float(np.linalg.norm(layout))
    scale = SIDE / max(luma.shape)
    size = max(32, round(luma.shape[1] * scale)), max(32, round(luma.shape[0] * scale))
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    orb = cv2.ORB.create(nfeatures=CORNERS, scaleFactor=1.2, nlevels=8, fastThreshold=8)
    found, descriptors = orb.detectAndCompute(small, None)
    return Print(
        np.asarray(layout / length if length > 1 else layout * 0, np.float32),
        np.array([corner.pt for corner in found], np.float32).reshape(-1, 2),
        np.zeros((0, 32), np.uint8) if descriptors is None else np.asarray(descriptors, np.uint8),
    )


def siblings(prints: Sequence[Print]) -> NDArray[np.int64]:
    """The group of each picture, ``(N,)``: the place of the group's first member."""
    parent = np.arange(len(prints))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = int(parent[place])
        return place

    for one, other in _same_layout(prints):
        first, second = sorted((root(one), root(other)))
        parent[second] = first
    for one, other in _sharing_corners(prints):
        first, second = sorted((root(one), root(other)))
        if first != second and overlap(prints[one], prints[other]):
            parent[second] = first
    return np.array([root(place) for place in range(len(prints))], np.int64)


def overlap(one: Print, other: Print) -> bool:
    """Whether a shift, turn and scale carries the corners of one picture onto those of the other."""
    if min(len(one.points), len(other.points)) < LEAST_CORNERS:
        return False
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(one.descriptors, other.descriptors)
    near = [match for match in matches if match.distance <= CLOSE]
    if len(near) < LEAST_CORNERS:
        return False
    here = one.points[[match.queryIdx for match in near]]
    there = other.points[[match.trainIdx for match in near]]
    _, carried = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=4.0, maxIters=500)
    if carried is None:
        return False
    kept = carried.ravel() == 1
    spread = min(np.ptp(here[kept], axis=0).min(), np.ptp(there[kept], axis=0).min()) if kept.any() else 0
    return bool(kept.sum() >= LEAST_CORNERS and kept.mean() >= LEAST_SHARE and spread > SIDE / 16)


def _same_layout(prints: Sequence[Print], rows: int = 1024) -> list[tuple[int, int]]:
    layouts = np.stack([item.layout for item in prints])
    pairs = []
    for at in range(0, len(layouts), rows):
        one, other = np.nonzero(layouts[at : at + rows] @ layouts.T > SAME_LAYOUT)
        pairs += [(int(a) + at, int(b)) for a, b in zip(one, other, strict=True) if a + at < b]
    return pairs


def _sharing_corners(prints: Sequence[Print]) -> list[tuple[int, int]]:
    descriptors = np.concatenate([item.descriptors for item in prints])
    owner = np.repeat(np.arange(len(prints)), [len(item.descriptors) for item in prints])
    if not len(descriptors):
        return []
    generator = np.random.default_rng(0)
    pairs = []
    for _ in range(TABLES):
        keys = np.zeros(len(descriptors), np.int64)
        for bit in generator.choice(8 * descriptors.shape[1], BITS, replace=False):
            keys = keys << 1 | (descriptors[:, bit // 8] >> bit % 8 & 1)
        order = np.lexsort((owner, keys))
        keys, owners = keys[order], owner[order]
        new = np.r_[True, (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])]  # one entry a picture and bucket
        keys, owners = keys[new], owners[new]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        sizes = np.diff(np.r_[starts, len(keys)])
        for size in range(2, MOST_IN_BUCKET + 1):
            buckets = owners[starts[sizes == size][:, None] + np.arange(size)]
            one, other = np.triu_indices(size, 1)
            pairs.append(np.stack([buckets[:, one].ravel(), buckets[:, other].ravel()], 1))
    together = np.concatenate(pairs)
    found, votes = np.unique(together[:, 0] * len(prints) + together[:, 1], return_counts=True)
    return [(int(pair // len(prints)), int(pair % len(prints))) for pair in found[votes >= LEAST_VOTES]]
