import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope.container.jpeg_coefficients import upright
from veriscope.evidence import Question
from veriscope.picture import Picture
from veriscope.tampering.double_quantisation import DoubleQuantisation, dq_map, largest_region

HOSTS = [data.coffee(), data.chelsea(), data.astronaut(), np.stack([data.camera()] * 3, 2)]
DONOR = data.rocket()
TOP, LEFT, SIDE = 101, 53, 120  # on no block border


def saved(pixels, quality, orientation=1):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    rgb = np.asarray(Image.open(io.BytesIO(file.getvalue())))
    return Picture(
        name="made", data=file.getvalue(), format="JPEG", rgb=upright(rgb, orientation), orientation=orientation
    )


def spliced(host, first):
    pixels = saved(host, first).rgb.copy()
    donor = np.asarray(Image.fromarray(DONOR).resize((320, 214), Image.Resampling.LANCZOS))
    pixels[TOP : TOP + SIDE, LEFT : LEFT + SIDE] = donor[80 : 80 + SIDE, 100 : 100 + SIDE]
    return pixels


def inside_and_outside(found):
    inside, around = np.zeros(found.shape, bool), np.zeros(found.shape, bool)
    inside[TOP // 8 + 1 : (TOP + SIDE) // 8, LEFT // 8 + 1 : (LEFT + SIDE) // 8] = True
    around[TOP // 8 - 1 : (TOP + SIDE) // 8 + 2, LEFT // 8 - 1 : (LEFT + SIDE) // 8 + 2] = True
    return found[inside].mean(), found[~around].mean()


@pytest.mark.parametrize(("first", "second"), [(60, 90), (75, 95), (50, 75)])
@pytest.mark.parametrize("host", HOSTS)
def test_a_pasted_patch_stands_out(host, first, second):
    found = dq_map(saved(spliced(host, first), second))
    assert found.shape == tuple(-(-side // 8) for side in host.shape[:2])
    assert found.dtype == np.float32
    inside, outside = inside_and_outside(found)
    assert inside > 0.7
    assert outside < 0.1


@pytest.mark.parametrize("host", HOSTS)
def test_nothing_stands_out_in_a_picture_only_saved_twice(host):
    picture = saved(saved(host, 60).rgb, 90)
    inside, outside = inside_and_outside(dq_map(picture))
    assert inside < 0.05
    assert outside < 0.05
    evidence = DoubleQuantisation()(picture)
    assert evidence.score < 0.02
    assert "no part stands out" in evidence.says


@pytest.mark.parametrize("orientation", range(2, 9))
def test_the_map_is_upright(orientation):
    pixels = spliced(HOSTS[0], 60)
    expected = upright(dq_map(saved(pixels, 90)), orientation)
    assert np.array_equal(dq_map(saved(pixels, 90, orientation)), expected)


def test_the_exhibit_informs_and_is_not_weighed():
    evidence = DoubleQuantisation()(saved(spliced(HOSTS[0], 60), 90))
    assert evidence.question is Question.EDITED
    assert evidence.weighed is False
    assert evidence.log10_lr == 0
    assert 0.03 < evidence.score < 0.12
    assert "lacks the traces of the earlier JPEG save" in evidence.says
    assert "lower quality" in evidence.reason
    assert 0 <= evidence.map.min() <= evidence.map.max() <= 1


def test_it_does_not_apply_to_first_saves_and_other_formats():
    assert DoubleQuantisation()(saved(HOSTS[0], 90)) is None
    assert DoubleQuantisation()(Picture(name="x", data=b"", format="PNG", rgb=HOSTS[0])) is None


def test_scattered_blocks_are_no_region():
    scattered = np.zeros((40, 40), np.float32)
    scattered[::2, ::2] = 1
    assert largest_region(scattered) == 0
    scattered[10:20, 10:20] = 1
    assert 0.06 < largest_region(scattered) < 0.09
