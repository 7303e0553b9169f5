import cv2
import numpy as np
import pytest
from test_copy_move import CAT, UNTOUCHED, forged, placed, saved

from veriscope.tampering.copy_move_keypoints import CopyMoveKeypoints, clusters, keypoints, matches, repeated


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (placed(), "fine detail"),
        (placed(angle=33), "turned by 33 degrees"),
        (placed(scale=1.3, shift=(170, 90)), "scaled to 1"),
        (placed(angle=-60, scale=0.75), "turned by 60 degrees"),
    ],
)
def test_a_copied_part_is_found_with_its_source(affine, words):
    pixels, source, target = forged(CAT, affine)
    evidence = CopyMoveKeypoints()(saved(pixels))
    assert (evidence.map[source] > 0).mean() > 0.8
    assert (evidence.map[target] >= 0.5).mean() > 0.8
    assert (evidence.map[~source & ~target] > 0).mean() < 0.02
    assert words in evidence.says


@pytest.mark.parametrize("name", UNTOUCHED)
def test_untouched_pictures_stay_empty(name):
    found = CopyMoveKeypoints().locate(saved(UNTOUCHED[name]))
    assert found.map.max() == 0
    assert found.score == 0


@pytest.mark.parametrize("scale", [0.75, 1.3])
def test_the_copy_is_the_part_that_was_resampled(scale):
    pixels, source, target = forged(CAT, placed(scale=scale, shift=(170, 90)))
    (match,) = matches(saved(pixels, 95))
    assert match.told_apart
    assert (match.target & target).sum() > 0.8 * target.sum()
    assert (match.source & source).sum() > 0.8 * source.sum()
    assert abs(match.scale - scale) < 0.02


def test_flat_and_small_pictures():
    found = CopyMoveKeypoints().locate(saved(np.full((65, 90, 3), 128, np.uint8)))
    assert found.judged.max() == 0
    assert found.map.max() == 0
    assert CopyMoveKeypoints().locate(saved(CAT[:64, :71])).score == 0
    assert CopyMoveKeypoints()(saved(CAT[:60, :60])) is None


def test_a_keypoint_that_comes_twice_is_matched_and_one_that_comes_often_is_not():
    random = np.random.default_rng(0)
    described = np.abs(random.normal(size=(40, 128))).astype(np.float32)
    described[1] = described[0] + 0.02 * np.abs(random.normal(size=128))
    for like in range(11, 20):  # ten alike, all as far from one another
        described[like] = described[10] + 0.02 * np.abs(random.normal(size=128))
    described /= np.linalg.norm(described, axis=1, keepdims=True)
    places = np.column_stack([np.arange(40) * 50.0, np.zeros(40)]).astype(np.float32)
    assert repeated(places, described, 20).tolist() == [[0, 1], [1, 0]]
    assert len(repeated(places, described, 60)) == 0


def test_matches_cluster_by_both_ends():
    start = np.float32([[x, 0] for x in range(10)])
    end = start + np.where(np.arange(10) < 6, 100, 500)[:, None].astype(np.float32)
    assert [group.tolist() for group in clusters(start, end, 20)] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]
    assert clusters(start[:0], end[:0], 20) == []


def test_keypoints_have_unit_descriptors():
    places, described = keypoints(cv2.cvtColor(CAT, cv2.COLOR_RGB2GRAY))
    assert len(places) == len(described) > 100
    assert np.allclose(np.linalg.norm(described, axis=1), 1, atol=1e-3)
