"""Marks that image generators write are found by their bits, and in no picture without them."""

import numpy as np
import pytest
from skimage import data
from test_marking import file_of

from veriscope import examine
from veriscope.picture import open_picture
from veriscope.watermarks import generator_marks
from veriscope.watermarks.generator_marks import MARKS, STEP, GeneratorMarks, find, log10_lr


def signed(rgb, bits):
    """A picture whose U channel carries bits in the way of dwtDctSvd, written here by moving whole blocks."""
    import cv2

    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV).astype(np.float32)
    at = 0
    for top in range(0, rgb.shape[0] // 8 * 8, 8):
        for left in range(0, rgb.shape[1] // 8 * 8, 8):
            plane = yuv[top : top + 8, left : left + 8, 1]
            coarse = plane.reshape(4, 2, 4, 2).sum((1, 3)) / 2
            a, s, b = np.linalg.svd(coarse)
            wanted = (s[0] // STEP + 0.25 + 0.5 * bits[at % len(bits)]) * STEP
            change = (wanted - s[0]) * np.outer(a[:, 0], b[0])
            yuv[top : top + 8, left : left + 8, 1] = plane + np.kron(change, np.ones((2, 2))) / 2
            at += 1
    return cv2.cvtColor(np.clip(np.rint(yuv), 0, 255).astype(np.uint8), cv2.COLOR_YUV2RGB)


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.writer)
def test_a_signed_picture_is_found_and_named(mark):
    found = find(signed(data.astronaut(), mark.bits))
    assert found.mark is mark
    assert found.method == "dwtDctSvd"
    assert found.p_value < 1e-7


@pytest.mark.parametrize("method", generator_marks.METHODS)
def test_what_the_package_itself_writes_is_found(method):
    package = pytest.importorskip("imwatermark")
    mark = MARKS[0]
    encoder = package.WatermarkEncoder()
    encoder.set_watermark("bytes", b"StableDiffusionV1")
    made = encoder.encode(np.ascontiguousarray(data.astronaut()[:, :, ::-1]), method)
    found = find(np.ascontiguousarray(made[:, :, ::-1]))
    assert (found.mark, found.method) == (mark, method)
    assert found.p_value < 1e-6


def test_unmarked_pictures_carry_none():
    pictures = [data.astronaut(), data.coffee(), data.rocket(), data.immunohistochemistry()]
    pictures += [np.full((300, 300, 3), grey, np.uint8) for grey in (0, 128, 255)]
    for rgb in pictures:
        assert find(rgb).p_value > 1e-4


def test_what_is_claimed_grows_with_the_test_and_ends():
    assert log10_lr(1e-3) == 0
    assert 0 < log10_lr(1e-7) < log10_lr(1e-8) + 1
    assert log10_lr(0.0) == 4


def test_the_examination_says_marked_only_where_a_mark_is():
    names = ["generator_marks"]
    with_mark = examine(open_picture(file_of(signed(data.astronaut(), MARKS[2].bits))), detectors=names)
    assert with_mark.pixels["marked"].state == "yes"
    assert "Stable Diffusion XL" in with_mark.pixels["marked"].says
    assert with_mark.pixels["generated"].state == "cannot tell"
    without = examine(open_picture(file_of(data.astronaut())), detectors=names)
    assert "marked" not in without.pixels
    assert "means nothing" in without.evidence[0].says
    assert GeneratorMarks()(open_picture(file_of(data.astronaut()[:200, :200]))) is None
