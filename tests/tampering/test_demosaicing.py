import io

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope.evidence import Question
from veriscope.picture import Picture
from veriscope.tampering.demosaicing import Demosaicing, bayer_pattern, site_energies, without_specks

SCENES = {"coffee": data.coffee(), "chelsea": data.chelsea()[:, :450], "astronaut": data.astronaut()}
METHODS = {"bilinear": cv2.COLOR_BayerRGGB2RGB, "edge-aware": cv2.COLOR_BayerRGGB2RGB_EA}
EDIT = slice(80, 208), slice(100, 228)


def as_picture(rgb):
    return Picture(name="made", data=b"", format="PNG", rgb=rgb)


def noisy(scene):
    values = scene + np.random.default_rng(1).normal(0, 2, scene.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def taken(scene, method="bilinear"):
    """What a camera makes of a scene: one colour a pixel in RGGB, the others interpolated."""
    raw = np.empty(scene.shape[:2], np.uint8)
    for site, channel in enumerate((0, 1, 1, 2)):
        raw[site // 2 :: 2, site % 2 :: 2] = scene[site // 2 :: 2, site % 2 :: 2, channel]
    return cv2.cvtColor(raw, METHODS[method])


def pattern_of(rgb):
    judged = np.ones((rgb.shape[0] // 16, rgb.shape[1] // 16), np.float32)
    return bayer_pattern(rgb, judged)


@pytest.mark.parametrize(("down", "right", "name"), [(0, 0, "RGGB"), (0, 1, "GRBG"), (1, 0, "GBRG"), (1, 1, "BGGR")])
def test_the_pattern_is_named_at_each_offset(down, right, name):
    found = pattern_of(taken(noisy(SCENES["coffee"]))[down:, right:])
    assert found.name == name
    assert len(found.ratios) == 2
    assert all((ratio > 0).mean() > 0.9 for ratio in found.ratios)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_an_untouched_camera_picture_has_an_empty_map(scene, method):
    found = Demosaicing().find(as_picture(taken(noisy(scene), method)))
    assert found.reliability > 0.2
    assert (found.map >= 0.5).sum() == 0
    assert found.score < 0.3
    assert "run through all of the picture" in found.says


@pytest.mark.parametrize("kind", ["without", "one down", "one down and right"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_a_part_without_the_pattern_or_on_another_grid_is_found_where_it_is(scene, method, kind):
    picture = taken(noisy(scene), method)
    top, left = EDIT[0].start, EDIT[1].start
    pasted = {
        "without": noisy(scene)[EDIT],
        "one down": picture[top + 1 : top + 129, left : left + 128],
        "one down and right": picture[top + 1 : top + 129, left + 1 : left + 129],
    }[kind]
    edited = picture.copy()
    edited[EDIT] = pasted
    found = Demosaicing().find(as_picture(edited))
    called = found.at(*edited.shape[:2]) >= 0.5
    inside = np.zeros(called.shape, bool)
    inside[EDIT] = True
    assert called[inside].mean() > 0.35
    assert called[~inside].mean() < 0.02
    assert found.score > 0.6
    assert "lacks the traces of the camera's colour interpolation" in found.says


def compressed(rgb):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file))


def half(rgb):
    return cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def doubled(rgb):
    return cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)[:512, :512]


@pytest.mark.parametrize("washed", [compressed, half, doubled, noisy])
def test_a_picture_without_the_trace_tells_nothing(washed):
    rgb = SCENES["coffee"] if washed is noisy else taken(noisy(SCENES["coffee"]))
    found = Demosaicing().find(as_picture(washed(rgb)))
    assert (found.reliability, found.score, found.map.max(), found.judged.max()) == (0, 0, 0, 0)
    assert "shows no trace" in found.says
    assert found.reason


def test_an_enlargement_that_keeps_every_second_pixel_is_no_camera():
    small = noisy(SCENES["coffee"])[:200, :300].astype(np.float32)
    rows, columns = (np.arange(2 * side) / 2 for side in small.shape[:2])
    enlarged = cv2.remap(small, *(part.astype(np.float32) for part in np.meshgrid(columns, rows)), cv2.INTER_LINEAR)
    assert pattern_of(np.rint(enlarged).astype(np.uint8)).name == ""


def test_flat_and_clipped_parts_are_not_judged():
    rgb = taken(noisy(SCENES["coffee"]))
    rgb[:96], rgb[96:160] = 255, 90
    found = Demosaicing().find(as_picture(rgb))
    assert found.reliability > 0
    assert found.judged[:5].max() == found.judged[6:9].max() == 0
    assert found.map[found.judged == 0].max() == 0


@pytest.mark.parametrize("size", [(64, 64), (131, 203), (64, 401)])
def test_any_size_has_a_value_for_every_part(size):
    rgb = taken(noisy(SCENES["astronaut"]))[: size[0], : size[1]]
    found = Demosaicing().find(as_picture(np.ascontiguousarray(rgb)))
    assert found.map.shape == found.judged.shape == tuple(-(-side // 16) for side in size)


def test_a_flat_picture_tells_nothing():
    found = Demosaicing().find(as_picture(np.full((200, 200, 3), 90, np.uint8)))
    assert (found.reliability, found.score, found.map.max()) == (0, 0, 0)
    assert "Too little" in found.reason


def test_strips_give_what_the_whole_gives(monkeypatch):
    plane = np.ascontiguousarray(SCENES["astronaut"][:203, :301, 1])
    whole = site_energies(plane)
    assert whole.shape == (4, 12, 18)
    monkeypatch.setattr("veriscope.tampering.demosaicing.STRIP", 48)
    assert np.allclose(site_energies(plane), whole, atol=1e-5)


def test_specks_are_quieted_and_regions_kept():
    posterior = np.zeros((20, 20), np.float32)
    posterior[2, 2], posterior[10:15, 10:15], posterior[0, 10] = 0.9, 0.8, 0.1
    found = without_specks(posterior, 9)
    assert found[2, 2] == np.float32(0.25)
    assert (found[10:15, 10:15] == np.float32(0.8)).all()
    assert found[0, 10] == np.float32(0.1)


def test_the_exhibit_informs_and_is_not_weighed():
    evidence = Demosaicing()(as_picture(taken(noisy(SCENES["coffee"]))))
    assert evidence.detector == "demosaicing"
    assert evidence.question is Question.EDITED
    assert evidence.weighed is False
    assert 0 < evidence.reliability <= 0.7
