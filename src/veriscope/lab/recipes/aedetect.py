"""Train the detector ``aedetect``: real pictures against their own reconstructions, and no generated picture at all.

Papers: Vesnin et al. 2024 (AEDetect: Detecting AutoEncoder is Enough); Rajan et al. 2025 (aligned reconstructions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from veriscope.lab.data.manifest import Row, deal, spread
from veriscope.lab.data.samples import Samples, prepare
from veriscope.lab.generators.methods import Method
from veriscope.lab.networks.aedetect import Artefacts
from veriscope.lab.recipes.export import export_network
from veriscope.lab.recipes.networks import CALIBRATING, STOPPING, NetworkRecipe, fit, fit_most, key, scored
from veriscope.lab.recipes.recipe import Say, Settings, checked, figures_of, finish
from veriscope.lab.recipes.reconstruction import (
    EVERYTHING,
    NOTHING,
    PATCH,
    Told,
    autoencoders,
    cuts,
    named,
    passes,
    told,
)
from veriscope.synthetic import views


@dataclass(frozen=True)
class Aligned(NetworkRecipe):
    """A network that learns from real pictures and their reconstructions, calibrated on real and generated ones."""

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Train on pairs of all folds but two; stop on pairs of the one; calibrate on the pictures of the other."""
        by = autoencoders(settings)
        checked(rows, settings.folds)
        folds = deal(rows, settings.folds)
        chosen = spread(_real(rows, folds != CALIBRATING), settings.most)
        learned = pairs(chosen, by, work, settings, say)
        fold_of = {row.source: fold for row, fold in zip(rows, folds, strict=True)}
        stopping = np.array([fold_of[row.source] == STOPPING for row in learned.rows])
        network = fit(self, learned, ~stopping, stopping, work / self.name, settings, say)
        out.mkdir(parents=True, exist_ok=True)
        export_network(network, (torch.rand(2, 3, views.DETAIL, views.DETAIL),), out / f"{self.name}.onnx")
        aside, _ = prepare(
            [row for row, fold in zip(rows, folds, strict=True) if fold == CALIBRATING],
            work / "samples",
            seed=settings.seed,
            say=say,
        )
        again = pairs(
            spread(_real(rows, folds == CALIBRATING), settings.most // 6), by, work, settings, say, as_in_use=True
        )
        learned_from = ", ".join(method.name for method in by)
        return finish(
            self,
            aside.rows,
            scored(network, aside.detail, settings),
            out,
            replace(settings, generators=named(settings)),
            data=f"{len(aside)} samples of sources of which the network saw nothing, each after a random history; it learned "
            f"from real pictures and what {learned_from} made of them, and from no generated picture",
            trained_on=[
                row for row, stops in zip(learned.rows, stopping, strict=True) if not row.generated and not stops
            ],
            extra={"reconstructions_kept_aside": _figures(network, again, settings)},
        )

    def refit(
        self, samples: Samples, fitted: NDArray[np.bool_], work: Path, settings: Settings, say: Say
    ) -> NDArray[np.float64]:
        """Scores of all samples by a network trained on pairs of the real pictures under ``fitted``."""
        learned = pairs(spread(_real(samples.rows, fitted), settings.most), autoencoders(settings), work, settings, say)
        everything = np.ones(len(learned), bool)
        network = fit_most(self, learned, everything, work / f"{self.name}-{key(fitted)}", settings, say)
        return scored(network, samples.detail, settings)


def pairs(
    rows: Sequence[Row], by: Sequence[Method], work: Path, settings: Settings, say: Say, *, as_in_use: bool = False
) -> Told:
    """Cuts of real pictures, and these passed through the autoencoders ``by``; both kept in ``work``."""
    real, squares = cuts(rows, work / "pairs", settings.seed, say)
    passed, made = passes(real, squares, by, work / "pairs", settings.seed, say)
    fakes = [replace(row, label="generated") for row in passed]
    return told([(real, squares, NOTHING), (fakes, made, EVERYTHING)], settings.seed, as_in_use=as_in_use)


def _real(rows: Sequence[Row], which: NDArray[np.bool_]) -> list[Row]:
    return [row for row, wanted in zip(rows, which, strict=True) if wanted and not row.generated]


def _figures(network: nn.Module, samples: Told, settings: Settings) -> dict[str, float | int | None]:
    sources = np.array([row.method or row.source for row in samples.rows])
    return figures_of(samples.labels, scored(network, samples.detail, settings), sources)


RECIPE = Aligned(
    name="aedetect",
    about="Is it generated? A small network that learned what a pass through an autoencoder leaves, from real pictures only.",
    papers=("Vesnin et al. 2024 (AEDetect)", "Rajan et al. 2025 (aligned reconstructions)"),
    network=Artefacts,
    side=PATCH,
)
