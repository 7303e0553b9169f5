"""Is it generated? All depths of a frozen backbone, each feature weighted by where it tells most.

Trace: early blocks see edges and textures, late ones meaning; generators betray themselves in between. The class tokens of all
blocks are mapped into a space that was made for forgeries, and learned weights say for each of its features which block to
believe. It fails as ``depths`` does: on generators unlike all it was trained on, and on small pictures.

Paper: Koutlis & Papadopoulos 2024 (RINE: Leveraging Representations from Intermediate Encoder-Blocks for Synthetic Image
Detection).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veriscope.picture import Picture
from veriscope.synthetic import backbone, depths, scoring
from veriscope.synthetic.learned import Learned


def features(readings: NDArray[np.float32]) -> NDArray[np.float32]:
    """The class tokens of all blocks, ``float32 (8, 768)``, of a picture's readings ``float32 (8, 2, 768)``."""
    return np.ascontiguousarray(readings[:, 0])


class RINE(Learned):
    """All depths of a frozen backbone, each feature weighted by where it tells most: was the picture generated?"""

    name = "rine"
    traces = "Textures and shapes at all depths"
    sizes = depths.SIZES
    qualities = depths.QUALITIES

    def score(self, picture: Picture) -> float:
        """The log odds of the head."""
        return float(scoring.run(self.name, features(backbone.readings(picture))[None])[0])
