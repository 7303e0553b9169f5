"""A small network from pixels to a vector that a copy shares with its original, and the loss that draws both together.

Maps of three depths are pooled, so that colours and edges count beside shapes; a wide first step keeps it fast on a CPU.

Papers: Pizzi et al. 2022 (SSCD: contrast, entropy of neighbours, pooling); Radenović et al. 2018 (generalised mean); He et al.
2016 (ResNet); Wang et al. 2020 (cross-batch memory).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.residual import ResidualBlock

WIDTHS = (32, 64, 128, 256)  # at a quarter, an eighth, ... of the side
EMBEDDED = 256  # floats of a vector
POWER = 3.0  # of the generalised mean, at first
TEMPERATURE = 0.05
ENTROPY = 3.0  # weight of the neighbours' distance beside the contrast
LEAST_DISTANCE = 1e-4  # of two vectors, below which the distance no longer counts


class GeneralisedMean(nn.Module):
    """Maps ``(N, C, H, W)`` to ``(N, C)``: between their mean and their maximum, as a learned power says."""

    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(POWER))

    def forward(self, maps: Tensor) -> Tensor:
        """The root of the mean of powers; maps are not negative."""
        return maps.clamp(min=1e-4).pow(self.power).mean((2, 3)).pow(1 / self.power)


class CopyDescriptor(nn.Module):
    """Pixels ``(N, 3, S, S)`` in [0, 1] to vectors ``(N, EMBEDDED)`` of length 1."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, embedded: int = EMBEDDED) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(3, widths[0], 4, 4, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        pairs = zip((widths[0], *widths[:-1]), widths, strict=True)
        self.stages = nn.ModuleList(
            nn.Sequential(*([_halved(before, after)] if number else []), ResidualBlock(after, after))
            for number, (before, after) in enumerate(pairs)
        )
        self.pools = nn.ModuleList(GeneralisedMean() for _ in widths[1:])
        pooled = sum(widths[1:])
        self.embed = nn.Sequential(nn.BatchNorm1d(pooled), nn.Linear(pooled, embedded))

    def forward(self, pixels: Tensor) -> Tensor:
        """The vectors; any side that is a multiple of 32 will do."""
        maps = self.first(2 * pixels - 1)
        pooled = []
        for number, stage in enumerate(self.stages):
            maps = stage(maps)
            if number:
                pooled.append(self.pools[number - 1](maps))
        return F.normalize(self.embed(torch.cat(pooled, 1)), dim=1)


def _halved(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True))


@dataclass(frozen=True, eq=False)
class Seen:
    """Vectors and whose they are.

    Attributes:
        vectors: (N, D) of length 1.
        pictures: (N,) the number of the picture that each is a view of.
    """

    vectors: Tensor
    pictures: Tensor


def copy_contrast(views: Seen, memory: Seen, temperature: float = TEMPERATURE) -> Tensor:
    """How little the other views of its picture stand out near a view, by cosine, averaged over all pairs of a picture.

    Args:
        views: at least two of a picture.
        memory: earlier views, which push and are not drawn.
        temperature: smaller looks at the nearest alone.
    """
    near = views.vectors @ views.vectors.T / temperature
    same = views.pictures[:, None] == views.pictures[None]
    against = torch.cat(
        [near.masked_fill(same, -torch.inf), _strangers(views, memory, -torch.inf, 1 / temperature)], 1
    ).logsumexp(1, keepdim=True)
    pairs = same & ~torch.eye(len(near), dtype=torch.bool, device=near.device)
    return (torch.logaddexp(near, against) - near)[pairs].mean()  # a picture's other views do not compete


def neighbour_entropy(views: Seen, memory: Seen) -> Tensor:
    """Minus the mean log distance of each view to the nearest stranger: low where vectors fill the sphere evenly."""
    near = views.vectors @ views.vectors.T
    near = near.masked_fill(views.pictures[:, None] == views.pictures[None], -1.0)
    nearest = torch.cat([near, _strangers(views, memory, -1.0)], 1).max(1).values
    return -(0.5 * torch.log((2 - 2 * nearest).clamp(min=LEAST_DISTANCE))).mean()


def _strangers(views: Seen, memory: Seen, same: float, scale: float = 1.0) -> Tensor:
    near = views.vectors @ memory.vectors.T * scale
    return near.masked_fill(views.pictures[:, None] == memory.pictures[None], same)
