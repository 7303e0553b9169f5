"""``veriscope tampering maps`` as a user meets it: its files, names, resuming, and what it says of bad input."""

import argparse
import io
import json

import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope import cli, maps, plugins
from veriscope.cli import tampering
from veriscope.maps_batch import jobs
from veriscope.tampering.double_quantisation import DoubleQuantisation
from veriscope.tampering.localisation import Localisation, Localiser

CAT = data.chelsea()[40:240, 60:330]


class Redness(Localiser):
    """Finds red parts, on blocks of 10 pixels."""

    name = "redness"
    quick = True
    asked = 0

    def find(self, picture):
        type(self).asked += 1
        red = picture.rgb[::10, ::10, 0].astype(np.float32) - picture.rgb[::10, ::10, 1:].max(2)
        values = np.clip((red - 100) / 100, 0, 1)
        return Localisation(values, np.ones_like(values), float(values.max()), "Red parts were measured.")


class Fused(Redness):
    name = "fused"
    quick = False


class Mute(Localiser):
    name = "mute"

    def find(self, picture):
        return None


class Broken(Localiser):
    name = "broken"

    def find(self, picture):
        raise RuntimeError("out of order")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    def parser():
        top = argparse.ArgumentParser(prog="veriscope")
        tampering.add_to(top.add_subparsers(required=True))
        return top

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "parser", parser)


@pytest.fixture
def methods(monkeypatch):
    made = (Fused(), Redness(), Mute(), Broken())
    monkeypatch.setattr(plugins, "detectors", lambda: made)
    monkeypatch.setattr(Redness, "asked", 0)
    monkeypatch.setattr(Fused, "asked", 0)
    return made


@pytest.fixture
def edited(tmp_path):
    pixels = CAT.copy()
    pixels[20:80, 20:100] = (250, 5, 5)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    return tmp_path / "cat.png"


def run(*words):
    return cli.main(["tampering", "maps", *map(str, words)])


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_files_of_one_picture(methods, edited, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(edited, "--out", out) == 0
    assert "cat.json" in capsys.readouterr().out
    assert files(out) == ["cat.fused.png", "cat.json", "cat.npz", "cat.overlay.png", "cat.redness.png"]
    with np.load(out / "cat.npz") as arrays:
        assert sorted(arrays) == ["fused", "redness"]
        found = arrays["redness"]
        assert found.dtype == np.float32
        assert found.shape == CAT.shape[:2]
        assert 0 <= found.min() <= found.max() <= 1
        assert found[30:70, 30:90].min() > 0.9
        assert found[100:].max() < 0.1
    drawn = np.asarray(Image.open(out / "cat.redness.png"))
    assert np.abs(drawn / 255 - found).max() < 0.01
    with Image.open(out / "cat.overlay.png") as overlay:
        assert overlay.size == (CAT.shape[1], CAT.shape[0])
        inside, outside = (
            np.asarray(overlay.crop(box).convert("RGB")).mean((0, 1))
            for box in ((40, 40, 80, 60), (150, 120, 260, 190))
        )
        assert inside[0] > 200 > outside.max()
    record = json.loads((out / "cat.json").read_text())
    row = record["methods"]["redness"]
    assert row["says"] == "Red parts were measured."
    (region,) = row["regions"]
    assert region["place"] == "upper left"
    assert region["share"] == pytest.approx(60 * 80 / CAT.shape[0] / CAT.shape[1], rel=0.3)
    assert "does not apply" in record["methods"]["mute"]["reason"]
    assert "out of order" in record["methods"]["broken"]["reason"]
    assert record["edited"]["state"] == "cannot tell"
    assert set(record["files"]) | {"cat.json"} == set(files(out))


def test_quick_and_named_methods(methods, edited, tmp_path, capsys):
    assert run(edited, "--out", "quick", "--quick") == 0
    with np.load(tmp_path / "quick" / "cat.npz") as arrays:
        assert list(arrays) == ["redness"]
    assert Fused.asked == 0
    assert run(edited, "--out", "some", "--methods", "mute", "redness") == 0
    assert files(tmp_path / "some") == ["cat.json", "cat.npz", "cat.redness.png"]
    assert run(edited, "--out", "some", "--methods", "nobody") == 2
    assert run(edited, "--out", "some", "--methods", "mute", "--quick") == 2
    assert "redness" in capsys.readouterr().err


def test_a_second_run_does_only_what_changed(methods, edited, tmp_path):
    assert run(edited, "--out", "out") == 0
    assert run(edited, "--out", "out") == 0
    assert Redness.asked == 1
    assert run(edited, "--out", "out", "--again") == 0
    assert Redness.asked == 2
    (tmp_path / "out" / "cat.redness.png").unlink()
    assert run(edited, "--out", "out") == 0
    assert Redness.asked == 3
    Image.fromarray(CAT).save(edited)
    assert run(edited, "--out", "out") == 0
    assert Redness.asked == 4
    assert json.loads((tmp_path / "out" / "cat.json").read_text())["methods"]["redness"]["regions"] == []
    assert run(edited, "--out", "out", "--methods", "redness") == 0  # other files of the earlier run go
    assert files(tmp_path / "out") == ["cat.json", "cat.npz", "cat.redness.png"]


def test_one_stem_in_two_folders(methods, tmp_path):
    for folder, pixels in (("a", CAT), ("b", CAT[::-1])):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "cat.png")
    assert run("a/cat.png", "--out", "out") == 0
    assert run("b/cat.png", "--out", "out") == 0
    records = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")}
    assert len(records) == 2
    assert records["cat"]["picture"] == "a/cat.png"
    assert {record["sha256"] for record in records.values()} == {
        maps.open_picture(p).sha256 for p in ("a/cat.png", "b/cat.png")
    }
    before = files(tmp_path / "out")
    settings = maps.Settings()
    named = {
        str(job.path): job.name
        for job in jobs([tmp_path / "b/cat.png", tmp_path / "a/cat.png"], tmp_path / "out", settings)
    }
    assert named[str(tmp_path / "a/cat.png")] == "cat"  # whatever the order
    assert run("b/cat.png", "--out", "out") == 0
    assert files(tmp_path / "out") == before


def test_nothing_of_the_users_is_written_over_or_read_as_a_picture(methods, edited, tmp_path):
    (tmp_path / "cat.json").write_text('{"mine": true}')
    assert run(edited, "--out", ".") == 0
    assert json.loads((tmp_path / "cat.json").read_text()) == {"mine": True}
    written = list(tmp_path.glob("cat-*.json"))
    assert len(written) == 1
    (job,) = jobs(sorted(tmp_path.glob("*.png")), tmp_path, maps.Settings())
    assert job.path.name == "cat.png"
    assert job.name == written[0].stem


def test_a_picture_that_fails_leaves_nothing(methods, edited, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(maps, "overlay_png", full)
    assert run(edited, "--out", "out") == 2
    assert "No space left" in capsys.readouterr().err
    assert files(tmp_path / "out") == []


def test_large_pictures_have_maps_of_a_stated_size(methods, edited, tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "MOST_PIXELS", CAT.shape[0] * CAT.shape[1] // 4)
    assert run(edited, "--out", "out") == 0
    record = json.loads((tmp_path / "out" / "cat.json").read_text())
    assert (record["map_height"], record["map_width"]) == (CAT.shape[0] // 2, CAT.shape[1] // 2)
    with np.load(tmp_path / "out" / "cat.npz") as arrays:
        assert arrays["fused"].shape == (CAT.shape[0] // 2, CAT.shape[1] // 2)


def test_bad_input(tmp_path, capsys):
    assert run("nothing.jpg", "--out", "out") == 2
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    assert run("bad.jpg", "--out", "out") == 2
    assert "bad.jpg" in capsys.readouterr().err
    assert run("bad.jpg", "--out", "out", "--processes", "-1") == 2
    assert run("bad.jpg", "--out", "bad.jpg/out") == 2
    (tmp_path / "empty").mkdir()
    assert run("empty", "--out", "out") == 2
    assert "no picture in it" in capsys.readouterr().err


def test_a_folder_in_processes_with_a_bad_picture_and_a_real_method(tmp_path, capsys):
    once = io.BytesIO()
    Image.fromarray(data.coffee()).save(once, "JPEG", quality=60)
    pixels = np.asarray(Image.open(once)).copy()
    pixels[101:221, 53:173] = data.chelsea()[100:220, 100:220]  # textured throughout: no flat part is left unjudged
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(pixels).save(folder / "spliced.jpg", quality=90)
    Image.fromarray(CAT).save(folder / "cat.png")
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    assert run("in", "--out", "out", "--methods", DoubleQuantisation.name, "--processes", "1") == 0
    said = capsys.readouterr()
    assert "bad.jpg" in said.err
    assert "2 of 3 pictures, 0 of them done before, 1 errors" in said.err
    assert files(tmp_path / "out") == [
        "cat.json",
        "cat.npz",
        "spliced.double_quantisation.png",
        "spliced.json",
        "spliced.npz",
    ]
    with np.load(tmp_path / "out" / "spliced.npz") as arrays:
        found = arrays["double_quantisation"]
    assert found.shape == pixels.shape[:2]
    assert found[115:205, 65:160].mean() > 0.5
    assert found[250:].mean() < 0.1
    with np.load(tmp_path / "out" / "cat.npz") as arrays:
        assert list(arrays) == []
