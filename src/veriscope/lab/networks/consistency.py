"""Whether two windows of a picture went through the same processing, and which step differs: a siamese network.

A splice brings pixels with another history: another save, another scale, another rendering of colour. Windows are embedded
by one pass over the picture; a small head compares any two. It learns from real pictures whose windows were given the same
or different histories, so it never sees a splice.

Paper: Huh et al. 2018 (EXIF-SC: learned self-consistency; here the attributes are the histories given, for few of our
pictures still carry EXIF).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from veriscope.lab.networks.fingerprint import CHANNELS, EMBEDDED, Fingerprint

ATTRIBUTES = ("source", "compression", "scale", "colour")


class Consistency(nn.Module):
    """Windows as unit vectors, and for two of them the log odds that each attribute is the same."""

    def __init__(self, channels: int = CHANNELS, embedded: int = EMBEDDED) -> None:
        super().__init__()
        self.windows = Fingerprint(channels, embedded)
        self.compare = nn.Sequential(nn.Linear(2 * embedded, 64), nn.ReLU(), nn.Linear(64, len(ATTRIBUTES)))

    def pairs(self, first: Tensor, second: Tensor) -> Tensor:
        """Two sets of vectors ``(N, D)`` to log odds of "the same" ``(N, 4)``, in the order of ``ATTRIBUTES``."""
        return self.compare(torch.cat([(first - second).abs(), first * second], 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1] to unit vectors ``(N, D, H/16, W/16)``."""
        return self.windows(pixels)
