"""A small U-Net that takes noise from latents, convolutions only, so that it runs at any size it was not trained at.

Papers: Ronneberger et al. 2015 (U-Net); Ho et al. 2020 (DDPM); Perez et al. 2018 (FiLM: the time scales and shifts the maps).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MULTIPLE = 4  # height and width of the latents are multiples of this


class _Block(nn.Module):
    def __init__(self, width: int, times: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
        self.norm = nn.GroupNorm(8, width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(times, 2 * width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.film(time)[:, :, None, None].chunk(2, 1)
        return x + self.second(F.silu(self.norm(self.first(x)) * (1 + scale) + shift))


class Denoiser(nn.Module):
    """Velocity of noised latents.

    Args:
        channels: of the latents.
        widths: of the three levels, each half the size of the one above it; multiples of 8.
        times: size of the embedding of time.
    """

    def __init__(self, channels: int, widths: tuple[int, int, int] = (64, 96, 120), times: int = 64) -> None:
        super().__init__()
        self.times = times
        self.embed = nn.Sequential(nn.Linear(times, times), nn.SiLU(), nn.Linear(times, times), nn.SiLU())
        self.enter = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList([_Block(width, times) for width in widths])
        self.up = nn.ModuleList([_Block(width, times) for width in widths])
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList([nn.Conv2d(before, after, 3, 2, 1) for before, after in pairs])
        self.grow = nn.ModuleList([nn.Conv2d(after, before, 3, padding=1) for before, after in pairs])
        self.leave = nn.Sequential(nn.GroupNorm(8, widths[0]), nn.SiLU(), nn.Conv2d(widths[0], channels, 3, padding=1))

    def forward(self, latents: Tensor, time: Tensor, about: Tensor | None = None) -> Tensor:
        """Latents ``(N, C, h, w)``, h and w multiples of 4, at times ``(N,)`` in [0, 1], to velocity ``(N, C, h, w)``.

        ``about``, ``(N, times)``, is added to the embedding of time where the picture's content is known.
        """
        rates = torch.exp(torch.linspace(0, math.log(200), self.times // 2, device=time.device))
        angles = time[:, None] * rates[None]
        embedded = self.embed(torch.cat([angles.sin(), angles.cos()], 1))
        embedded = embedded if about is None else embedded + about
        x = self.enter(latents)
        kept = []
        for level, block in enumerate(self.down):
            x = block(x, embedded)
            kept.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
        for level in reversed(range(len(self.up))):
            if level < len(self.grow):
                x = kept[level] + self.grow[level](F.interpolate(x, scale_factor=2.0, mode="nearest"))
            x = self.up[level](x, embedded)
        return self.leave(x)


class ClassDenoiser(Denoiser):
    """A denoiser that may be told a picture's class.

    Args:
        channels: of the latents.
        classes: how many there are; class number ``classes`` says that none is known.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels)
        self.classes = nn.Embedding(classes + 1, self.times)
        nn.init.zeros_(self.classes.weight)

    def told(self, latents: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        """As ``forward``, for pictures of classes ``int64 (N,)``."""
        return self(latents, time, self.classes(labels))
