"""Encoder and extractor of the learned mark: a bank of patterns, a mask that knows the picture, and a filter that undoes it.

The encoder is informed: it first reads the unmarked picture as the extractor will, and spends less on bits whose pattern the
picture already agrees with. Both start from classical spread spectrum (random orthogonal patterns, activity masking, whitening)
and learn from there. Papers: Cox et al. 1997 (spread spectrum); Malvar and Florencio 2003 (improved spread spectrum); Zhu et
al. 2018 (HiDDeN: encoder and extractor trained through noise).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.watermarks import tiling

WIDTH = 16  # channels of the hidden layers
REACHES = (1, 2, 4)  # pixels between the taps of the hidden layers
BOX = 9  # canonical pixels: side of the means that the high-pass and the local activity are made of
MASKING = 0.5  # power of the local activity that the mark's strength starts from
WHITENING = 1.5  # power of it that the extractor starts from dividing by
CHROMA = 0.45  # share of the mark's energy that chroma starts from
TEMPLATE = 0.12  # share of the template in the mark's energy
LUMA = (0.299, 0.587, 0.114)
BLUE = (-0.168736, -0.331264, 0.5)
RED = (0.5, -0.418688, -0.081312)
BLUE_TO_RGB = (0.0, -0.344136, 1.772)


def planes(rgb: Tensor) -> Tensor:
    """Luma, Cb and Cr ``(N, 3, H, W)`` in steps of 1/255 of pixels ``(N, 3, H, W)`` in [0, 1]."""
    matrix = torch.tensor([LUMA, BLUE, RED], dtype=rgb.dtype, device=rgb.device)
    return torch.einsum("pc,nchw->nphw", matrix, rgb) * 255


def to_rgb(residual: Tensor) -> Tensor:
    """A residual in luma and Cb ``(N, 2, H, W)`` as one in RGB ``(N, 3, H, W)``, in the same unit."""
    blue = torch.tensor(BLUE_TO_RGB, dtype=residual.dtype, device=residual.device)
    return residual[:, :1] + residual[:, 1:] * blue[:, None, None]


def mean(x: Tensor) -> Tensor:
    """A smooth local mean of ``(N, C, H, W)``: a box twice, over what lies inside the picture."""
    for _ in range(2):
        x = F.avg_pool2d(x, BOX, 1, BOX // 2, count_include_pad=False)
    return x


class View(nn.Module):
    """What both networks see of a picture: its detail, divided by the local activity, and that activity."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """RGB and validity ``(N, 4, H, W)`` to detail ``(N, 3, H, W)``, its local activity, and the features ``(N, 8, H, W)``."""
        smooth = planes(pixels[:, :3])
        detail = smooth - mean(smooth)
        activity = (mean(detail * detail) + 1).sqrt()
        features = torch.cat([detail / activity, activity.log() / 2, smooth[:, :1] / 128 - 1, pixels[:, 3:]], 1)
        return detail, activity, features


def body(outputs: int) -> nn.Sequential:
    """A few dilated convolutions from the features to ``outputs`` maps, which start at zero."""
    layers: list[nn.Module] = []
    channels = 8
    for reach in REACHES:
        layers += [nn.Conv2d(channels, WIDTH, 3, 1, reach, reach), nn.LeakyReLU(0.1, inplace=True)]
        channels = WIDTH
    last = nn.Conv2d(channels, outputs, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


def first_bank(bits: int) -> Tensor:
    """Random orthogonal patterns of every bit over what may carry them, ``(bits, CHANNELS * WAVES * WAVES)``."""
    allowed = torch.from_numpy(tiling.carriers().reshape(-1))
    drawn = torch.randn(int(allowed.sum()), bits)
    bank = torch.zeros(bits, allowed.numel())
    bank[:, allowed] = torch.linalg.qr(drawn)[0].T
    return bank


class Extractor(nn.Module):
    """Reads bits from a picture that lies on the canonical grid, whatever the offset within the tile was: the grid decides.

    Args:
        bits: how many.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.view, self.body = View(), body(4)
        self.bank = nn.Parameter(first_bank(bits))
        self.gain = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("allowed", torch.from_numpy(tiling.carriers().reshape(-1)).float())
        self.register_buffer("waves", torch.from_numpy(tiling.waves()).float())

    def residual(self, pixels: Tensor) -> Tensor:
        """The estimate of the mark in luma and Cb ``(N, 2, H, W)``, weighted by how far each place can be trusted."""
        detail, activity, features = self.view(pixels)
        change = self.body(features)
        whitened = detail[:, :2] / activity[:, :2] ** WHITENING * (change[:, 2:]).exp()
        return (whitened + change[:, :2]) * pixels[:, 3:]

    def forward(self, pixels: Tensor) -> Tensor:
        """The log odds ``(N, bits)`` of each bit being 1.

        Args:
            pixels: (N, 4, H, W), RGB in [0, 1] and 1 where it is of the picture; H and W multiples of the tile.
        """
        found = self.residual(pixels)
        count, channels, height, width = found.shape
        tile = tiling.TILE
        folded = found.reshape(count, channels, height // tile, tile, width // tile, tile).sum((2, 4))
        coefficients = (self.waves @ folded @ self.waves.T).flatten(2)
        bank = (self.bank * self.allowed).reshape(len(self.bank), channels, -1)
        energy = (found * found).sum((2, 3)) / tile**2  # (N, channels): the variance of a coefficient, were there no mark
        read = torch.matmul(coefficients.flatten(1), bank.flatten(1).T)
        spread = torch.matmul(energy, (bank * bank).sum(2).T)
        return read / (spread + 1e-6).sqrt() * self.gain


class Encoder(nn.Module):
    """The residual that marks a picture, in luma and Cb, up to a factor.

    Args:
        extractor: what will read it, and reads the unmarked picture here.
    """

    def __init__(self, extractor: Extractor) -> None:
        super().__init__()
        self.extractor = extractor
        self.view, self.body = View(), body(2)
        self.bank = nn.Parameter(extractor.bank.detach().clone())
        self.spend = nn.Parameter(torch.tensor([0.0, 0.3, 0.3]))  # least, slope and offset of what a bit is given
        self.share = nn.Parameter(torch.tensor(math.log(CHROMA / (1 - CHROMA))))
        self.register_buffer("template", torch.from_numpy(tiling.template_tile()))

    def forward(self, pixels: Tensor, signs: Tensor) -> Tensor:
        """The residual ``(N, 2, H, W)``.

        Args:
            pixels: as for the extractor.
            signs: (N, bits), -1 or 1.
        """
        agreement = self.extractor(pixels) * signs
        least, slope, offset = self.spend
        given = F.softplus(offset + least.exp() - F.softplus(slope) * agreement)
        count, _, height, width = pixels.shape
        waves, tile = self.extractor.waves, tiling.TILE
        mixed = torch.matmul(given * signs, self.bank * self.extractor.allowed)
        mixed = mixed.reshape(count, tiling.CHANNELS, tiling.WAVES, tiling.WAVES)
        data = waves.T @ mixed @ waves
        data = data / (data * data).mean((2, 3), keepdim=True).add(1e-12).sqrt()
        marked = math.sqrt(1 - TEMPLATE) * data + math.sqrt(TEMPLATE) * self.template
        share = torch.sigmoid(self.share)
        marked = torch.cat([marked[:, :1] * (1 - share).sqrt(), marked[:, 1:] * share.sqrt()], 1)
        _, activity, features = self.view(pixels)
        mask = activity[:, :1] ** MASKING * self.body(features).clamp(-2, 2).exp()
        return marked.repeat(1, 1, height // tile, width // tile) * mask
