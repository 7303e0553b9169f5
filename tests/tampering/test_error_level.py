import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope import open_picture
from veriscope.container.jpeg_coefficients import as_stored, upright
from veriscope.picture import Picture
from veriscope.tampering.error_level import ErrorLevel, error_level

COFFEE = data.coffee()


def stored(pixels, quality=None):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG" if quality else "PNG", **({"quality": quality} if quality else {}))
    return file.getvalue()


def grey(pixels):
    return np.asarray(Image.fromarray(pixels).convert("L"))


def test_levels_are_what_one_more_save_changes():
    luma = grey(COFFEE)
    again = np.asarray(Image.open(io.BytesIO(stored(luma, 90))), np.float32)
    change = np.square(again - luma).reshape(50, 8, 75, 8).mean((1, 3)) ** 0.5
    levels = error_level(luma, 90)
    assert levels.dtype == np.float32
    assert np.abs(levels - change).mean() < 0.15


def test_what_was_saved_so_before_hardly_changes():
    pixels = COFFEE.copy()
    pixels[:, :304] = open_picture(stored(np.ascontiguousarray(COFFEE[:, :304]), 90)).rgb
    levels = error_level(grey(pixels))
    assert levels[:, :38].mean() < 0.5 * levels[:, 38:].mean()


def test_it_is_shown_and_says_that_it_proves_nothing():
    evidence = ErrorLevel()(open_picture(stored(COFFEE, 95)))
    assert evidence.score == 0
    assert evidence.log10_lr == 0
    assert evidence.weighed is False
    assert evidence.reliability == 0.1
    assert 0.01 < evidence.map.max() < 0.5
    assert "proves nothing by itself" in evidence.says


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_map_is_upright(orientation):
    file = stored(COFFEE, 95)
    plain = open_picture(file)
    turned = Picture(
        name="turned", data=file, format="JPEG", rgb=upright(plain.rgb, orientation), orientation=orientation
    )
    found = as_stored(ErrorLevel().locate(turned).map, orientation)
    # A block at the very limit of flatness may be judged in one turn and not in another.
    assert (np.abs(found - ErrorLevel().locate(plain).map) > 1e-3).mean() < 0.002


@pytest.mark.parametrize("shape", [(64, 64), (65, 131), (203, 71)])
def test_odd_sizes_and_flat_parts(shape):
    pixels = np.ascontiguousarray(COFFEE[: shape[0], : shape[1]])
    pixels[:32, :32] = 90
    found = ErrorLevel().locate(open_picture(stored(pixels)))
    assert found.map.shape == (-(-shape[0] // 8), -(-shape[1] // 8))
    assert found.judged[0, 0] == 0
    assert found.map[0, 0] == 0
