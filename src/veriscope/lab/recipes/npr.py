"""Train the detector ``npr``: a small network on neighbouring pixel relations. Paper: Tan et al. 2024."""

from __future__ import annotations

from veriscope.lab.networks.npr import NPR
from veriscope.lab.recipes.networks import NetworkRecipe

RECIPE = NetworkRecipe(
    name="npr",
    about="Is it generated? A small network on the residual that up-sampling leaves between neighbouring pixels.",
    papers=("Tan et al. 2024 (NPR)",),
    network=NPR,
)
