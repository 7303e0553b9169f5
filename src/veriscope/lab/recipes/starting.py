"""Weights that a network starts from: a trunk trained on another task, or the whole network trained on other pictures.

Papers: Baradad et al. 2022 (procedural image programs, for a trunk); Qraitem et al. 2024 (From Fake to Real, for a network).
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from veriscope.errors import ModelError
from veriscope.lab.recipes.recipe import Say


def start_from(network: nn.Module, path: Path, say: Say) -> None:
    """Give a network the weights of a file that fit it by name and shape, and say how many did.

    Args:
        network: changed in place; what the file lacks, a head for example, keeps its own weights.
        path: safetensors; a trunk's names begin with ``trunk.``, as in the networks that have one.
        say: called with one line.
    Raises:
        ModelError: the file cannot be read, or nothing in it fits.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        given = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read as safetensors: {error}") from error
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in given.items() if name in own and own[name].shape == tensor.shape}
    if not fitting:
        raise ModelError(f"{path}: none of its {len(given)} tensors fits the network to be started, by name and shape")
    network.load_state_dict({**own, **fitting})
    say(f"started from {path.name}: {len(fitting)} of the network's {len(own)} tensors")
