"""The noise fingerprint, from real pictures alone: windows of one square are drawn together, all others pushed away.

Papers: Cozzolino & Verdoliva 2020 (Noiseprint); Guillaro et al. 2023 (TruFor: Noiseprint++).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.data.manifest import Row
from veriscope.lab.networks.fingerprint import Fingerprint, random_windows, window_contrast
from veriscope.lab.recipes.fitting import Learning
from veriscope.lab.recipes.localising import export_dense, finish_localiser
from veriscope.lab.recipes.recipe import Say, Settings
from veriscope.lab.recipes.windows import fit_on_squares

PICTURES = 10  # in a batch, each twice
WINDOWS = 10  # of each square that the loss compares
ASIDE = 16  # batches that are kept aside


class FingerprintTraining(Learning):
    """The contrast of windows; kept aside, how well a cosine tells windows of one square from those of others (AUC)."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(Fingerprint(), settings, 0.01)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:  # noqa: ARG002 (Lightning's signature)
        """The loss of one batch."""
        loss = window_contrast(random_windows(self.network(batch[0]), WINDOWS))
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Logs the mean AUC over batches."""
        generator = torch.Generator().manual_seed(index)
        windows = random_windows(self.network(batch[0]), WINDOWS, generator)
        self.log("aside", separation(windows), on_epoch=True, prog_bar=True, batch_size=1)


def separation(windows: Tensor) -> float:
    """AUC of the cosine of pairs of windows ``(N, K, D)``: of one square against of two."""
    each = windows.shape[1]
    flat = windows.flatten(0, 1)
    first, second = np.triu_indices(len(flat), 1)
    near = (flat @ flat.T).detach().cpu().numpy()[first, second]
    return auc(near.astype(np.float64), (first // each == second // each).astype(np.float32))


@dataclass(frozen=True)
class FingerprintRecipe:
    """How the fingerprint is trained."""

    name: str = "fingerprint"
    about: str = "Noise fingerprint: parts of a picture whose sensor and processing traces are unlike the rest."
    papers: tuple[str, ...] = (
        "Cozzolino & Verdoliva 2020 (Noiseprint)",
        "Guillaro et al. 2023 (TruFor: Noiseprint++)",
    )

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on all folds of real sources but one, which stops it; export windows and features."""
        fitted = fit_on_squares(
            lambda: FingerprintTraining(settings),
            rows,
            work,
            self.name,
            settings,
            say,
            pictures=PICTURES,
            aside=ASIDE,
        )
        out.mkdir(parents=True, exist_ok=True)
        network = fitted.training.network
        save_file(network.state_dict(), out / f"{self.name}.safetensors")
        export_dense(network, (torch.rand(1, 3, 128, 160),), out / f"{self.name}.onnx", ("pixels",), ("windows",))
        with torch.inference_mode():
            told = [
                separation(random_windows(network(pixels), WINDOWS, torch.Generator().manual_seed(index)))
                for index, (pixels, _) in enumerate(fitted.aside)
            ]
        return finish_localiser(
            self,
            out,
            settings,
            {"windows_told_apart_auc": round(float(np.mean(told)), 4), "batches": ASIDE},
            data=f"{ASIDE} batches of {2 * PICTURES} squares of real sources kept aside, each picture twice with two histories",
            trained_on=fitted.rows,
        )


RECIPE = FingerprintRecipe()
