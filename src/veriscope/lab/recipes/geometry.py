"""Train the detector ``geometry``: a small perceptron on measures of lines, perspective and shadows.

Paper: Sarkar et al. 2024 (Shadows Don't Lie and Lines Can't Bend! Generative Models don't know Projective Geometry...for now).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from veriscope.errors import VeriscopeError
from veriscope.lab.data.samples import Samples, histories, kept
from veriscope.lab.networks.geometry import Perceptron
from veriscope.lab.recipes.heads import Features, Fold, HeadRecipe, TorchHead, fit_module
from veriscope.lab.recipes.recipe import Say
from veriscope.synthetic import geometry

EPOCHS = 30
DECAY = 0.05


def measured(samples: Samples, say: Say) -> Features:
    """The measures ``float32 (N, D)`` of each sample's whole picture after its history, kept beside the samples.

    Raises:
        VeriscopeError: a picture has gone since the samples were made.
    """
    turned = lru_cache(maxsize=1)(histories)  # the turns of a picture follow one another
    names = [f"{row.key}#{turn}" for row, turn in zip(samples.rows, samples.turns, strict=True)]
    folder = samples.whole.files[0].parent / f"geometry-{geometry.VERSION}"
    places, made = kept(
        names, lambda at: geometry.features(turned(samples.rows[at])[samples.turns[at]]), folder, "geometry", say
    )
    if len(places) < len(names):
        raise VeriscopeError(f"geometry: {len(names) - len(places)} of {len(names)} pictures cannot be opened any more")
    return np.asarray(made.stacked(), np.float32)


def fit(fold: Fold) -> TorchHead:
    """A perceptron fitted on a fold's features ``(N, D)``."""
    torch.manual_seed(fold.seed)
    return fit_module(Perceptron(fold.features), fold, epochs=EPOCHS, decay=DECAY, batch=128)


RECIPE = HeadRecipe(
    name=geometry.MODEL,
    about="Is it generated? A small perceptron on measures of lines, perspective and shadows; it sees no pixel.",
    papers=("Sarkar et al. 2024 (Shadows Don't Lie and Lines Can't Bend)",),
    features=measured,
    fit=fit,
    slow=True,
)
