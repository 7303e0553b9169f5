"""One pass of the frozen backbone, shared by every detector that reads it.

The backbone is the first eight blocks of CLIP ViT-B/16's image tower (OpenAI, MIT), stored with 8-bit weights. Middle blocks
keep texture that the last ones drop in favour of meaning, and eight cost two thirds of twelve.

Papers: Radford et al. 2021 (CLIP); Koutlis & Papadopoulos 2024 (RINE: intermediate blocks).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.picture import Picture
from veriscope.synthetic import views

MODEL = "clip-vit-b16-eight-blocks"


def pass_of(squares: list[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The readings of squares ``uint8 (224, 224, 3)``, and their tokens after the last block, ``float32 (N, 197, 768)``.

    Raises:
        ModelError: the backbone is missing or damaged.
    """
    session = models.open_session(MODEL)
    found = session.run(["readings", "tokens"], {"pixels": views.normalised(squares)})
    return np.asarray(found[0], np.float32), np.asarray(found[1], np.float32)


def readings_of(squares: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Class token and mean patch token after each block, ``float32 (N, 8, 2, 768)``, of squares ``uint8 (224, 224, 3)``.

    Raises:
        ModelError: the backbone is missing or damaged.
    """
    session = models.open_session(MODEL)
    return np.asarray(session.run(["readings"], {"pixels": views.normalised(squares)})[0], np.float32)


def readings(picture: Picture) -> NDArray[np.float32]:
    """The readings ``float32 (8, 2, 768)`` of the whole picture, computed once."""
    return _whole(picture)[0]


def tokens(picture: Picture) -> NDArray[np.float32]:
    """The whole picture's tokens after the last block, ``float32 (197, 768)``, of the same pass as its readings."""
    return _whole(picture)[1]


def _whole(picture: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    def compute() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        found, last = pass_of([views.whole(picture.rgb)])
        return found[0], last[0]

    return picture.once("backbone pass", compute)


def closeup_readings(picture: Picture) -> NDArray[np.float32]:
    """The readings ``float32 (8, 2, 768)`` of the picture's middle at native resolution, computed once."""
    return picture.once("backbone closeup", lambda: readings_of([views.closeup(picture.rgb)])[0])
