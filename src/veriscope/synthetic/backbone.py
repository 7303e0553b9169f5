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


def readings_of(squares: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Class token and mean patch token after each block, ``float32 (N, 8, 2, 768)``, of squares ``uint8 (224, 224, 3)``.

    Raises:
        ModelError: the backbone is missing or damaged.
    """
    session = models.open_session(MODEL)
    return np.asarray(session.run(["readings"], {"pixels": views.normalised(squares)})[0], np.float32)


def readings(picture: Picture) -> NDArray[np.float32]:
    """The readings ``float32 (8, 2, 768)`` of the whole picture, computed once."""
    return picture.once("backbone readings", lambda: readings_of([views.whole(picture.rgb)])[0])


def closeup_readings(picture: Picture) -> NDArray[np.float32]:
    """The readings ``float32 (8, 2, 768)`` of the picture's middle at native resolution, computed once."""
    return picture.once("backbone closeup", lambda: readings_of([views.closeup(picture.rgb)])[0])
