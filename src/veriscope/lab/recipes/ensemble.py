"""Find the best sum of detectors under a budget of bytes and seconds, and calibrate it.

Members are judged on what their recipes scored without having seen the source. Their coefficients are fitted by logistic
regression, never negative, and judged on whole sources that did not fit them; a member joins while it raises the AUC.

Paper: Brummer & du Preez 2006 (fusion of calibrated scores by logistic regression).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow import parquet
from scipy.optimize import minimize

from veriscope import models, plugins
from veriscope.errors import VeriscopeError
from veriscope.evidence import Question
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.data.manifest import Row, balanced_weights, deal
from veriscope.picture import open_picture
from veriscope.weighing import Panel, fit_panel

LEAST_GAIN = 0.002  # of AUC for a further member
FOLDS = 5
TIMED = 5  # pictures
Say = Callable[[str], None]


@dataclass(frozen=True)
class Held:
    """Held-out scores of several detectors of the same samples.

    Attributes:
        members: their names.
        scores: (N, M).
        rows: (N,) whose file is the sample's key and need not exist.
    """

    members: tuple[str, ...]
    scores: NDArray[np.float64]
    rows: list[Row]

    @property
    def labels(self) -> NDArray[np.float32]:
        """(N,) 1 where generated."""
        return np.array([row.generated for row in self.rows], np.float32)


@dataclass(frozen=True)
class Ensemble:
    """A sum of detectors with its AUC on sources that did not fit it and its costs."""

    members: tuple[str, ...]
    auc: float
    megabytes: float
    seconds: float


def held_out(folder: Path, names: Sequence[str]) -> Held:
    """What several trainings in one folder scored without having seen the source, where all of them did.

    Raises:
        VeriscopeError: one of them kept no scores, or they have no sample in common.
    """
    joined: pyarrow.Table | None = None
    for name in names:
        path = folder / f"{name}.scores.parquet"
        if not path.exists():
            raise VeriscopeError(f"{path} is missing: train {name} first, with --out {folder}")
        table = parquet.read_table(path).rename_columns(["key", "turn", "label", "source", name])
        joined = (
            table
            if joined is None
            else joined.join(table.select(["key", "turn", name]), ["key", "turn"], join_type="inner")
        )
    if joined is None or not joined.num_rows:
        raise VeriscopeError(f"{', '.join(names)} scored no sample in common")
    joined = joined.sort_by([("key", "ascending"), ("turn", "ascending")])
    rows = [
        Row(Path(line["key"]), line["label"], line["source"], line["key"], "train")
        for line in joined.select(["key", "label", "source"]).to_pylist()
    ]
    return Held(tuple(names), np.stack([joined[name].to_numpy() for name in names], 1), rows)


def coefficients(
    scores: NDArray[np.float64], labels: NDArray[np.float32], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Non-negative coefficients ``(M,)`` of scores ``(N, M)`` by weighted logistic regression."""
    signs = 2 * labels.astype(np.float64) - 1

    def loss(beta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins = signs * (scores @ beta[:-1] + beta[-1])
        slopes = -weights * signs / (1 + np.exp(np.clip(margins, -30, 30)))
        gradient = np.append(slopes @ scores, slopes.sum())
        return float((weights * np.logaddexp(0, -margins)).sum()), gradient

    start = np.append(np.full(scores.shape[1], 0.5), 0.0)
    bounds = [(0.0, None)] * scores.shape[1] + [(None, None)]
    return np.asarray(minimize(loss, start, jac=True, bounds=bounds).x[:-1], np.float64)


def cross_fitted(held: Held, which: Sequence[int]) -> NDArray[np.float64]:
    """Sums ``(N,)`` of the members at ``which``, each with coefficients fitted without the sample's source."""
    folds = deal(held.rows, FOLDS)
    sums = np.zeros(len(held.rows))
    chosen = held.scores[:, list(which)]
    for fold in range(FOLDS):
        aside = folds == fold
        fitted = [row for row, out in zip(held.rows, aside, strict=True) if not out]
        sums[aside] = chosen[aside] @ coefficients(chosen[~aside], held.labels[~aside], balanced_weights(fitted))
    return sums


def costs(names: Sequence[str]) -> tuple[float, float]:
    """Megabytes of all models that the detectors open, and seconds for a picture of 1024 x 768 pixels from its bytes.

    A model that several share counts once, as does their pass through it.
    """
    detectors = plugins.named(list(names))
    used = [model for model in models.registry().values() if set(model.used_by) & set(names)]
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    _, data = cv2.imencode(".jpg", cv2.resize(noise, (1024, 768), interpolation=cv2.INTER_CUBIC))
    spent = []
    for _ in range(TIMED + 1):
        started = time.perf_counter()
        picture = open_picture(data.tobytes())
        for detector in detectors:
            detector(picture)
        spent.append(time.perf_counter() - started)
    return sum(model.bytes for model in used) / 1e6, float(np.median(spent[1:]))


def choose(
    held: Held, *, megabytes: float, seconds: float, say: Say, costs_of: Callable[[Sequence[str]], tuple[float, float]]
) -> Ensemble:
    """Add members greedily while the AUC on sources that did not fit rises and the budget holds.

    Raises:
        VeriscopeError: not even one member is within the budget.
    """
    best: Ensemble | None = None
    while True:
        have = best.members if best else ()
        found = []
        for name in held.members:
            if name in have:
                continue
            together = (*have, name)
            score = auc(cross_fitted(held, [held.members.index(member) for member in together]), held.labels)
            found.append(Ensemble(together, score, *costs_of(together)))
            say(
                f"{' + '.join(together)}: AUC {score:.4f}, {found[-1].megabytes:.1f} MB, {found[-1].seconds:.2f} s a picture"
            )
        within = [one for one in found if one.megabytes <= megabytes and one.seconds <= seconds]
        top = max(within, key=lambda one: one.auc, default=None)
        if top is None or (best is not None and top.auc < best.auc + LEAST_GAIN):
            if best is None:
                raise VeriscopeError(f"no detector is within {megabytes:g} MB and {seconds:g} s a picture")
            return best
        best = top


def calibrated(held: Held, ensemble: Ensemble, versions: dict[str, str]) -> Panel:
    """The ensemble's panel, its curve and thresholds measured on sums whose coefficients never saw the source."""
    which = [held.members.index(member) for member in ensemble.members]
    weights = balanced_weights(held.rows)
    final = coefficients(held.scores[:, which], held.labels, weights)
    members = {
        f"{name}@{versions[name]}": round(float(value), 5) for name, value in zip(ensemble.members, final, strict=True)
    }
    return fit_panel(
        Question.GENERATED,
        members,
        cross_fitted(held, which),
        held.labels,
        weights,
        data=f"{len(held.rows)} samples of {len({row.source for row in held.rows})} sources that fitted neither the members' "
        "weights nor the coefficients",
        sources=np.array([row.source for row in held.rows]),
    )
