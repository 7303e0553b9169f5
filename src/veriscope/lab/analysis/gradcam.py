"""Where does a network look? Grad-CAM: its last maps, each weighed by what it does for the score.

The maps are summed with the mean gradient of the score over each as its weight. The sum is not rectified, so that places that
speak for "real" are shown as well as those that speak for "generated". Where the score is linear in the maps' means, as in most
networks here, the values of a map add up to the score less its offset. The maps are coarse, they show where and not why, and a
network can rest on a trace that lies everywhere, which no map shows.

Papers: Selvaraju et al. 2017 (Grad-CAM); Bird & Lotfi 2024 (CIFAKE, which explains its answers so).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope.errors import VeriscopeError


def gradcam(network: nn.Module, inputs: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The scores of a network and where they come from.

    Args:
        network: ``inputs`` to scores ``(N,)``.
        inputs: float32 (N, ...).
    Returns:
        scores (N,), and maps float32 (N, h, w), positive where the score is raised.
    Raises:
        VeriscopeError: the network makes no maps.
    """
    with torch.enable_grad(), _outputs(network) as made:
        scores = network.eval()(inputs.requires_grad_())
    maps = [output for output in made if _is_map(output) and len(output) == len(inputs) and output is not inputs]
    if not maps:
        raise VeriscopeError(f"{type(network).__name__} makes no maps of the picture; ask for --method occlusion")
    last = maps[-1]
    (slope,) = torch.autograd.grad(scores.sum(), last)
    heat = (slope.mean((2, 3), keepdim=True) * last).sum(1)
    return scores.detach().double().numpy(), heat.detach().numpy().astype(np.float32)


def _is_map(output: Any) -> bool:
    return isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1 and output.requires_grad


@contextmanager
def _outputs(network: nn.Module) -> Iterator[list[Any]]:
    """What each module of a network gives while it runs, in the order in which they end."""
    made: list[Any] = []
    hooks = [part.register_forward_hook(lambda _, __, output: made.append(output)) for part in network.modules()]
    try:
        yield made
    finally:
        for hook in hooks:
            hook.remove()
