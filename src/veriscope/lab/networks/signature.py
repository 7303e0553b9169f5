"""A reader of bits in texture, as a decoder of latents can write them: how strong each of many fine waves is on average.

A decoder made of convolutions knows no place in the picture, so it can write no pattern that lies somewhere; it can make
some waves a few percent stronger and others weaker wherever there is texture. The reader takes the logarithm of the local
energy after each of a bank of fixed filters, and its mean over the picture: a crop is read like the whole, and a mark costs
least where texture hides it. A projection (``lab/watermarks/extractor.py``) makes bits of these strengths.

Papers: Fernandez et al. 2023 (Stable Signature: an extractor that a decoder learns to satisfy); Fernandez et al. 2022
(marks in a feature space that nobody trained for it).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 9  # pixels a side of a filter
WINDOW = 2.2  # pixels: sigma of the filters' Gaussian window
LUMA_WAVES = ((2.6, 12), (3.4, 12), (4.6, 12), (6.2, 10))  # wavelength in pixels and number of directions
CHROMA_WAVES = ((3.2, 8), (4.6, 8), (6.5, 8))
PLANES = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # luma, Cb, Cr of RGB
CELL = 8  # pixels a side of the places whose energies are compared
FLOOR = 1 / 255  # of a filter's response: what is weaker is taken for noise
LEAST_SIDE = 2 * CELL  # pixels of a picture that can be read


def filters(waves: tuple[tuple[float, int], ...]) -> NDArray[np.float32]:
    """Windowed cosines without mean, each of gain 1 at its own wave: ``float32 (N, SIZE, SIZE)``."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    window = np.exp(-(x**2 + y**2) / (2 * WINDOW**2))
    made = []
    for row, (length, directions) in enumerate(waves):
        for turn in range(directions):
            angle = math.pi * (turn + row % 2 / 2) / directions
            wave = window * np.cos(2 * math.pi / length * (x * math.cos(angle) + y * math.sin(angle)))
            wave -= window * wave.sum() / window.sum()
            made.append(wave / np.abs(np.fft.fft2(wave, (64, 64))).max())
    return np.array(made, np.float32)


class SpectralReader(nn.Module):
    """Pixels to the mean logarithm of the energy of each wave; nothing in it is trained."""

    luma: Tensor
    chroma: Tensor
    planes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("luma", torch.from_numpy(filters(LUMA_WAVES))[:, None], persistent=False)
        self.register_buffer("chroma", torch.from_numpy(filters(CHROMA_WAVES))[:, None], persistent=False)
        self.register_buffer("planes", torch.tensor(PLANES)[:, :, None, None], persistent=False)

    @property
    def features(self) -> int:
        """How many strengths are read."""
        return len(self.luma) + 2 * len(self.chroma)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W) in [0, 1]``, each side at least ``LEAST_SIDE``, to strengths ``(N, features)``."""
        planes = F.conv2d(pixels, self.planes)
        found = [
            _strength(F.conv2d(planes[:, place : place + 1], bank))
            for place, bank in enumerate((self.luma, self.chroma, self.chroma))
        ]
        return torch.cat(found, 1)


def _strength(responses: Tensor) -> Tensor:
    return (F.avg_pool2d(responses.square(), CELL) + FLOOR**2).log().mean((2, 3))
