import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope import open_picture
from veriscope.container.jpeg_coefficients import as_stored, upright
from veriscope.container.jpeg_traces import BASIS
from veriscope.evidence import Question
from veriscope.picture import Picture
from veriscope.tampering import grid_votes
from veriscope.tampering.grid import Grid, grid_finding
from veriscope.tampering.grid_votes import ballot, dct_zeros, log10_false_alarms
from veriscope.tampering.grid_votes import grid_votes as votes_of

COFFEE, ASTRONAUT = data.coffee(), data.astronaut()
TOP, LEFT, SIDE = 101, 53, 120  # (101, 53) less (80, 100) is no multiple of eight


def stored(pixels, quality=None):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG" if quality else "PNG", **({"quality": quality} if quality else {}))
    return file.getvalue()


def saved(pixels, quality):
    return open_picture(stored(pixels, quality)).rgb


def lossless(pixels):
    return Picture(name="made", data=b"", format="PNG", rgb=np.ascontiguousarray(pixels))


def pasted(host, donor):
    pixels = host.copy()
    pixels[TOP : TOP + SIDE, LEFT : LEFT + SIDE] = donor[80 : 80 + SIDE, 100 : 100 + SIDE]
    return pixels


def called_inside_and_outside(found):
    inside, around = np.zeros(found.map.shape, bool), np.zeros(found.map.shape, bool)
    inside[TOP // 8 + 1 : (TOP + SIDE) // 8, LEFT // 8 + 1 : (LEFT + SIDE) // 8] = True
    around[TOP // 8 - 2 : (TOP + SIDE) // 8 + 3, LEFT // 8 - 2 : (LEFT + SIDE) // 8 + 3] = True
    return (found.map >= 0.5)[inside].mean(), (found.map >= 0.5)[~around].mean()


@pytest.mark.parametrize(("host", "donor"), [(COFFEE, ASTRONAUT), (ASTRONAUT, COFFEE)])
def test_a_part_of_another_jpeg_lies_on_another_grid(host, donor):
    for file in (stored(pasted(saved(host, 90), saved(donor, 70))), stored(pasted(host, saved(donor, 70)), 98)):
        picture = open_picture(file)
        found = Grid().locate(picture)
        inside, outside = called_inside_and_outside(found)
        assert inside > 0.5
        assert outside < 0.01
        assert grid_finding(picture).regions[0].grid == (TOP - 80) % 8 * 8 + (LEFT - 100) % 8
        assert "out of line with the blocks" in found.says


def test_a_part_without_the_grid_is_found():
    found = Grid().locate(lossless(pasted(saved(COFFEE, 90), ASTRONAUT)))
    inside, outside = called_inside_and_outside(found)
    assert inside > 0.4
    assert outside < 0.01
    assert "lacks the blocks" in found.says


def test_a_part_with_a_grid_in_a_picture_without_is_found():
    found = Grid().locate(lossless(pasted(COFFEE, saved(ASTRONAUT, 70))))
    inside, outside = called_inside_and_outside(found)
    assert inside > 0.5
    assert outside < 0.01


@pytest.mark.parametrize("host", [COFFEE, ASTRONAUT])
@pytest.mark.parametrize("quality", [75, 95])
def test_nothing_stands_out_in_untouched_pictures(host, quality):
    found = Grid().locate(open_picture(stored(host, quality)))
    assert found.map.max() == 0
    assert found.score == 0
    assert found.judged.mean() > 0.5
    assert "in line over the whole picture; no part" in found.says


def test_a_crop_is_said_in_words_and_is_no_edit():
    picture = lossless(saved(COFFEE, 85)[3:, 5:])
    found = Grid().locate(picture)
    assert grid_finding(picture).main == 5 * 8 + 3
    assert found.score == 0
    assert "beginning at (3, 5)" in found.says
    assert "crop" in found.says


def test_a_picture_that_was_no_jpeg_shows_no_grid():
    found = Grid().locate(lossless(COFFEE))
    assert grid_finding(lossless(COFFEE)).main is None
    assert found.score == 0
    assert found.map.max() == 0
    assert found.reliability < 0.2
    assert "No blocks of a JPEG save" in found.says


def test_grids_are_those_of_the_stored_orientation():
    file = stored(pasted(COFFEE, saved(ASTRONAUT, 70))[:, :597], 98)
    plain = open_picture(file)
    turned = Picture(name="turned", data=file, format="JPEG", rgb=upright(plain.rgb, 6), orientation=6)
    assert grid_finding(turned).main == 0
    assert Grid().locate(plain).map.max() >= 0.5
    # Blocks at the border take their neighbour's judgement at the upright picture's end.
    assert np.abs(as_stored(Grid().locate(turned).map, 6) - Grid().locate(plain).map)[:-1, :-1].mean() < 0.02


def test_the_exhibit_is_not_weighed():
    evidence = Grid()(open_picture(stored(COFFEE[:128, :128], 90)))
    assert evidence.question is Question.EDITED
    assert evidence.weighed is False
    assert evidence.log10_lr == 0
    assert "quality 90" in evidence.reason


@pytest.mark.parametrize("shape", [(64, 64), (65, 199), (203, 71), (71, 64)])
def test_odd_sizes(shape):
    pixels = np.ascontiguousarray(COFFEE[100 : 100 + shape[0], 200 : 200 + shape[1]])
    picture = open_picture(stored(pixels, 85))
    found = Grid().locate(picture)
    assert found.map.shape == (-(-shape[0] // 8), -(-shape[1] // 8))
    assert grid_finding(picture).main == 0
    assert found.map.max() == 0


def test_a_flat_picture_is_not_judged():
    found = Grid().locate(lossless(np.full((90, 130, 3), 77, np.uint8)))
    assert found.judged.max() == 0
    assert found.map.max() == 0


def test_zeros_are_those_of_every_window():
    luma = np.asarray(Image.fromarray(saved(COFFEE, 80)).convert("L"))[40:75, 60:101].copy()
    luma[:9, :9] = 50
    counted = dct_zeros(luma)
    assert counted.shape == (28, 34)
    assert counted[0, 0] == 0
    for top, left in ((2, 3), (12, 20), (27, 33), (8, 16)):
        coefficients = BASIS @ luma[top : top + 8, left : left + 8].astype(np.float32).ravel()
        assert counted[top, left] == (np.abs(coefficients) < 0.499).sum()


def test_votes_are_counted_from_the_picture_s_origin():
    luma = np.asarray(Image.fromarray(saved(COFFEE[:120, :160], 75)).convert("L"))
    whole = votes_of(luma)
    part = votes_of(luma[10:90, 21:140], (21, 10))
    assert np.array_equal(part, whole[10 : 10 + part.shape[0], 21 : 21 + part.shape[1]])


def test_false_alarms_fall_with_votes_and_never_below_the_true_tail():
    assert log10_false_alarms(64.0, 4096.0, 64) == pytest.approx(np.log10(64))
    few, many = log10_false_alarms(1000.0, 6400.0, 1), log10_false_alarms(3000.0, 6400.0, 1)
    assert many < few < 0
    # 64 of 64 votes in one block: the tail is exactly 1/64.
    assert log10_false_alarms(64.0, 64.0, 1) == pytest.approx(np.log10(1 / 64), abs=1e-6)


def test_large_pictures_are_looked_at_in_bands(monkeypatch):
    luma = np.asarray(Image.fromarray(saved(COFFEE, 80)).convert("L"))
    monkeypatch.setattr(grid_votes, "LOOKED_AT", luma.size // 2)
    votes = ballot(luma)
    assert votes.main == 0
    assert len(votes.row) == luma.shape[0] // 8
    assert votes.by_cell.shape[0] < 0.6 * len(votes.row)
    assert np.array_equal(np.unique(votes.row), np.arange(len(votes.by_cell)))
    assert np.all(np.diff(votes.row) >= 0)
