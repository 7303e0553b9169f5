"""Is it generated? The same frozen backbone, looking at the picture's middle at native resolution.

Trace: where the whole picture is made small for ``depths``, what the last layers of a generator leave between neighbouring
pixels is averaged away. This detector sees it: hair, skin, foliage and noise as they are in the file. It fails where the file
was made smaller or saved at low quality, and where the middle holds a plain surface.

Papers: Ojha et al. 2023 (a linear score on a frozen backbone generalises); Cozzolino et al. 2024 (crops of CLIP without
resizing).
"""

from __future__ import annotations

from veriscope.picture import Picture
from veriscope.synthetic import backbone, depths, scoring
from veriscope.synthetic.learned import Learned


class Closeup(Learned):
    """A frozen vision-language backbone on the picture's middle at native resolution: was it generated?"""

    name = "closeup"
    traces = "Fine details"
    sizes = depths.SIZES
    qualities = depths.QUALITIES

    def score(self, picture: Picture) -> float:
        """The log odds of the linear head."""
        return float(scoring.run(self.name, depths.features(backbone.closeup_readings(picture))[None])[0])
