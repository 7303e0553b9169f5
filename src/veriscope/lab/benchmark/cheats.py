"""Two cheats that see no pixel, to stand beside every table: a set on which they do well proves little of a detector.

*Metadata only* knows the file's format and which blocks of metadata it holds; *size and JPEG quality only* knows width, height,
bytes a pixel and the quantisation table. Both are boosted trees fitted on the training split, as a lazy detector would be.

Paper: Grommelt et al. 2024 (JPEG and size bias of the sets that detectors are trained on).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from veriscope.evidence import Evidence, Question
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.data.manifest import Row
from veriscope.lab.data.samples import Samples
from veriscope.picture import Picture

Features = Callable[[bytes], list[float]]
PREFIX = "cheat: "
TREES = 100


def metadata(data: bytes) -> list[float]:
    """The format of a file, and which blocks of metadata it holds."""
    with Image.open(io.BytesIO(data)) as picture:
        keys = set(picture.info)
        formats = [picture.format == kind for kind in ("JPEG", "PNG", "WEBP")]
        named = [key in keys for key in ("exif", "icc_profile", "jfif", "adobe", "dpi", "xmp", "parameters", "comment")]
        return [*map(float, formats), *map(float, named), float(len(picture.getexif()))]


def size_and_quality(data: bytes) -> list[float]:
    """Width, height, their ratio, bytes a pixel, and the mean of the luma quantisation table (0 where there is none)."""
    with Image.open(io.BytesIO(data)) as picture:
        width, height = picture.size
        table = np.array(next(iter((getattr(picture, "quantization", None) or {0: [0] * 64}).values())))
        return [width, height, width / height, len(data) / (width * height), float(table.mean())]


KINDS: dict[str, Features] = {"metadata only": metadata, "size and JPEG quality only": size_and_quality}


def _fitted(features: NDArray[np.float64], labels: NDArray[Any]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=0, max_iter=TREES).fit(features, labels)


def table_of(rows: Sequence[Row], kind: str) -> NDArray[np.float64]:
    """What a cheat knows of each row's file, float (N, D).

    Raises:
        OSError: a file is not a picture.
    """
    seen: dict[Path, list[float]] = {}
    for row in rows:
        if row.path not in seen:
            seen[row.path] = KINDS[kind](row.path.read_bytes())
    return np.array([seen[row.path] for row in rows], np.float64)


@dataclass(frozen=True)
class Cheat:
    """A cheat as a detector, so that it goes through every perturbation and table as the detectors do."""

    name: str
    version: str
    kind: str
    model: Any
    question: Question = Question.GENERATED

    def __call__(self, picture: Picture) -> Evidence:
        """What the file alone gives away."""
        score = float(self.model.decision_function([KINDS[self.kind](picture.data)])[0])
        return Evidence(
            self.name, self.version, self.question, score, score / np.log(10), 1.0, "A cheat.", weighed=False
        )


def fit_cheats(training: Sequence[Row]) -> list[Cheat]:
    """Both cheats, fitted on the rows of the training split; none where that has one class only."""
    labels = np.array([row.generated for row in training])
    if len(set(labels.tolist())) < 2:
        return []
    version = f"{len(training)} rows"
    return [Cheat(PREFIX + kind, version, kind, _fitted(table_of(training, kind), labels)) for kind in KINDS]


@dataclass(frozen=True)
class CheatRecipe:
    """A cheat that is fitted again, for the protocols that refit; it sees the files as published, not the samples."""

    kind: str

    @property
    def name(self) -> str:
        """As in tables."""
        return PREFIX + self.kind

    def refit(
        self,
        samples: Samples,
        fitted: NDArray[np.bool_],
        work: Path,  # noqa: ARG002 (the signature of recipes)
        settings: object,  # noqa: ARG002
        say: Callable[[str], None],  # noqa: ARG002
    ) -> NDArray[np.float64]:
        """Scores of all samples by a cheat fitted on those under ``fitted``."""
        table = table_of(samples.rows, self.kind)
        return np.asarray(_fitted(table[fitted], samples.labels[fitted]).decision_function(table), np.float64)


def cheats(rows: Sequence[Row], training: Sequence[Row]) -> dict[str, float]:
    """AUC on ``rows`` of both cheats fitted on ``training``."""
    labels = np.array([row.generated for row in rows])
    found = {}
    for cheat in fit_cheats(training):
        found[cheat.kind] = auc(cheat.model.decision_function(table_of(rows, cheat.kind)), labels)
    return found
