"""The network of the detector ``warps``. Papers: Wang et al. 2019 (Scripting Photoshop); Yu et al. 2017 (dilated residuals)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.fingerprint import HighPass
from veriscope.lab.networks.residual import ResidualBlock, step, twice
from veriscope.tampering.warps import TYPICAL_SHARE

COLOURS = 3
FAINT = 8.0  # gain of the high-pass, whose values are small
PIXELS = 4.0  # that a unit of the flow's output stands for, so that it is of the order of one
REACHES = (1, 4, 12)  # places between which differences of the flow's error are taken
LEAST = 0.5  # pixels: a place that moves by less shows nothing and counts as still
PICTURE, END_POINT, SHAPE = 0.3, 0.3, 0.1  # weights in the loss beside that of the places, 1


class DilatedBlock(nn.Module):
    """Two 3 x 3 convolutions whose taps lie ``reach`` apart, and a shortcut: a wider view at the same resolution."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, reach, reach, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, reach, reach, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, width, H, W)`` to the same shape."""
        return torch.relu(self.body(x) + x)


class Warps(nn.Module):
    """Whence each place was moved, and whether, at a quarter of the picture's resolution.

    Args:
        widths: of the features at a half, a quarter and an eighth of the resolution.
    """

    def __init__(self, widths: tuple[int, int, int] = (24, 48, 96)) -> None:
        super().__init__()
        half, fine, coarse = widths
        self.residual = HighPass(FAINT)
        self.first = step(2 * COLOURS, half, 2, kernel=5)
        self.fine = ResidualBlock(half, fine, 2)
        self.coarse = nn.Sequential(ResidualBlock(fine, coarse, 2), DilatedBlock(coarse, 2), DilatedBlock(coarse, 4))
        self.merged = nn.Sequential(
            nn.Conv2d(fine + coarse, fine, 1, bias=False),
            nn.BatchNorm2d(fine),
            nn.ReLU(inplace=True),
            nn.Conv2d(fine, fine, 3, 1, 1, bias=False),
            nn.BatchNorm2d(fine),
            nn.ReLU(inplace=True),
        )
        self.flow = nn.Conv2d(fine, 2, 3, 1, 1)
        self.logits = nn.Conv2d(fine, 1, 1)
        nn.init.zeros_(self.flow.weight)  # a picture is taken to be untouched until something speaks against it
        nn.init.constant_(self.logits.bias, math.log(TYPICAL_SHARE))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """What each place shows.

        Args:
            pixels: (N, 3, H, W) in [0, 1], H and W multiples of 8.
        Returns:
            the flow ``(N, 2, H/4, W/4)`` in pixels, x before y, and the log odds ``(N, 1, H/4, W/4)`` of having been moved.
        """
        fine = self.fine(self.first(torch.cat([pixels * 2 - 1, self.residual(pixels)], 1)))
        wide = twice(self.coarse(fine))
        merged = self.merged(torch.cat([fine, wide], 1))
        return self.flow(merged) * PIXELS, self.logits(merged)


def pooled(logits: Tensor) -> Tensor:
    """The pictures' scores ``(N,)`` of the log odds ``(N, 1, h, w)`` of their places, as in ``tampering/warps.py``."""
    places = logits[0].numel()
    return torch.logsumexp(logits.flatten(1), 1) - math.log(places * TYPICAL_SHARE)


def warp_loss(flow: Tensor, logits: Tensor, truth: Tensor) -> Tensor:
    """How far a network's maps are from the truth: end points, their differences at several scales, and what was moved.

    Differences of the error keep the shape of the flow right where its level cannot be told, as in the paper. The paper's
    third term, the error of the restored pixels, makes up for a truth that is estimated; here the truth is exact. What was
    moved is asked of each place and of the picture.

    Args:
        flow: (N, 2, h, w), pixels.
        logits: (N, 1, h, w), log odds.
        truth: (N, 2, h, w), the flow that was applied, pixels; all zero in an untouched picture.
    """
    error = flow - truth
    differences = sum(
        (error[..., reach:, :] - error[..., :-reach, :]).abs().mean()
        + (error[..., reach:] - error[..., :-reach]).abs().mean()
        for reach in REACHES
    )
    moved = (truth.square().sum(1, keepdim=True) > LEAST**2).float()
    places = F.binary_cross_entropy_with_logits(logits, moved)
    pictures = F.binary_cross_entropy_with_logits(pooled(logits), moved.amax((1, 2, 3)))
    return places + PICTURE * pictures + END_POINT * end_points(flow, truth).mean() + SHAPE * differences


def end_points(flow: Tensor, truth: Tensor) -> Tensor:
    """How far two flows ``(N, 2, h, w)`` end from each other, pixels ``(N, h, w)``."""
    return (flow - truth).square().sum(1).add(1e-6).sqrt()
