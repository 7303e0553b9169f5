"""Could a picture be a part of another, or hold one? A learned vector that copies share with their original.

A network, trained without labels on copies by tamper patterns (``veriscope lab train descriptor``), aggregates local points,
which stay under crops, overlays, turns and light, and adds what it sees of the picture at 64 px, which stays under blur. Parts
of a picture, its mirror image and its negative are described from the same points for little. Fails where a few points are
shared: crops of a few per cent, strong distortion of detail.

Papers: Pizzi et al. 2022 (SSCD); Lowe 2004 (SIFT); Arandjelović et al. 2016 (NetVLAD).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.copies.parts import OF_QUERIES, OF_REFERENCES, WHOLE, Window
from veriscope.copies.verification import read_as

MODEL = "descriptor"
SIZE = 256  # floats of a vector
WORKING_SIDE = 256  # pixels of the longer side in which points are found
MOST_POINTS = 256
LEAST_CONTRAST = 0.015  # of points; low, so that faded copies keep some
KEPT_SIDE = 96  # pixels of the square that is kept, from which parts are cut
SIDE = 64  # pixels of the square that the network sees
LEAST_PART = 16  # pixels of the working picture: a smaller part is not looked at alone


@dataclass(frozen=True, eq=False)
class Look:
    """What is needed to describe a picture and its parts.

    Attributes:
        descriptors: uint8 (N, 128), SIFT.
        places: float32 (N, 2), x and y as shares of width and height.
        sizes: float32 (N,), of points as shares of the longer side.
        square: uint8 (96, 96, 3) RGB, the picture squeezed.
    """

    descriptors: NDArray[np.uint8] = field(repr=False)
    places: NDArray[np.float32] = field(repr=False)
    sizes: NDArray[np.float32] = field(repr=False)
    square: NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Inputs:
    """A batch for the network; N views of at most K points.

    Attributes:
        points: float32 (N, K, 128), RootSIFT; zero where there is none.
        sizes: float32 (N, K), the binary logarithm of the points' sizes.
        present: float32 (N, K), 1 where there is a point.
        pixels: float32 (N, 3, 64, 64) in [0, 1].
    """

    points: NDArray[np.float32]
    sizes: NDArray[np.float32]
    present: NDArray[np.float32]
    pixels: NDArray[np.float32]


def look(rgb: NDArray[np.uint8]) -> Look:
    """Points and pixels of ``uint8 (H, W, 3)`` RGB; the same in training and in use."""
    square = _resized(rgb, KEPT_SIDE, KEPT_SIDE)
    scale = WORKING_SIDE / max(rgb.shape[:2])
    height, width = (max(8, round(size * scale)) for size in rgb.shape[:2])
    grey = cv2.cvtColor(_resized(rgb, height, width), cv2.COLOR_RGB2GRAY)
    sift = cv2.SIFT.create(nfeatures=MOST_POINTS, contrastThreshold=LEAST_CONTRAST)
    found, raw = sift.detectAndCompute(grey, None)
    if raw is None or not len(found):
        return Look(np.zeros((0, 128), np.uint8), np.zeros((0, 2), np.float32), np.zeros(0, np.float32), square)
    strongest = np.argsort([-point.response for point in found], kind="stable")[:MOST_POINTS]
    places = np.array([found[one].pt for one in strongest], np.float32) / np.array([width, height], np.float32)
    sizes = np.array([found[one].size for one in strongest], np.float32) / WORKING_SIDE
    return Look(np.clip(raw[strongest], 0, 255).astype(np.uint8), places, sizes, square)


def part(of: Look, window: Window) -> Look:
    """What is seen of the part under a window (top, bottom, left, right as shares), its sizes as of a picture of its own."""
    top, bottom, left, right = window
    x, y = of.places.T
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    extent = np.array([right - left, bottom - top], np.float32)
    side = len(of.square)
    rows, columns = (
        (round(a * side), max(round(a * side) + 1, round(b * side))) for a, b in ((top, bottom), (left, right))
    )
    return Look(
        of.descriptors[inside],
        (of.places[inside] - np.array([left, top], np.float32)) / extent,
        of.sizes[inside] / float(extent.max()),
        _resized(of.square[slice(*rows), slice(*columns)], side, side),
    )


def mirrored(of: Look) -> Look:
    """What would be seen of the mirror image."""
    places = of.places * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)
    return Look(read_as(of.descriptors, True, False), places, of.sizes, np.ascontiguousarray(of.square[:, ::-1]))


def negative(of: Look) -> Look:
    """What would be seen of the negative."""
    return Look(read_as(of.descriptors, False, True), of.places, of.sizes, 255 - of.square)


def as_inputs(looks: Sequence[Look]) -> Inputs:
    """Looks as the network takes them, padded to the most points that one of them has."""
    most = max(1, *(len(one.sizes) for one in looks))
    raw = np.zeros((len(looks), most, 128), np.float32)
    sizes, present = np.zeros((2, len(looks), most), np.float32)
    for number, one in enumerate(looks):
        count = len(one.sizes)
        raw[number, :count] = one.descriptors
        sizes[number, :count] = np.log2(np.maximum(one.sizes, 1e-3))
        present[number, :count] = 1
    points = np.sqrt(raw / np.maximum(raw.sum(2, keepdims=True), 1))
    squares = np.stack([_resized(one.square, SIDE, SIDE) for one in looks]).transpose(0, 3, 1, 2)
    return Inputs(points, sizes, present, np.ascontiguousarray(squares, np.float32) / np.float32(255))


def vectors(looks: Sequence[Look]) -> NDArray[np.float32]:
    """The vectors ``float32 (N, 256)`` of length 1.

    Raises:
        ModelError: the network is missing or damaged.
    """
    given = as_inputs(looks)
    session = models.open_session(MODEL)
    fed = {name: getattr(given, name) for name in ("points", "sizes", "present", "pixels")}
    return np.asarray(session.run(None, fed)[0], np.float32)


class Learned:
    """The learned vector as an index's descriptor.

    Raises:
        ModelError: the network is not installed.
    """

    name = "learned"
    size = SIZE

    def __init__(self) -> None:
        self.version = models.model(MODEL).fingerprint

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vector ``float32 (256,)`` of length 1 of ``uint8 (H, W, 3)`` RGB."""
        return np.asarray(vectors([look(rgb)])[0], np.float32)

    def of_reference(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vectors of a picture and its parts as a reference, ``float32 (6, 256)``, the whole first."""
        seen = look(rgb)
        return vectors([seen if window == WHOLE else part(seen, window) for window in OF_REFERENCES])

    def of_query(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vectors of a picture as a query, ``float32 (12, 256)``: whole, mirrored, negative, and then its parts."""
        seen = look(rgb)
        parts = [part(seen, window) for window in OF_QUERIES if window != WHOLE]
        return vectors([seen, mirrored(seen), negative(seen), *parts])


def _resized(rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if rgb.shape[:2] == (height, width):
        return rgb
    smaller = rgb.shape[0] > height or rgb.shape[1] > width
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=interpolation), np.uint8)
