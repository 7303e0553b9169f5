"""The search for an ensemble: what it gains, what it costs, what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.data.manifest import Row
from veriscope.lab.recipes.ensemble import calibrated, choose, coefficients, cross_fitted, held_out
from veriscope.lab.recipes.recipe import keep_scores


def _write(folder: Path, name: str, quality: float, count: int = 240) -> None:
    generator = np.random.default_rng(len(name))
    rows = [
        Row(Path(f"{number}.png"), "generated" if number % 2 else "real", f"source{number % 24}", str(number), "train")
        for number in range(count)
    ]
    scores = np.array([quality * (2 * row.generated - 1) for row in rows]) + generator.normal(0, 1, count)
    keep_scores(folder / f"{name}.scores.parquet", rows, np.zeros(count, np.int64), scores)


def _free(names: Sequence[str]) -> tuple[float, float]:
    return 10.0 * len(names), 0.1 * len(names)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, quality in (("good", 0.8), ("better", 1.0), ("noise000", 0.0)):
        _write(tmp_path, name, quality)
    return tmp_path


def test_two_independent_detectors_are_better_than_one_and_noise_stays_out(folder: Path) -> None:
    held = held_out(folder, ["good", "better", "noise000"])
    best = choose(held, megabytes=100, seconds=1, say=lambda _: None, costs_of=_free)
    assert best.members == ("better", "good")
    assert best.auc > auc(held.scores[:, 1], held.labels)


def test_a_member_beyond_the_budget_stays_out(folder: Path) -> None:
    held = held_out(folder, ["good", "better"])
    best = choose(held, megabytes=15, seconds=1, say=lambda _: None, costs_of=_free)
    assert best.members == ("better",)
    with pytest.raises(VeriscopeError, match="within 5 MB"):
        choose(held, megabytes=5, seconds=1, say=lambda _: None, costs_of=_free)


def test_a_detector_that_speaks_against_the_truth_gets_no_coefficient() -> None:
    labels = np.tile([0, 1], 50).astype(np.float32)
    generator = np.random.default_rng(0)
    scores = np.stack([labels + generator.normal(0, 1, 100), -labels + generator.normal(0, 1, 100)], 1)
    found = coefficients(scores, labels, np.full(100, 0.01))
    assert found[0] > 0.5
    assert found[1] == 0


def test_the_calibration_names_members_with_versions(folder: Path) -> None:
    held = held_out(folder, ["good", "better"])
    best = choose(held, megabytes=100, seconds=1, say=lambda _: None, costs_of=_free)
    panel = calibrated(held, best, {"good": "2", "better": "3"})
    assert set(panel.members) == {"good@2", "better@3"}
    sums = cross_fitted(held, [0, 1])
    assert panel.log10_lr(float(np.quantile(sums, 0.95))) > 0 > panel.log10_lr(float(np.quantile(sums, 0.05)))


def test_a_detector_without_scores_is_named(folder: Path) -> None:
    with pytest.raises(VeriscopeError, match=r"other\.scores\.parquet is missing: train other first"):
        held_out(folder, ["good", "other"])
