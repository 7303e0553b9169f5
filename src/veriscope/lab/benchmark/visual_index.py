"""V_AI: how near a generator's pictures come to real ones in twelve plain measures of a picture, from 0 to 100.

A logistic regression on the measures tells generated from real pictures; each picture is scored by one that saw no picture of
its source. The index of a generator is the mean probability, in per cent and at even odds, that its pictures are real: 50 where
the measures cannot tell, near 0 where they always can. It says how a generator's pictures look at large, not how good they are,
and a generator with few pictures or of one subject has an index of that subject.

Paper: Imanpour et al. 2024 (Visual Counter Turing Test, the Visual AI Index). The measures are in ``visual_measures``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.benchmark.prequalified import scores_in
from veriscope.lab.benchmark.visual_measures import MEASURES, measure
from veriscope.lab.data.manifest import LABELS, Row, balanced_weights, deal, load_pixels, spread
from veriscope.lab.data.samples import histories, kept
from veriscope.lab.recipes.depths import fit_linear
from veriscope.lab.recipes.heads import Fold

Floats = NDArray[np.float64]

DECAY = 0.001  # L2 penalty of the regression
LEAST = 5  # pictures that a generator needs for a row of its own
REAL, OTHERS = "(real)", "(others)"


@dataclass(frozen=True)
class Measured:
    """The twelve measures of pictures.

    Attributes:
        rows: (N,) the pictures.
        measures: float32 (N, 12).
    """

    rows: list[Row]
    measures: NDArray[np.float32]


def measured(
    rows: Sequence[Row], work: Path, *, most: int, as_is: bool = False, say: Callable[[str], None] = print
) -> Measured:
    """Measure at most ``most`` pictures of each class, from all sources alike; what was measured is kept and resumed.

    Args:
        rows: the pictures.
        work: where the measures are kept.
        most: pictures of each class.
        as_is: measure the files as they are; otherwise after a random history, the same chain for both classes.
        say: called with each line of progress.
    """
    few = [row for label in LABELS for row in spread([row for row in rows if row.label == label], most)]

    def make(place: int) -> NDArray[np.float32]:
        return measure(load_pixels(few[place]) if as_is else histories(few[place])[0])

    folder = work / f"visual-index-{'as-is' if as_is else 'history'}"
    places, made = kept([row.key for row in few], make, folder, "measured", say)
    return Measured([few[place] for place in places], np.asarray(made.stacked(), np.float32))


def held_out(found: Measured, folds: int = 6) -> Floats:
    """Log odds (N,) of "generated" at even prior odds, each by a regression that saw no picture of the same source.

    Raises:
        VeriscopeError: a class has fewer sources than ``folds``.
    """
    for label in LABELS:
        sources = {row.source for row in found.rows if row.label == label}
        if len(sources) < folds:
            raise VeriscopeError(
                f"{folds} folds of whole sources need as many {label} sources, and there are {len(sources)}"
            )
    dealt = deal(found.rows, folds)
    scores = np.zeros(len(found.rows))
    for number in range(folds):
        aside = dealt == number
        scores[aside] = _fitted(found, ~aside)(found.measures[aside])
    return scores


def _fitted(found: Measured, used: NDArray[np.bool_]) -> Callable[[NDArray[np.float32]], Floats]:
    rows = [row for row, one in zip(found.rows, used, strict=True) if one]
    labels = np.array([row.generated for row in rows], np.float32)
    none = np.zeros((0, found.measures.shape[1]), np.float32)
    return fit_linear(Fold(found.measures[used], labels, balanced_weights(rows), none), decay=DECAY, invariance=0)


def generator_of(row: Row) -> str:
    """What made a picture: the generator that its manifest names, or else its source; "(real)" for real ones."""
    if not row.generated:
        return REAL
    return re.sub(r"\s*\(presumed\)", "", row.generator).strip() or row.source


def index(found: Measured, *, folds: int = 6, rounds: int = 300, seed: int = 0) -> dict[str, Any]:
    """V_AI of each generator.

    Args:
        found: the pictures and their measures.
        folds: of whole sources.
        rounds: of the bootstrap.
        seed: of the bootstrap.
    Returns:
        ``auc`` of the regression on held-out sources; ``weights``, each measure's for "generated", a standard deviation each;
        ``generators``, rows with ``generator``, ``pictures``, ``v_ai``, ``interval`` (95 %), ``auc`` against all real ones. The
        row "(real)" is the index of the real pictures, "(others)" of generators with fewer than five.
    """
    scores = held_out(found, folds)
    labels = np.array([row.generated for row in found.rows])
    real = 100 / (1 + np.exp(np.clip(scores, -60, 60)))
    generator = np.random.default_rng(seed)
    table = []
    for name, members in _members(found.rows).items():
        draws = generator.choice(members, (rounds, len(members)))
        low, high = np.quantile(real[draws].mean(1), (0.025, 0.975))
        against = [] if name == REAL else [_against_real(scores, labels, members)]
        table.append(
            {
                "generator": name,
                "pictures": len(members),
                "v_ai": round(float(real[members].mean()), 1),
                "interval": [round(float(low), 1), round(float(high), 1)],
                "auc": round(against[0], 3) if against else None,
            }
        )
    whole = _fitted(found, np.ones(len(labels), bool))
    spreads = found.measures.std(0)
    middle = found.measures.mean(0, keepdims=True)
    steps = middle + np.diag(spreads).astype(np.float32)
    return {
        "pictures": {label: int((labels == value).sum()) for label, value in LABELS.items()},
        "auc": round(auc(scores, labels), 4),
        "weights": dict(zip(MEASURES, np.round(whole(steps) - whole(middle), 3).tolist(), strict=True)),
        "generators": sorted(table, key=lambda row: -row["v_ai"]),
    }


def _members(rows: Sequence[Row]) -> dict[str, NDArray[np.int64]]:
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(generator_of(row), []).append(place)
    few = [name for name, held in places.items() if len(held) < LEAST and name != REAL]
    others = sorted(place for name in few for place in places.pop(name))
    if others:
        places[OTHERS] = others
    return {name: np.array(held) for name, held in sorted(places.items())}


def _against_real(scores: Floats, labels: NDArray[np.int64], members: NDArray[np.int64]) -> float:
    real = np.flatnonzero(labels == 0)
    return auc(scores[np.r_[members, real]], np.r_[np.ones(len(members)), np.zeros(len(real))])


def by_generator(rows: Sequence[Row], scores: Mapping[str, Floats], *, rate: float = 0.05) -> list[dict[str, Any]]:
    """Detectors against generators: one row a generator and detector.

    Args:
        rows: (N,) the pictures.
        scores: by detector, (N,) each; nan where it did not speak.
        rate: the false-alarm rate on the real pictures that sets each detector's threshold.
    Returns:
        rows with ``generator``, ``detector``, ``pictures``, ``auc`` against all real pictures, ``caught`` (the true-positive
        rate at ``rate``) and ``accuracy`` (the mean of ``caught`` and the share of real pictures below the threshold).
    Raises:
        VeriscopeError: a detector spoke of no real picture.
    """
    labels = np.array([row.generated for row in rows])
    table = []
    for name, members in _members(rows).items():
        for detector, said in scores.items():
            spoke = members[np.isfinite(said[members])]
            real = np.flatnonzero((labels == 0) & np.isfinite(said))
            if not len(real):
                raise VeriscopeError(f"{detector}: there are no scores of real pictures to set a threshold by")
            if name == REAL or not len(spoke):
                continue
            threshold = float(np.quantile(said[real], 1 - rate))
            caught = float((said[spoke] > threshold).mean())
            table.append(
                {
                    "generator": name,
                    "detector": detector,
                    "pictures": len(spoke),
                    "auc": round(auc(said[np.r_[spoke, real]], np.r_[np.ones(len(spoke)), np.zeros(len(real))]), 3),
                    "caught": round(caught, 3),
                    "accuracy": round((caught + float((said[real] <= threshold).mean())) / 2, 3),
                }
            )
    return table


def mean_scores(rows: Sequence[Row], files: Sequence[Path]) -> tuple[list[Row], dict[str, Floats]]:
    """Each detector's mean score of every picture over its histories, for ``by_generator``.

    Args:
        rows: the pictures.
        files: ``NAME.scores.parquet`` of trainings.
    Returns:
        the pictures that any detector scored, and by detector their scores (N,), nan where it scored none.
    Raises:
        VeriscopeError: a file cannot be read, or holds no picture of ``rows``.
    """
    held: dict[str, dict[str, list[float]]] = {}
    known = {row.key: row for row in rows}
    for file in files:
        said: dict[str, list[float]] = {}
        for (key, _), (_, score) in scores_in(file).items():
            if key in known:
                said.setdefault(key, []).append(score)
        if not said:
            raise VeriscopeError(f"{file}: it scored none of the manifests' pictures")
        held[file.name.removesuffix(".scores.parquet")] = said
    scored = [row for row in known.values() if any(row.key in said for said in held.values())]
    scores = {
        name: np.array([np.mean(said[row.key]) if row.key in said else np.nan for row in scored])
        for name, said in held.items()
    }
    return scored, scores


def as_markdown(figures: Mapping[str, Any]) -> str:
    """The index, the weights and the detectors as tables."""
    lines = ["# Visual AI Index", ""]
    lines += [f"AUC of the twelve measures on sources kept aside: {figures['auc']:.3f}.", ""]
    weights = [{"measure": name, "weight": weight} for name, weight in figures["weights"].items()]
    for table in (figures["generators"], weights, figures.get("detectors", [])):
        if table:
            lines += ["| " + " | ".join(table[0]) + " |", "| " + " | ".join("---" for _ in table[0]) + " |"]
            lines += ["| " + " | ".join(_cell(value) for value in row.values()) + " |" for row in table]
            lines.append("")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(str(part) for part in value)
    return "" if value is None else str(value).replace("|", "/")
