"""On which channels does a network's answer rest? Forensic feature relevance (FF-RS), and what is lost without them.

A channel's relevance to one generated picture is the part of the score that its map brings, activation times gradient, where
positive, as a share of what all channels of its layer bring; the statistic is the mean over pictures. In networks of rectifiers
activation times gradient is layer-wise relevance propagation by its plainest rule, but for the offsets of the normalisation;
the paper uses the beta-0 rule. Silencing the first channels of that order must cost more than silencing random or last ones,
or the order says nothing. A trace that many channels share is missed by silencing few.

Papers: Chandrasegaran et al. 2022 (Discovering Transferable Forensic Features); Bach et al. 2015 (layer-wise relevance).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope.errors import VeriscopeError
from veriscope.lab.networks.residual import ResidualBlock

LAYERS = 2  # the last blocks, whose channels are looked at
BATCH = 16  # pictures
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """One block of a network whose output channels are looked at."""

    name: str
    module: nn.Module
    channels: int


@dataclass(frozen=True)
class Channel:
    """One channel: ``layer`` is a place in the list of layers."""

    layer: int
    number: int


def layers(network: nn.Module, inputs: Tensor, count: int = LAYERS) -> list[Layer]:
    """The last residual blocks that a network uses for its score, in the order in which they run.

    Args:
        network: ``inputs`` to scores.
        inputs: (N, ...); one is enough.
        count: how many at most.
    Raises:
        VeriscopeError: it has none.
    """
    ran: list[Layer] = []
    blocks = [(name, part) for name, part in network.named_modules() if isinstance(part, ResidualBlock)]
    hooks = [
        part.register_forward_hook(
            lambda module, _, output, name=name: ran.append(Layer(name, module, output.shape[1]))
        )
        for name, part in blocks
    ]
    try:
        with torch.inference_mode():
            network.eval()(inputs[:1])
    finally:
        _remove(hooks)
    if not ran:
        raise VeriscopeError(f"{type(network).__name__} has no residual blocks whose channels could be looked at")
    return ran[-count:]


def relevance(network: nn.Module, looked: Sequence[Layer], inputs: Tensor) -> list[Floats]:
    """The forensic feature relevance of each channel of each layer, ``(C,)``; a layer's sum to 1 where it brings anything.

    Args:
        network: ``inputs`` to scores ``(N,)``.
        looked: its layers.
        inputs: (N, ...) generated pictures.
    """
    sums = [np.zeros(layer.channels) for layer in looked]
    for part in inputs.split(BATCH):
        with torch.enable_grad(), _outputs(looked) as made:
            scores = network.eval()(part.clone().requires_grad_())
        slopes = torch.autograd.grad(scores.sum(), made)
        for total, output, slope in zip(sums, made, slopes, strict=True):
            brought = (output.detach() * slope).clamp(min=0).sum((2, 3))
            total += (brought / brought.sum(1, keepdim=True).clamp(min=1e-12)).sum(0).double().numpy()
    return [total / len(inputs) for total in sums]


def ranked(found: Sequence[Floats]) -> list[Channel]:
    """All channels, the most relevant first."""
    every = [Channel(layer, number) for layer, values in enumerate(found) for number in range(len(values))]
    return sorted(every, key=lambda channel: (-found[channel.layer][channel.number], channel.layer, channel.number))


@torch.inference_mode()
def scores(
    network: nn.Module, inputs: Tensor, looked: Sequence[Layer] = (), silenced: Sequence[Channel] = ()
) -> Floats:
    """The scores ``(N,)`` of a network, some of its channels silenced.

    Args:
        network: ``inputs`` to scores.
        inputs: (N, ...).
        looked: the layers that ``silenced`` counts in.
        silenced: channels whose maps are set to 0.
    """
    hooks = []
    for place, layer in enumerate(looked):
        numbers = [channel.number for channel in silenced if channel.layer == place]
        if numbers:
            hooks.append(layer.module.register_forward_hook(_without(numbers)))
    try:
        return np.concatenate([network.eval()(part).double().numpy() for part in inputs.split(BATCH)])
    finally:
        _remove(hooks)


@torch.inference_mode()
def strongest(network: nn.Module, looked: Sequence[Layer], inputs: Tensor) -> list[Floats]:
    """Each channel's largest activation anywhere in each picture, ``(N, C)`` of each layer."""
    found: list[list[Floats]] = [[] for _ in looked]
    for part in inputs.split(BATCH):
        with _outputs(looked) as made:
            network.eval()(part)
        for kept, output in zip(found, made, strict=True):
            kept.append(output.amax((2, 3)).double().numpy())
    return [np.concatenate(kept) for kept in found]


def _without(numbers: Sequence[int]) -> Any:
    def silence(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, list(numbers)] = 0
        return output

    return silence


@contextmanager
def _outputs(looked: Sequence[Layer]) -> Iterator[list[Tensor]]:
    made: list[Tensor] = []
    hooks = [layer.module.register_forward_hook(lambda _, __, output: made.append(output)) for layer in looked]
    try:
        yield made
    finally:
        _remove(hooks)


def _remove(hooks: Sequence[Any]) -> None:
    for hook in hooks:
        hook.remove()
