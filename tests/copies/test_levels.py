"""Replication levels order copies by how much of the original they hold."""

import numpy as np
import pytest
from skimage import data

from veriscope.copies.levels import LEVELS, THRESHOLDS, WEIGHTS, WORDS, level, probabilities
from veriscope.copies.verification import verify
from veriscope.lab.benchmark.replication import Graded, confusion, fitted
from veriscope.lab.data.augmentation import jpeg
from veriscope.lab.data.copy_patterns import copied_for


@pytest.fixture(scope="module")
def cat():
    return np.ascontiguousarray(data.chelsea())


@pytest.fixture(scope="module")
def coffee():
    return np.ascontiguousarray(data.coffee())


def level_of(copy, original):
    return level(copy, original, verify(copy, original))


def test_a_picture_saved_again_is_of_the_highest_level(cat):
    for copy in (cat, jpeg(cat, 70, subsample=True)):
        found, chances = level_of(copy, cat)
        assert found == 5
        assert sum(chances) == pytest.approx(1)
        assert len(chances) == LEVELS == len(WORDS)


@pytest.mark.parametrize("name", ["small on other", "crop tenth"])
def test_reused_parts_get_their_level(name, cat, coffee):
    assert level_of(copied_for(cat, coffee, name, "cat"), cat)[0] == 2


@pytest.mark.parametrize(("name", "grade"), [("border", 4), ("caption bar", 4), ("emoji many", 3), ("bars", 3)])
def test_edited_copies_are_below_the_picture_and_above_its_parts(name, grade, cat, coffee):
    """Light and heavy edits are told apart in four of five only, so a neighbour is let pass; see ``fit-levels``."""
    found, chances = level_of(copied_for(cat, coffee, name, "cat"), cat)
    assert found in {3, 4}
    assert abs(found - grade) <= 1
    assert chances[5] < 0.5


def test_strangers_are_unrelated(cat, coffee):
    found, chances = level_of(coffee, cat)
    assert found == 0
    assert chances[0] > 0.8


def test_levels_fall_as_less_is_replicated():
    steps = np.linspace(0, 6, 50)[:, None] * np.array([1, 0.5, 0.1, 0.05, 0.1, 0.1])
    given = [probabilities(step, WEIGHTS, THRESHOLDS) for step in steps]
    expected = [float(chances @ np.arange(LEVELS)) for chances in given]
    assert np.all(np.diff(expected) <= 1e-9)
    assert all(chances.min() >= 0 for chances in given)
    assert np.all(np.diff(THRESHOLDS) > 0)


def test_a_fit_recovers_levels_that_one_reading_tells():
    generator = np.random.default_rng(0)
    levels = np.repeat([2, 3, 4, 5], 40)
    read = np.zeros((160, 6))
    read[:, 0] = (5 - levels) + generator.normal(0, 0.25, 160)
    read[:, 3] = generator.random(160)
    weights, thresholds = fitted(Graded(read, levels, {}))
    table = confusion(Graded(read, levels, {}), weights, thresholds)
    assert table.trace() > 0.9 * 160
    assert weights[0] > 10 * weights[3]
