"""The trainable end of the generated-picture detector: three adapted backbone blocks read at four depths.

Blocks 1 to 5 of the backbone stay frozen and run once a picture. Blocks 6 to 8 get low-rank corrections, so that the few
thousand training pictures can bend what the backbone sees without erasing what it knows. The class tokens at four depths and
the mean patch token are mixed with trainable importances.

Papers: Hu et al. 2021 (LoRA); Koutlis & Papadopoulos 2024 (RINE: trainable importance of blocks); Yan et al. 2024 (Effort:
adapt little, keep the pre-trained space); Li et al. 2023 (FLIP: dropping patches makes training cheap).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.clip_vit import WIDTH, Tower

FIRST = 5  # the first adapted block, counted from 0
RANK = 8
READ = 128  # features of each depth


class LowRank(nn.Module):
    """A frozen linear layer plus a trainable correction of low rank, which starts at nothing."""

    def __init__(self, base: nn.Linear, rank: int = RANK) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.normal_(self.down.weight, std=base.in_features**-0.5)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in)`` to ``(..., out)``."""
        return self.base(x) + self.up(self.down(x))


class Depths(nn.Module):
    """Tokens after block 5 to one logit: positive speaks for generated."""

    def __init__(self, tower: Tower, rank: int = RANK) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(tower.blocks[FIRST:])
        self.requires_grad_(False)
        if rank:
            for block in self.blocks:
                for name in ("qkv", "out", "up", "down"):
                    setattr(block, name, LowRank(getattr(block, name), rank))
        readings = len(self.blocks) + 2  # the class token before and after each block, and the last mean patch
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(readings))
        self.reads = nn.ModuleList(nn.Linear(WIDTH, READ) for _ in range(readings))
        self.importance = nn.Parameter(torch.zeros(readings, READ))
        self.head = nn.Sequential(nn.Linear(READ, READ), nn.GELU(), nn.Dropout(0.3), nn.Linear(READ, 1))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens ``(N, T, 768)`` to logits ``(N,)`` and the mixed reading ``(N, READ)``."""
        classes = [tokens[:, 0]]
        for block in self.blocks:
            tokens = block(tokens)
            classes.append(tokens[:, 0])
        classes.append(tokens[:, 1:].mean(1))
        read = [F.gelu(reader(norm(x))) for norm, reader, x in zip(self.norms, self.reads, classes, strict=True)]
        mixed = (torch.stack(read, 1) * self.importance.softmax(0)).sum(1)
        return self.head(mixed)[:, 0], mixed

    def trainable(self) -> dict[str, Tensor]:
        """The state that training changes, without the frozen backbone."""
        frozen = {name for name, parameter in self.named_parameters() if not parameter.requires_grad}
        return {name: value for name, value in self.state_dict().items() if name not in frozen}
