"""Could a picture be a part of another, or hold one? A vector that keeps its direction when a picture is cropped or drawn on.

Trace: how often each colour and each direction of edges occurs, over the whole picture, its middle and its four overlapping
quarters. A crop or an overlay changes the shares of a few of them, where it moves every bit of a hash. It is not learned: it
finds candidates for a local check, and does not decide. Fails on strong colour filters together with crops, on crops under a
quarter of the area, and among many pictures of one subject and light. After: Swain and Ballard, "Color Indexing", 1991;
Dalal and Triggs, "Histograms of Oriented Gradients", 2005; Jégou and Chum on power laws, 2012.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.copies.learned import MODEL, Learned
from veriscope.errors import VeriscopeError

SIDE = 128  # pixels of the longer side that is looked at
HUES = 8
GREYS = 8  # levels of what has no colour
DIRECTIONS = 8  # of edges, over 180 degrees: a mirrored picture has the mirrored ones
COLOURFUL = 28.0  # of 255: difference of the largest and smallest channel from which a pixel has a hue
EDGE_SHARE = 1.0  # weight of edges beside colours
# Top, bottom, left, right as shares: the whole, the middle, the overlapping quarters.
REGIONS = (
    (0.0, 1.0, 0.0, 1.0),
    (0.2, 0.8, 0.2, 0.8),
    (0.0, 0.6, 0.0, 0.6),
    (0.0, 0.6, 0.4, 1.0),
    (0.4, 1.0, 0.0, 0.6),
    (0.4, 1.0, 0.4, 1.0),
)
REGION_WEIGHTS = (2.0, 1.5, 1.0, 1.0, 1.0, 1.0)


class Descriptor(Protocol):
    """What makes vectors of a picture and its parts, of length 1, compared by their cosine.

    Attributes:
        name, version: an index keeps them, and is read only by the same.
        size: floats in a vector, at most 256.
    """

    name: str
    version: str
    size: int

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vector ``float32 (size,)`` of ``uint8 (H, W, 3) RGB`` as a whole."""
        ...

    def of_reference(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What an index keeps of a picture: ``float32 (P, size)``, the whole first, then its parts."""
        ...

    def of_query(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What a query is searched by: ``float32 (Q, size)``, the whole first, then its mirror image, its parts and so on."""
        ...


class Statistics:
    """Colours and edges at six regions, unlearned."""

    name = "statistics"
    version = "1"
    size = len(REGIONS) * (2 * HUES + GREYS + 2 * DIRECTIONS)

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vector of a picture; see ``Descriptor``."""
        return describe(rgb)

    def of_reference(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The whole picture alone: its vector holds six regions already."""
        return describe(rgb)[None]

    def of_query(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The whole picture and its mirror image."""
        return np.stack([describe(rgb), describe(np.ascontiguousarray(rgb[:, ::-1]))])


AVAILABLE: dict[str, Callable[[], Descriptor]] = {Learned.name: Learned, Statistics.name: Statistics}


def default() -> str:
    """The name of a new index's descriptor: the learned one, or the unlearned one where no network is installed."""
    return Learned.name if MODEL in models.registry() else Statistics.name


def make(name: str, *, asked_by: str = "") -> Descriptor:
    """The descriptor of that name.

    Raises:
        VeriscopeError: there is none; names those there are, and ``asked_by``, the index that wants it.
    """
    if name not in AVAILABLE:
        known = ", ".join(sorted(AVAILABLE))
        raise VeriscopeError(f"{asked_by or 'index'}: made with the descriptor {name!r}; this version has: {known}")
    return AVAILABLE[name]()


def describe(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The vector ``float32 (240,)`` of length 1 of ``uint8 (H, W, 3) RGB``."""
    scale = SIDE / max(rgb.shape[:2])
    size = max(8, round(rgb.shape[1] * scale)), max(8, round(rgb.shape[0] * scale))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8)
    colours, edges = _colours(small), _edges(small)
    parts = []
    for (top, bottom, left, right), weight in zip(REGIONS, REGION_WEIGHTS, strict=True):
        rows = slice(int(top * size[1]), max(int(top * size[1]) + 1, int(bottom * size[1])))
        columns = slice(int(left * size[0]), max(int(left * size[0]) + 1, int(right * size[0])))
        for values, share in ((colours, 1.0), (edges, EDGE_SHARE)):
            parts.append(weight * share * _powered(values[rows, columns].mean((0, 1))))
    return _unit(np.concatenate(parts))


def _colours(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far each pixel has each colour, shared among neighbouring bins: float32 (h, w, 2 * HUES + GREYS)."""
    hsv = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    lightest = rgb.max(2).astype(np.float32)
    chroma = lightest - rgb.min(2)
    coloured = np.clip(chroma / COLOURFUL - 0.5, 0, 1)
    dark = np.clip(1.5 - lightest / 128, 0, 1)
    hues = _shared(hsv[:, :, 0] * (HUES / 360), HUES, circular=True)
    greys = _shared(lightest * ((GREYS - 1) / 255), GREYS, circular=False)
    return np.concatenate(
        [
            hues * (coloured * (1 - dark))[..., None],
            hues * (coloured * dark)[..., None],
            greys * (1 - coloured)[..., None],
        ],
        axis=2,
    ).astype(np.float32)


def _edges(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The strength of edges of each direction at two scales: float32 (h, w, 2 * DIRECTIONS)."""
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    found = []
    for blurred in (luma, cv2.GaussianBlur(luma, (0, 0), 3.0)):
        across = cv2.Sobel(blurred, cv2.CV_32F, 1, 0, ksize=3)
        down = cv2.Sobel(blurred, cv2.CV_32F, 0, 1, ksize=3)
        strength = np.sqrt(np.hypot(across, down))
        turn = np.mod(np.arctan2(down, across), np.pi) * (DIRECTIONS / np.pi)
        found.append(_shared(turn, DIRECTIONS, circular=True) * strength[..., None])
    return np.concatenate(found, axis=2).astype(np.float32)


def _shared(values: NDArray[np.float32], bins: int, *, circular: bool) -> NDArray[np.float32]:
    """Weights of the two bins next to each value: float32 (h, w, bins), each row's sum 1."""
    distance = np.abs(values[..., None] - np.arange(bins, dtype=np.float32))
    if circular:
        distance = np.minimum(distance, bins - distance)
    return np.asarray(np.maximum(0, 1 - distance), np.float32)


def _powered(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Square roots of shares, about their mean: what all pictures have in common says nothing."""
    rooted = np.sqrt(values / (values.sum() + 1e-6))
    return _unit(rooted - rooted.mean())


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(values))
    return np.asarray(values / length if length > 1e-9 else np.full_like(values, values.size**-0.5), np.float32)
