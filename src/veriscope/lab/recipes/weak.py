"""The weakly supervised localiser: from made edits and untouched squares, told apart picture by picture alone.

Paper: Zhai et al. 2023 (WSCL).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from veriscope.lab.data.manifest import Row
from veriscope.lab.networks.weak import WeakNetwork, weak_loss
from veriscope.lab.recipes.fitting import fit_module
from veriscope.lab.recipes.localiser import (
    ASIDE,
    REPORTING,
    STOPPING,
    EditBatches,
    figures_at,
    folds_of,
    prepare_edits,
)
from veriscope.lab.recipes.localising import export_dense, finish_localiser, real
from veriscope.lab.recipes.recipe import Say, Settings


class WeakTraining(lightning.LightningModule):
    """The network with its loss; kept aside, the AUC of its scores: masks are not looked at, not even to stop."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.network = WeakNetwork()

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

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine over the epochs."""
        optimiser = torch.optim.AdamW(self.parameters(), self.settings.rate, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.settings.epochs, self.settings.rate / 20)
        return [optimiser], [schedule]


@dataclass(frozen=True)
class WeakRecipe:
    """How the weakly supervised localiser is trained."""

    name: str = "weak"
    about: str = "A localiser of edits that learned from labels of whole pictures alone."
    papers: tuple[str, ...] = ("Zhai et al. 2023 (WSCL: weakly supervised self-consistency)",)

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on all folds of real sources but two, on the same squares as the main localiser; report on one of them."""
        rows = real(rows)
        edits = prepare_edits(rows, 2 * settings.most, work / "edits", settings, say)
        folds = folds_of(edits.rows, rows, settings)
        fitted = np.flatnonzero(~np.isin(folds, (STOPPING, REPORTING)))
        stopping, reporting = (np.flatnonzero(folds == fold) for fold in (STOPPING, REPORTING))
        size = settings.batch
        aside = EditBatches(edits.chosen(stopping), 2 * size, ASIDE, settings.seed)
        lightning.seed_everything(settings.seed, workers=True, verbose=False)
        trained = fit_module(
            WeakTraining(settings),
            EditBatches(edits.chosen(fitted), size, max(1, settings.draws // size), settings.seed + 1),
            [aside[index] for index in range(ASIDE)],
            work / self.name,
            settings,
            say,
        )
        network = trained.network.eval().cpu()
        out.mkdir(parents=True, exist_ok=True)
        export_dense(network, (torch.rand(1, 3, 128, 160),), out / f"{self.name}.onnx", ("pixels",), ("map", "score"))
        report = EditBatches(edits.chosen(reporting), 2 * size, ASIDE, settings.seed + 2)
        with torch.inference_mode():
            told = []
            for at in range(ASIDE):
                pixels, _, masks, edited = report[at]
                odds, score = network(pixels)
                told.append(figures_at(odds, score, masks, edited))
        return finish_localiser(
            self,
            out,
            settings,
            {name: round(float(np.mean([each[name] for each in told])), 4) for name in told[0]},
            data=f"{ASIDE} batches of {2 * size} squares, three in ten untouched, of real sources that neither trained it nor "
            "stopped its training, each after a random history",
            trained_on=[edits.rows[at] for at in fitted],
        )


RECIPE = WeakRecipe()
