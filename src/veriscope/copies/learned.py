"""Could a picture be a part of another, or hold one? A learned vector that copies share with their original.

A small network, trained without labels on copies by tamper patterns (``veriscope lab train descriptor``), looks at the whole
picture at 128 px. It keeps its direction under crops, overlays, filters and turns better than statistics of colour and edges
do. Fails on crops under a tenth of the area and where the original fills less than a tenth of the copy.

Paper: Pizzi et al. 2022 (SSCD: A Self-Supervised Descriptor for Image Copy Detection).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.copies.parts import OF_QUERIES, OF_REFERENCES, windows

MODEL = "descriptor"
SIDE = 128  # pixels of the square that the network sees; the picture is squeezed into it
SIZE = 256  # floats of a vector


def square(rgb: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.uint8]:
    """What the network sees of ``uint8 (H, W, 3)`` RGB, ``uint8 (side, side, 3)``: all of it, squeezed.

    Training and use both come here. Large pictures are averaged over areas, so that nothing aliases.
    """
    smaller = max(rgb.shape[:2]) > side
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), (side, side), interpolation=interpolation), np.uint8)


def as_input(squares: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Squares ``uint8 (S, S, 3)`` as the network's input, ``float32 (N, 3, S, S)`` in [0, 1]."""
    return np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def vectors(squares: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The vectors ``float32 (N, 256)`` of length 1 of squares ``uint8 (128, 128, 3)``.

    Raises:
        ModelError: the network is missing or damaged.
    """
    return np.asarray(models.open_session(MODEL).run(None, {"pixels": as_input(squares)})[0], np.float32)


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
        return np.asarray(vectors([square(rgb)])[0], np.float32)

    def of_reference(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vectors of a picture and its parts as a reference, ``float32 (6, 256)``, the whole first."""
        return vectors([square(part) for part in windows(rgb, OF_REFERENCES)])

    def of_query(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vectors of a picture as a query, ``float32 (11, 256)``: the whole, its mirror image, and then its parts."""
        whole, *parts = (square(part) for part in windows(rgb, OF_QUERIES))
        return vectors([whole, np.ascontiguousarray(whole[:, ::-1]), *parts])
