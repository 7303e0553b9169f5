"""A noise fingerprint: features of the camera and of what was saved since, alike over one picture, unlike between pictures.

The scene is held back by a fixed high-pass filter and a short reach; what is left to tell windows of one picture from windows
of others is how its pixels were made: sensor, demosaicing, sharpening, resizing, JPEG tables. It learns from real pictures
alone, by contrast, and never sees an edit. It is kept light, so that a CPU can look at every pixel of a large picture.

Papers: Cozzolino & Verdoliva 2020 (Noiseprint); Guillaro et al. 2023 (TruFor: Noiseprint++ by contrastive learning).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 32  # features, at half the picture's resolution
EMBEDDED = 32  # numbers of a window's embedding
CELL = 16  # pixels a side between two windows
TEMPERATURE = 0.1
GAIN = 10  # of the high-pass, whose values are small


class HighPass(nn.Module):
    """What a 3 x 3 binomial blur takes away, ``(N, 3, H, W)`` in [0, 1] to the same shape, times ``gain``."""

    kernel: Tensor

    def __init__(self, gain: float = GAIN) -> None:
        super().__init__()
        self.gain = gain
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", (line[:, None] * line[None])[None, None].repeat(3, 1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """The details of ``pixels``."""
        padded = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
        return (pixels - F.conv2d(padded, self.kernel, groups=3)) * self.gain


class Fingerprint(nn.Module):
    """High-passed pixels to ``CHANNELS`` features at half the resolution, and to one unit vector a window.

    Args:
        channels: of the features.
        embedded: of the vectors.
    """

    def __init__(self, channels: int = CHANNELS, embedded: int = EMBEDDED) -> None:
        super().__init__()
        self.high_pass = HighPass()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, channels, 3, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            *(
                layer
                for _ in range(3)
                for layer in (
                    nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(inplace=True),
                )
            ),
        )
        self.embed = nn.Conv2d(2 * channels, embedded, 1)

    def features(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1] to ``(N, channels, H/2, W/2)``."""
        return self.trunk(self.high_pass(pixels))

    def described(self, features: Tensor) -> Tensor:
        """Unit vectors ``(N, embedded, H/16, W/16)`` of windows of 48 px, by the mean and spread of the features in each."""
        mean = F.avg_pool2d(features, CELL // 2)
        square = F.avg_pool2d(features.square(), CELL // 2)
        mean, square = (F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) for x in (mean, square))
        spread = (square - mean.square()).clamp(min=0).add(1e-4).sqrt()
        return F.normalize(self.embed(torch.cat([mean, spread], 1)), dim=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W)`` in [0, 1] to unit vectors ``(N, embedded, H/16, W/16)``."""
        return self.described(self.features(pixels))


def window_contrast(windows: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """How little windows of one picture are alone together: the InfoNCE loss with all windows of a picture as positives.

    Args:
        windows: (N, K, D) unit vectors, K windows of each of N pictures.
        temperature: smaller looks at the nearest alone.
    """
    count, each, size = windows.shape
    flat = windows.reshape(-1, size)
    near = flat @ flat.T / temperature
    same = torch.eye(len(flat), dtype=torch.bool, device=flat.device)
    near = near.masked_fill(same, -1e4)
    picture = torch.arange(count, device=flat.device).repeat_interleave(each)
    alike = (picture[:, None] == picture[None]) & ~same
    return -((near.log_softmax(1) * alike).sum(1) / alike.sum(1).clamp(min=1)).mean()


def random_windows(described: Tensor, each: int, generator: torch.Generator | None = None) -> Tensor:
    """``each`` windows of every picture of ``(N, D, H, W)``, drawn without replacement, ``(N, each, D)``."""
    flat = described.flatten(2)
    chosen = torch.stack([torch.randperm(flat.shape[2], generator=generator)[:each] for _ in range(len(flat))])
    return flat.gather(2, chosen[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)
