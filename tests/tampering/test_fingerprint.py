import numpy as np
from skimage import data

from veriscope.picture import Picture
from veriscope.tampering.consistency import odd_ones
from veriscope.tampering.fingerprint import localised, two_groups


def vectors(rows, columns, odd, spread=0.2, seed=0):
    generator = np.random.default_rng(seed)
    found = np.zeros((rows, columns, 16))
    found[..., 0] = 1
    found[odd] = 0
    found[odd, 1] = 1
    found += generator.normal(0, spread / 4, found.shape)
    return (found / np.linalg.norm(found, axis=2, keepdims=True)).astype(np.float32)


def patch(rows=20, columns=30):
    odd = np.zeros((rows, columns), bool)
    odd[4:10, 6:14] = True
    return odd


def test_a_part_with_another_direction_is_the_smaller_group():
    odd = patch()
    lean, apart = two_groups(vectors(20, 30, odd), np.ones_like(odd))
    assert lean[odd].min() > 0.9
    assert lean[~odd].max() < 0.1
    assert apart > 0.7


def test_one_group_is_not_far_apart_from_itself():
    odd = np.zeros((20, 30), bool)
    _, apart = two_groups(vectors(20, 30, odd), np.ones_like(odd))
    assert apart < 0.2


def test_what_is_not_heard_is_left_out():
    odd = patch()
    heard = ~odd
    lean, apart = two_groups(vectors(20, 30, odd), heard)
    assert lean[odd].max() == 0
    assert apart < 0.2
    assert two_groups(vectors(4, 4, odd[:4, :4]), np.ones((4, 4), bool))[1] == 0


def test_the_map_is_empty_where_groups_are_close_and_full_where_they_are_apart():
    picture = Picture(name="made", data=b"", format="PNG", rgb=data.coffee()[:320, :480].copy())
    odd = patch()
    heard = np.ones_like(odd)
    near = localised(odd.astype(np.float32), 0.1, heard, picture, "Traces")
    far = localised(odd.astype(np.float32), 0.9, heard, picture, "Traces")
    assert near.map.max() == 0
    assert "no part stands out" in near.says
    assert far.map[odd].mean() > 0.8
    assert far.map[~odd].mean() < 0.05
    assert far.score == 1


def test_windows_that_most_disagree_with_are_odd():
    odd = np.zeros(100, bool)
    odd[:20] = True
    generator = np.random.default_rng(0)
    agreement = np.where(odd[:, None] == odd[None], 0.9, 0.2) + generator.normal(0, 0.05, (100, 100))
    found, apart = odd_ones(np.clip(agreement, 0, 1).astype(np.float32)[:, ::2], np.arange(0, 100, 2))
    assert found[odd].min() > 0.9
    assert found[~odd].max() < 0.1
    assert apart > 0.5


def test_windows_that_all_agree_are_not_far_apart():
    generator = np.random.default_rng(0)
    agreement = (0.8 + generator.normal(0, 0.05, (60, 60))).astype(np.float32)
    assert odd_ones(agreement, np.arange(60))[1] < 0.1
