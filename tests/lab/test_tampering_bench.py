"""The benchmark of localisers on a small made set of red patches: figures, conventions, conditions, resuming and bad files."""

import argparse
import csv
import json

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from skimage import data

from veriscope import cli, models, plugins
from veriscope.cli.lab import tampering as command
from veriscope.errors import VeriscopeError
from veriscope.evidence import Question
from veriscope.lab.benchmark import tampering_bench
from veriscope.lab.benchmark.tampering_bench import Order, TamperingBench, following, marks_of, read_mask
from veriscope.lab.benchmark.tampering_figures import BY_REGION, BY_VERDICT, EVERYWHERE
from veriscope.lab.data.manifest import Row
from veriscope.tampering.localisation import Localisation, Localiser
from veriscope.weighing import fit_panel

HOSTS = {"coffee": data.coffee()[100:196, 200:328], "cat": data.chelsea()[60:156, 100:228]}


class Redness(Localiser):
    """Finds what is redder than any photograph here, half of the picture judged at a time."""

    name = "redness"

    def __init__(self):
        self.asked = 0

    def find(self, picture):
        self.asked += 1
        red = picture.rgb[..., 0].astype(np.float32) - picture.rgb[..., 1:].max(2)
        values = np.clip((red - 100) / 100, 0, 1)
        judged = np.ones_like(values)
        judged[:, : judged.shape[1] // 2] = 0
        return Localisation(values * judged, judged, float(values.mean()), "Red parts were measured.")


class Fused(Redness):
    name = "fused"

    def __call__(self, picture):
        found = self.locate(picture)
        evidence = super().__call__(picture)
        return None if found is None else type(evidence)(**{**vars(evidence), "weighed": True})


class Mute(Localiser):
    name = "mute"

    def find(self, picture):
        return None


class Broken(Localiser):
    name = "broken"

    def find(self, picture):
        raise RuntimeError("out of order")


@pytest.fixture
def methods(monkeypatch):
    made = (Fused(), Redness(), Mute(), Broken())
    monkeypatch.setattr(plugins, "detectors", lambda: made)
    monkeypatch.setattr(models, "panels", lambda: ())
    return {method.name: method for method in made}


@pytest.fixture
def manifest(tmp_path):
    rows = []

    def add(name, pixels, label, source, split, mask=None):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        if isinstance(mask, np.ndarray):
            Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"{name}_mask.png")
            mask = f"{name}_mask.png"
        rows.append([f"{name}.png", label, source, name, split, mask or ""])

    for host, pixels in HOSTS.items():
        add(f"plain_{host}", pixels, "real", "photographs", "test")
        mask = np.zeros(pixels.shape[:2], bool)
        mask[16:64, 72:104] = True  # in the half that is judged
        edited = pixels.copy()
        edited[mask] = (250, 5, 5)
        add(f"spliced_{host}", edited, "edited", "casia1", "test_tampering", mask)
    left = np.zeros(mask.shape, bool)
    left[16:64, 8:40] = True  # in the half that is not
    unseen = HOSTS["cat"].copy()
    unseen[left] = (250, 5, 5)
    add("unseen", unseen, "edited", "painted", "test_tampering", left)
    add("no_mask", HOSTS["cat"], "edited", "painted", "test_tampering")
    add("lost_mask", HOSTS["cat"], "edited", "painted", "test_tampering", "nowhere.png")
    add("empty_mask", HOSTS["cat"], "edited", "painted", "test_tampering", np.zeros((8, 8), bool))
    add("other_shape", HOSTS["cat"], "edited", "painted", "test_tampering", np.ones((90, 30), bool))
    path = tmp_path / "manifest.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "source", "group", "split", "mask"], *rows])
    return path


def line_of(tables, method, condition="none", source=EVERYWHERE):
    (found,) = [
        line
        for line in tables["figures"]
        if (line["method"], line["condition"], line["source"]) == (method, condition, source)
    ]
    return found


def test_figures_conventions_and_bad_files(methods, manifest, tmp_path):
    order = Order(manifest, tmp_path / "out", conditions=("none", "jpeg60", "resize75"))
    tables = TamperingBench(order, lambda line: None).run()
    casia, everywhere = (line_of(tables, "redness", source=name) for name in ("casia1", EVERYWHERE))
    assert (casia["pictures"], everywhere["pictures"], everywhere["authentic"]) == (2, 3, 2)
    assert casia["f1"] == 1
    assert casia["iou"] == 1
    assert everywhere["f1"] == pytest.approx(2 / 3, abs=1e-3)  # what is not judged counts as not called
    assert everywhere["f1_all"] == pytest.approx(4 / 5, abs=1e-3)  # two correct empty maps
    assert everywhere["judged"] == 0.5
    assert everywhere["f1_low"] <= everywhere["f1"] <= everywhere["f1_high"]
    assert everywhere["picture_auc"] == 1
    assert (everywhere["alarms"], everywhere["alarms_by"]) == (0, BY_REGION)
    assert everywhere["caught"] == pytest.approx(2 / 3, abs=1e-3)
    for condition in ("jpeg60", "resize75"):
        assert line_of(tables, "redness", condition, "casia1")["f1"] > 0.85  # the mask follows
    mute, broken = line_of(tables, "mute"), line_of(tables, "broken")
    assert (mute["f1"], mute["f1_all"], mute["answered"], mute["failed"]) == (0, 0.4, 0, 0)
    assert (mute["picture_auc"], mute["pixel_auc"]) == (0.5, 0.5)
    assert (broken["answered"], broken["failed"]) == (0, 5)
    assert "out of order" in broken["reason"]
    left_out = "\n".join(tables["left_out"])
    for reason in (
        "no_mask.png: it has no mask",
        "lost_mask.png: no such file",
        "empty_mask.png: its mask empty_mask_mask.png marks nothing",
        "other_shape.png: its mask other_shape_mask.png is of another shape",
    ):
        assert reason in left_out


def test_what_is_written(methods, manifest, tmp_path):
    out = tmp_path / "out"
    TamperingBench(Order(manifest, out, conditions=("none",)), lambda line: None).run()
    page = (out / "tampering.html").read_text()
    assert "0.737" in page
    assert "redness" in page
    assert "data:image/jpeg;base64," in page
    assert str(tmp_path) not in page
    assert str(tmp_path) not in (out / "tampering.json").read_text()
    rows = parquet.read_table(out / "answers.parquet").to_pylist()
    assert len(rows) == 5 * 4
    assert {row["method"] for row in rows} == set(methods)
    assert parquet.read_table(out / "figures.parquet").num_rows == 4 * 3
    assert not list(out.glob("*.partial"))


def test_a_second_run_asks_only_what_is_missing(methods, manifest, tmp_path):
    order = Order(manifest, tmp_path / "out", methods=("redness",), conditions=("none", "jpeg80"))
    first = TamperingBench(order, lambda line: None).run()
    asked = methods["redness"].asked
    assert asked == 2 * 5
    answers = tmp_path / "out" / "answers.jsonl"
    answers.write_text(answers.read_text()[:-20])  # a line cut off by a kill
    again = TamperingBench(order, lambda line: None).run()
    assert methods["redness"].asked == asked + 1
    assert again["figures"][0] == first["figures"][0] | {"seconds": again["figures"][0]["seconds"]}
    Redness.version = "2"
    try:
        TamperingBench(order, lambda line: None).run()
    finally:
        Redness.version = "1"
    assert methods["redness"].asked == 2 * asked + 1


def test_the_fused_mark_changes_with_a_member(methods, monkeypatch):
    before = marks_of([methods["fused"]])
    monkeypatch.setattr(Mute, "version", "2")
    assert marks_of([methods["fused"]]) != before


def test_the_fused_method_is_held_to_its_verdict(methods, manifest, tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    scores, labels = generator.normal(0, 0.1, 400) + np.repeat([0.5, 1.5], 200), np.repeat([0, 1], 200)
    panel = fit_panel(Question.EDITED, {"fused@1": 1.0}, scores, labels, np.ones(400), data="made up")
    monkeypatch.setattr(models, "panels", lambda: (panel,))
    order = Order(manifest, tmp_path / "out", methods=("redness", "fused"), conditions=("none",))
    tables = TamperingBench(order, lambda line: None).run()
    fused, redness = line_of(tables, "fused"), line_of(tables, "redness")
    assert (fused["alarms_by"], fused["caught"]) == (BY_VERDICT, 0)  # no score here reaches the panel's 1 %
    assert redness["caught"] > 0.6
    assert fused["f1"] == redness["f1"]


def test_masks_follow_and_are_read_upright(tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:40] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(mask).save(tmp_path / "mask.png", exif=exif)
    row = Row(tmp_path / "a.png", "edited", "s", "g", "t", mask=str(tmp_path / "mask.png"))
    assert read_mask(row).shape == (60, 40)
    small = following(mask > 0, 0.5)
    assert small.shape == (20, 30)
    assert small[5:15, 10:20].all()
    assert small.sum() == 100


def test_the_command(methods, manifest, tmp_path, monkeypatch, capsys):
    def parser():
        top = argparse.ArgumentParser()
        command.add_to(top.add_subparsers(required=True))
        return top

    monkeypatch.setattr(cli, "parser", parser)
    out = tmp_path / "out"
    words = ["bench-tampering", "--data", str(manifest), "--out", str(out), "--most", "2", "--conditions", "none"]
    assert cli.main([*words, "--methods", "redness"]) == 0
    said = capsys.readouterr()
    assert "redness" in said.out
    assert "tampering.html" in said.out
    assert json.loads((out / "tampering.json").read_text())["about"]["order"]["most"] == 2
    assert cli.main([*words, "--methods", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err
    assert cli.main([*words, "--split", "none_such", "--authentic", "none_such"]) == 2
    assert "none_such" in capsys.readouterr().err


def test_only_localisers_are_asked(methods, monkeypatch):
    class Other:
        name, version, question = "other", "1", Question.GENERATED

        def __call__(self, picture):
            return None

    monkeypatch.setattr(plugins, "detectors", lambda: (methods["fused"], Other(), methods["redness"]))
    assert [one.name for one in tampering_bench.localisers()] == ["redness", "fused"]
    with pytest.raises(VeriscopeError, match="other"):
        tampering_bench.localisers(["other"])
