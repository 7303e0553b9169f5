"""What happens to a picture on its way to the reader of a signature: one random change and perhaps a saving, with gradients.

Shapes change for good here, as the reader asks for no place; the rest are the layers of ``networks/watermark_noise.py``.

Paper: Zhu et al. 2018 (HiDDeN: noise layers between writer and reader).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from veriscope.lab.networks import watermark_noise as noise
from veriscope.lab.networks.signature import LEAST_SIDE

SAVED_SHARE = 0.5  # of the batches


def changed(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Pixels ``(N, 3, H, W) in [0, 1]`` after what may happen to them, maybe of another size; all are changed alike.

    Args:
        pixels: of a batch.
        generator: source of chance.
    """
    change = CHANGES[int(torch.randint(len(CHANGES), (), generator=generator))]
    pixels = change(pixels, generator).clamp(0, 1)
    if _uniform(generator, 0, 1) < SAVED_SHARE:
        pixels = noise.jpeg(pixels, round(_uniform(generator, 50, 96)), subsample=_uniform(generator, 0, 1) < 0.8)
    return pixels


def _uniform(generator: torch.Generator, least: float, most: float) -> float:
    return least + (most - least) * float(torch.rand((), generator=generator))


def _same(pixels: Tensor, _: torch.Generator) -> Tensor:
    return pixels


def _cropped(pixels: Tensor, generator: torch.Generator) -> Tensor:
    sizes = [max(min(4 * LEAST_SIDE, side), round(side * _uniform(generator, 0.5, 1))) for side in pixels.shape[2:]]
    spare = [side - kept + 1 for side, kept in zip(pixels.shape[2:], sizes, strict=True)]
    top, left = (int(torch.randint(most, (), generator=generator)) for most in spare)
    return pixels[:, :, top : top + sizes[0], left : left + sizes[1]]


def _resized(pixels: Tensor, generator: torch.Generator) -> Tensor:
    scale = 2 ** _uniform(generator, -0.6, 0.6)
    size = [max(4 * LEAST_SIDE, round(side * scale)) for side in pixels.shape[2:]]
    return F.interpolate(pixels, size=size, mode="bilinear", antialias=True)


def _turned(pixels: Tensor, generator: torch.Generator) -> Tensor:
    matrix = noise.turn(1, 10, 1.0, 0.0, generator)[:, :2].expand(len(pixels), 2, 3)
    return noise.moved(pixels, matrix, (pixels.shape[2], pixels.shape[3]))


def _flipped(pixels: Tensor, _: torch.Generator) -> Tensor:
    return pixels.flip(3)


def _blurred(pixels: Tensor, generator: torch.Generator) -> Tensor:
    return noise.blur(pixels, _uniform(generator, 0.2, 1.0))


def _noisy(pixels: Tensor, generator: torch.Generator) -> Tensor:
    return noise.noise(pixels, _uniform(generator, 0, 6), generator)


CHANGES: tuple[Callable[[Tensor, torch.Generator], Tensor], ...] = (
    _same,
    _cropped,
    _resized,
    _turned,
    _flipped,
    _blurred,
    _noisy,
    noise.colour,
)
