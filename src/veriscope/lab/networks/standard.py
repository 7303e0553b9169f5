"""Features brought to mean 0 and spread 1, as the first step of a head: a backbone's features differ in size by hundreds."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Standard(nn.Module):
    """Features ``(N, ...)`` less the mean, by the spread, of those it was made from."""

    def __init__(self, features: NDArray[np.float32]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(features.mean(0)))
        self.register_buffer("spread", torch.from_numpy(features.std(0) + np.float32(1e-6)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row of features."""
        return tuple(self.mean.shape)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape."""
        return (features - self.mean) / self.spread
