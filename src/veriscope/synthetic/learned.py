"""What the learned detectors of "is it generated?" share: a score from one network, read through its own calibration."""

from __future__ import annotations

from typing import ClassVar

from veriscope import models
from veriscope.evidence import Evidence, Question
from veriscope.picture import Picture
from veriscope.synthetic import scoring, views


class Learned:
    """A detector with a model of its own name in the registry; a method of the field says what its ``score`` is.

    Attributes:
        name: of the detector and of its model.
        traces: what it looks at, as the subject of a sentence in the plural ("Texture and lighting").
        sizes, qualities: reliability by short side in pixels and by JPEG quality.
    """

    name: ClassVar[str]
    traces: ClassVar[str]
    question = Question.GENERATED
    sizes: ClassVar[scoring.Table] = ((64, 0.0), (128, 0.8), (256, 1.0))
    qualities: ClassVar[scoring.Table] = ((5, 0.2), (10, 0.5), (20, 0.8), (40, 1.0))

    @property
    def version(self) -> str:
        """That of the installed weights; "untrained" where there are none."""
        entry = models.registry().get(self.name)
        return entry.version if entry else "untrained"

    def score(self, picture: Picture) -> float:
        """The raw score; higher speaks for "generated"."""
        raise NotImplementedError

    def __call__(self, picture: Picture) -> Evidence:
        """Evidence on "generated?".

        Raises:
            ModelError: the weights or their calibration are missing or damaged.
        """
        return scoring.state(
            self.name, self.score(picture), picture, sizes=self.sizes, qualities=self.qualities, traces=self.traces
        )


class OnDetails(Learned):
    """A detector whose network looks at parts of the picture at native resolution and whose score is their mean."""

    def score(self, picture: Picture) -> float:
        """The mean score of up to three parts."""
        return scoring.mean_score(self.name, views.details(picture.rgb))


class OnWhole(Learned):
    """A detector whose network looks at the whole picture made small."""

    def score(self, picture: Picture) -> float:
        """The score of the picture's middle at 224 px."""
        return scoring.mean_score(self.name, views.whole(picture.rgb)[None])
