"""Does a validation set of made pairs choose the same detector as pictures of the field would?

Each recipe is trained without two folds of whole sources. The AUC on pairs made of the one fold's real pictures is what a
maker without test data would choose by; the AUC on the other fold's pictures is what the choice is worth. The two rankings are
compared, and so is what the choice by pairs loses.

Limits: a rank correlation of few recipes says little, however high; pairs hold the traces of their own generators alone.
Paper: Shoshan et al. 2023 (Synthetic Data for Model Selection).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.benchmark.protocols import TESTED
from veriscope.lab.benchmark.refitting import LEAST_TESTED, Refit, Refits
from veriscope.lab.data.manifest import Row
from veriscope.lab.data.samples import Samples
from veriscope.lab.recipes.recipe import Say, Settings
from veriscope.lab.studies.material import apart, dealt, table

PAIRS, FIELD = "auc_pairs", "auc_field"


def select(
    recipes: Sequence[Refit],
    samples: Samples,
    pairs: Sequence[Row],
    work: Path,
    settings: Settings,
    *,
    say: Say,
) -> dict[str, Any]:
    """Both rankings of recipes.

    Args:
        recipes: two at least.
        samples: of the data and of the pairs.
        pairs: rows of a manifest of ``make-pairs``.
        work: where trainings are kept and resumed.
        settings: of each training; with F folds there are F trainings a recipe.
        say: called with lines of progress.
    Returns:
        ``recipes``, rows with ``recipe``, ``auc_pairs``, ``auc_field`` (means over folds), ``rank_pairs``, ``rank_field`` and
        ``reason`` where a training failed; ``kendall``, ``spearman``; ``chosen``, ``best``, ``regret`` (AUC in the
        field lost by the choice) and ``regret_by_chance`` (that of the mean recipe); ``folds`` that could be used.
    Raises:
        VeriscopeError: too few sources, no fold has enough pairs, or fewer than two recipes could be trained.
    """
    plans = _plans(samples, pairs, settings.folds, say)
    refits = Refits(samples, work, settings, say)
    rows = []
    for made in recipes:
        found: dict[str, list[float]] = {PAIRS: [], FIELD: []}
        reason = ""
        for number, (fitted, validated, tested) in enumerate(plans, 1):
            try:
                scores, seconds = refits.scores(made, fitted, validated | tested)
            except Exception as error:  # whatever a recipe raises; the others go on
                reason = f"{type(error).__name__}: {error}"
                say(f"{made.name} failed: {reason}")
                break
            places = np.flatnonzero(validated | tested)
            for name, which in ((PAIRS, validated), (FIELD, tested)):
                found[name].append(auc(scores[which[places]], samples.labels[which]))
            say(f"{made.name}, training {number} of {len(plans)}: {seconds:.0f} s")
        values = {name: None if reason else float(np.mean(own)) for name, own in found.items()}
        rows.append({"recipe": made.name, **values, "reason": reason})
    return {"folds": len(plans), "seed": settings.seed, "pairs": len(pairs), **compared(rows)}


def compared(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Ranks, correlations, choice and regret of rows with ``recipe``, ``auc_pairs``, ``auc_field`` and ``reason``.

    Raises:
        VeriscopeError: fewer than two of them have figures.
    """
    trained = [row for row in rows if not row["reason"]]
    if len(trained) < 2:
        failed = "; ".join(f"{row['recipe']}: {row['reason']}" for row in rows if row["reason"])
        raise VeriscopeError(f"a choice needs two recipes that can be trained ({failed})")
    x, y = (np.array([row[name] for row in trained]) for name in (PAIRS, FIELD))
    ranks = {
        row["recipe"]: (int(one), int(other))
        for row, one, other in zip(trained, stats.rankdata(-x, "min"), stats.rankdata(-y, "min"), strict=True)
    }
    chosen, best = int(np.argmax(x)), int(np.argmax(y))
    return {
        "recipes": [
            {
                "recipe": row["recipe"],
                PAIRS: row[PAIRS],
                FIELD: row[FIELD],
                "rank_pairs": ranks.get(row["recipe"], (None, None))[0],
                "rank_field": ranks.get(row["recipe"], (None, None))[1],
                "reason": row["reason"],
            }
            for row in sorted(rows, key=lambda row: ranks.get(row["recipe"], (len(rows), len(rows)))[::-1])
        ],
        "kendall": _correlation(stats.kendalltau, x, y),
        "spearman": _correlation(stats.spearmanr, x, y),
        "chosen": trained[chosen]["recipe"],
        "best": trained[best]["recipe"],
        "regret": float(y[best] - y[chosen]),
        "regret_by_chance": float(y[best] - y.mean()),
    }


def _correlation(of: Callable[..., Any], x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Not a number where a side does not tell the recipes apart."""
    return float(of(x, y).statistic) if np.ptp(x) and np.ptp(y) else float("nan")


def _plans(
    samples: Samples, pairs: Sequence[Row], folds: int, say: Say
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]]:
    """For each fold the samples to train on, the pairs to choose by, and the pictures that say what the choice is worth."""
    keys = {row.key for row in pairs}
    of_pairs = np.array([row.key in keys for row in samples.rows])
    fold_of = dealt([row for row, paired in zip(samples.rows, of_pairs, strict=True) if not paired], folds)
    fold = np.array([-1 if paired else fold_of[row.source] for row, paired in zip(samples.rows, of_pairs, strict=True)])
    plans = []
    for number in range(folds):
        field = fold == number
        fitted = ~of_pairs & ~field & (fold != (number + 1) % folds)
        used = [row for row, either in zip(samples.rows, field | fitted, strict=True) if either]
        free = apart(pairs, used)
        first = samples.turns == TESTED
        validated = first & np.array([row.key in free for row in samples.rows])
        tested = field & first
        counts = [int((samples.labels[which] == label).sum()) for which in (validated, tested) for label in (0, 1)]
        if min(counts) < LEAST_TESTED:
            say(
                f"fold {number + 1} is left out: pairs {counts[0]} real and {counts[1]} generated, "
                f"field {counts[2]} and {counts[3]}"
            )
            continue
        plans.append((fitted, validated, tested))
    if not plans:
        raise VeriscopeError(
            f"no fold has {LEAST_TESTED} pictures of each class, in pairs of sources that no training read and in the data: "
            "make pairs of more sources, or ask for fewer folds"
        )
    return plans


def page(figures: dict[str, Any]) -> str:
    """Rankings and regret as Markdown."""
    lines = ["# Choosing a detector by made pairs", "", summary(figures), "", table(figures["recipes"])]
    return "\n".join(lines)


def summary(figures: dict[str, Any]) -> str:
    """The correlations and the regret in two sentences."""
    count = sum(not row["reason"] for row in figures["recipes"])
    return (
        f"Over {count} recipes and {figures['folds']} folds the rankings correlate by Kendall's tau {figures['kendall']:.2f} "
        f"and Spearman's rho {figures['spearman']:.2f}. Pairs choose {figures['chosen']}, the field {figures['best']}: the "
        f"choice loses {figures['regret']:.3f} AUC, one by chance {figures['regret_by_chance']:.3f}."
    )
