"""Tampered text: where there is text, the network's map is put together as it is; where there is none, nothing is said."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from veriscope import models
from veriscope.evidence import Question
from veriscope.picture import Picture
from veriscope.tampering.text_tampering import (
    CELL,
    STRIDE,
    TextTampering,
    called,
    looks_like_text,
    near_text,
    text_cells,
)

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def page(height, width, size=16, ink=20, paper=245, top=0):
    image = Image.new("RGB", (width, height), (paper,) * 3)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for y in range(top + 8, height - size, round(size * 1.6)):
        pen.text((10, y), "Invoice 4711 of the third of May, total 1,284.50 " * 4, (ink,) * 3, font)
    return np.array(image)


def picture(rgb):
    return Picture(name="made", data=b"", format="PNG", rgb=np.ascontiguousarray(rgb))


class Marked:
    """Stands for the network: calls a place tampered where the picture is red."""

    def __init__(self):
        self.asked = []

    def run(self, _, inputs):
        pixels = inputs["pixels"]
        self.asked.append(pixels.shape)
        red = pixels[:, 0] - pixels[:, 1]
        cells = red.reshape(1, red.shape[1] // STRIDE, STRIDE, red.shape[2] // STRIDE, STRIDE).mean((2, 4))
        return [np.where(cells > 0.2, 6, -6).astype(np.float32)[:, None]]


@pytest.fixture
def network(monkeypatch):
    made = Marked()
    monkeypatch.setattr(models, "open_session", lambda name: made)
    return made


@pytest.mark.parametrize("ink", [20, 235])
@pytest.mark.parametrize("size", [12, 30])
def test_pages_look_like_text_and_photographs_do_not(size, ink):
    luma = page(320, 480, size, ink, 245 - (ink > 127) * 225) @ LUMA
    assert looks_like_text(luma.astype(np.float32)) > 0.5
    for name in ("chelsea", "astronaut"):
        assert looks_like_text((getattr(data, name)() @ LUMA).astype(np.float32)) < 0.02
    for flat in (np.full((90, 130), 128, np.float32), np.zeros((64, 64), np.float32)):
        assert looks_like_text(flat) == 0


def test_text_is_found_where_it_is():
    luma = (page(400, 500, top=200) @ LUMA).astype(np.float32)
    cells = text_cells(luma)
    assert cells.shape == (-(-400 // CELL), -(-500 // CELL))
    assert not cells[: 190 // CELL].any()
    assert cells[230 // CELL : 380 // CELL].mean() > 0.7
    near = near_text(cells, 100, 125)
    assert near.shape == (100, 125)
    assert near[60:90].mean() > near[:40].mean() == 0


def test_a_marked_word_is_called_where_it_is(network):
    rgb = page(333, 481)
    rgb[120:152, 160:240, 1:] //= 3
    found = TextTampering().find(picture(rgb))
    assert found.map.shape == found.judged.shape == (-(-333 // STRIDE), -(-481 // STRIDE))
    (region,) = called(found.map, found.judged)
    assert np.allclose(region.box, (160 / 481, 120 / 333, 240 / 481, 152 / 333), atol=0.015)
    assert found.score > 0.9
    assert "In one place" in found.says
    evidence = TextTampering()(picture(rgb))
    assert evidence.question is Question.EDITED
    assert not evidence.weighed
    assert found.map[found.judged == 0].max(initial=0) == 0


def test_an_untouched_page_has_an_empty_map(network):
    found = TextTampering().find(picture(page(200, 300)))
    assert found.map.max() < 0.01
    assert found.score < 0.05
    assert "No characters" in found.says


def test_it_is_not_asked_where_there_is_no_text(network):
    assert TextTampering().find(picture(data.chelsea())) is None
    assert TextTampering()(picture(np.full((64, 64, 3), 200, np.uint8))) is None
    assert not network.asked


def test_tiles_without_text_are_passed_over_and_large_pages_made_smaller(network):
    rgb = np.full((1500, 2500, 3), 245, np.uint8)
    rgb[:300, :600] = page(300, 600)
    found = TextTampering().find(picture(rgb))
    assert found is not None
    assert len(network.asked) == 1
    assert found.judged[:60, :120].mean() > 0.5
    assert found.judged[200:].max() == 0
    network.asked.clear()
    found = TextTampering().find(picture(np.tile(page(500, 750, 40), (5, 4, 1))))
    assert sum(height * width for *_, height, width in network.asked) < 6_000_000
    assert "smaller" in found.reason


def test_small_and_thin_pictures_do_no_harm(network):
    for height, width in ((64, 64), (65, 640), (700, 70)):
        found = TextTampering()(picture(page(height, width)))
        assert found is None or found.map.shape == (-(-height // STRIDE), -(-width // STRIDE))
