"""What happens to a marked picture on its way, as layers through which gradients pass.

Geometry moves the picture and is undone as the detector undoes it, with an error as large as the detector's. JPEG is computed
(transform, tables, rounding); WebP is the codec itself, past which gradients go straight. Papers: Zhu et al. 2018 (HiDDeN);
Shin and Song 2017 (JPEG-resistant adversarial images); Tancik et al. 2020 (StegaStamp).
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from veriscope.lab.networks.watermark import planes

LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)  # ITU-T T.81, annex K
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)
BLOCK = 8
RGB_OF_PLANES = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def straight(x: Tensor, changed: Tensor) -> Tensor:
    """The value of ``changed`` with the gradient of ``x``."""
    return x + (changed - x).detach()


@lru_cache(maxsize=1)
def _cosines() -> Tensor:
    place = torch.arange(BLOCK, dtype=torch.float64)
    matrix = torch.cos((2 * place[None] + 1) * place[:, None] * math.pi / (2 * BLOCK)) / 2
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def _quantised(plane: Tensor, table: Tensor) -> Tensor:
    """A plane ``(N, 1, H, W)``, H and W multiples of 8, after transform, rounding and back."""
    count, _, height, width = plane.shape
    blocks = plane.reshape(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)
    cosines = _cosines().to(plane)
    steps = cosines @ blocks @ cosines.T / table
    rounded = straight(steps, steps.round())
    back = cosines.T @ (rounded * table) @ cosines
    return back.transpose(2, 3).reshape(count, 1, height, width)


def jpeg(rgb: Tensor, quality: int, *, subsample: bool = True) -> Tensor:
    """Pixels ``(N, 3, H, W)`` in [0, 1] after a JPEG save.

    Args:
        rgb: any size.
        quality: 1 to 100, as libjpeg scales its tables.
        subsample: chroma at half the resolution.
    """
    height, width = rgb.shape[2:]
    padded = F.pad(rgb, (0, -width % 16, 0, -height % 16), mode="replicate")
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    tables = [
        (torch.tensor(table, dtype=rgb.dtype, device=rgb.device) * scale).round().clamp(1, 255)
        for table in (LUMA_TABLE, CHROMA_TABLE)
    ]
    split = planes(padded)
    luma = _quantised(split[:, :1] - 128, tables[0]) + 128
    chroma = F.avg_pool2d(split[:, 1:], 2) if subsample else split[:, 1:]
    chroma = torch.cat([_quantised(chroma[:, at : at + 1], tables[1]) for at in range(2)], 1)
    if subsample:
        chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    matrix = torch.tensor(RGB_OF_PLANES, dtype=rgb.dtype, device=rgb.device)
    saved = torch.einsum("cp,nphw->nchw", matrix, torch.cat([luma, chroma], 1)) / 255
    return saved[:, :, :height, :width].clamp(0, 1)


def webp(rgb: Tensor, quality: int) -> Tensor:
    """Pixels ``(N, 3, H, W)`` in [0, 1] after a lossy WebP save; the gradient passes as if nothing had happened."""
    pixels = (rgb.detach().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    saved = []
    for picture in pixels:
        data = cv2.imencode(".webp", np.ascontiguousarray(picture[:, :, ::-1]), [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
        back = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert back is not None  # it was written on the line above
        saved.append(back[:, :, ::-1])
    shown = torch.from_numpy(np.ascontiguousarray(np.stack(saved))).permute(0, 3, 1, 2).to(rgb) / 255
    return straight(rgb, shown)


def blur(rgb: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur of ``(N, C, H, W)``; sigma in pixels."""
    reach = max(1, math.ceil(3 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=rgb.dtype, device=rgb.device) / sigma) ** 2)
    line = (line / line.sum()).expand(rgb.shape[1], 1, -1)
    padded = F.pad(rgb, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, line[:, :, None, :], groups=rgb.shape[1])
    return F.conv2d(across, line[:, :, :, None], groups=rgb.shape[1])


def colour(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation, gamma and white balance, each by a random amount; sometimes all colour is gone."""

    def drawn(spread: float, *size: int) -> Tensor:
        return (torch.rand(size, generator=generator) * 2 - 1) * spread

    count = len(rgb)
    grey = planes(rgb)[:, :1] / 255
    saturation = 1 + drawn(0.4, count, 1, 1, 1)
    saturation[torch.rand(count, generator=generator) < 0.15] = 0
    rgb = grey + (rgb - grey) * saturation.to(rgb)
    rgb = rgb * (1 + drawn(0.25, count, 1, 1, 1)).to(rgb) * (1 + drawn(0.08, count, 3, 1, 1)).to(rgb)
    rgb = (rgb - 0.5) * (1 + drawn(0.3, count, 1, 1, 1)).to(rgb) + 0.5 + drawn(0.1, count, 1, 1, 1).to(rgb)
    return rgb.clamp(1e-3, 1) ** (1 + drawn(0.3, count, 1, 1, 1)).to(rgb)


def noise(rgb: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Gaussian noise; sigma in steps of 1/255."""
    drawn = torch.randn(rgb.shape, generator=generator).to(rgb)
    return rgb + drawn * sigma / 255


def rescale(rgb: Tensor, scale: float) -> Tensor:
    """To ``scale`` times the size and back, ``(N, 3, H, W)``."""
    small = F.interpolate(rgb, scale_factor=scale, mode="bicubic", antialias=True, align_corners=False)
    return F.interpolate(small, rgb.shape[2:], mode="bicubic", antialias=scale > 1, align_corners=False)


def overlay(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """A rectangle of up to 40 % of each side shows another picture of the batch, or one colour, as text and stickers do."""
    count, _, height, width = rgb.shape
    covered = rgb.clone()
    for at in range(count):
        high, wide = (int(side * (0.1 + 0.3 * float(torch.rand((), generator=generator)))) for side in (height, width))
        top = int(torch.randint(0, height - high, (), generator=generator))
        left = int(torch.randint(0, width - wide, (), generator=generator))
        box = (slice(None), slice(top, top + high), slice(left, left + wide))
        if torch.rand((), generator=generator) < 0.5:
            covered[(at, *box)] = rgb[((at + 1) % count, *box)].detach()
        else:
            covered[(at, *box)] = torch.rand((3, 1, 1), generator=generator).to(rgb)
    return covered


def screenshot(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """Shown at another size by a screen with a gamma of its own, grabbed, and saved."""
    scale = 0.7 + 0.6 * float(torch.rand((), generator=generator))
    shown = rescale(rgb, scale).clamp(1e-3, 1) ** (0.93 + 0.14 * float(torch.rand((), generator=generator)))
    return jpeg(shown, int(torch.randint(70, 96, (), generator=generator)))


def cropped(valid: Tensor, least: float, generator: torch.Generator) -> Tensor:
    """Validity ``(N, 1, H, W)`` of which only a rectangle of at least ``least`` of the area is left."""
    count, _, height, width = valid.shape
    left_over = torch.zeros_like(valid)
    for at in range(count):
        area = least + (1 - least) * float(torch.rand((), generator=generator))
        aspect = math.exp(float(torch.rand((), generator=generator)) - 0.5)
        high = min(height, max(1, round(height * math.sqrt(area * aspect))))
        wide = min(width, max(1, round(width * math.sqrt(area / aspect))))
        top = int(torch.randint(0, height - high + 1, (), generator=generator))
        start = int(torch.randint(0, width - wide + 1, (), generator=generator))
        left_over[at, :, top : top + high, start : start + wide] = valid[at, :, top : top + high, start : start + wide]
    return left_over


def moved(x: Tensor, matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """``(N, C, H, W)`` seen through affine maps ``(N, 2, 3)`` in half widths, as a picture of ``size``; black outside."""
    grid = F.affine_grid(matrix.to(x), [len(x), x.shape[1], *size], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def turn(count: int, degrees: float, stretch: float, shift: float, generator: torch.Generator) -> Tensor:
    """Random affine maps ``(count, 3, 3)``: turned by up to ``degrees``, each axis scaled by up to ``stretch`` (1 is none),
    sheared by as much as the axes differ, and shifted by up to ``shift`` half widths."""

    def drawn(*size: int) -> Tensor:
        return torch.rand(size, generator=generator) * 2 - 1

    angle = drawn(count) * math.radians(degrees)
    scale = torch.exp(drawn(count, 2) * math.log(stretch))
    matrix = torch.eye(3).repeat(count, 1, 1)
    matrix[:, 0, 0], matrix[:, 0, 1] = angle.cos() * scale[:, 0], -angle.sin() * scale[:, 1]
    matrix[:, 1, 0], matrix[:, 1, 1] = angle.sin() * scale[:, 0], angle.cos() * scale[:, 1]
    matrix[:, :2, 2] = drawn(count, 2) * shift
    return matrix


class Channel:
    """A random way through the world for a batch of marked pictures.

    Args:
        generator: of all draws.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def uniform(self, least: float, most: float) -> float:
        """A number between two."""
        return least + (most - least) * float(torch.rand((), generator=self.generator))

    def changed(self, rgb: Tensor, name: str) -> Tensor:
        """The batch after the change called ``name``, of random strength; ``rgb`` is ``(N, 3, H, W)`` in [0, 1]."""
        generator = self.generator
        if name == "jpeg":
            return jpeg(rgb, round(self.uniform(40, 95)), subsample=self.uniform(0, 1) < 0.8)
        if name == "webp":
            return webp(rgb, round(self.uniform(40, 90)))
        if name == "blur":
            return blur(rgb, self.uniform(0.4, 2.2))
        if name == "noise":
            return noise(rgb, self.uniform(1, 14), generator)
        if name == "resize":
            return rescale(rgb, self.uniform(0.35, 1.4))
        simple = {"colour": colour, "overlay": overlay, "screenshot": screenshot}
        return simple[name](rgb, generator) if name in simple else rgb

    def __call__(self, marked: Tensor, side: int) -> Tensor:
        """What the extractor is given ``(N, 4, side, side)`` of marked pictures ``(N, 3, H, H)`` in [0, 1]."""
        count = len(marked)
        turned = self.uniform(0, 1) < 0.35
        there = turn(count, 20, 1.25, 0.1, self.generator) if turned else torch.eye(3).repeat(count, 1, 1)
        if turned:
            marked = moved(marked, there[:, :2], tuple(marked.shape[2:]))
        for name, odds in CHANGES:
            if self.uniform(0, 1) < odds:
                marked = self.changed(marked, name).clamp(0, 1)
        marked = straight(marked, (marked * 255).round() / 255)
        size = (side, side)
        near = (
            turn(count, 0.15, 1.003, 0.004, self.generator)
            if self.uniform(0, 1) < 0.6
            else torch.eye(3).expand(count, 3, 3)
        )
        back = torch.linalg.inv(there) @ near
        valid = torch.ones_like(marked[:, :1])
        small = F.interpolate(marked, size, mode="bilinear", antialias=True, align_corners=False)
        if turned or not torch.equal(near, torch.eye(3).expand(count, 3, 3)):
            small = moved(small, back[:, :2], size)
            valid = (moved(valid, back[:, :2], size) > 0.999).to(small)
        else:
            valid = torch.ones_like(small[:, :1])
        if self.uniform(0, 1) < 0.3:
            valid = cropped(valid, 0.4, self.generator)
        return torch.cat([small * valid + 0.5 * (1 - valid), valid], 1)


CHANGES = (  # in the order in which they happen, and how often
    ("colour", 0.15),
    ("overlay", 0.1),
    ("blur", 0.12),
    ("resize", 0.2),
    ("screenshot", 0.1),
    ("noise", 0.12),
    ("jpeg", 0.6),
    ("webp", 0.1),
)
