"""A small residual network, the trunk of the detectors that look at pixels, and its parts. Paper: He et al. 2016 (ResNet)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def step(before: int, after: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """One convolution, normalised and rectified: ``(N, before, H, W)`` to ``(N, after, H / stride, W / stride)``."""
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )


def twice(x: Tensor) -> Tensor:
    """``(N, C, H, W)`` at twice its size, interpolated."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; halves height and width when ``stride`` is 2."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        same = before == after and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, before, H, W)`` to ``(N, after, H / stride, W / stride)``."""
        return torch.relu(self.body(x) + self.shortcut(x))


class Trunk(nn.Module):
    """Residual stages, each halving the size, to one vector a picture.

    Args:
        channels: of the input.
        widths: of the stages; the vector has the last one's.
    """

    def __init__(self, channels: int = 3, widths: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        self.first = step(channels, widths[0], 2)
        pairs = zip((widths[0], *widths[:-1]), widths, strict=True)
        self.stages = nn.Sequential(*(ResidualBlock(before, after, 2) for before, after in pairs))

    def maps(self, x: Tensor) -> Tensor:
        """The last stage's maps, ``(N, widths[-1], H / 2^(stages + 1), ...)``, for Grad-CAM and audits."""
        return self.stages(self.first(x))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, H, W)`` to ``(N, widths[-1])``."""
        return self.maps(x).mean((2, 3))
