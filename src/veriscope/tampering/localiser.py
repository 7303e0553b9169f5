"""The main localiser: a network that fuses colour, noise fingerprint and the backbone's view of the scene.

It learned from edits made on real pictures (splices, copies, removals, local regeneration, retouching, text), each saved and
passed on as pictures are. It gives a map, a reliability map that says where the map can be trusted, and one score for the
whole picture. It sees least in small or strongly compressed pictures, and a kind of edit it never saw may leave no mark; an
untouched picture with a part that looks pasted (a logo, a caption, a strong blur) can be pointed at wrongly.

Paper: Guillaro et al. 2023 (TruFor), built anew for a CPU, see ``lab/networks/localiser.py``.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.picture import Picture
from veriscope.tampering.dense import chance, limited, tiled
from veriscope.tampering.localisation import Localisation
from veriscope.tampering.regions import regions, where
from veriscope.tampering.scene import scene, window
from veriscope.tampering.trained import Trained

STRIDE = 4  # pixels between two values of the map
MOST_PIXELS = 2_500_000  # larger pictures are made smaller first
LEAST_TRUST = 0.5  # mean reliability over the picture below which the score is trusted less


def maps_of(picture: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Chance of an edit and of being right, each ``float32 (h, w) in [0, 1]``, and the log odds of the whole picture.

    Raises:
        ModelError: the weights or the backbone are missing or damaged.
    """
    session = models.open_session("localiser")
    tokens = scene(picture)
    rgb = limited(picture.rgb, MOST_PIXELS)
    scores: list[float] = []

    def run(pixels: NDArray[np.float32], place: tuple[float, float, float, float]) -> list[NDArray[np.float32]]:
        part = tokens if place == (0.0, 0.0, 1.0, 1.0) else window(tokens, *place)
        found, trust, score = session.run(["map", "trust", "score"], {"pixels": pixels, "tokens": part[None]})
        scores.append(float(score[0]))
        return [chance(found[0]), chance(trust[0])]

    found, trust = (each[0] for each in tiled(rgb, run, STRIDE))
    return found, trust, max(scores)


class MainLocaliser(Trained):
    """Where does the picture look edited, by all that one network sees?"""

    name: ClassVar[str] = "localiser"
    quick: ClassVar[bool] = True

    def find(self, picture: Picture) -> Localisation | None:
        """The network's maps and score."""
        found, trust, odds = maps_of(picture)
        score = float(chance(np.array([odds], np.float32))[0])
        places = regions(found, np.ones_like(found))
        if places:
            share = sum(region.share for region in places)
            lies = f"{'it' if len(places) == 1 else 'the largest'} lies {where(places[0].place)}"
            marks = f"{_parts(len(places))}, {max(share, 0.01):.0%} of this one"
            says = f"A network trained on edited pictures marks {marks}; {lies}."
        else:
            says = "A network trained on edited pictures marks no part of this one."
        return Localisation(
            map=found,
            judged=trust,
            score=score,
            says=says,
            reliability=float(np.clip(trust.mean(), 0.2, 1)),
            reason=""
            if trust.mean() >= LEAST_TRUST
            else "the network itself expects its map to be wrong in much of the picture",
        )


def _parts(number: int) -> str:
    return "one part" if number == 1 else f"{number} parts"
