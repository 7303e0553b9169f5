"""A localiser that learned from labels of whole pictures alone: how far does one come without any mask?

A network of three streams (colour, fixed residual, learned residual) was told which pictures were edited, never where. What
it points at is what those pictures have in common. It is coarser than the main localiser and is shown beside it as a second
opinion; see ``lab/networks/weak.py`` for how places are learned from labels.

Paper: Zhai et al. 2023 (WSCL).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.picture import Picture
from veriscope.tampering.dense import chance, limited, tiled
from veriscope.tampering.localisation import Localisation
from veriscope.tampering.regions import CALLED, LEAST_SHARE
from veriscope.tampering.trained import Trained

STRIDE = 8  # pixels between two values of the map
MOST_PIXELS = 2_500_000  # larger pictures are made smaller first


class Weak(Trained):
    """Where does a network that never saw a mask see an edit?"""

    name: ClassVar[str] = "weak"

    def find(self, picture: Picture) -> Localisation | None:
        """The network's joint map and score."""
        session = models.open_session(self.name)
        scores: list[float] = []

        def run(pixels: NDArray[np.float32], _: tuple[float, float, float, float]) -> list[NDArray[np.float32]]:
            found, score = session.run(["map", "score"], {"pixels": pixels})
            scores.append(float(score[0]))
            return [chance(found[0])]

        values = tiled(limited(picture.rgb, MOST_PIXELS), run, STRIDE)[0][0]
        score = float(chance(np.array([max(scores)], np.float32))[0])
        share = float((values >= CALLED).mean())
        says = (
            f"A network that was only ever told whether a picture is edited, never where, marks {max(share, 0.01):.0%} of it."
            if share >= LEAST_SHARE
            else "A network that was only ever told whether a picture is edited, never where, marks no part of it."
        )
        return Localisation(
            map=values,
            judged=np.ones_like(values),
            score=score,
            says=says,
            reliability=0.5,
            reason="it was never told where edits are",
        )
