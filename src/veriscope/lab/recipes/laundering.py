"""Train the detector ``laundering``: pristine, laundered and generated pictures told apart in two stages.

Paper: Mandelli et al. 2024 (When Synthetic Traces Hide Real Content: Analysis of Stable Diffusion Image Laundering).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.data.manifest import Row, deal, spread
from veriscope.lab.data.samples import Samples, prepare
from veriscope.lab.generators.methods import Method
from veriscope.lab.networks.laundering import Odds, TwoStages
from veriscope.lab.recipes.export import export_network
from veriscope.lab.recipes.networks import CALIBRATING, STOPPING, NetworkRecipe, fit, fit_most, key, scored
from veriscope.lab.recipes.recipe import Say, Settings, checked, finish, keep_scores
from veriscope.lab.recipes.reconstruction import (
    EVERYTHING,
    NOTHING,
    PASSED,
    PATCH,
    Told,
    autoencoders,
    cuts,
    named,
    passes,
    told,
)
from veriscope.synthetic import laundering, views


def two_stages(network: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
    """The sum of both stages' cross entropies, each with its two sides weighted alike.

    Args:
        network: a ``TwoStages``.
        pixels: (N, 3, H, W) in [0, 1]; of those drawn about a quarter is pristine, a quarter laundered, a half generated.
        labels: (N,) how much of each a model made; the second stage learns nothing from pristine pictures.
    """
    assert isinstance(network, TwoStages)
    trace, made = network.stages(pixels).unbind(1)
    traced, whole = (labels > NOTHING).float(), (labels == EVERYTHING).float()
    first = F.binary_cross_entropy_with_logits(trace, traced, 1 - traced * 2 / 3)
    second = F.binary_cross_entropy_with_logits(made, whole, traced * (1 - whole / 2))
    return first + second


@dataclass(frozen=True)
class ThreeKinds(NetworkRecipe):
    """A network in two stages that learns from real pictures, the same laundered, and generated ones."""

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on all folds but two; stop on the one; calibrate both stages and the whole on the other."""
        by = autoencoders(settings)
        checked(rows, settings.folds)
        folds = deal(rows, settings.folds)
        aside, rest = (
            [row for row, wanted in zip(rows, mask, strict=True) if wanted]
            for mask in (folds == CALIBRATING, folds != CALIBRATING)
        )
        learned = kinds(rest, by, work, settings, settings.most, say)
        stopped_by = {row.source for row, fold in zip(rows, folds, strict=True) if fold == STOPPING}
        stopping = np.array([row.source in stopped_by for row in learned.rows])
        network = fit(self, learned, ~stopping, stopping, work / self.name, settings, say)
        assert isinstance(network, TwoStages)
        measured = kinds(aside, by, work, settings, settings.most // 4, say, as_in_use=True)
        odds = _odds(network, measured, settings)
        calibrate(network, odds, measured.labels)
        odds = _odds(network, measured, settings)
        out.mkdir(parents=True, exist_ok=True)
        example = torch.rand(2, 3, views.DETAIL, views.DETAIL)
        export_network(Odds(network).eval(), (example,), out / f"{self.name}.onnx")
        samples, _ = prepare(aside, work / "samples", seed=settings.seed, say=say)
        laundered = measured.labels == PASSED
        launderings = [row for row, wanted in zip(measured.rows, laundered, strict=True) if wanted]
        scores = laundering.log_odds(np.concatenate([_odds(network, samples, settings), odds[laundered]]))
        keep_scores(out / f"{self.name}.scores.parquet", samples.rows, samples.turns, scores[: len(samples)])
        return finish(
            self,
            [*samples.rows, *launderings],
            scores,
            out,
            replace(settings, generators=named(settings)),
            data=f"{len(scores)} samples of sources of which the network saw nothing, each after a random history; "
            f"{len(launderings)} of the real ones were laundered before it by {', '.join(method.name for method in by)}",
            trained_on=[row for row, stops in zip(learned.rows, stopping, strict=True) if not stops],
            extra={"kinds_kept_aside": figures_of_kinds(odds, measured.labels)},
        )

    def refit(
        self, samples: Samples, fitted: NDArray[np.bool_], work: Path, settings: Settings, say: Say
    ) -> NDArray[np.float64]:
        """Scores of all samples by a network trained on the pictures under ``fitted``, the real ones laundered too."""
        rows = [row for row, wanted in zip(samples.rows, fitted, strict=True) if wanted]
        learned = kinds(rows, autoencoders(settings), work, settings, settings.most, say)
        everything = np.ones(len(learned), bool)
        network = fit_most(self, learned, everything, work / f"{self.name}-{key(fitted)}", settings, say)
        assert isinstance(network, TwoStages)
        return laundering.log_odds(_odds(network, samples, settings))


def kinds(
    rows: Sequence[Row],
    by: Sequence[Method],
    work: Path,
    settings: Settings,
    most: int,
    say: Say,
    *,
    as_in_use: bool = False,
) -> Told:
    """Cuts of up to ``most`` real pictures, these laundered by ``by``, and cuts of as many generated ones; kept in ``work``."""
    folder, seed = work / "pairs", settings.seed
    real, squares = cuts(spread([row for row in rows if not row.generated], most), folder, seed, say)
    passed, laundered = passes(real, squares, by, folder, seed, say)
    made, drawn = cuts(spread([row for row in rows if row.generated], most), folder, seed, say)
    parts = [(real, squares, NOTHING), (passed, laundered, PASSED), (made, drawn, EVERYTHING)]
    return told(parts, seed, as_in_use=as_in_use)


def calibrate(network: TwoStages, odds: NDArray[np.float64], labels: NDArray[np.float32]) -> None:
    """Give each stage of a network the line that makes log odds of its scores, had the three kinds been as frequent.

    Args:
        network: changed in place.
        odds: (N, 2) what its stages give for pictures that it did not learn from.
        labels: (N,) how much of each a model made.
    """
    from sklearn.linear_model import LogisticRegression

    weights = _alike(labels)
    for stage, (which, positive) in enumerate(_stages(labels)):
        fitted = LogisticRegression(C=100.0).fit(odds[which, stage, None], positive[which], weights[which])
        slope = max(float(fitted.coef_[0, 0]), 0.0)
        network.slope[stage] *= slope
        network.offset[stage] = network.offset[stage] * slope + float(fitted.intercept_[0])


def figures_of_kinds(odds: NDArray[np.float64], labels: NDArray[np.float32]) -> dict[str, Any]:
    """AUC of each stage, and the shares of each kind (rows) that are read as each kind (columns)."""
    read = laundering.probabilities(odds).argmax(1)
    (first, traced), (second, made) = _stages(labels)
    return {
        "stage_one_auc": round(auc(odds[first, 0], traced[first]), 4),
        "stage_two_auc": round(auc(odds[second, 1], made[second]), 4),
        "read_as": {
            name: {
                other: round(float((read[labels == label] == place).mean()), 4)
                for place, other in enumerate(laundering.KINDS)
            }
            for name, label in zip(laundering.KINDS, (NOTHING, PASSED, EVERYTHING), strict=True)
        },
    }


def _stages(labels: NDArray[np.float32]) -> tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], ...]:
    traced = labels > NOTHING
    return (np.ones(len(labels), bool), traced), (traced, labels == EVERYTHING)


def _alike(labels: NDArray[np.float32]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(len(labels) / (len(counts) * counts[inverse]), np.float64)


def _odds(network: TwoStages, samples: Samples, settings: Settings) -> NDArray[np.float64]:
    return scored(Odds(network), samples.detail, settings)


RECIPE = ThreeKinds(
    name="laundering",
    about="Is it generated, or a real picture passed through a generator's autoencoder? Two patch networks in turn.",
    papers=("Mandelli et al. 2024 (Stable Diffusion Image Laundering)",),
    network=TwoStages,
    side=PATCH,
    loss=two_stages,
)
