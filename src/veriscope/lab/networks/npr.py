"""The network of the detector ``npr``. Paper: Tan et al. 2024 (NPR)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.residual import Trunk


class NPR(nn.Module):
    """A small residual network on what is left of a picture after it was made half as large and twice as large again."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        self.trunk = Trunk(3, widths)
        self.score = nn.Linear(widths[-1], 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1], H and W even, to scores ``(N,)``."""
        small = F.interpolate(pixels, scale_factor=0.5, mode="nearest")
        residual = pixels - F.interpolate(small, scale_factor=2.0, mode="nearest")
        return self.score(self.trunk(residual * 6)).squeeze(1)
