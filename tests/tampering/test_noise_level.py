import numpy as np
import pytest
from skimage import data

from veriscope.evidence import Question
from veriscope.picture import Picture
from veriscope.tampering.noise_level import NoiseLevel, block_noise, off_the_curve

HOSTS = {"rocket": data.rocket(), "astronaut": data.astronaut(), "chelsea": data.chelsea(), "coffee": data.coffee()}
EDIT = slice(96, 216), slice(160, 304)


def noisy(host, deviation=4.0):
    return host + np.random.default_rng(0).normal(0, deviation, host.shape)


def as_picture(values):
    return Picture(name="made", data=b"", format="PNG", rgb=np.clip(np.rint(values), 0, 255).astype(np.uint8))


def called(found, picture):
    return found.at(picture.height, picture.width) >= 0.5


def test_the_noise_of_plain_parts_is_measured():
    for deviation in (2, 5, 10):
        plane = np.random.default_rng(0).normal(100, deviation, (96, 160)).astype(np.float32)
        noise, texture, brightness = block_noise(plane)
        assert noise.shape == texture.shape == brightness.shape == (12, 20)
        assert np.median(noise) == pytest.approx(deviation, rel=0.05)
        assert np.median(texture) < 0.2 * deviation
        assert brightness.mean() == pytest.approx(100, abs=1)


def test_ramps_and_edges_are_no_noise():
    ramp = np.add.outer(np.arange(64.0), 2 * np.arange(96.0)).astype(np.float32)
    ramp[:, 43:] += 40
    noise, texture, _ = block_noise(ramp)
    assert noise.max() < 1e-3
    assert texture.min() > 2


def test_strips_give_what_the_whole_gives(monkeypatch):
    plane = HOSTS["coffee"][..., 1].astype(np.float32)
    whole = block_noise(plane)
    monkeypatch.setattr("veriscope.tampering.noise_level.STRIP", 64)
    for first, second in zip(whole, block_noise(plane), strict=True):
        unequal = np.abs(first - second) > 1e-3
        assert unequal.mean() < 0.2  # only the blocks at a strip's edge see another border


def test_noise_that_grows_with_light_is_on_the_curve():
    generator = np.random.default_rng(0)
    light = np.broadcast_to(np.linspace(40, 220, 320), (240, 320))
    plane = light + generator.normal(0, 1, light.shape) * light / 40
    plane[80:160, 100:200] += generator.normal(0, 6, (80, 100))
    noise, texture, brightness = block_noise(plane.astype(np.float32))
    ratios, deviations = off_the_curve(noise, texture, brightness, np.ones_like(noise))
    inside = np.zeros(noise.shape, bool)
    inside[10:20, 13:25] = True
    assert abs(np.median(ratios[:, 2:10])) < 0.1
    assert abs(np.median(ratios[:, 30:38])) < 0.1
    assert np.median(ratios[inside]) > 0.4
    assert np.median(deviations[inside]) > 2


@pytest.mark.parametrize(("kind", "word"), [("smoother", "smoother"), ("noisier", "noisier")])
def test_a_part_with_its_own_noise_is_found_where_it_is(kind, word):
    host = HOSTS["rocket"]
    values = noisy(host)
    if kind == "smoother":
        values[EDIT] = host[EDIT]
    else:
        values[EDIT] += np.random.default_rng(1).normal(0, 8, values[EDIT].shape)
    picture = as_picture(values)
    found = NoiseLevel().find(picture)
    inside = np.zeros(host.shape[:2], bool)
    inside[EDIT] = True
    where = called(found, picture)
    assert where[inside].mean() > 0.9
    assert where[~inside].mean() < 0.05
    assert found.score > 0.6
    assert f"times {word} than what surrounds it" in found.says


def test_only_plain_parts_of_a_busy_picture_are_called():
    host = HOSTS["astronaut"]
    values = noisy(host)
    values[EDIT] = host[EDIT]
    picture = as_picture(values)
    where = called(NoiseLevel().find(picture), picture)
    inside = np.zeros(host.shape[:2], bool)
    inside[EDIT] = True
    assert where[inside].mean() > 0.1
    assert where[~inside].mean() < 0.01


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize("deviation", [0, 4])
def test_an_untouched_picture_has_an_empty_map(host, deviation):
    picture = as_picture(noisy(host, deviation))
    found = NoiseLevel().find(picture)
    assert not called(found, picture).any()
    assert found.score < 0.5
    assert found.reliability == 0 or "no part stands out" in found.says


def test_clipped_and_textured_parts_are_not_judged():
    values = noisy(HOSTS["rocket"])
    values[:80], values[80:120] = 255, 0
    values[300:380] = np.random.default_rng(0).integers(0, 2, (80, *values.shape[1:])) * 255
    found = NoiseLevel().find(as_picture(values))
    assert found.map.shape == found.judged.shape == (54, 80)
    assert found.judged[:15].max() == found.judged[39:46].max() == 0
    assert found.map[found.judged == 0].max() == 0
    assert found.judged[16:36].mean() > 0.9


def test_pictures_without_noise_or_room_are_said_to_tell_nothing():
    flat = NoiseLevel().find(as_picture(np.full((200, 200, 3), 90.0)))
    smooth = NoiseLevel().find(as_picture(np.zeros((200, 300, 3)) + np.linspace(60, 160, 300)[:, None]))
    small = NoiseLevel().find(as_picture(noisy(HOSTS["rocket"])[:64, :64]))
    for found in (flat, smooth, small):
        assert (found.score, found.reliability, found.map.max()) == (0, 0, 0)
        assert found.reason
    assert "no noise" in smooth.reason
    assert "Too little" in small.reason


@pytest.mark.parametrize("size", [(64, 300), (131, 203), (257, 129)])
def test_odd_sizes_have_a_value_for_every_part(size):
    picture = as_picture(noisy(HOSTS["coffee"])[: size[0], : size[1]])
    found = NoiseLevel().find(picture)
    assert found.map.shape == tuple(-(-side // 8) for side in size)
    assert 0 <= found.map.min() <= found.map.max() <= 1


def test_the_exhibit_informs_and_is_not_weighed():
    evidence = NoiseLevel()(as_picture(noisy(HOSTS["rocket"])))
    assert evidence.detector == "noise_level"
    assert evidence.question is Question.EDITED
    assert evidence.weighed is False
    assert "depth of field" in evidence.reason
    assert NoiseLevel()(as_picture(noisy(HOSTS["rocket"])[:63])) is None
