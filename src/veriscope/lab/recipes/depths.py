"""Train the detector ``depths``: a linear score on the backbone's readings, held still where a picture is saved again.

Papers: Ojha et al. 2023 (a linear score on a frozen backbone generalises); Koutlis & Papadopoulos 2024 (RINE).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from veriscope.lab.recipes.export import export_linear
from veriscope.lab.recipes.heads import Features, Fold, HeadRecipe, from_readings
from veriscope.synthetic import depths

DECAY = 0.03  # L2 penalty on the standardised weights, chosen on sources kept aside
INVARIANCE = 0.03  # penalty on the mean square change of the score between two savings of one picture, likewise
STEPS = 80  # of L-BFGS


@dataclass(frozen=True)
class Linear:
    """A fitted linear score, ``features @ weights + offset``: the log odds."""

    weights: torch.Tensor
    offset: float

    def __call__(self, features: Features) -> NDArray[np.float64]:
        """Scores ``(N,)``."""
        return np.asarray(features @ self.weights.numpy() + self.offset, np.float64)

    def export(self, path: Path) -> None:
        """Write it as ONNX."""
        export_linear(self.weights, self.offset, path)


def fit_linear(fold: Fold, *, decay: float = DECAY, invariance: float = INVARIANCE, steps: int = STEPS) -> Linear:
    """A weighted logistic regression with an L2 penalty on standardised features, by L-BFGS.

    The score is further penalised for its mean square over the fold's ``changes``, which are differences that should not
    matter.

    Args:
        fold: features (N, D), labels, weights, changes (M, D).
        decay: the factor of the penalty on the weights.
        invariance: the factor of the penalty on the changes.
        steps: the most iterations.
    """
    mean, spread = fold.features.mean(0), fold.features.std(0) + 1e-6
    x = torch.from_numpy(np.ascontiguousarray((fold.features - mean) / spread))
    y, w = torch.from_numpy(fold.labels), torch.from_numpy(fold.weights.astype(np.float32))
    still = torch.from_numpy(fold.changes / spread) if len(fold.changes) and invariance else None
    slope = torch.zeros(x.shape[1], requires_grad=True)
    offset = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([slope, offset], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = (w * F.binary_cross_entropy_with_logits(x @ slope + offset, y, reduction="none")).sum()
        value = value + decay * slope.square().sum()
        if still is not None:
            value = value + invariance * (still @ slope).square().mean()
        value.backward()
        return value.detach()

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    scaled = slope.detach() / torch.from_numpy(spread)
    return Linear(scaled, float(offset.detach()[0]) - float(scaled @ torch.from_numpy(mean)))


RECIPE = HeadRecipe(
    name=depths.MODEL,
    about="Is it generated? A linear score on the frozen backbone's middle blocks.",
    papers=("Ojha et al. 2023", "Koutlis & Papadopoulos 2024 (RINE)"),
    features=from_readings(depths.features),
    fit=fit_linear,
)
