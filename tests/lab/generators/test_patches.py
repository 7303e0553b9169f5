"""Patches cover what they say, blend as they say, and leave the rest of the picture alone."""

import cv2
import numpy as np
from skimage import data

from veriscope.lab.generators.patches import AREA, SHAPES, patched, random_mask, random_patch


def test_masks_are_connected_of_every_shape_and_of_the_wanted_area():
    shapes, areas = set(), []
    for seed in range(60):
        mask, settings = random_mask(180, 260, np.random.default_rng(seed))
        shapes.add(settings["shape"])
        areas.append(mask.mean())
        assert cv2.connectedComponents(mask.astype(np.uint8))[0] == 2
    assert shapes == set(SHAPES)
    assert min(areas) >= AREA[0] * 0.8
    assert max(areas) <= AREA[1] * 1.1
    assert min(areas) < 0.05 < 0.3 < max(areas)
    assert random_mask(3, 2, np.random.default_rng(0))[0].any()


def test_the_edge_is_feathered_and_the_rest_untouched():
    cat = data.chelsea()
    other = 255 - cat
    mask = np.zeros(cat.shape[:2], bool)
    mask[100:200, 150:300] = True
    hard, where = patched(cat, other, mask, 0.0)
    assert np.array_equal(where, mask)
    assert np.array_equal(hard, np.where(mask[:, :, None], other, cat))
    soft, where = patched(cat, other, mask, 4.0)
    far = cv2.dilate(mask.astype(np.uint8), np.ones((41, 41))) == 0
    deep = cv2.erode(mask.astype(np.uint8), np.ones((41, 41))) == 1
    assert np.array_equal(soft[far], cat[far])
    assert np.array_equal(soft[deep], other[deep])
    assert abs(where.mean() - mask.mean()) < 0.01
    edge = soft[150, 140:160].astype(int) - cat[150, 140:160]
    assert len(np.unique(edge[:, 0])) > 8


def test_a_patch_says_its_settings_and_repeats():
    cat = data.chelsea()
    one, two = (random_patch(cat, 255 - cat, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one[0], two[0])
    picture, mask, settings = one
    assert settings["area"] == round(float(mask.mean()), 4)
    assert {"shape", "feather"} <= set(settings)
    assert np.array_equal((picture != cat).any(2) & mask, mask & ((255 - cat) != cat).any(2))
