"""Train the detector ``sfld``: a linear score at each size of shuffled patches, averaged. Paper: Gye et al. 2025."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from veriscope.lab.data.samples import Samples, derived, readings
from veriscope.lab.recipes.depths import Linear, fit_linear
from veriscope.lab.recipes.heads import Features, Fold, HeadRecipe
from veriscope.lab.recipes.recipe import Say
from veriscope.synthetic import sfld

LEVELS = 1 + len(sfld.PATCHES)
KEPT = "sfld-" + "-".join(str(patch) for patch in sfld.PATCHES)


def features(samples: Samples, say: Say) -> Features:
    """Features ``float32 (N, 3 * 7680)`` of samples; the readings of shuffled squares are kept beside these."""

    def read(square: NDArray[np.uint8]) -> NDArray[np.float16]:
        return sfld.shuffled_readings(square).astype(np.float16)

    mixed = derived(samples, KEPT, read, say=say)
    whole = readings(samples, say=say)
    return np.stack(
        [sfld.features(whole[at].astype(np.float32), mixed[at].astype(np.float32)) for at in range(len(samples))]
    )


def fit(fold: Fold) -> Linear:
    """The mean of the linear scores of all levels, each fitted alone; a mean of linear scores is one linear score."""
    parts = zip(np.split(fold.features, LEVELS, axis=1), np.split(fold.changes, LEVELS, axis=1), strict=True)
    fitted = [fit_linear(Fold(here, fold.labels, fold.weights, changes, fold.seed)) for here, changes in parts]
    return Linear(
        torch.cat([level.weights for level in fitted]) / LEVELS, float(np.mean([level.offset for level in fitted]))
    )


RECIPE = HeadRecipe(
    name="sfld",
    about="Is it generated? Linear scores on the frozen backbone of the picture and its shuffled patches, averaged.",
    papers=("Gye et al. 2025 (SFLD)",),
    features=features,
    fit=fit,
    slow=True,
)
