"""The network of the detector ``effort``: a block of the backbone tuned in the residual subspace of its attention's weights.

A matrix is the sum of its singular directions. The strongest stay frozen; the ``rank`` weakest are replaced by trained ones of
the same number, which start as they were, are kept orthogonal to the frozen ones and to each other, and keep their energy.

Paper: Yan et al. 2025 (Effort).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.clip_vit import WIDTH, Block

RANK = 16  # weakest directions of each matrix, of 768
STEP = 0.1  # of a change of a base in one unit of its parameter: a base is tuned more gently than the head


class Residual(nn.Module):
    """A linear map ``(..., D)`` to ``(..., D)`` with its weakest singular directions trained and the others frozen."""

    def __init__(self, weight: Tensor, bias: Tensor, rank: int = RANK) -> None:
        super().__init__()
        left, sizes, right = torch.linalg.svd(weight.detach())
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("bias", bias.detach().clone())
        self.register_buffer("left", left[:, -rank:].contiguous())  # (D, rank)
        self.register_buffer("sizes", sizes[-rank:].contiguous())  # (rank,)
        self.register_buffer("right", right[-rank:].contiguous())  # (rank, D)
        self.left_change = nn.Parameter(torch.zeros_like(self.left))
        self.sizes_change = nn.Parameter(torch.zeros_like(self.sizes))
        self.right_change = nn.Parameter(torch.zeros_like(self.right))

    def tuned(self) -> tuple[Tensor, Tensor, Tensor]:
        """The trained directions: left ``(D, rank)``, sizes ``(rank,)``, right ``(rank, D)``."""
        return (
            self.left + STEP * self.left_change,
            self.sizes + STEP * self.sizes_change,
            self.right + STEP * self.right_change,
        )

    def correction(self) -> tuple[Tensor, Tensor]:
        """What the trained directions add to the weight and the replaced ones take away, as ``(D, 2 rank) @ (2 rank, D)``."""
        left, sizes, right = self.tuned()
        return torch.cat([left * sizes, -self.left * self.sizes], 1), torch.cat([right, self.right])

    def forward(self, x: Tensor) -> Tensor:
        """The map."""
        up, down = self.correction()
        return F.linear(x, self.weight, self.bias) + F.linear(F.linear(x, down), up)

    def constraint(self) -> Tensor:
        """How far the trained directions are from orthogonal, to the frozen ones and to each other, and their energy from kept.

        The frozen and the replaced directions are together a basis, so what of a trained direction lies along the frozen ones
        is what does not lie along the replaced ones.
        """
        left, sizes, right = self.tuned()
        apart = _apart(left.T, self.left.T) + _apart(right, self.right)
        energy = self.sizes.square().sum()
        return apart + (sizes.square().sum() / energy - 1).abs()


def _apart(rows: Tensor, replaced: Tensor) -> Tensor:
    own = (rows @ rows.T - torch.eye(len(rows), device=rows.device)).square().sum()
    along_frozen = rows.square().sum() - (rows @ replaced.T).square().sum()
    return own + 2 * along_frozen


class Joined(nn.Module):
    """Several maps of one input, their outputs side by side."""

    def __init__(self, maps: list[Residual]) -> None:
        super().__init__()
        self.maps = nn.ModuleList(maps)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., D)`` to ``(..., maps * D)``."""
        return torch.cat([part(x) for part in self.maps], -1)


class TunedBlock(nn.Module):
    """A block of the backbone, tuned, and a linear score: tokens ``(N, 197, 768)`` to scores ``(N,)``.

    The four matrices of the attention are ``Residual``; all else of the block is frozen.
    """

    def __init__(self, block: Block, rank: int = RANK) -> None:
        super().__init__()
        block.requires_grad_(False)
        weights, biases = block.qkv.weight.split(WIDTH), block.qkv.bias.split(WIDTH)
        parts = [Residual(weight, bias, rank) for weight, bias in zip(weights, biases, strict=True)]
        self.residuals = [*parts, Residual(block.out.weight, block.out.bias, rank)]
        block.qkv, block.out = Joined(parts), self.residuals[-1]
        self.block = block
        self.norm = nn.LayerNorm(2 * WIDTH, elementwise_affine=False)
        self.head = nn.Linear(2 * WIDTH, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores."""
        x = self.block(tokens)
        return self.head(self.norm(torch.cat([x[:, 0], x[:, 1:].mean(1)], 1))).squeeze(1)

    def constraint(self) -> Tensor:
        """The mean of those of the four matrices."""
        return torch.stack([residual.constraint() for residual in self.residuals]).mean()
