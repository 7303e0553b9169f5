"""Train the detector ``patchcraft``: a network on the contrast of rich and poor texture. Paper: Zhong et al. 2023."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from veriscope.lab.networks.patchcraft import PatchCraft
from veriscope.lab.recipes.networks import NetworkRecipe, pixels_of
from veriscope.synthetic import patchcraft, views


def contrast_of(square: NDArray[np.uint8]) -> Tensor:
    """A square ``uint8 (S, S, 3)`` as the network sees it: its rich and poor patches, ``float32 (6, 128, 128)`` in [0, 1]."""
    return pixels_of(patchcraft.rich_and_poor(square))


RECIPE = NetworkRecipe(
    name="patchcraft",
    about="Is it generated? A small network on the contrast between a picture's rich and poor texture, its subject broken up.",
    papers=("Zhong et al. 2023 (PatchCraft)",),
    network=PatchCraft,
    side=views.DETAIL,  # all of it, for fewer patches would contrast less
    channels=6,
    tensor=contrast_of,
)
