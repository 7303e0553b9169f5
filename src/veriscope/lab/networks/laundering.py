"""The network of the detector ``laundering``: two decisions, one after the other. Paper: Mandelli et al. 2024.

Stage one asks whether there is any synthetic trace; stage two, given one, whether a model made the content or only passed it
on. Both read the same residual of the picture, through networks of their own, as in the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.aedetect import WIDTHS, Artefacts


class TwoStages(nn.Module):
    """Two patch networks and the line through which each one's score becomes a log odds.

    Args:
        widths: of each network's stages.
    """

    slope: Tensor
    offset: Tensor

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.trace = Artefacts(widths=widths)
        self.made = Artefacts(widths=widths)
        self.register_buffer("slope", torch.ones(2))
        self.register_buffer("offset", torch.zeros(2))

    def stages(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1] to the log odds ``(N, 2)`` of a trace and, given one, of "generated"."""
        return torch.stack([self.trace(pixels), self.made(pixels)], 1) * self.slope + self.offset

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1] to the log probability ``(N,)`` of "generated"."""
        return F.logsigmoid(self.stages(pixels)).sum(1)


class Odds(nn.Module):
    """The two log odds of ``TwoStages`` as its output, for export."""

    def __init__(self, network: TwoStages) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1] to ``(N, 2)``."""
        return self.network.stages(pixels)
