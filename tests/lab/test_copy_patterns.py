"""Tamper patterns are the same for a seed, change the picture, and do what they are called."""

import cv2
import numpy as np
import pytest
from skimage import data

from veriscope.errors import VeriscopeError
from veriscope.lab.data.copy_patterns import GROUPS, HELD_OUT, PATTERNS, TRAINING, chained, copied, copied_for


@pytest.fixture(scope="module")
def cat():
    return cv2.resize(data.chelsea(), (216, 144), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def coffee():
    return cv2.resize(data.coffee(), (180, 120), interpolation=cv2.INTER_AREA)


def test_at_least_sixty_patterns_train_and_ten_others_are_held_out():
    assert len(TRAINING) >= 60
    assert len(HELD_OUT) == 10
    assert not set(TRAINING) & set(HELD_OUT)
    assert len(PATTERNS) == sum(len(changes) for changes in GROUPS.values())
    assert all(pattern.says.endswith(".") for pattern in PATTERNS.values())


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_changes_the_picture_the_same_way_for_a_key(name, cat, coffee):
    before = cat.copy(), coffee.copy()
    made = copied_for(cat, coffee, name, "cat")
    assert made.dtype == np.uint8
    assert made.ndim == 3
    assert made.shape[2] == 3
    assert min(made.shape[:2]) >= 8
    assert np.array_equal(made, copied_for(cat, coffee, name, "cat"))
    assert made.shape != cat.shape or not np.array_equal(made, cat)
    assert np.array_equal(before[0], cat)
    assert np.array_equal(before[1], coffee)


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("shape", [(64, 64), (33, 150), (131, 67)])
def test_small_and_narrow_pictures_are_copied_too(name, shape):
    generator = np.random.default_rng(3)
    tiny = generator.integers(0, 256, (*shape, 3), dtype=np.uint8)
    made = copied(tiny, np.full((40, 90, 3), 200, np.uint8), name, generator)
    assert min(made.shape[:2]) >= 8


def test_patterns_do_what_they_are_called(cat, coffee):
    def made(name, seed=0):
        return copied(cat, coffee, name, np.random.default_rng(seed))

    assert made("crop tenth").shape[0] * made("crop tenth").shape[1] == pytest.approx(0.1 * 216 * 144, rel=0.1)
    assert np.array_equal(made("flip")[:, ::-1], cat)
    assert np.array_equal(made("negative"), 255 - cat)
    assert np.ptp(made("greyscale").astype(int), axis=2).max() == 0
    assert made("on other").shape == coffee.shape
    assert len(np.unique(made("dithered"))) == 2
    changed = np.abs(made("emoji").astype(int) - cat).max(2) > 0
    assert 0.01 < changed.mean() < 0.3
    assert 0.02 < (np.abs(made("meme text").astype(int) - cat).max(2) > 40).mean() < 0.4
    screen = made("phone screen")
    assert min(np.abs(screen[top : top + 144].astype(int) - cat).max() for top in range(len(screen) - 143)) == 0
    assert sorted(made("shuffle tiles").ravel()) == sorted(cat.ravel())


def test_chains_take_patterns_of_different_groups_and_stay_bounded(cat, coffee):
    lengths = set()
    for seed in range(12):
        made, names = chained(cat, coffee, np.random.default_rng(seed))
        again, same = chained(cat, coffee, np.random.default_rng(seed))
        assert np.array_equal(made, again)
        assert names == same
        assert len({PATTERNS[name].group for name in names}) == len(names)
        assert not set(names) & set(HELD_OUT)
        assert max(made.shape) <= 2048
        lengths.add(len(names))
    assert lengths == {1, 2, 3}


def test_an_unknown_pattern_is_named(cat):
    with pytest.raises(VeriscopeError, match="no tamper pattern 'melt'"):
        copied(cat, cat, "melt", np.random.default_rng(0))
