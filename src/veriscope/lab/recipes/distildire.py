"""Train the detector ``distildire``: a student of ``dire`` that sees the first step of the reconstruction alone.

The teacher is trained first, or loaded where ``dire`` was trained in the same work folder with the same settings. The student
is asked for the teacher's features and score of the error map, and for the label.

Paper: Lim et al. 2024 (DistilDIRE).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from veriscope.lab.data.manifest import deal
from veriscope.lab.data.samples import Samples, Shards, derived
from veriscope.lab.networks.dire import OnErrors, OnFirstNoise
from veriscope.lab.recipes import dire
from veriscope.lab.recipes.dire import Mapped, OnMaps, offered
from veriscope.lab.recipes.networks import CALIBRATING, STOPPING, NetworkRecipe, fit, fit_most, key
from veriscope.lab.recipes.recipe import Say, Settings
from veriscope.synthetic import diffusion
from veriscope.synthetic.diffusion import Generator

COLOURS = 3  # channels of a picture, and of an error map
FEATURES, SCORE = 1.0, 0.5  # weights of the teacher's features and of its score; the label weighs 1


@dataclass(frozen=True)
class Taught(Mapped):
    """Mapped samples and the noise of the first step.

    Attributes:
        noise: N arrays ``uint8 (h, w, C)``.
    """

    noise: Shards

    @property
    def lessons(self) -> Lessons:
        """Picture, noise and error map of each."""
        return Lessons(self.detail, self.noise, self.maps)

    def chosen(self, which: NDArray[Any]) -> Taught:
        """The samples at the places, or under the mask, ``which``."""
        found = super().chosen(which)
        assert isinstance(found, Taught)
        return replace(found, noise=self.noise.chosen(np.arange(len(self))[which]))


@dataclass(frozen=True)
class Lessons:
    """What the student reads and, after it, what its teacher reads: N arrays ``uint8 (128, 128, 3 + C + 3)``."""

    detail: Shards
    noise: Shards
    errors: Shards

    def __len__(self) -> int:
        return len(self.detail)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        squares = diffusion.middle(self.detail[index][None])
        read = diffusion.laid_beside(squares, self.noise[index][None])[0]
        return np.concatenate([read, self.errors[index]], -1)


@dataclass(frozen=True)
class Distilling:
    """The loss of a student: the label's cross entropy, and the distance from the teacher's features and score."""

    teacher: OnErrors

    def __call__(self, network: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of ``pixels (N, 3 + C + 3, H, W)`` in [0, 1], the last three of them the error map."""
        assert isinstance(network, OnFirstNoise)
        teacher = self.teacher.to(pixels.device).eval()
        with torch.no_grad():
            wanted = teacher.features(pixels[:, -COLOURS:])
            score = torch.sigmoid(teacher.score(wanted).squeeze(1))
        found = network.features(pixels)
        logits = network.score(found).squeeze(1)
        right = F.binary_cross_entropy_with_logits(logits, labels)
        alike = F.binary_cross_entropy_with_logits(logits, score)
        return right + SCORE * alike + FEATURES * F.mse_loss(found, wanted)


@dataclass(frozen=True)
class Distilled(OnMaps):
    """A student on the first step's noise, whose teacher is ``dire``."""

    view: str = "lessons"

    def seen(self, samples: Samples, generator: Generator, weights: str, say: Say) -> Taught:
        """The samples with their error maps and the noise of the first step, both kept beside them."""

        def make(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return diffusion.first_noise(diffusion.middle(square[None]), generator)[0]

        mapped = super().seen(samples, generator, weights, say)
        noise = derived(samples, f"first-noise-{weights}", make, view="detail", say=say)
        return Taught(mapped.rows, mapped.turns, mapped.whole, mapped.detail, mapped.maps, noise)

    def learn(self, samples: Samples, work: Path, out: Path, settings: Settings, say: Say) -> dict[str, Any]:
        """As every network's, after the teacher's; both learn from, and stop on, the same samples."""
        folds = deal(samples.rows, settings.folds)
        fitted = ~np.isin(folds, (STOPPING, CALIBRATING))
        teacher = fit(dire.RECIPE, samples, fitted, folds == STOPPING, work / dire.RECIPE.name, settings, say)
        return OnMaps.learn(self._student_of(teacher, samples), samples, work, out, settings, say)

    def refit(
        self, samples: Samples, fitted: NDArray[np.bool_], work: Path, settings: Settings, say: Say
    ) -> NDArray[np.float64]:
        """Scores of all samples by a student, and behind it a teacher, trained on those under ``fitted``."""
        seen = self.seen(samples, *offered(settings, work), say)
        teacher = fit_most(dire.RECIPE, seen, fitted, work / f"{dire.RECIPE.name}-{key(fitted)}", settings, say)
        return NetworkRecipe.refit(self._student_of(teacher, seen), seen, fitted, work, settings, say)

    def _student_of(self, teacher: nn.Module, samples: Samples) -> Distilled:
        assert isinstance(teacher, OnErrors)
        assert isinstance(samples, Taught)
        channels = samples.lessons[0].shape[-1] - COLOURS
        return replace(
            self,
            network=partial(OnFirstNoise, channels),
            channels=channels,
            loss=Distilling(teacher.requires_grad_(False)),
        )


RECIPE = Distilled(
    name="distildire",
    about="Is it generated? A network that answers as dire does from the first step of the reconstruction alone.",
    papers=("Lim et al. 2024 (DistilDIRE)",),
    network=partial(OnFirstNoise, COLOURS),
)
