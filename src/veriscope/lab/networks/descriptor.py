"""A small network from local points and pixels to a vector that a copy shares with its original, and the loss for it.

Points are described anew, dealt softly to clusters, of which some are thrown away, and summed by their weight; a few
convolutions see the picture at 64 px. Both are added, so that either can carry a vector alone. It is fast on a CPU.

Papers: Arandjelović et al. 2016 (NetVLAD); Zhong et al. 2018 (GhostVLAD: clusters that nothing comes of); Pizzi et al. 2022
(SSCD: contrast and entropy of neighbours); Radenović et al. 2018 (generalised mean); Wang et al. 2020 (cross-batch memory).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.residual import ResidualBlock, step

DESCRIBED = 48  # floats of a point after it is described anew
CLUSTERS, GHOSTS = 48, 6  # that points are dealt to; those of which nothing comes
WIDTHS = (32, 64, 128)  # of the maps, at 16, 8 and 4 px a side
EMBEDDED = 256  # floats of a vector
POWER = 3.0  # of the generalised mean, at first
TEMPERATURE = 0.07
ENTROPY = 0.3  # weight of the neighbours' distance beside the contrast
LEAST_DISTANCE = 1e-4  # of two vectors, below which the distance no longer counts


class GeneralisedMean(nn.Module):
    """Maps ``(N, C, H, W)`` to ``(N, C)``: between their mean and their maximum, as a learned power says."""

    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(POWER))

    def forward(self, maps: Tensor) -> Tensor:
        """The root of the mean of powers; maps are not negative."""
        return maps.clamp(min=1e-4).pow(self.power).mean((2, 3)).pow(1 / self.power)


class Aggregate(nn.Module):
    """Points ``(N, K, 128)`` to one vector ``(N, CLUSTERS * DESCRIBED)`` of length 1; 0 where there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.describe = nn.Sequential(nn.Linear(129, 128), nn.ReLU(inplace=True), nn.Linear(128, DESCRIBED))
        self.deal = nn.Linear(128, CLUSTERS + GHOSTS)
        self.weigh = nn.Linear(DESCRIBED, 1)
        self.centres = nn.Parameter(0.3 * torch.randn(CLUSTERS, DESCRIBED) / DESCRIBED**0.5)
        with torch.no_grad():  # points of unlike direction to clusters of their own from the first step on
            self.deal.weight.copy_(6 * F.normalize(torch.randn_like(self.deal.weight), dim=1))

    def forward(self, points: Tensor, sizes: Tensor, present: Tensor) -> Tensor:
        """``points (N, K, 128)``, ``sizes (N, K)`` in octaves, ``present (N, K)``."""
        centred = 8 * (points - points.mean(2, keepdim=True))
        told = F.normalize(self.describe(torch.cat([centred, sizes[..., None] / 4 + 1], 2)), dim=2)
        dealt = self.deal(centred / 8 * 4).softmax(2)[..., :CLUSTERS]
        dealt = dealt * (torch.sigmoid(self.weigh(told)) * present[..., None])
        summed = dealt.transpose(1, 2) @ told - dealt.sum(1)[..., None] * self.centres
        length = summed.square().sum(2, keepdim=True).add(1e-6).sqrt()
        return F.normalize((summed / length.sqrt()).flatten(1), dim=1)  # bursts of one kind of point count less


class CopyDescriptor(nn.Module):
    """Points and pixels of views to vectors ``(N, EMBEDDED)`` of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.aggregate = Aggregate()
        self.first = step(3, WIDTHS[0], 4, 5)
        pairs = zip((WIDTHS[0], *WIDTHS[:-1]), WIDTHS, strict=True)
        self.stages = nn.ModuleList(
            nn.Sequential(*([step(before, after, 2)] if number else []), ResidualBlock(after, after))
            for number, (before, after) in enumerate(pairs)
        )
        self.pools = nn.ModuleList(GeneralisedMean() for _ in WIDTHS)
        self.local = nn.Linear(CLUSTERS * DESCRIBED, EMBEDDED)
        self.whole = nn.Sequential(nn.BatchNorm1d(sum(WIDTHS)), nn.Linear(sum(WIDTHS), EMBEDDED))
        self.trust = nn.Sequential(
            nn.Linear(1, 8), nn.ReLU(inplace=True), nn.Linear(8, 1)
        )  # in points, by their number

    def forward(self, points: Tensor, sizes: Tensor, present: Tensor, pixels: Tensor) -> Tensor:
        """The vectors of ``copies.learned.Inputs``."""
        maps = self.first(2 * pixels - 1)
        pooled = []
        for stage, pool in zip(self.stages, self.pools, strict=True):
            maps = stage(maps)
            pooled.append(pool(maps))
        seen = F.normalize(self.whole(torch.cat(pooled, 1)), dim=1)
        told = F.normalize(self.local(self.aggregate(points, sizes, present)), dim=1)
        many = torch.log2(1 + present.sum(1, keepdim=True)) / 8
        return F.normalize(seen + 2 * torch.sigmoid(self.trust(many)) * told, dim=1)


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
