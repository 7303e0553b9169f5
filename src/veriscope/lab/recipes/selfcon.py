"""Train the detector ``selfcon``: a network that is contrasted with its own first half.

Papers: Boychev & Cholakov 2024 (ImagiNet); Bae et al. 2023 (SelfCon).
"""

from __future__ import annotations

from veriscope.lab.networks.contrastive import SelfContrast, self_contrast_loss
from veriscope.lab.recipes.networks import NetworkRecipe

RECIPE = NetworkRecipe(
    name="selfcon",
    about="Is it generated? A linear score on a residual network trained by contrast with its own first half.",
    papers=("Boychev & Cholakov 2024 (ImagiNet)", "Bae et al. 2023 (SelfCon)"),
    network=SelfContrast,
    loss=self_contrast_loss,
)
