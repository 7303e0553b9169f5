"""Self-consistency of processing, from real pictures alone: are two windows of one source, save, scale and rendering?

Paper: Huh et al. 2018 (EXIF-SC).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.data.manifest import Row
from veriscope.lab.networks.consistency import ATTRIBUTES, Consistency
from veriscope.lab.networks.fingerprint import EMBEDDED, random_windows
from veriscope.lab.recipes.fitting import Learning
from veriscope.lab.recipes.localising import export_dense, finish_localiser
from veriscope.lab.recipes.recipe import Say, Settings
from veriscope.lab.recipes.windows import fit_on_squares

PICTURES = 10  # in a batch, each twice
WINDOWS = 6  # of each square
ASIDE = 16  # batches that are kept aside


class ConsistencyTraining(Learning):
    """Cross entropy of "the same" for each attribute, over all pairs of windows of a batch, both answers weighing alike."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(Consistency(), settings, 0.01)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:  # noqa: ARG002 (Lightning's signature)
        """The loss of one batch."""
        odds, same = compared(self.network, *batch)
        weight = torch.where(same > 0.5, 0.5 / same.mean(0).clamp(min=1e-3), 0.5 / (1 - same).mean(0).clamp(min=1e-3))
        loss = F.binary_cross_entropy_with_logits(odds, same, weight)
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Logs the AUC, averaged over attributes and batches."""
        torch.manual_seed(index)
        self.log("aside", float(np.mean(told_apart(self.network, *batch))), on_epoch=True, prog_bar=True, batch_size=1)


def compared(network: Consistency, pixels: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs of random windows: log odds of "the same" ``(P, 4)`` and whether they are, ``float32 (P, 4)``."""
    windows = random_windows(network(pixels), WINDOWS).flatten(0, 1)
    told = told.repeat_interleave(WINDOWS, 0)
    first, second = torch.triu_indices(len(windows), len(windows), 1)
    return network.pairs(windows[first], windows[second]), (told[first] == told[second]).float()


@torch.no_grad()
def told_apart(network: Consistency, pixels: Tensor, told: Tensor) -> list[float]:
    """AUC of each attribute's log odds, in the order of ``ATTRIBUTES``; a half where all pairs have one answer."""
    odds, same = (values.double().cpu().numpy() for values in compared(network, pixels, told))
    return [auc(odds[:, at], same[:, at]) if 0 < same[:, at].mean() < 1 else 0.5 for at in range(len(ATTRIBUTES))]


@dataclass(frozen=True)
class ConsistencyRecipe:
    """How the siamese network is trained."""

    name: str = "consistency"
    about: str = (
        "Self-consistency: parts of a picture whose save, scale or rendering differs from the rest, window by window."
    )
    papers: tuple[str, ...] = ("Huh et al. 2018 (EXIF-SC: learned self-consistency)",)

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on all folds of real sources but one, which stops it; export windows and the comparison of two."""
        fitted = fit_on_squares(
            lambda: ConsistencyTraining(settings),
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
        export_dense(network, (torch.rand(1, 3, 128, 160),), out / f"{self.name}.onnx", ("pixels",), ("windows",))
        export_dense(
            _Pairs(network),
            (torch.rand(4, EMBEDDED), torch.rand(4, EMBEDDED)),
            out / f"{self.name}.pairs.onnx",
            ("first", "second"),
            ("odds",),
        )
        torch.manual_seed(settings.seed)
        told = np.mean([told_apart(network, *batch) for batch in fitted.aside], 0)
        return finish_localiser(
            self,
            out,
            settings,
            {f"{name}_auc": round(float(value), 4) for name, value in zip(ATTRIBUTES, told, strict=True)},
            data=f"pairs of windows of {ASIDE} batches of {2 * PICTURES} squares of real sources kept aside",
            trained_on=fitted.rows,
            files=(f"{self.name}.onnx", f"{self.name}.pairs.onnx"),
        )


class _Pairs(torch.nn.Module):
    def __init__(self, network: Consistency) -> None:
        super().__init__()
        self.network = network

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.network.pairs(first, second)


RECIPE = ConsistencyRecipe()
