"""The weakly supervised localiser: from made edits and untouched squares, told apart picture by picture alone.

Paper: Zhai et al. 2023 (WSCL).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from veriscope.lab.data.manifest import Row
from veriscope.lab.networks.weak import WeakNetwork, weak_loss
from veriscope.lab.recipes.fitting import Learning
from veriscope.lab.recipes.localiser import ASIDE, figures_at, finish_on_edits, fit_on_edits
from veriscope.lab.recipes.localising import export_dense
from veriscope.lab.recipes.recipe import Say, Settings


class WeakTraining(Learning):
    """The network with its loss; kept aside, the AUC of its scores: masks are not looked at, not even to stop."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(WeakNetwork(), settings)

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:  # noqa: ARG002 (Lightning's signature)
        """The loss of one batch."""
        loss = weak_loss(self.network, batch[0], batch[3])
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, ...], index: int) -> None:  # noqa: ARG002
        """Logs the AUC of one batch."""
        odds, score = self.network(batch[0])
        told = figures_at(odds, score, batch[2], batch[3])["picture_auc"]
        self.log("aside", told, on_epoch=True, prog_bar=True, batch_size=1)


@dataclass(frozen=True)
class WeakRecipe:
    """How the weakly supervised localiser is trained."""

    name: str = "weak"
    about: str = "A localiser of edits that learned from labels of whole pictures alone."
    papers: tuple[str, ...] = ("Zhai et al. 2023 (WSCL: weakly supervised self-consistency)",)

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on all folds of real sources but two, on the same squares as the main localiser; report on one of them."""
        fitted = fit_on_edits(lambda: WeakTraining(settings), rows, work, self.name, settings, say, aside=ASIDE)
        network = fitted.training.network
        out.mkdir(parents=True, exist_ok=True)
        export_dense(network, (torch.rand(1, 3, 128, 160),), out / f"{self.name}.onnx", ("pixels",), ("map", "score"))
        told = []
        with torch.inference_mode():
            for pixels, _, masks, edited in fitted.aside:
                odds, score = network(pixels)
                told.append(figures_at(odds, score, masks, edited))
        return finish_on_edits(self, out, settings, fitted, told)


RECIPE = WeakRecipe()
