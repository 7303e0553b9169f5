"""All localisers weighed together: one map, one score, the only statement on "was it edited?" that counts.

Each method's map enters with a coefficient that was fitted on edits made here, of sources that no learned method trained on;
so does each method's score for the whole picture. Coefficients that came out negative were dropped: no method's alarm speaks
against an edit. The map is read with the score: where the whole picture does not pass, no region is called.

Papers: Guillaro et al. 2023 (TruFor: all-round clues); Fontani et al. 2013 (fusing tools that cover different traces).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.errors import ModelError
from veriscope.evidence import Evidence
from veriscope.picture import Picture
from veriscope.tampering.dense import chance
from veriscope.tampering.localisation import Localisation, Localiser, resized
from veriscope.tampering.methods import heard, values_at
from veriscope.tampering.regions import regions, where
from veriscope.tampering.trained import WeightsVersion
from veriscope.weighing import strength

WORKING_SIDE = 384  # values along the map's long side
ODDS_LIMIT = 6.0  # of the main localiser's map
MAIN = "localiser"


@dataclass(frozen=True)
class Coefficients:
    """What each method's map weighs in a place, and its score in the whole picture; each with an offset."""

    place: dict[str, float]
    picture: dict[str, float]

    @property
    def methods(self) -> frozenset[str]:
        """Those that weigh anything."""
        return frozenset({*self.place, *self.picture} - {"offset"})


@lru_cache(maxsize=2)
def coefficients(quick: bool = False) -> Coefficients:
    """The fitted coefficients.

    Raises:
        ModelError: they are missing or damaged.
    """
    models.verify("fused")
    path = models.model("fused").path
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))["quick" if quick else "all"]
        return Coefficients(**fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model fused: {path.name} is not readable ({error}); reinstall veriscope") from error


def working_shape(picture: Picture) -> tuple[int, int]:
    """Rows and columns of the fused map."""
    scale = min(1.0, WORKING_SIDE / max(picture.height, picture.width))
    return max(1, round(picture.height * scale)), max(1, round(picture.width * scale))


@dataclass(frozen=True, eq=False)
class Heard:
    """What all methods say of a picture: ``places`` maps method to ``float32 (h, w)``, ``scores`` to a number."""

    places: dict[str, NDArray[np.float32]]
    scores: dict[str, float]
    judged: NDArray[np.float32]


def all_heard(picture: Picture, names: frozenset[str] | None = None, *, quick: bool = False) -> Heard:
    """The map of each method of these names at the working size, and its score; the main localiser's as log odds."""

    def compute() -> Heard:
        height, width = working_shape(picture)
        places, scores = {}, {}
        judged = np.zeros((height, width), np.float32)
        for method, localisation in heard(picture, names, quick=quick):
            if method.name == MAIN:
                places[MAIN] = _odds(resized(localisation.map, height, width))
                scores[MAIN] = float(_odds(np.array([localisation.score], np.float32))[0])
            else:
                places[method.name] = values_at(localisation, height, width)
                scores[method.name] = localisation.score * localisation.reliability
            judged = np.maximum(judged, resized(localisation.judged, height, width))
        return Heard(places, scores, judged)

    return picture.once(("all localisers", names, quick), compute)


def _odds(chance: NDArray[np.float32]) -> NDArray[np.float32]:
    clipped = np.clip(chance, 1e-6, 1 - 1e-6)
    return np.asarray(np.clip(np.log(clipped / (1 - clipped)), -ODDS_LIMIT, ODDS_LIMIT), np.float32)


def fused_map(said: Heard, weights: dict[str, float]) -> NDArray[np.float32]:
    """The chance of an edit in each place, float32 (h, w) in [0, 1]."""
    odds = np.full(said.judged.shape, weights["offset"], np.float32)
    for name, values in said.places.items():
        odds += np.float32(weights.get(name, 0.0)) * values
    return chance(odds)


def fused_score(said: Heard, weights: dict[str, float]) -> float:
    """The log odds that any part was edited, before calibration."""
    return weights["offset"] + sum(weights.get(name, 0.0) * value for name, value in said.scores.items())


class Fused(Localiser):
    """Was the picture edited, and where? All localisers together."""

    name: ClassVar[str] = "fused"
    quick: ClassVar[bool] = False
    haste: ClassVar[bool] = False  # whether the quick methods alone are asked

    version = WeightsVersion("fused")  # type: ignore[assignment]  # read like the class variable that it stands for

    def find(self, picture: Picture) -> Localisation | None:
        """The fused map and score."""
        return localised(picture, quick=self.haste)

    def __call__(self, picture: Picture) -> Evidence | None:
        """The one weighed statement on "was it edited?"."""
        found = self.locate(picture)
        if found is None:
            return None
        panel = models.calibration(self.name, "fused")
        score = odds_of(picture, quick=self.haste)
        log10_lr = panel.log10_lr(score) * found.reliability
        here, there = ("edited", "untouched") if log10_lr > 0 else ("untouched", "edited")
        says = (
            "All traces of editing together are no more common in edited pictures than in untouched ones."
            if strength(log10_lr) == "no"
            else f"All traces of editing together are about {10 ** abs(log10_lr):.0f} times as common in {here} pictures as in "
            f"{there} ones. {found.says}"
        )
        return Evidence(
            self.name, self.version, self.question, score, log10_lr, found.reliability, says, found.reason, found.map
        )


class FusedQuick(Fused):
    """As ``Fused``, from the methods that answer in haste, with coefficients and a calibration of their own."""

    name: ClassVar[str] = "fused_quick"
    quick: ClassVar[bool] = True
    haste: ClassVar[bool] = True


def odds_of(picture: Picture, *, quick: bool = False) -> float:
    """The fused log odds of the whole picture, before calibration."""
    weights = coefficients(quick)
    return fused_score(all_heard(picture, weights.methods, quick=quick), weights.picture)


def localised(picture: Picture, *, quick: bool = False) -> Localisation:
    """The fused map; ``score`` is the chance that the log odds give, before calibration.

    Raises:
        ModelError: the coefficients are missing or damaged.
    """
    weights = coefficients(quick)
    said = all_heard(picture, weights.methods, quick=quick)
    fused = fused_map(said, weights.place)
    odds = odds_of(picture, quick=quick)
    places = regions(fused, np.ones_like(fused))
    says = "No part of the picture stands out."
    if places:
        share = sum(region.share for region in places)
        says = f"The part that stands out most lies {where(places[0].place)}; {share:.0%} of the picture in all."
    reliability, reason = _reliability(picture)
    return Localisation(
        map=fused,
        judged=said.judged,
        score=float(1 / (1 + np.exp(-np.clip(odds, -30, 30)))),
        says=says,
        reliability=reliability,
        reason=reason,
    )


def _reliability(picture: Picture) -> tuple[float, str]:
    side = min(picture.height, picture.width)
    by_size = float(np.interp(side, [64, 128, 256], [0.2, 0.6, 1.0]))
    return round(by_size, 3), "" if by_size >= 0.95 else f"the picture is only {side} px on its short side"
