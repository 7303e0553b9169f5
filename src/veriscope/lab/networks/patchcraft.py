"""The network of the detector ``patchcraft``. Papers: Zhong et al. 2023 (PatchCraft); Fridrich & Kodovsky 2012 (SRM).

The filters are the residuals of the spatial rich model: differences of first, second and third order in all their directions,
and the square and edge kernels of 3 and 5 pixels with their rotations, 30 in all.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.residual import Trunk

FILTER = 5  # pixels a side
LARGEST = 8.0  # grey levels; a residual beyond it is an edge and is cut off
DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
SQUARE_3 = ((-1, 2, -1), (2, -4, 2), (-1, 2, -1))
SQUARE_5 = ((-1, 2, -2, 2, -1), (2, -6, 8, -6, 2), (-2, 8, -12, 8, -2), (2, -6, 8, -6, 2), (-1, 2, -2, 2, -1))


def high_pass() -> NDArray[np.float32]:
    """The 30 filters, ``float32 (30, 5, 5)``; each sums to 0 and its largest coefficient is 1 in size."""
    found = [_along(step, (1, -1), 0) for step in DIRECTIONS]
    found += [_along(step, (1, -2, 1), -1) for step in DIRECTIONS[:4]]
    found += [_along(step, (1, -3, 3, -1), -1) for step in DIRECTIONS]
    for kernel in (SQUARE_3, SQUARE_5):
        whole = np.pad(np.array(kernel, np.float32), (FILTER - len(kernel)) // 2)
        edge = whole.copy()
        edge[FILTER // 2 + 1 :] = 0
        found += [whole, *(np.rot90(edge, turn) for turn in range(4))]
    return np.stack([kernel / np.abs(kernel).max() for kernel in found]).astype(np.float32)


def _along(step: tuple[int, int], values: tuple[int, ...], first: int) -> NDArray[np.float32]:
    """Values on a line through the middle, the first at ``first`` steps from it."""
    kernel = np.zeros((FILTER, FILTER), np.float32)
    for place, value in enumerate(values, first):
        kernel[FILTER // 2 + place * step[0], FILTER // 2 + place * step[1]] = value
    return kernel


class PatchCraft(nn.Module):
    """A residual network on the difference of what one small block makes of the rich and of the poor picture's residuals."""

    def __init__(self, width: int = 32, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        filters = torch.from_numpy(high_pass())
        self.register_buffer("filters", (filters / 3).unsqueeze(1).repeat(1, 3, 1, 1))
        self.fingerprint = nn.Sequential(
            nn.Conv2d(len(filters), width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.trunk = Trunk(width, widths)
        self.score = nn.Linear(widths[-1], 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """The rich and the poor picture ``(N, 6, H, W)`` in [0, 1] to scores ``(N,)``."""
        both = torch.cat([pixels[:, :3], pixels[:, 3:]])
        residuals = F.conv2d(both * 255, self.filters, padding=FILTER // 2).clamp(-LARGEST, LARGEST) / LARGEST
        rich, poor = self.fingerprint(residuals).chunk(2)
        return self.score(self.trunk(rich - poor)).squeeze(1)
