"""A copy is verified where it lies, and what only resembles the original is not."""

import cv2
import numpy as np
import pytest
from skimage import data

from veriscope.copies.verification import points, read_as, verify, verify_points
from veriscope.lab.data.copy_patterns import copied_for


@pytest.fixture(scope="module")
def cat():
    return np.ascontiguousarray(data.chelsea())


@pytest.fixture(scope="module")
def coffee():
    return np.ascontiguousarray(data.coffee())


@pytest.fixture(scope="module")
def astronaut():
    return np.ascontiguousarray(data.astronaut())


def moved(verification, x, y):
    u, v, depth = verification.homography @ (x, y, 1)
    return u / depth, v / depth


def test_a_resized_crop_is_found_where_it_lies(cat):
    crop = cv2.resize(cat[60:210, 100:340], None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    found = verify(crop, cat)
    assert found is not None
    assert found.overlap == pytest.approx(150 * 240 / (300 * 451), rel=0.05)
    assert moved(found, 220, 135) == pytest.approx(((220.5 - 100) * 1.5 - 0.5, (135.5 - 60) * 1.5 - 0.5), abs=0.7)
    assert found.score > 0.9
    assert not found.mirrored
    assert f"{100 * found.overlap:.0f} % of the original" in found.says


def test_mirrored_and_negative_copies_are_told(cat):
    mirrored = verify(np.ascontiguousarray(cat[:, ::-1]), cat)
    assert mirrored is not None
    assert mirrored.mirrored
    assert moved(mirrored, 100, 50) == pytest.approx((350, 50), abs=0.5)
    negative = verify(255 - cat[::-1], cat)
    assert negative is not None
    assert negative.negative
    assert negative.mirrored
    assert moved(negative, 100, 50) == pytest.approx((100, 249), abs=0.5)
    assert "mirrored and in negative" in negative.says


def test_descriptors_of_a_mirror_are_those_read_off_the_original(coffee):
    plain, turned = points(coffee), points(np.ascontiguousarray(coffee[:, ::-1]))
    likeness = (read_as(plain.descriptors, True, False) @ turned.descriptors.T).max(1)
    assert np.median(likeness) > 0.95
    assert np.median((plain.descriptors @ turned.descriptors.T).max(1)) < 0.9


@pytest.mark.parametrize(
    "name",
    [
        *("crop tenth", "small on other", "collage four", "meme text", "rotate freely", "perspective strongly"),
        *("emoji many", "phone screen", "printed", "thumbnail", "negative", "under other", "on billboard"),
        *("jpeg heavy", "newspaper"),
    ],
)
def test_heavily_changed_copies_are_verified_and_strangers_are_not(name, cat, coffee, astronaut):
    copy = points(copied_for(cat, coffee, name, "cat"))
    found = verify_points(copy, points(cat))
    assert found is not None
    assert found.score > 0.5
    assert verify_points(copy, points(astronaut)) is None


def test_the_ground_of_an_overlay_is_recognised_as_well_as_the_picture_on_it(cat, coffee):
    made = copied_for(cat, coffee, "on other", "cat")
    ground = verify(made, coffee)
    assert ground is not None
    assert 0.3 < ground.agreement < 0.9


def test_two_frames_of_one_broadcast_are_kept_apart(cat, astronaut):
    def frame(rgb):
        made = cv2.resize(rgb, (480, 360), interpolation=cv2.INTER_AREA)
        made[290:] = cv2.resize(data.text()[30:130, 10:400], (480, 70))[..., None] // 2 + 60
        cv2.putText(made, "LIVE 24", (10, 40), cv2.FONT_HERSHEY_DUPLEX, 1.2, (255, 40, 40), 3)
        return made

    first, second = frame(cat), frame(astronaut)
    assert verify(first, first) is not None
    assert verify(first, second) is None


def test_twins_that_share_a_part_of_their_front_are_kept_apart(coffee, astronaut):
    front = cv2.cvtColor(data.page()[:100, :170], cv2.COLOR_GRAY2RGB)  # as good as a wall of windows for matching
    first, second = (np.ascontiguousarray(rgb[:400, :500]) for rgb in (coffee, astronaut[:, :500]))
    second = cv2.resize(second, (500, 400))
    for scene in (first, second):
        scene[150:250, 150:320] = front
    assert verify(first, second) is None


@pytest.mark.parametrize("shape", [(64, 64), (65, 301), (1, 1), (8, 2000)])
def test_pictures_without_detail_are_not_judged(shape, cat):
    flat = np.full((*shape, 3), 130, np.uint8)
    assert verify(flat, cat) is None
    assert verify(cat, flat) is None
    assert verify(flat, flat) is None


def test_noise_shares_nothing():
    first, second = (np.random.default_rng(seed).integers(0, 256, (200, 300, 3), dtype=np.uint8) for seed in (0, 1))
    assert verify(first, second) is None
    assert verify(first, first) is not None
