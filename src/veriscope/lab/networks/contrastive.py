"""Networks whose embedding is made by contrast: pictures of one class are drawn together, those of the other pushed away.

The classifying head learns beside the embedding and does not shape it, as in both papers, where it is fitted afterwards.

Papers: Baraldi et al. 2024 (CoDE: global and local crops); Bae et al. 2023 (SelfCon: a sub-network as the second view);
Boychev & Cholakov 2024 (ImagiNet: SelfCon for generated pictures); Khosla et al. 2020 (supervised contrastive learning).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.residual import ResidualBlock, Trunk
from veriscope.lab.networks.rine import TEMPERATURE, supervised_contrast

WIDTHS = (32, 64, 128, 192)  # of the trunk's stages
EMBEDDED = 128  # numbers of an embedding
GLOBAL = (160, 224)  # pixels a side of a crop that shows nearly all, drawn for each step
LOCAL = 96  # pixels a side of one that shows a part
LOCALS = 2  # of these to each picture
EXIT = 2  # stages before the sub-network leaves


def class_contrast(
    anchors: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    """The mean over all anchors and all others of the same class of how little these are alone near the anchor, by cosine.

    Args:
        anchors: (N, D).
        labels: (N,) their classes; an anchor that no other shares its class with is passed over.
        others: (M, D), none of them an anchor.
        other_labels: (M,).
        temperature: smaller looks at the nearest alone.
    """
    near = F.normalize(anchors, dim=1) @ F.normalize(others, dim=1).T / temperature
    alike = labels[:, None] == other_labels[None]
    count = alike.sum(1)
    return -((near.log_softmax(1) * alike).sum(1) / count.clamp(min=1))[count > 0].mean()


def crops(pixels: Tensor, side: int) -> Tensor:
    """A random square of each picture of ``(N, C, H, W)``, cut and never resized, ``(N, C, side, side)``."""
    tops, lefts = (torch.randint(0, size - side + 1, (len(pixels),)).tolist() for size in pixels.shape[2:])
    return torch.stack(
        [
            picture[:, top : top + side, left : left + side]
            for picture, top, left in zip(pixels, tops, lefts, strict=True)
        ]
    )


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, 1))


class GlobalLocal(nn.Module):
    """A trunk, an embedding on the unit sphere, and a linear score of it."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, embedded: int = EMBEDDED) -> None:
        super().__init__()
        self.trunk = Trunk(3, widths)
        self.embed = nn.Linear(widths[-1], embedded)
        self.head = _head(embedded)

    def embedding(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1] of any size to unit vectors ``(N, embedded)``."""
        return F.normalize(self.embed(self.trunk(pixels - 0.5)), dim=1)

    def scores(self, embedding: Tensor) -> Tensor:
        """Scores ``(N,)`` of embeddings."""
        return self.head(embedding).squeeze(1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels to scores ``(N,)``."""
        return self.scores(self.embedding(pixels))


def global_local_loss(network: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
    """Contrast among crops that show nearly all, and between these and parts; cross entropy of the head alone.

    Args:
        network: a ``GlobalLocal``.
        pixels: (N, 3, H, W) in [0, 1], H and W at least 224.
        labels: (N,) 1 or 0.
    """
    assert isinstance(network, GlobalLocal)
    side = int(torch.randint(GLOBAL[0], GLOBAL[1] + 1, ()))
    whole = network.embedding(crops(pixels, side))
    parts = network.embedding(torch.cat([crops(pixels, LOCAL) for _ in range(LOCALS)]))
    contrast = supervised_contrast(whole, labels) + class_contrast(whole, labels, parts, labels.repeat(LOCALS))
    return contrast + F.binary_cross_entropy_with_logits(network.scores(whole.detach()), labels)


class SelfContrast(nn.Module):
    """A trunk that a sub-network leaves half-way; what both see of one picture are its two views.

    The sub-network and the projections serve the loss alone: in use a picture takes the trunk and a linear score of it.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS, embedded: int = EMBEDDED) -> None:
        super().__init__()
        self.trunk = Trunk(3, widths)
        self.subnetwork = ResidualBlock(widths[EXIT - 1], widths[-1], 2)
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(widths[-1], widths[-1]), nn.ReLU(), nn.Linear(widths[-1], embedded))
            for _ in range(2)
        )
        self.head = _head(widths[-1])

    def exits(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """What the trunk and the sub-network make of pixels ``(N, 3, H, W)`` in [0, 1], each ``(N, widths[-1])``."""
        middle = self.trunk.stages[:EXIT](self.trunk.first(pixels - 0.5))
        return self.trunk.stages[EXIT:](middle).mean((2, 3)), self.subnetwork(middle).mean((2, 3))

    def scores(self, features: Tensor) -> Tensor:
        """Scores ``(N,)`` of what the trunk made."""
        return self.head(features).squeeze(1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels to scores ``(N,)``."""
        return self.scores(self.trunk(pixels - 0.5))


def self_contrast_loss(network: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
    """Supervised contrast among the embeddings of both exits, each an anchor and a view; cross entropy of the head alone.

    Args:
        network: a ``SelfContrast``.
        pixels: (N, 3, H, W) in [0, 1].
        labels: (N,) 1 or 0.
    """
    assert isinstance(network, SelfContrast)
    exits = network.exits(pixels)
    views = torch.cat([project(seen) for project, seen in zip(network.projections, exits, strict=True)])
    told = F.binary_cross_entropy_with_logits(network.scores(exits[0].detach()), labels)
    return told + supervised_contrast(views, labels.repeat(2))
