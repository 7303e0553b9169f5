"""Train a small head on readings of the frozen backbone: the part that all head recipes share.

Per fold of whole sources a head is fitted without them and scores them; these scores calibrate. The head that is exported is
fitted on all. Readings are taken once for all recipes and kept, so a head takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.data.manifest import LABELS, Row, balanced_weights, deal, spread
from veriscope.lab.data.samples import Samples, prepare, readings
from veriscope.lab.recipes.export import export_network
from veriscope.lab.recipes.recipe import Say, Settings, checked, finish

Features = NDArray[np.float32]
SAVED, SAVED_SMALLER = 1, 2  # the two turns of a sample that show the same pixels


class Head(Protocol):
    """A fitted head."""

    def __call__(self, features: Features) -> NDArray[np.float64]:
        """Scores ``(N,)`` of features ``(N, ...)``."""
        ...

    def export(self, path: Path) -> None:
        """Write it as ONNX, ``features (N, ...)`` to ``score (N,)``."""
        ...


@dataclass(frozen=True)
class Fold:
    """What a head is fitted on.

    Attributes:
        features: (N, ...).
        labels: (N,) 1 or 0.
        weights: (N,) summing to 1.
        changes: (M, ...) differences of features between two savings of one picture, which should not matter.
        seed: for heads that draw.
    """

    features: Features
    labels: NDArray[np.float32]
    weights: NDArray[np.float64]
    changes: Features
    seed: int = 0


@dataclass(frozen=True)
class HeadRecipe:
    """A detector that is a head on readings.

    Attributes:
        name, about, papers: as in ``Recipe``.
        features: of samples, ``float32 (N, ...)``; ``from_readings`` makes one from a function of the backbone's readings.
        fit: a fitted head from a ``Fold``.
        slow: its features cost passes of their own, so that it is trained on ``once_each``.
    """

    name: str
    about: str
    papers: tuple[str, ...]
    features: Callable[[Samples, Say], Features]
    fit: Callable[[Fold], Head]
    slow: bool = False

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Fit and score fold by fold, calibrate on all these scores, fit on all, export."""
        checked(rows, settings.folds)
        if self.slow:
            samples = once_each(rows, work / "samples", settings, say)
        else:
            samples, _ = prepare(rows, work / "samples", seed=settings.seed, say=say)
            first = {row.key for row in rows[: settings.still]}
            samples = samples.chosen((samples.turns == 0) | np.array([row.key in first for row in samples.rows]))
        features = self.features(samples, say)
        folds = deal(samples.rows, settings.folds)
        scores = np.zeros(len(samples))
        for number in range(settings.folds):
            aside = folds == number
            scores[aside] = self.fit(_fold(samples, features, ~aside, settings))(features[aside])
            say(
                f"fold {number}: AUC {auc(scores[aside], samples.labels[aside]):.4f} on {aside.sum()} samples kept aside"
            )
        out.mkdir(parents=True, exist_ok=True)
        everything = np.ones(len(samples), bool)
        self.fit(_fold(samples, features, everything, settings)).export(out / f"{self.name}.onnx")
        return finish(
            self,
            samples.rows,
            scores,
            out,
            settings,
            data=f"{len(samples)} samples of {len(set(samples.sources))} sources, each scored by a head fitted without its "
            "source, each after a random history",
            trained_on=samples.rows,
            turns=samples.turns,
        )

    def refit(
        self,
        samples: Samples,
        fitted: NDArray[np.bool_],
        work: Path,  # noqa: ARG002 (a head keeps nothing)
        settings: Settings,
        say: Say,
    ) -> NDArray[np.float64]:
        """Scores of all samples by a head fitted on those under ``fitted``."""
        features = self.features(samples, say)
        return self.fit(_fold(samples, features, fitted, settings))(features)


def once_each(rows: Sequence[Row], folder: Path, settings: Settings, say: Say) -> Samples:
    """One sample, the first turn, of ``settings.most`` pictures of each class, from all sources alike: for what is slow."""
    fewer = [row for label in LABELS for row in spread([row for row in rows if row.label == label], settings.most)]
    samples, _ = prepare(fewer, folder, seed=settings.seed, say=say)
    return samples.chosen(samples.turns == 0)


def from_readings(
    of: Callable[[NDArray[np.float32]], Features], view: str = "whole"
) -> Callable[[Samples, Say], Features]:
    """Features of samples from a function of the readings ``(8, 2, 768)`` of one square; ``view`` says which square."""

    def features(samples: Samples, say: Say) -> Features:
        return np.stack([of(reading.astype(np.float32)) for reading in readings(samples, view=view, say=say)])

    return features


def _fold(samples: Samples, features: Features, fitted: NDArray[np.bool_], settings: Settings) -> Fold:
    rows = [row for row, used in zip(samples.rows, fitted, strict=True) if used]
    saved = np.flatnonzero((samples.turns == SAVED) & fitted)
    saved = saved[samples.turns[np.minimum(saved + 1, len(samples) - 1)] == SAVED_SMALLER]
    return Fold(
        features[fitted],
        samples.labels[fitted],
        balanced_weights(rows),
        features[saved + 1] - features[saved],
        settings.seed,
    )


class TorchHead:
    """A fitted torch module, ``features (N, ...)`` to ``scores (N,)``, as a ``Head``."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module.eval()

    @torch.inference_mode()
    def __call__(self, features: Features) -> NDArray[np.float64]:
        """Scores ``(N,)``."""
        parts = torch.from_numpy(np.ascontiguousarray(features)).split(2048)
        return torch.cat([self.module(part) for part in parts]).double().numpy()

    def export(self, path: Path) -> None:
        """Write it as ONNX."""
        example = torch.zeros(2, *self.shape)
        export_network(self.module, (example,), path, ("features",))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row of features; the module says it as ``shape``."""
        return tuple(int(size) for size in self.module.shape)  # type: ignore[union-attr]


def fit_module(
    module: nn.Module,
    fold: Fold,
    *,
    epochs: int,
    rate: float = 1e-3,
    decay: float = 0.02,
    batch: int = 256,
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None,
) -> TorchHead:
    """Fit a small torch module by AdamW on balanced draws of the fold's rows.

    Args:
        module: ``features (N, ...)`` to ``scores (N,)``; it has a ``shape``, that of one row of features.
        fold: what to fit it on.
        epochs: how often as many rows as there are, are drawn.
        rate: the learning rate, falling to a twentieth.
        decay: of the weights.
        batch: rows a step.
        loss: called as ``loss(module, features, labels)``; binary cross entropy by default.
    """
    torch.manual_seed(fold.seed)
    chances = torch.from_numpy(fold.weights)
    features, labels = torch.from_numpy(np.ascontiguousarray(fold.features)), torch.from_numpy(fold.labels)
    optimiser = torch.optim.AdamW(module.parameters(), rate, weight_decay=decay)
    steps = max(1, epochs * len(labels) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, rate / 20)
    module.train()
    for _ in range(steps):
        drawn = torch.multinomial(chances, batch, replacement=True)
        x, y = features[drawn], labels[drawn]
        value = F.binary_cross_entropy_with_logits(module(x), y) if loss is None else loss(module, x, y)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
    return TorchHead(module)
