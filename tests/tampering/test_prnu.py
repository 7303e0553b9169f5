"""Sensor fingerprints, on real scenes seen by made sensors: each multiplies its own white pattern on what it sees."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope import open_picture
from veriscope.container.jpeg_coefficients import as_stored
from veriscope.errors import PictureError, VeriscopeError
from veriscope.picture import Limits
from veriscope.tampering.prnu import (
    Fingerprint,
    compare,
    enrol,
    false_alarm,
    light_and_noise,
    peak_to_correlation_energy,
)
from veriscope.tampering.prnu_regions import compare_regions
from veriscope.tampering.sensor_residual import analyse, residual, synthesise, without_shared_traces

SCENES = [data.coffee(), data.chelsea(), data.astronaut(), data.rocket()]
SHAPE = (256, 320)
DEVIATION = 0.015  # of a pixel's sensitivity, as of a real sensor
PASTED = slice(80, 192), slice(100, 220)


def sensor(number):
    return np.random.default_rng(number).normal(0, DEVIATION, SHAPE).astype(np.float32)


def shot(pattern, number):
    """What a sensor makes of a random part of a scene in random light, with shot noise: uint8 (256, 320, 3)."""
    generator = np.random.default_rng(1000 + number)
    scene = SCENES[number % len(SCENES)]
    top, left = (generator.integers(0, size - side + 1) for size, side in zip(scene.shape, SHAPE, strict=False))
    seen = scene[top : top + SHAPE[0], left : left + SHAPE[1]] * (0.7 + 0.3 * generator.random())
    seen = seen * (1 + pattern[..., None]) + generator.normal(0, 1.5, seen.shape)
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def saved(pixels, quality=90, orientation=1):
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0, exif=exif)
    return open_picture(file.getvalue(), name="made.jpg")


OURS, OTHER = sensor(1), sensor(2)


@pytest.fixture(scope="module")
def fingerprint():
    return enrol((saved(shot(OURS, number), 95) for number in range(12)), "A")


def test_the_wavelet_transform_is_inverted_exactly():
    plane = np.random.default_rng(0).normal(128, 30, (64, 96)).astype(np.float32)
    bands = analyse(plane)
    assert all(band.shape == (32, 48) for band in bands)
    assert sum(np.square(band, dtype=np.float64).sum() for band in bands) == pytest.approx(
        np.square(plane, dtype=np.float64).sum()
    )
    assert np.abs(synthesise(*bands) - plane).max() < 1e-3


def test_the_residual_keeps_noise_and_drops_the_scene():
    noise = np.random.default_rng(0).normal(0, 3, (203, 301)).astype(np.float32)
    scene = np.asarray(Image.fromarray(SCENES[0]).convert("L"), np.float32)[:203, :301]
    found = residual(scene + noise)
    assert found.shape == noise.shape
    assert np.corrcoef(found.ravel(), noise.ravel())[0, 1] > 0.6
    assert abs(np.corrcoef(found.ravel(), scene.ravel())[0, 1]) < 0.15


def test_tiles_give_what_the_whole_gives(monkeypatch):
    plane = np.asarray(Image.fromarray(SCENES[2]).convert("L"), np.float32)[:300, :500]
    whole = residual(plane)
    monkeypatch.setattr("veriscope.tampering.sensor_residual.TILE", 160)
    assert np.abs(residual(plane) - whole).max() < 0.05


def test_what_cameras_share_is_removed_and_the_own_pattern_kept():
    own = np.random.default_rng(0).normal(0, 1, (128, 160)).astype(np.float32)
    rows, columns = np.mgrid[:128, :160]
    shared = 2.0 * (columns % 8 == 0) + np.sin(rows) + 1.5 * ((rows % 2) == (columns % 2))
    cleaned = without_shared_traces(own + shared.astype(np.float32))
    assert np.corrcoef(cleaned.ravel(), own.ravel())[0, 1] > 0.95
    assert abs(np.corrcoef(cleaned.ravel(), shared.ravel())[0, 1]) < 0.02


def test_the_fingerprint_is_the_sensors(fingerprint):
    assert fingerprint.pictures == 12
    assert fingerprint.pattern.dtype == np.float32
    assert np.corrcoef(fingerprint.pattern.ravel(), OURS.ravel())[0, 1] > 0.6
    assert abs(np.corrcoef(fingerprint.pattern.ravel(), OTHER.ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("number", range(40, 44))
def test_the_right_camera_matches_and_a_wrong_one_does_not(fingerprint, number):
    match = compare(saved(shot(OURS, number)), fingerprint)
    assert match.pce > 60
    assert match.matches
    assert match.p_value < 1e-12
    assert (match.shift, match.turn, match.searched) == ((0, 0), 0, 1)
    assert "carries the sensor fingerprint of A" in match.says("A")
    wrong = compare(saved(shot(OTHER, number)), fingerprint)
    assert wrong.p_value > 1e-3
    assert not wrong.matches
    assert "was not found" in wrong.says("A")


def test_a_crop_is_found_where_it_was(fingerprint):
    pixels = shot(OURS, 45)[37:229, 51:291]
    match = compare(saved(pixels), fingerprint)
    assert match.matches
    assert match.shift == (37, 51)
    assert match.searched == (256 - 192 + 1) * (320 - 240 + 1)
    assert "51 px right and 37 px down" in match.says("A")
    wrong = compare(saved(shot(OTHER, 45)[37:229, 51:291]), fingerprint)
    assert not wrong.matches
    assert wrong.p_value > 1e-3


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_picture_is_found_when_turns_are_tried(fingerprint, quarter):
    turned = saved(np.ascontiguousarray(np.rot90(shot(OURS, 46), quarter)), 95)
    match = compare(turned, fingerprint, turns=True)
    assert match.matches
    assert (match.turn + quarter) % 4 == 0
    if quarter == 2:
        assert not compare(turned, fingerprint).matches
    else:
        with pytest.raises(PictureError, match=r"256x320 px as stored do not fit .* search over turns"):
            compare(turned, fingerprint)


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_the_exif_orientation_needs_no_search(fingerprint, orientation):
    picture = saved(shot(OURS, 47), 95, orientation)
    assert picture.orientation == orientation
    assert compare(picture, fingerprint).matches


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_spliced_region_is_found_where_it_is(fingerprint, orientation):
    pixels = shot(OURS, 43)
    pixels[PASTED] = shot(OTHER, 42)[PASTED]
    picture = saved(pixels, 95, orientation)
    found = compare_regions(picture, fingerprint)
    assert found.map.shape == (-(-picture.height // 16), -(-picture.width // 16))
    called = as_stored(found.map, orientation) >= 0.5
    inside = np.zeros(called.shape, bool)
    inside[5:12, 6:14] = True
    assert called[inside].mean() > 0.6
    assert called[~inside].mean() < 0.06
    assert found.score > 0.9
    assert "lacks the sensor fingerprint of A" in found.says


@pytest.mark.parametrize("number", range(40, 44))
def test_an_untouched_picture_lacks_nothing(fingerprint, number):
    found = compare_regions(saved(shot(OURS, number)), fingerprint)
    assert (found.map >= 0.5).mean() < 0.02
    assert found.judged.mean() > 0.5


def test_a_region_is_found_in_a_turned_crop(fingerprint):
    pixels = shot(OURS, 43)
    pixels[PASTED] = shot(OTHER, 42)[PASTED]
    picture = saved(np.ascontiguousarray(np.rot90(pixels[9:250, 21:310])), 95)
    match = compare(picture, fingerprint, turns=True)
    assert (match.shift, match.turn) == ((9, 21), 3)
    called = np.rot90(compare_regions(picture, fingerprint, match).at(picture.height, picture.width), 3) >= 0.5
    inside = np.zeros(called.shape, bool)
    inside[80 - 9 : 192 - 9, 100 - 21 : 220 - 21] = True
    assert called[inside].mean() > 0.5
    assert called[~inside].mean() < 0.06


def test_dark_and_clipped_parts_are_not_judged(fingerprint):
    pixels = shot(OURS, 43)
    pixels[:96], pixels[160:] = 0, 255
    found = compare_regions(saved(pixels), fingerprint)
    assert found.judged[:4].max() == found.judged[12:].max() == 0
    assert found.map[found.judged == 0].max() == 0
    assert "too dark, clipped or textured" in found.reason


def test_without_a_match_no_region_is_called(fingerprint):
    found = compare_regions(saved(shot(OTHER, 43)), fingerprint)
    assert (found.reliability, found.score, found.map.max(), found.judged.max()) == (0, 0, 0, 0)
    assert "does not match the camera" in found.reason


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_picture_matches_nothing(fingerprint, value):
    match = compare(saved(np.full((*SHAPE, 3), value, np.uint8)), fingerprint)
    assert not match.matches
    assert 0.001 < match.p_value <= 1
    with pytest.raises(VeriscopeError, match="no picture with light and noise"):
        enrol([saved(np.full((*SHAPE, 3), value, np.uint8))], "B")


def test_sizes_that_do_not_fit_are_named(fingerprint):
    with pytest.raises(PictureError, match=r"made.jpg: 512x512 px as stored do not fit into the fingerprint's 320x256"):
        compare(saved(SCENES[2]), fingerprint, turns=True)
    with pytest.raises(PictureError, match="under 64 px a side"):
        compare(saved(SCENES[2][:60]), fingerprint)
    with pytest.raises(PictureError, match="512x512 px as stored, where the first picture has 320x256"):
        enrol([saved(shot(OURS, 1)), saved(SCENES[2])])
    with pytest.raises(VeriscopeError, match="no picture"):
        enrol([])


def test_the_smallest_picture_and_odd_sizes_work(fingerprint):
    for size in ((64, 64), (65, 71)):
        picture = saved(shot(OURS, 43)[: size[0], : size[1]])
        light, noise = light_and_noise(picture)
        assert light.shape == noise.shape == size
        assert 0 <= compare(picture, fingerprint).p_value <= 1
        assert compare_regions(picture, fingerprint).map.shape == tuple(-(-side // 16) for side in size)


def test_the_energy_and_its_chance():
    noise = np.random.default_rng(0).normal(0, 2, (200, 300))
    noise[150, 7] = 40
    assert peak_to_correlation_energy(noise, (150, 7)) == pytest.approx(400, rel=0.03)
    noise[150, 7] = -40
    assert peak_to_correlation_energy(noise, (150, 7)) == pytest.approx(-400, rel=0.03)
    assert peak_to_correlation_energy(np.zeros((20, 20)), (0, 0)) == 0
    assert false_alarm(1.96**2, 1) == pytest.approx(0.025, rel=0.01)
    assert false_alarm(60, 1000) == pytest.approx(1000 * false_alarm(60, 1))
    assert false_alarm(-30, 1) == pytest.approx(1, abs=1e-6)
    assert false_alarm(9, 10**9) == pytest.approx(1)


def test_a_fingerprint_is_read_as_it_was_written(fingerprint, tmp_path):
    fingerprint.save(tmp_path / "a.npz")
    read = Fingerprint.load(tmp_path / "a.npz")
    assert (read.camera, read.pictures) == ("A", 12)
    assert np.array_equal(read.pattern, fingerprint.pattern)
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    with pytest.raises(VeriscopeError, match="cannot be written"):
        fingerprint.save(tmp_path / "nowhere" / "a.npz")


GOOD = {"format": 1, "camera": "A", "pictures": 3, "pattern": np.ones((64, 64), np.float32)}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"pattern": np.ones((64, 64))}, "no float32 plane"),
        ({"pattern": np.ones((64, 64, 3), np.float32)}, "no float32 plane"),
        ({"pattern": np.ones((9, 64), np.float32)}, "at least 64 px"),
        ({"pattern": np.full((64, 64), np.nan, np.float32)}, "no numbers"),
        ({"pattern": np.zeros((64, 64), np.float32)}, "empty"),
        ({"pattern": np.array([[print]] * 64, object)}, "not a camera fingerprint"),
        ({"pictures": 0}, "empty"),
        ({"pictures": 1.5}, "wrong kind"),
        ({"camera": 7}, "wrong kind"),
        ({"format": 2}, "format 2, where this version reads format 1"),
    ],
)
def test_a_damaged_fingerprint_is_refused(tmp_path, changed, reason):
    file = tmp_path / "bad.npz"
    np.savez(file, **{**GOOD, **changed})
    with pytest.raises(VeriscopeError, match=reason) as refusal:
        Fingerprint.load(file)
    assert "bad.npz" in str(refusal.value)


def test_files_that_are_no_fingerprint_are_refused(tmp_path):
    file = tmp_path / "bad.npz"
    with pytest.raises(VeriscopeError, match="cannot be read"):
        Fingerprint.load(file)
    for content in (b"", b"no archive", b"PK\x03\x04 cut off"):
        file.write_bytes(content)
        with pytest.raises(VeriscopeError, match="not a camera fingerprint"):
            Fingerprint.load(file)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pattern.npy", bytes(2_000_000))
    with pytest.raises(VeriscopeError, match=r"more than 0\.1 megapixels"):
        Fingerprint.load(file, Limits(pixels=100_000))
    np.savez(file, camera="A")
    with pytest.raises(VeriscopeError, match="not a camera fingerprint"):
        Fingerprint.load(file)
