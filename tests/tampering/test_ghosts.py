import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope import open_picture
from veriscope.container.jpeg_coefficients import as_stored, upright
from veriscope.picture import Picture
from veriscope.tampering.ghosts import LOOKED_AT, Ghosts, find_ghost, ghost_differences, sampled_blocks

HOSTS = [data.coffee(), data.chelsea(), np.stack([data.camera()] * 3, 2)]
DONOR = np.ascontiguousarray(data.astronaut()[96:216, 120:240])
TOP, LEFT, SIDE = 104, 56, 120  # on the block grid


def stored(pixels, quality=None, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(
        file, "JPEG" if quality else "PNG", **({"quality": quality} if quality else {}), **options
    )
    return file.getvalue()


def saved(pixels, quality):
    return open_picture(stored(pixels, quality)).rgb


def with_ghost(host, quality):
    pixels = host.copy()
    pixels[TOP : TOP + SIDE, LEFT : LEFT + SIDE] = saved(DONOR, quality)
    return pixels


def grey(pixels):
    return np.asarray(Image.fromarray(pixels).convert("L"))


@pytest.mark.parametrize(("first", "second"), [(70, 90), (75, 95)])
@pytest.mark.parametrize("host", HOSTS)
def test_a_part_saved_before_at_a_lower_quality_is_a_ghost(host, first, second):
    found = Ghosts().locate(open_picture(stored(with_ghost(host, first), second)))
    inside = np.zeros(found.map.shape, bool)
    inside[TOP // 8 : (TOP + SIDE) // 8, LEFT // 8 : (LEFT + SIDE) // 8] = True
    called = found.map >= 0.5
    assert found.score >= 0.5
    assert called[inside].mean() > 0.3
    assert called[~inside].mean() < 0.03
    assert "changes less than the rest" in found.says


@pytest.mark.parametrize("host", HOSTS)
def test_no_ghost_in_a_picture_saved_as_a_whole(host):
    for file in (stored(host, 85), stored(saved(host, 70), 90), stored(saved(host, 85))):
        found = Ghosts().locate(open_picture(file))
        assert found.score < 0.35
        assert found.map.max() < 0.5
        assert "no part stands out" in found.says
        assert found.judged.mean() > 0.5


def test_a_ghost_in_a_cropped_lossless_picture_is_looked_for_on_its_own_grid():
    pixels = np.ascontiguousarray(with_ghost(saved(HOSTS[0], 90), 65)[3:, 5:])
    found = Ghosts().locate(open_picture(stored(pixels)))
    called = found.map >= 0.5
    inside = np.s_[TOP // 8 : (TOP + SIDE) // 8, LEFT // 8 : (LEFT + SIDE) // 8]
    assert called[inside].mean() > 0.3
    assert called.sum() - called[inside].sum() < 0.03 * called.size


def test_the_map_is_upright():
    file = stored(with_ghost(HOSTS[0], 70), 90)
    plain = open_picture(file)
    turned = Picture(name="turned", data=file, format="JPEG", rgb=upright(plain.rgb, 6), orientation=6)
    expected, found = Ghosts().locate(plain).map, Ghosts().locate(turned).map
    assert expected.max() >= 0.5
    assert np.allclose(as_stored(found, 6), expected, atol=0.05)


def test_differences_vanish_at_the_quality_of_the_save():
    luma = grey(saved(HOSTS[0], 70))
    difference = ghost_differences(sampled_blocks(luma), (60, 70, 80))
    assert difference[1].mean() < 0.2 * min(difference[0].mean(), difference[2].mean())


def test_large_pictures_are_thinned_evenly():
    luma = np.tile(grey(DONOR), (25, 25))
    blocks = sampled_blocks(luma)
    assert LOOKED_AT / 4 < blocks.shape[0] * blocks.shape[1] <= LOOKED_AT
    assert abs(blocks.shape[0] - blocks.shape[1]) <= 1


@pytest.mark.parametrize("shape", [(64, 64), (65, 199), (203, 71)])
def test_odd_sizes(shape):
    pixels = np.ascontiguousarray(HOSTS[0][: shape[0], : shape[1]])
    found = Ghosts().locate(open_picture(stored(pixels)))
    assert found.map.max() < 0.5


def test_a_flat_picture_is_not_judged():
    found = Ghosts().locate(open_picture(stored(np.full((96, 96, 3), 120, np.uint8), 90)))
    assert found.judged.max() == 0
    assert found.map.max() == 0
    assert find_ghost(np.zeros((12, 12, 64), np.float32), np.zeros((12, 12), bool)).score == 0
