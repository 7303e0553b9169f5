"""Train the detector ``patchcraft``: a network on the contrast of rich and poor texture. Paper: Zhong et al. 2023."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from veriscope.lab.networks.patchcraft import PatchCraft
from veriscope.lab.recipes.networks import NetworkRecipe, pixels_of
from veriscope.synthetic import patchcraft, views


def contrast_of(square: NDArray[np.uint8]) -> Tensor:
    """A square ``uint8 (S, S, 3)`` as the network sees it: its rich and poor patches, ``float32 (6, 128, 128)`` in [0, 1]."""
    return pixels_of(patchcraft.rich_and_poor(square))


@dataclass(frozen=True)
class Contrasts(NetworkRecipe):
    """A network on the rich and the poor patches of a square."""

    def onto(self, square: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map of the network's input where it lies on the square.

        Args:
            square: uint8 (S, S, 3), whole patches.
            heat: float32 (h, w), of the contrast: each place is one of a rich and of a poor patch, and speaks of both.
        Returns:
            float32 (S, S), 0 where a patch is neither.
        """
        full = np.asarray(cv2.resize(heat, (patchcraft.SIDE, patchcraft.SIDE), interpolation=cv2.INTER_LINEAR))
        parts = patchcraft.patches_of(full[:, :, None])
        down, across = square.shape[0] // patchcraft.PATCH, square.shape[1] // patchcraft.PATCH
        spread = np.zeros((down * across, patchcraft.PATCH, patchcraft.PATCH), np.float32)
        for chosen in patchcraft.sorted_by_texture(square):
            spread[chosen] = parts[..., 0]
        laid = spread.reshape(down, across, patchcraft.PATCH, patchcraft.PATCH).swapaxes(1, 2)
        return np.ascontiguousarray(laid.reshape(down * patchcraft.PATCH, across * patchcraft.PATCH))


RECIPE = Contrasts(
    name="patchcraft",
    about="Is it generated? A small network on the contrast between a picture's rich and poor texture, its subject broken up.",
    papers=("Zhong et al. 2023 (PatchCraft)",),
    network=PatchCraft,
    side=views.DETAIL,  # all of it, for fewer patches would contrast less
    channels=6,
    tensor=contrast_of,
)
