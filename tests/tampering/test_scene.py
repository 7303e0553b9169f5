import numpy as np
import pytest
from skimage import data

from veriscope.picture import Picture
from veriscope.tampering.scene import GRID, scene, window


def picture(rgb):
    return Picture(name="made", data=b"", format="PNG", rgb=np.ascontiguousarray(rgb))


@pytest.mark.parametrize(
    ("shape", "grid"), [((256, 256), (14, 14)), ((256, 384), (14, 21)), ((384, 256), (21, 14)), ((100, 1000), (14, 25))]
)
def test_the_grid_follows_the_shape_of_the_picture(shape, grid):
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert scene(picture(rgb)).shape == (*grid, 768)


def test_tokens_of_a_long_picture_turn_with_it():
    wide = data.coffee()[:256, :400]
    across, down = scene(picture(wide)), scene(picture(wide.transpose(1, 0, 2)))
    assert across.shape[:2] == down.shape[1::-1]


def test_a_window_of_a_ramp_is_the_ramp_there():
    ramp = np.broadcast_to(((np.arange(GRID) + 0.5) / GRID)[None, :, None], (GRID, GRID, 3)).astype(np.float32)
    part = window(ramp, 0.25, 0.5, 0.25, 0.25)
    assert part.shape == ramp.shape
    middle = part[0, 3:-3, 0]
    assert np.allclose(middle, 0.5 + 0.25 * (np.arange(3, GRID - 3) + 0.5) / GRID, atol=1e-3)


def test_the_whole_window_changes_nothing():
    tokens = np.random.default_rng(0).normal(size=(GRID, 20, 5)).astype(np.float32)
    assert np.allclose(window(tokens, 0, 0, 1, 1), tokens, atol=1e-5)
