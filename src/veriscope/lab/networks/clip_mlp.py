"""The perceptron of the detector ``clip_mlp``. Paper: Coccomini et al. 2023."""

from __future__ import annotations

from torch import Tensor, nn

from veriscope.lab.networks.standard import Standard

WIDTHS = (256, 64)
DROPPED = 0.3  # share of the features that a step of training leaves out


class Perceptron(nn.Module):
    """Features ``(N, D)`` to scores ``(N,)`` through two hidden layers."""

    def __init__(self, standard: Standard) -> None:
        super().__init__()
        (inputs,) = self.shape = standard.shape
        layers: list[nn.Module] = [standard, nn.Dropout(DROPPED)]
        for width in WIDTHS:
            layers += [nn.Linear(inputs, width), nn.GELU(), nn.Dropout(DROPPED)]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Scores."""
        return self.layers(features).squeeze(1)
