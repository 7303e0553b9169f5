"""A network as a recipe trained it, with the squares of a picture that it is asked about."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope import plugins
from veriscope.errors import VeriscopeError
from veriscope.lab.recipes.networks import NetworkRecipe
from veriscope.lab.recipes.patchcraft import Contrasts
from veriscope.lab.recipes.recipe import RECIPES, recipe
from veriscope.synthetic import views
from veriscope.synthetic.learned import OnDetails, OnWhole


@dataclass(frozen=True)
class Trained:
    """A trained network and its recipe."""

    recipe: NetworkRecipe
    network: nn.Module

    def squares(self, rgb: NDArray[np.uint8], most: int = views.MOST_DETAILS) -> NDArray[np.uint8]:
        """What it looks at of a picture ``uint8 (H, W, 3)`` RGB, at most ``most`` squares ``uint8 (N, S, S, 3)``."""
        return views.whole(rgb)[None] if self.recipe.view == "whole" else views.details(rgb, most)

    def inputs(self, squares: NDArray[np.uint8]) -> Tensor:
        """Squares ``uint8 (N, S, S, 3)`` as the network's input, ``float32 (N, ...)``."""
        return torch.stack([self.recipe.tensor(square) for square in squares])

    def onto(self, square: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map ``float32 (h, w)`` of the network's input as one of the square ``uint8 (S, S, 3)``, ``float32 (S, S)``."""
        if isinstance(self.recipe, Contrasts):
            return self.recipe.onto(square, heat)
        return np.asarray(cv2.resize(heat, square.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def trained(name: str, work: Path, *, instead: str) -> Trained:
    """The network that ``veriscope lab train NAME --work WORK`` left, at its best.

    Args:
        name: of the detector.
        work: the folder of the training.
        instead: the option that does without a network, for the error.
    Raises:
        VeriscopeError: the detector is no network on squares of the picture, or was not trained there.
    """
    made = recipe(name)
    if not isinstance(made, NetworkRecipe) or not _on_squares(name):
        others = ", ".join(other for other in sorted(RECIPES) if _on_squares(other))
        raise VeriscopeError(
            f"{name} is no network on squares of the picture, so that it has no maps of them: "
            f"give {instead}, or one of: {others}"
        )
    path = work / name / "best.ckpt"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        network = made.network()
        network.load_state_dict({key.removeprefix("network."): state[key] for key in state if "network." in key[:8]})
    except FileNotFoundError as error:
        raise VeriscopeError(f"{path} is missing: train it first, veriscope lab train {name} --work {work}") from error
    except (RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise VeriscopeError(f"{path}: not a checkpoint of {name} ({error})") from error
    return Trained(made, network.eval())


def _on_squares(name: str) -> bool:
    found = [detector for detector in plugins.detectors() if detector.name == name]  # not every recipe makes one
    return any(isinstance(detector, (OnDetails, OnWhole)) for detector in found)
