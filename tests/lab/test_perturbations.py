"""Perturbations are files of the kind they name, the same for a picture always, and do what they say to the pixels."""

import numpy as np
import pytest
from skimage import data

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark import perturbations
from veriscope.lab.benchmark.perturbations import (
    DFF,
    PERTURBATIONS,
    QUICK,
    SWEEPS,
    blurred,
    cropped,
    noisy,
    perturbed,
    pixels_of,
    screenshot,
)
from veriscope.lab.data.variants import REENCODINGS, SWEEP, VARIANTS
from veriscope.picture import open_picture


@pytest.fixture(scope="module")
def cat():
    return np.ascontiguousarray(data.chelsea()[:240, :320])


def test_every_named_set_exists_and_families_have_their_sweeps():
    for names in (SWEEPS, QUICK, DFF, REENCODINGS, SWEEP, VARIANTS):
        assert set(names) <= set(PERTURBATIONS)
    qualities = [item.amount for item in PERTURBATIONS.values() if item.family == "JPEG"]
    assert max(qualities) == 95
    assert min(qualities) <= 30
    sizes = [item.amount for item in PERTURBATIONS.values() if item.family == "resize"]
    assert (max(sizes), min(sizes)) == (0.9, 0.25)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_perturbation_is_a_file_and_the_same_for_a_key_always(cat, name):
    made = perturbed(cat, name, "source/one.jpg")
    assert made == perturbed(cat, name, "source/one.jpg")
    picture = open_picture(made)
    if name.startswith(("JPEG", "WebP")):
        assert picture.format == name.split()[0].upper()
    if name.startswith(("size", "half", "crop")):
        assert picture.width < cat.shape[1]
        assert picture.height < cat.shape[0]
    assert min(picture.width, picture.height) >= 32


def test_chance_depends_on_the_picture():
    flat = np.full((120, 130, 3), 128, np.uint8)
    assert perturbed(flat, "noise 5", "a") != perturbed(flat, "noise 5", "b")
    steep = np.tile(np.arange(120, dtype=np.uint8)[:, None, None], (1, 130, 3))
    assert perturbed(steep, "crop 50 %", "a") != perturbed(steep, "crop 50 %", "b")


def test_noise_has_the_spread_it_names_and_blur_takes_detail():
    flat = np.full((200, 200, 3), 128, np.uint8)
    difference = noisy(flat, 5.0, np.random.default_rng(0)).astype(float) - 128
    assert difference.std() == pytest.approx(5.0, abs=0.1)
    sharp = np.random.default_rng(1).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    spreads = [float(blurred(sharp, sigma).std()) for sigma in (0.5, 1.0, 2.0, 3.0)]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] < 0.2 * sharp.std()


def test_a_crop_is_a_part_of_the_picture(cat):
    part = cropped(cat, 0.5, np.random.default_rng(3))
    assert part.shape == (120, 160, 3)
    found = [
        (top, left)
        for top in range(cat.shape[0] - 119)
        for left in range(cat.shape[1] - 159)
        if np.array_equal(cat[top, left], part[0, 0]) and np.array_equal(cat[top : top + 120, left : left + 160], part)
    ]
    assert len(found) == 1
    tiny = np.zeros((20, 400, 3), np.uint8)
    assert cropped(tiny, 0.25, np.random.default_rng(0)).shape == (20, 100, 3)


def test_a_screenshot_shows_the_picture_on_a_page_in_nearly_its_colours(cat):
    shot = screenshot(cat, 1.0, np.random.default_rng(5))
    assert shot.shape[0] > cat.shape[0]
    assert shot.shape[1] > cat.shape[1]
    places = [
        (top, left)
        for top in range(shot.shape[0] - cat.shape[0])
        for left in range(shot.shape[1] - cat.shape[1])
        if np.abs(shot[top : top + 3, left : left + 60].astype(int) - cat[:3, :60]).mean() < 2
    ]
    (top, left) = places[0]
    inside = shot[top : top + cat.shape[0], left : left + cat.shape[1]].astype(int) - cat
    assert np.abs(inside).mean() < 0.6
    assert np.abs(inside).any()
    twice = screenshot(cat, 2.0, np.random.default_rng(5))
    assert twice.shape[1] == pytest.approx(2 * shot.shape[1], abs=3)


def test_chains_are_no_larger_than_they_say():
    wide = np.zeros((900, 2600, 3), np.uint8)
    wide[::7] = 200
    assert pixels_of(perturbed(wide, "messenger", "k")).shape[1] == 1600
    assert pixels_of(perturbed(wide, "microblog", "k")).shape[1] == 1080
    assert pixels_of(perturbed(wide, "photo page", "k")).shape[1] == 2048
    assert pixels_of(perturbed(wide, "news site", "k")).shape[1] == 800
    assert pixels_of(perturbed(wide, "passed on three times", "k")).shape[1] == 1280


def test_an_unknown_name_is_refused_with_those_that_there_are(cat):
    with pytest.raises(VeriscopeError, match="JPEG 95"):
        perturbed(cat, "sepia", "k")
    assert "sepia" not in perturbations.PERTURBATIONS
