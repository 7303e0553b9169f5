"""A small critic that scores each patch of a picture for looking real. Paper: Isola et al. 2017 (PatchGAN)."""

from __future__ import annotations

from torch import Tensor, nn


class PatchCritic(nn.Module):
    """Pixels ``(N, 3, H, W) in [0, 1]`` to scores ``(N, 1, H/4, W/4)``; each score sees 22 x 22 pixels."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Higher looks more real."""
        return self.layers(2 * pixels - 1)
