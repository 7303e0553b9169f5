"""One pass of the frozen backbone's trunk, shared by every detector that builds on it.

The trunk is the first five blocks of CLIP ViT-B/16's image tower (OpenAI, MIT), stored with 8-bit weights. Detectors go on
from its tokens with blocks of their own.

Paper: Radford et al. 2021 (CLIP).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.picture import Picture
from veriscope.synthetic import views

MODEL = "clip-vit-b16-trunk"


def tokens_of(squares: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Tokens ``float32 (N, 197, 768)`` of squares ``uint8 (224, 224, 3)``; the first is the class token.

    Raises:
        ModelError: the trunk is missing or damaged.
    """
    session = models.open_session(MODEL)
    return np.asarray(session.run(None, {"pixels": views.normalised(squares)})[0], np.float32)


def tokens(picture: Picture) -> NDArray[np.float32]:
    """The picture's tokens ``float32 (197, 768)``, computed once."""
    return picture.once("backbone tokens", lambda: tokens_of([views.whole(picture.rgb)])[0])
