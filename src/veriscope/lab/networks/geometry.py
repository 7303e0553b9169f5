"""The perceptron of the detector ``geometry``. Paper: Sarkar et al. 2024."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope.lab.networks.standard import Standard

WIDTH = 48
DROPPED = 0.4  # share of the measures, and of the hidden layer, that a step of training leaves out
MOST = 4.0  # spreads from the mean that a measure counts for: some have long tails


class Perceptron(nn.Module):
    """Measures ``(N, D)`` to scores ``(N,)`` through one hidden layer, made for the ``measures`` it will be fitted on."""

    def __init__(self, measures: NDArray[np.float32]) -> None:
        super().__init__()
        self.standard = Standard(measures)
        self.layers = nn.Sequential(
            nn.Dropout(DROPPED),
            nn.Linear(measures.shape[1], WIDTH),
            nn.GELU(),
            nn.Dropout(DROPPED),
            nn.Linear(WIDTH, 1),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row of measures."""
        return self.standard.shape

    def forward(self, measures: Tensor) -> Tensor:
        """Scores."""
        return self.layers(self.standard(measures).clamp(-MOST, MOST)).squeeze(1)
