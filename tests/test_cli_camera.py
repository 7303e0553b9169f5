"""``veriscope camera`` as a user meets it, with pictures of made sensors."""

import argparse
import json

import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope.cli import WRONG_INPUT, camera
from veriscope.errors import VeriscopeError

SCENES = [data.coffee(), data.chelsea(), data.astronaut()]
SHAPE = (192, 256)


def take(sensor, number, path):
    """A picture of a made sensor (as in tests/tampering/test_prnu.py), with a part from elsewhere where asked."""
    pattern = np.random.default_rng(sensor).normal(0, 0.02, SHAPE)
    generator = np.random.default_rng(1000 + number)
    scene = SCENES[number % len(SCENES)]
    top, left = (generator.integers(0, size - side + 1) for size, side in zip(scene.shape, SHAPE, strict=False))
    seen = scene[top : top + SHAPE[0], left : left + SHAPE[1]] * (1 + pattern[..., None])
    pixels = np.clip(np.rint(seen + generator.normal(0, 1.5, seen.shape)), 0, 255).astype(np.uint8)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95, subsampling=0)


def call(*words):
    """The exit code as ``veriscope`` gives it, with the error as its line on standard error."""
    top = argparse.ArgumentParser()
    camera.add_to(top.add_subparsers(dest="command", required=True))
    options = top.parse_args(["camera", *map(str, words)])
    try:
        return options.run(options)
    except VeriscopeError as error:
        print(f"veriscope: {error}")
        return WRONG_INPUT


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with ``known/`` for enrolling, ``ours.npz`` made of it, and pictures to test."""
    folder = tmp_path_factory.mktemp("camera")
    for number in range(9):
        take(1, number, folder / "known" / f"{number}.jpg")
    take(1, 30, folder / "asked" / "a right.jpg")
    take(2, 30, folder / "asked" / "b wrong.jpg")
    assert call("enrol", folder / "known", "--out", folder / "ours.npz", "--name", "Ours") == 0
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_enrolling_names_what_it_leaves_out_and_goes_on(room, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    Image.fromarray(SCENES[0]).save(tmp_path / "large.png")
    known = room / "known"
    code = call("enrol", known / "0.jpg", "broken.jpg", known / "1.jpg", "large.png", "--out", "made.npz")
    assert code == 0
    said = capsys.readouterr()
    assert "written: made.npz (made, 2 pictures of 256x192 px)" in said.out
    assert "left out: broken.jpg: " in said.err
    assert "left out: large.png: 600x400 px as stored, where the first picture has 256x192" in said.err
    assert "weak fingerprint" in said.err


def test_enrolling_nothing_writes_nothing(tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"no picture at all")
    assert call("enrol", "broken.jpg", "--out", "made.npz") == 2
    assert "no picture with light" in capsys.readouterr().out
    assert not (tmp_path / "made.npz").exists()
    assert call("enrol", tmp_path / "nothing", "--out", "made.npz") == 2
    (tmp_path / "empty").mkdir()
    assert call("enrol", "empty", "--out", "made.npz") == 2
    assert "no picture in it" in capsys.readouterr().out


def test_pictures_are_told_apart_in_words(room, capsys):
    assert call("test", room / "asked", "--camera", room / "ours.npz") == 0
    first, first_says, second, second_says = capsys.readouterr().out.strip().splitlines()
    assert "a right.jpg: PCE " in first
    assert "b wrong.jpg: PCE " in second
    assert first_says == "  The picture carries the sensor fingerprint of Ours."
    assert "was not found" in second_says


def test_json_has_a_line_a_picture_and_errors_among_them(room, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    code = call("test", room / "asked", "broken.jpg", room / "known" / "0.jpg", "--camera", room / "ours.npz", "--json")
    assert code == 0
    said = capsys.readouterr()
    right, wrong, broken, known = map(json.loads, said.out.strip().splitlines())
    assert right["matches"] is known["matches"] is True
    assert right["pce"] > 60
    assert right["p_value"] < 1e-12
    assert right["camera"] == "Ours"
    assert (right["shift"], right["turn"], right["searched"]) == ({"right": 0, "down": 0}, 0, 1)
    assert wrong["matches"] is False
    assert wrong["p_value"] > 1e-3
    assert broken["file"]["name"] == "broken.jpg"
    assert "broken.jpg" in broken["error"]
    assert "veriscope: broken.jpg: " in said.err


def test_what_cannot_be_tested_ends_with_2(room, tmp_path, capsys):
    assert call("test", "gone.jpg", "--camera", room / "ours.npz") == 2
    Image.fromarray(SCENES[0]).save(tmp_path / "large.png")
    assert call("test", "large.png", "--camera", room / "ours.npz") == 2
    assert "large.png: 600x400 px as stored do not fit into the fingerprint's 256x192" in capsys.readouterr().out
    (tmp_path / "broken.jpg").write_bytes(b"no picture at all")
    assert call("test", "large.png", "broken.jpg", "--camera", room / "ours.npz") == 2
    assert "none of the 2 pictures could be tested" in capsys.readouterr().out
    assert call("test", room / "asked", "--camera", "broken.jpg") == 2
    assert "broken.jpg: not a camera fingerprint" in capsys.readouterr().out
    assert call("test", room / "asked", "--camera", room / "ours.npz", "--max-pixels", 0) == 2


def test_turned_pictures_need_the_option(room, tmp_path, capsys):
    turned = np.rot90(np.asarray(Image.open(room / "asked" / "a right.jpg")), 2)
    Image.fromarray(turned).save(tmp_path / "turned.png")
    call("test", "turned.png", "--camera", room / "ours.npz", "--json")
    call("test", "turned.png", "--camera", room / "ours.npz", "--json", "--turns")
    without, tried = map(json.loads, capsys.readouterr().out.strip().splitlines())
    assert without["matches"] is False
    assert (tried["matches"], tried["turn"]) == (True, 180)


def test_maps_are_written_for_matches_only_and_overwrite_none_of_the_run(room, tmp_path, capsys):
    take(1, 30, tmp_path / "again" / "a right.jpg")
    assert call("test", room / "asked", "again", "--camera", room / "ours.npz", "--map", "maps", "--json") == 0
    right, wrong, again = map(json.loads, capsys.readouterr().out.strip().splitlines())
    assert "regions" not in wrong
    assert sorted(file.name for file in (tmp_path / "maps").iterdir()) == sorted(
        found["regions"]["file"].removeprefix("maps/") for found in (right, again)
    )
    with Image.open(right["regions"]["file"]) as overlay:
        assert overlay.size == (256, 192)
    assert right["regions"]["judged"] > 0.3
    (tmp_path / "taken").write_bytes(b"")
    assert call("test", room / "asked", "--camera", room / "ours.npz", "--map", "taken") == 2
