"""Calibrate the detector ``rigid``, which learns nothing: how far faint noise moves a picture in the backbone's space.

Paper: He et al. 2024 (RIGID).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.lab.data.manifest import Row
from veriscope.lab.data.samples import Samples, derived, readings
from veriscope.lab.recipes.heads import once_each
from veriscope.lab.recipes.recipe import Say, Settings, checked, finish
from veriscope.synthetic import backbone, rigid


@dataclass(frozen=True)
class Untrained:
    """The recipe: there is nothing to fit, only a calibration to measure."""

    name: str = "rigid"
    about: str = (
        "Is it generated? How far faint noise moves the picture in the frozen backbone's space; nothing is trained."
    )
    papers: tuple[str, ...] = ("He et al. 2024 (RIGID)",)

    def train(self, rows: Sequence[Row], work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """Score ``settings.most`` pictures of each class and calibrate on them; there is no network to export."""
        checked(rows, settings.folds)
        samples = once_each(rows, work / "samples", settings, say)
        return finish(
            self,
            samples.rows,
            scores(samples, say),
            out,
            settings,
            data=f"{len(samples)} samples of {len(set(samples.sources))} sources, each after a random history; nothing was "
            "fitted on any of them but this calibration",
            trained_on=(),
            turns=samples.turns,
        )

    def refit(
        self,
        samples: Samples,
        fitted: NDArray[np.bool_],  # noqa: ARG002 (nothing is fitted)
        work: Path,  # noqa: ARG002 (what is slow is kept beside the samples)
        settings: Settings,  # noqa: ARG002
        say: Say,
    ) -> NDArray[np.float64]:
        """Scores of all samples."""
        return scores(samples, say)


def scores(samples: Samples, say: Say) -> NDArray[np.float64]:
    """The dissimilarity ``(N,)`` of each sample and its noisy copies, whose embeddings are kept beside the samples."""

    def embed(square: NDArray[np.uint8]) -> NDArray[np.float32]:
        return rigid.embedding(backbone.readings_of(rigid.noisy(square)))

    disturbed = derived(samples, f"rigid-{rigid.REPEATS}", embed, say=say)
    clean = rigid.embedding(readings(samples, say=say).astype(np.float32))
    return np.array([rigid.dissimilarity(clean[at], disturbed[at]) for at in range(len(samples))])


RECIPE = Untrained()
