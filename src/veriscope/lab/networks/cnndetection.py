"""The network of the detector ``cnndetection``. Papers: Wang et al. 2020 (CNNDetection); He et al. 2016 (ResNet)."""

from __future__ import annotations

from torch import Tensor, nn

from veriscope.lab.networks.residual import Trunk

MIDDLE, SPREAD = 0.45, 0.25  # of pixels in [0, 1], about those of photographs


class CNNDetection(nn.Module):
    """A small residual network on pixels as they are."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        self.trunk = Trunk(3, widths)
        self.score = nn.Linear(widths[-1], 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1] to scores ``(N,)``."""
        return self.score(self.trunk((pixels - MIDDLE) / SPREAD)).squeeze(1)
