"""Train the detector ``code``: an embedding in which parts of a picture lie near the whole and its class.

Paper: Baraldi et al. 2024 (CoDE).
"""

from __future__ import annotations

from veriscope.lab.networks.contrastive import GlobalLocal, global_local_loss
from veriscope.lab.recipes.networks import NetworkRecipe

RECIPE = NetworkRecipe(
    name="code",
    about="Is it generated? A linear score of an embedding that draws global and local crops of one class together.",
    papers=("Baraldi et al. 2024 (CoDE)", "Khosla et al. 2020 (supervised contrastive learning)"),
    network=GlobalLocal,
    view="whole",
    side=224,
    loss=global_local_loss,
)
