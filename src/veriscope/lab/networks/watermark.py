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
    """A smooth local mean of ``(N, C, H, W)``: a box twice, over what lies inside the picture.

    As two products with band matrices, which is five times as fast as pooling on a CPU.
    """

    def box(size: int) -> Tensor:
        place = torch.arange(size, device=x.device)
        near = ((place[:, None] - place[None]).abs() <= BOX // 2).to(x.dtype)
        near = near / near.sum(1, keepdim=True)
        return near @ near

    return box(x.shape[2]) @ x @ box(x.shape[3]).T


class View(nn.Module):
    """What both networks see of a picture: its detail, divided by the local activity, and that activity."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """RGB and validity ``(N, 4, H, W)`` to detail ``(N, 3, H, W)``, its local activity, and features ``(N, 8, H, W)``."""
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
    """Random orthogonal patterns of every bit over what may carry them, ``(bits, carriers)``."""
    return torch.linalg.qr(torch.randn(int(tiling.carriers().sum()), bits))[0].T.contiguous()


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
        self.frozen: Tensor | None = None
        carriers = torch.from_numpy(tiling.carriers().reshape(-1))
        self.lumas = int(tiling.carriers()[0].sum())  # carriers that are of luma; chroma's follow
        self.register_buffer("carriers", carriers.nonzero()[:, 0])
        # For each product of waves its place among the carriers, or that of a zero behind them.
        places = torch.where(carriers, carriers.cumsum(0) - 1, int(carriers.sum()))
        self.register_buffer("places", places)
        self.register_buffer("waves", torch.from_numpy(tiling.waves()).float())

    def forward(self, pixels: Tensor) -> Tensor:
        """The log odds ``(N, bits)`` of each bit being 1.

        Args:
            pixels: (N, 4, H, W), RGB in [0, 1] and 1 where it is of the picture; H and W multiples of the tile.
        """
        return self.read(self.view(pixels), pixels[:, 3:])

    def read(self, seen: tuple[Tensor, Tensor, Tensor], valid: Tensor) -> Tensor:
        """As ``forward``, of what ``view`` gives and the validity ``(N, 1, H, W)``."""
        detail, activity, features = seen
        change = self.body(features)
        # The estimate of the mark, weighted by how far each place can be trusted.
        found = (detail[:, :2] / activity[:, :2] ** WHITENING * change[:, 2:].exp() + change[:, :2]) * valid
        count, channels, height, width = found.shape
        tile = tiling.TILE
        folded = found.reshape(count, channels, height // tile, tile, width // tile, tile).sum((2, 4))
        coefficients = (self.waves @ folded @ self.waves.T).flatten(1)[:, self.carriers]
        energy = (found * found).sum((2, 3)) / tile**2  # (N, channels): a coefficient's variance, were there no mark
        shares = self.shares() if self.frozen is None else self.frozen
        return torch.matmul(coefficients, self.bank.T) / (torch.matmul(energy, shares) + 1e-6).sqrt() * self.gain

    def shares(self) -> Tensor:
        """How much of each pattern's energy lies in luma and in chroma, ``(CHANNELS, bits)``."""
        square = self.bank * self.bank
        return torch.stack([square[:, : self.lumas].sum(1), square[:, self.lumas :].sum(1)])

    @torch.no_grad()
    def freeze(self) -> None:
        """Keep what follows from the bank alone, for an export; the bank must not change afterwards."""
        self.frozen = self.shares()


class Encoder(nn.Module):
    """The residual that marks a picture, in luma and Cb, up to a factor.

    Args:
        extractor: what will read it, and reads the unmarked picture here.
    """

    def __init__(self, extractor: Extractor) -> None:
        super().__init__()
        self.extractor = extractor
        self.view, self.body = extractor.view, body(2)
        self.bank = nn.Parameter(extractor.bank.detach().clone())
        self.offset = nn.Parameter(torch.tensor(1.3))  # of what a bit is given, and how fast that falls with agreement
        self.slope = nn.Parameter(torch.tensor(0.3))
        self.share = nn.Parameter(torch.tensor(math.log(CHROMA / (1 - CHROMA))))
        self.register_buffer("template", torch.from_numpy(tiling.template_tile()))

    def forward(self, pixels: Tensor, signs: Tensor) -> Tensor:
        """The residual ``(N, 2, H, W)``.

        Args:
            pixels: as for the extractor.
            signs: (N, bits), -1 or 1.
        """
        seen = self.view(pixels)
        with torch.no_grad():  # the unmarked picture's reading is given, not learned through
            agreement = self.extractor.read(seen, pixels[:, 3:]) * signs
        given = F.softplus(self.offset - F.softplus(self.slope) * agreement)
        count, _, height, width = pixels.shape
        waves, tile = self.extractor.waves, tiling.TILE
        mixed = F.pad(torch.matmul(given * signs, self.bank), (0, 1))[:, self.extractor.places]
        mixed = mixed.reshape(count, tiling.CHANNELS, tiling.WAVES, tiling.WAVES)
        data = waves.T @ mixed @ waves
        data = data / (data * data).mean((2, 3), keepdim=True).add(1e-12).sqrt()
        marked = math.sqrt(1 - TEMPLATE) * data + math.sqrt(TEMPLATE) * self.template
        share = torch.sigmoid(self.share)
        marked = torch.cat([marked[:, :1] * (1 - share).sqrt(), marked[:, 1:] * share.sqrt()], 1)
        _, activity, features = seen
        mask = activity[:, :1] ** MASKING * self.body(features).clamp(-2, 2).exp()
        return marked.repeat(1, 1, height // tile, width // tile) * mask
