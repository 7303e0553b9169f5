"""Train the detector ``closeup``: as ``depths``, on the picture's middle at native resolution.

Papers: Ojha et al. 2023; Cozzolino et al. 2024 (crops of CLIP without resizing).
"""

from __future__ import annotations

from veriscope.lab.recipes.depths import fit_linear
from veriscope.lab.recipes.heads import HeadRecipe, from_readings
from veriscope.synthetic import depths

RECIPE = HeadRecipe(
    name="closeup",
    about="Is it generated? A linear score on the frozen backbone's middle blocks, of a part at native resolution.",
    papers=("Ojha et al. 2023", "Cozzolino et al. 2024"),
    features=from_readings(depths.features, "detail"),
    fit=fit_linear,
    slow=True,
)
