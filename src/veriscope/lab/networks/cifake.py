"""The small network of CIFAKE on pictures of 32 px. Paper: Bird & Lotfi 2024 (CIFAKE)."""

from __future__ import annotations

from torch import Tensor, nn

SIDE = 32  # pixels


class SmallCNN(nn.Module):
    """Convolutions of one width, each followed by a maximum over 2 x 2, and one hidden layer.

    Args:
        layers: of convolutions, 1 to 3.
        filters: of each.
        hidden: neurons; the paper's best network has 2 layers of 32 filters and 64 neurons.
    """

    def __init__(self, layers: int = 2, filters: int = 32, hidden: int = 64) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for number in range(layers):
            parts += [nn.Conv2d(filters if number else 3, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.maps = nn.Sequential(*parts)
        self.score = nn.Sequential(
            nn.Flatten(), nn.Linear(filters * (SIDE >> layers) ** 2, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, 32, 32)`` in [0, 1] to scores ``(N,)``."""
        return self.score(self.maps(pixels - 0.5)).squeeze(1)
