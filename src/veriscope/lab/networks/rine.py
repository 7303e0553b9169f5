"""The head of the detector ``rine``, and its contrastive loss.

Papers: Koutlis & Papadopoulos 2024 (RINE); Khosla et al. 2020 (supervised contrastive learning).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.standard import Standard

WIDTH = 256  # of the space made for forgeries
LAYERS = 2  # of each projection
DROPPED = 0.5
TEMPERATURE = 0.07  # of the contrastive loss


class IntermediateHead(nn.Module):
    """Class tokens of all blocks ``(N, blocks, D)`` to scores ``(N,)``.

    The first projection maps each block's token into one space; the importance estimator takes, for each feature of that
    space, a mean over the blocks with trained weights that sum to 1; the second projection gives the embedding.
    """

    def __init__(self, standard: Standard, width: int = WIDTH) -> None:
        super().__init__()
        blocks, inputs = self.shape = standard.shape
        self.standard = standard
        self.first = _projection(inputs, width)
        self.importance = nn.Parameter(0.02 * torch.randn(blocks, width))
        self.second = _projection(width, width)[:-2]  # it ends linearly, free to point anywhere
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def embedding(self, features: Tensor) -> Tensor:
        """What the classes are drawn together in, ``(N, width)``."""
        mapped = self.first(self.standard(features))
        return self.second((self.importance.softmax(0) * mapped).sum(1))

    def scores(self, embedding: Tensor) -> Tensor:
        """Scores ``(N,)`` of embeddings."""
        return self.head(embedding).squeeze(1)

    def forward(self, features: Tensor) -> Tensor:
        """Scores."""
        return self.scores(self.embedding(features))


def _projection(inputs: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Dropout(DROPPED)]
    for _ in range(LAYERS):
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(DROPPED)]
        inputs = width
    return nn.Sequential(*layers)


def supervised_contrast(embedding: Tensor, labels: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """The mean over all of one class of how little they are alone near each other, by cosine (Khosla et al. 2020, eq. 2).

    Args:
        embedding: (N, D).
        labels: (N,) classes; one that is alone in its class is passed over.
        temperature: smaller looks at the nearest alone.
    """
    unit = F.normalize(embedding, dim=1)
    near = unit @ unit.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    log_share = near - near.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    alike = (labels[:, None] == labels[None]) & ~itself
    count = alike.sum(1)
    return -((log_share * alike).sum(1) / count.clamp(min=1))[count > 0].mean()
