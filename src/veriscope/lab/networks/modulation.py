"""From a user's fingerprint to one factor for each input channel of each convolution of a decoder.

Scaling the channels that enter a convolution is the same as scaling its weights, so a whole batch of users can be trained at
once, and one user's factors can be folded into plain weights that need nothing of this afterwards.

Papers: Kim et al. 2024 (WOUAF); Karras et al. 2020 (StyleGAN2: weight modulation).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

MOST = 0.5  # a factor is at most so far from 1
RIDGE = 0.03  # of the mean sensitivity, so that what hardly moves is not forced
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
Factors = Mapping[str, Tensor]  # name of a convolution: (N, its input channels)


def channels(decoder: nn.Module) -> dict[str, int]:
    """The convolutions of a decoder by name, and how many channels enter each; grouped ones are left alone."""
    return {
        name: module.in_channels
        for name, module in decoder.named_modules()
        if isinstance(module, CONVOLUTIONS) and module.groups == 1
    }


class Modulation(nn.Module):
    """Fingerprints to factors; all factors are 1 before it is trained.

    Args:
        bits: of a fingerprint.
        sizes: as ``channels`` gives them.
        width: of the hidden layer.
    """

    def __init__(self, bits: int, sizes: Mapping[str, int], width: int = 128) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        self.body = nn.Sequential(nn.Linear(bits, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.leave = nn.Linear(width + bits, sum(sizes.values()))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, prints: Tensor) -> dict[str, Tensor]:
        """Fingerprints ``(N, bits)`` of 0 and 1 to factors about 1, ``(N, channels)`` for each convolution."""
        signs = 2 * prints - 1
        factors = 1 + MOST * torch.tanh(self.leave(torch.cat([self.body(signs), signs], 1)))
        return self.split(factors)

    def split(self, factors: Tensor) -> dict[str, Tensor]:
        """Factors of all channels in a row, ``(N, all channels)``, by convolution."""
        return dict(zip(self.sizes, factors.split(list(self.sizes.values()), 1), strict=True))

    @torch.no_grad()
    def begin(self, sensitivity: Tensor, shift: float) -> None:
        """Start from the smallest factors that, were all linear, move each reading of a bit by ``shift`` towards it.

        Args:
            sensitivity: ``(bits, all channels)``, how far each factor moves each reading.
            shift: in units of the readings.
        """
        gram = sensitivity @ sensitivity.T
        gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
        smallest = sensitivity.T @ torch.linalg.inv(gram)
        self.leave.weight[:, -len(sensitivity) :] = shift / MOST * smallest


@contextmanager
def modulated(decoder: nn.Module, factors: Factors) -> Iterator[None]:
    """Within it, the decoder decodes picture n of a batch as user n's would."""

    def scaled(by: Tensor) -> Any:
        return lambda _, given: (given[0] * by[:, :, None, None], *given[1:])

    hooks = [decoder.get_submodule(name).register_forward_pre_hook(scaled(by)) for name, by in factors.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def fold(decoder: nn.Module, factors: Factors) -> None:
    """Scale a decoder's weights, in place, by the factors of one user, ``(1, channels)`` each."""
    for name, by in factors.items():
        module = decoder.get_submodule(name)
        shape = (-1, 1, 1, 1) if isinstance(module, nn.ConvTranspose2d) else (1, -1, 1, 1)
        weight = module.weight
        assert isinstance(weight, Tensor)
        weight.mul_(by[0].reshape(shape))
