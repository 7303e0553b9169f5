"""Train the detector ``rine``: all blocks' class tokens, weighted by trained importance, in a space made by contrast.

Papers: Koutlis & Papadopoulos 2024 (RINE); Khosla et al. 2020 (supervised contrastive learning).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.networks.rine import IntermediateHead, supervised_contrast
from veriscope.lab.networks.standard import Standard
from veriscope.lab.recipes.heads import Fold, HeadRecipe, TorchHead, fit_module, from_readings
from veriscope.synthetic import rine

EPOCHS = 6
CONTRAST = 0.2  # weight of the contrastive loss, the paper's


def loss(module: nn.Module, features: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of the scores, and the supervised contrast of the embeddings behind them."""
    assert isinstance(module, IntermediateHead)
    embedding = module.embedding(features)
    told = F.binary_cross_entropy_with_logits(module.scores(embedding), labels)
    return told + CONTRAST * supervised_contrast(embedding, labels)


def fit(fold: Fold) -> TorchHead:
    """A head fitted on a fold's features ``(N, blocks, D)``."""
    torch.manual_seed(fold.seed)
    return fit_module(IntermediateHead(Standard(fold.features)), fold, epochs=EPOCHS, loss=loss)


RECIPE = HeadRecipe(
    name="rine",
    about="Is it generated? All blocks of the frozen backbone, weighted by trained importance, in a contrastive space.",
    papers=("Koutlis & Papadopoulos 2024 (RINE)", "Khosla et al. 2020 (supervised contrastive learning)"),
    features=from_readings(rine.features),
    fit=fit,
)
