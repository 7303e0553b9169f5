"""A localiser that is told only whether a picture was edited, never where.

Three streams look at one picture: its colours, its fixed high-pass residual, and a residual by filters that are learned and
kept to predict each pixel from its neighbours. Each gives a map; a learned weight joins them. The picture's score is a soft
maximum of the map, so a label for the picture teaches the places. Two consistencies stand in for the masks: streams
should agree with their joint map, and places that look alike should be judged alike.

Paper: Zhai et al. 2023 (WSCL: multi-source consistency and inter-patch consistency).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.fingerprint import HighPass
from veriscope.lab.networks.residual import ResidualBlock

STREAMS = 3
WIDTHS = (16, 32, 48)  # at a half, a quarter, an eighth
COMPARED = 196  # places that the inter-patch loss compares at most


class Predicting(nn.Module):
    """Learned 5 x 5 filters whose centre is -1 and whose other weights sum to 1: what neighbours cannot predict."""

    def __init__(self, before: int = 3, after: int = 6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(after, before, 5, 5))

    def forward(self, pixels: Tensor) -> Tensor:
        """``(N, before, H, W)`` to ``(N, after, H, W)``. Paper: Bayar & Stamm 2018 (constrained convolution)."""
        centre = torch.zeros_like(self.weight)
        centre[:, :, 2, 2] = 1
        around = self.weight * (1 - centre)
        around = around / (around.sum((2, 3), keepdim=True) + 1e-6)
        return F.conv2d(F.pad(pixels, (2, 2, 2, 2), mode="replicate"), around - centre) * 10


class Stream(nn.Module):
    """A small trunk to features at an eighth of the resolution, and a map of log odds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter, eighth = WIDTHS
        self.trunk = nn.Sequential(
            nn.Conv2d(channels, half, 3, 2, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            ResidualBlock(half, quarter, 2),
            ResidualBlock(quarter, eighth, 2),
            ResidualBlock(eighth, eighth),
        )
        self.map = nn.Conv2d(eighth, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(N, channels, H, W)`` to features ``(N, 48, H/8, W/8)`` and log odds ``(N, 1, H/8, W/8)``."""
        features = self.trunk(x)
        return features, self.map(features)


class WeakNetwork(nn.Module):
    """Three streams and their joint map."""

    def __init__(self) -> None:
        super().__init__()
        self.high_pass, self.predicting = HighPass(), Predicting()
        self.streams = nn.ModuleList([Stream(3), Stream(3), Stream(6)])
        self.weigh = nn.Linear(STREAMS * WIDTHS[-1], STREAMS)

    def looks(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The streams' maps ``(N, 3, H/8, W/8)``, the joint one ``(N, 1, H/8, W/8)``, and all features."""
        inputs = (pixels - 0.5, self.high_pass(pixels), self.predicting(pixels))
        seen = [stream(x) for stream, x in zip(self.streams, inputs, strict=True)]
        features, maps = torch.cat([x for x, _ in seen], 1), torch.cat([x for _, x in seen], 1)
        weights = self.weigh(features.mean((2, 3))).softmax(1)
        return maps, (maps * weights[:, :, None, None]).sum(1, keepdim=True), features

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels ``(N, 3, H, W)`` in [0, 1] to the joint map's log odds and the picture's ``(N,)``."""
        _, joint, _ = self.looks(pixels)
        return joint, pooled(joint)


def pooled(odds: Tensor) -> Tensor:
    """A soft maximum over the places of ``(N, 1, H, W)``, ``(N,)``: places weigh by the exponent of half their log odds."""
    flat = odds.flatten(1)
    return (flat * (flat / 2).softmax(1)).sum(1)


def weak_loss(network: WeakNetwork, pixels: Tensor, told: Tensor) -> Tensor:
    """Cross entropy of the pictures' scores, agreement of the streams with their joint map, and of alike places.

    Args:
        network: in training.
        pixels: (N, 3, H, W) in [0, 1].
        told: (N,) 1 where edited.
    """
    maps, joint, features = network.looks(pixels)
    label = F.binary_cross_entropy_with_logits(pooled(joint), told)
    for stream in range(STREAMS):
        label = label + F.binary_cross_entropy_with_logits(pooled(maps[:, stream : stream + 1]), told) / STREAMS
    agreement = (torch.sigmoid(maps) - torch.sigmoid(joint).detach()).square().mean()
    return label + agreement + 0.2 * _alike(features, torch.sigmoid(joint))


def _alike(features: Tensor, chance: Tensor) -> Tensor:
    """How far the likeness of places and the likeness of what is said of them differ."""
    side = max(1, int((features.shape[2] * features.shape[3] / COMPARED) ** 0.5 + 0.5))
    few, said = F.avg_pool2d(features, side), F.avg_pool2d(chance, side).flatten(2)
    unit = F.normalize(few.flatten(2), dim=1)
    likeness = torch.einsum("ncp,ncq->npq", unit, unit).clamp(0, 1)
    judged = said.transpose(1, 2) @ said + (1 - said).transpose(1, 2) @ (1 - said)
    return (likeness - judged).square().mean()
