"""The chain treats every picture alike and does what sharing does."""

import numpy as np
from skimage import data

from veriscope.lab.data.augmentation import SHORTEST, jpeg, random_history, resized, webp
from veriscope.lab.data.variants import REENCODINGS, VARIANTS
from veriscope.picture import open_picture


def test_history_keeps_a_least_side_and_is_reproducible():
    cat = data.chelsea()
    shapes = set()
    for seed in range(60):
        made = random_history(cat, np.random.default_rng(seed))
        assert made.dtype == np.uint8
        assert min(made.shape[:2]) >= SHORTEST - 1
        shapes.add(made.shape)
    assert len(shapes) > 20
    assert np.array_equal(*[random_history(cat, np.random.default_rng(5)) for _ in range(2)])


def test_lower_quality_loses_more():
    cat = data.chelsea()
    errors = [np.abs(save(cat, quality).astype(int) - cat).mean() for save in (jpeg, webp) for quality in (95, 40)]
    assert errors[0] < errors[1]
    assert errors[2] < errors[3]
    assert resized(cat, 0.5).shape[:2] == (150, 226)


def test_variants_are_files_of_the_kind_they_name():
    cat = data.chelsea()
    for name in REENCODINGS:
        picture = open_picture(VARIANTS[name](cat))
        kind = name.split()[0].upper()
        assert picture.format == (kind if kind in ("JPEG", "WEBP", "PNG") else "PNG")
        assert (picture.height < cat.shape[0]) == (name == "half size")
