"""The recipe of "geometry" end to end on drawn streets, and the protocol of pictures that fooled another detector."""

import csv
import json

import cv2
import numpy as np
import onnxruntime
import pytest
from PIL import Image

from veriscope.cli import main
from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.benchmark.prequalified import prequalified
from veriscope.lab.data import samples as data
from veriscope.lab.data.manifest import read_manifest
from veriscope.lab.data.samples import prepare
from veriscope.lab.recipes import geometry as made
from veriscope.lab.recipes.recipe import Settings, keep_scores, recipe
from veriscope.synthetic import geometry


def street(generator, *, wander):
    """Lines that meet in one point, or whose far ends wander by so many pixels."""
    canvas = generator.normal(190, 3, (240, 320)).clip(0, 255).astype(np.uint8)
    point = np.array([160, 120]) + generator.normal(0, 12, 2)
    for angle in generator.uniform(0, 2 * np.pi, 26):
        way = np.array([np.cos(angle), np.sin(angle)])
        near, far = point + way * generator.uniform(20, 50), point + way * generator.uniform(90, 180)
        far = far + generator.normal(0, wander, 2)
        ends = np.rint(np.array([near, far]) * 8).astype(int)
        cv2.line(canvas, ends[0].tolist(), ends[1].tolist(), int(generator.integers(20, 90)), 3, cv2.LINE_AA, shift=3)
    return np.repeat(canvas[..., None], 3, axis=2)


@pytest.fixture
def manifest(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for label in ("real", "generated"):
        for source in range(3):
            for number in range(7):
                name = f"{label}{source}-{number}.png"
                Image.fromarray(street(generator, wander=0.3 if label == "real" else 25)).save(tmp_path / name)
                rows.append([name, label, f"{label}{source}", name, "train"])
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "source", "group", "split"], *rows])
    return tmp_path / "manifest.csv"


def trained(manifest, tmp_path, said):
    settings = Settings(folds=3, most=21)
    return recipe("geometry").train(read_manifest(manifest), tmp_path / "work", tmp_path / "out", settings, said.append)


def test_trains_on_lines_alone_resumes_and_exports(manifest, tmp_path, monkeypatch):
    said = []
    figures = trained(manifest, tmp_path, said)
    assert figures["pictures"] == {"real": 21, "generated": 21}
    assert figures["sources_kept_aside"]["auc"] > 0.8
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "geometry.onnx"))
    samples, _ = prepare(read_manifest(manifest), tmp_path / "work" / "samples", say=said.append)
    samples = samples.chosen(samples.turns == 0)
    scores = session.run(None, {"features": made.measured(samples, said.append)})[0]
    assert auc(scores, samples.labels) > 0.85

    monkeypatch.setattr(made.geometry, "features", lambda rgb: pytest.fail("measured again"))
    said.clear()
    assert trained(manifest, tmp_path, said) == figures
    assert not [line for line in said if line.startswith("geometry")]


def test_the_measures_of_a_sample_are_those_of_its_whole_picture(manifest, tmp_path):
    rows = read_manifest(manifest)[:3]
    samples, _ = prepare(rows, tmp_path / "samples", say=lambda line: None)
    measured = made.measured(samples, lambda line: None)
    assert measured.shape == (9, len(geometry.measures(data.load_pixels(rows[0]))))
    np.testing.assert_array_equal(measured[4], geometry.features(data.histories(rows[1])[1]))


def test_the_second_detector_is_measured_on_what_fools_the_first():
    generator = np.random.default_rng(0)
    generated = np.repeat([0, 1], 400)
    easy = generator.random(800) < 0.5
    first = generator.normal(0, 1, 800) + 6 * (generated & easy)
    second = generator.normal(0, 1, 800) + 3 * (generated & ~easy)
    found = prequalified(first, second, generated)
    assert found["share"] == pytest.approx(0.5, abs=0.06)
    assert found["pictures"]["real"] == 380
    assert found["auc"] > 0.95
    assert found["auc_of_first"] < 0.6
    assert found["auc_on_all"] < found["auc"] - 0.1
    with pytest.raises(VeriscopeError, match="fools"):
        prequalified(generated, second, generated)
    with pytest.raises(VeriscopeError, match="real and generated"):
        prequalified(first[:400], second[:400], generated[:400])


def test_the_command_pairs_the_scores_of_two_trainings(manifest, tmp_path, capsys):
    rows, generator = read_manifest(manifest), np.random.default_rng(0)
    turns, labels = np.zeros(len(rows), int), np.array([row.generated for row in rows])
    first, second = labels * (generator.random(len(rows)) < 0.5) * 9.0, labels + generator.random(len(rows)) / 2
    keep_scores(tmp_path / "a.scores.parquet", rows, turns, first)
    keep_scores(tmp_path / "b.scores.parquet", rows[::-1], turns, second[::-1])
    one, other = str(tmp_path / "a.scores.parquet"), str(tmp_path / "b.scores.parquet")
    assert main(["lab", "prequalify", "--fooled", one, "--by", other]) == 0
    assert json.loads(capsys.readouterr().out) == prequalified(first, second, labels)
    assert main(["lab", "prequalify", "--fooled", str(manifest), "--by", other]) == 2
    assert "not the scores of a training" in capsys.readouterr().err
    keep_scores(tmp_path / "c.scores.parquet", rows[:1], np.ones(1, int), first[:1])
    assert main(["lab", "prequalify", "--fooled", str(tmp_path / "c.scores.parquet"), "--by", other]) == 2
    assert "no sample in common" in capsys.readouterr().err
