"""The network of the detectors of an autoencoder's pass. Papers: Vesnin et al. 2024 (AEDetect); Gragnaniello et al. 2021.

Content is taken away first: what a decoder leaves is in the finest detail, and real and reconstructed squares show the same
things. The first convolution keeps the full size, for a network that halves at once loses most of that trace.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.residual import Trunk

GAIN = 8.0  # brings the residual of an ordinary photograph to a spread near 1/4
WIDTHS = (24, 48, 96)


def high_pass(pixels: Tensor) -> Tensor:
    """Pixels ``(N, 3, H, W)`` in [0, 1] less their mean over 3 x 3, times ``GAIN``; the same shape."""
    return (pixels - F.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)) * GAIN


class Artefacts(nn.Module):
    """A small residual network on the finest detail, from full size.

    Args:
        first: maps at full size.
        widths: of the stages after it.
    """

    def __init__(self, first: int = 16, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, first, 3, padding=1)
        self.trunk = Trunk(first, widths)
        self.score = nn.Linear(widths[-1], 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1] to scores ``(N,)``."""
        return self.score(self.trunk(torch.relu(self.first(high_pass(pixels))))).squeeze(1)
