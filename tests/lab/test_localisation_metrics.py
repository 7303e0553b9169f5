"""The measures of maps against slow, plain counts and against scikit-learn."""

import doctest

import numpy as np
import pytest
from sklearn import metrics as reference

from veriscope.lab.benchmark import localisation
from veriscope.lab.benchmark.localisation import (
    AT_FIXED,
    GRID,
    all_convention,
    best_f1,
    counts,
    f1,
    f1_of,
    iou,
    mean_interval,
    pixel_auc,
)


@pytest.fixture
def made():
    generator = np.random.default_rng(3)
    mask = np.zeros((61, 47), bool)
    mask[10:30, 5:40] = True
    values = np.clip(generator.normal(0.3, 0.2, mask.shape) + 0.3 * mask, 0, 1).astype(np.float32)
    values[::7] = 0  # many ties, as maps have
    return values, mask


def test_doctests():
    ran = doctest.testmod(localisation)
    assert ran.failed == 0
    assert ran.attempted >= 10


def test_against_scikit_learn(made):
    values, mask = made
    for threshold in (0.2, 0.5, 0.77):
        called = (values >= threshold).ravel()
        assert f1(values, mask, threshold) == pytest.approx(reference.f1_score(mask.ravel(), called))
        assert iou(values, mask, threshold) == pytest.approx(reference.jaccard_score(mask.ravel(), called))
    assert pixel_auc(values, mask) == pytest.approx(reference.roc_auc_score(mask.ravel(), values.ravel()), abs=1e-3)
    found, threshold = best_f1(values, mask)
    every = [reference.f1_score(mask.ravel(), (values >= one).ravel()) for one in GRID]
    assert found == pytest.approx(max(every))
    assert threshold == pytest.approx(GRID[int(np.argmax(every))])


def test_strips_change_nothing(made, monkeypatch):
    whole = counts(*made), pixel_auc(*made)
    monkeypatch.setattr(localisation, "STRIP", 100)
    assert np.array_equal(counts(*made), whole[0])
    assert pixel_auc(*made) == whole[1]


def test_tiny_values_keep_their_order():
    """A posterior may lie at 1e-9 and 1e-7; ranks by equal steps would call these a tie."""
    values = np.float32([[1e-9, 1e-7, 1e-5, -0.0]])
    assert pixel_auc(values, np.array([[False, True, True, False]])) == 1


def test_conventions_on_authentic_pictures():
    mask = np.zeros((20, 20), bool)
    empty, one_pixel = np.full(mask.shape, 0.49, np.float32), np.zeros(mask.shape, np.float32)
    one_pixel[3, 3] = 0.5
    assert (f1(empty, mask), iou(empty, mask)) == (1, 1)
    assert (f1(one_pixel, mask), iou(one_pixel, mask)) == (0, 0)
    assert pixel_auc(empty, mask) is None
    assert f1_of(counts(one_pixel, mask))[AT_FIXED] == 0
    assert f1_of(counts(one_pixel, mask))[AT_FIXED + 1] == 1
    assert all_convention([0.5, 0.1], [True, False]).mean() == pytest.approx(0.4)


def test_a_map_of_nothing_scores_nothing_on_an_edited_picture(made):
    _, mask = made
    nothing = np.zeros(mask.shape, np.float32)
    assert (f1(nothing, mask), iou(nothing, mask), pixel_auc(nothing, mask)) == (0, 0, 0.5)
    assert f1(mask.astype(np.float32), mask) == 1


def test_another_shape_is_refused(made):
    values, mask = made
    with pytest.raises(ValueError, match="one shape"):
        f1(values, mask[1:])


def test_the_interval_covers_the_mean_and_is_repeatable():
    values = np.random.default_rng(0).random(80)
    mean, low, high = mean_interval(values, seed=1)
    assert low < mean < high
    assert (high - low) == pytest.approx(2 * 1.96 * values.std() / np.sqrt(80), rel=0.2)
    assert mean_interval(values, seed=1) == (mean, low, high)
    assert np.isnan(mean_interval([])).all()
