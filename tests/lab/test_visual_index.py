"""Each measure says what its name says, and the index puts generators in the order of how real they look."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope.cli import main
from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark import visual_index as benchmark
from veriscope.lab.benchmark import visual_measures as measures
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.benchmark.visual_index import Measured, by_generator, generator_of, held_out, index, measured
from veriscope.lab.benchmark.visual_measures import MEASURES, measure
from veriscope.lab.data.augmentation import resized
from veriscope.lab.data.manifest import Row, read_manifest, write_manifest
from veriscope.lab.recipes.recipe import keep_scores

PHOTOGRAPH = data.coffee()


def named(rgb):
    return dict(zip(MEASURES, measure(rgb).tolist(), strict=True))


def test_each_measure_moves_as_its_name_says():
    usual = named(PHOTOGRAPH)
    generator = np.random.default_rng(0)
    noisy = named(np.clip(PHOTOGRAPH + generator.normal(0, 12, PHOTOGRAPH.shape), 0, 255).astype(np.uint8))
    blurred = named(cv2.GaussianBlur(PHOTOGRAPH, (0, 0), 3))
    grey = named(np.repeat(PHOTOGRAPH.mean(2, keepdims=True), 3, axis=2).astype(np.uint8))
    pale = named((PHOTOGRAPH // 4 + 150).astype(np.uint8))
    mirrored = named(np.concatenate([PHOTOGRAPH, PHOTOGRAPH[:, ::-1]], axis=1))
    shuffled = PHOTOGRAPH.copy().reshape(-1, 3)
    generator.shuffle(shuffled)
    scattered = named(shuffled.reshape(PHOTOGRAPH.shape))
    assert noisy["noise"] > usual["noise"] + 0.3
    assert noisy["texture_complexity"] > usual["texture_complexity"]
    assert noisy["frequency_slope"] > usual["frequency_slope"] + 0.1
    assert blurred["smoothness"] > usual["smoothness"]
    assert blurred["sharpness"] < usual["sharpness"] - 0.5
    assert blurred["edge_density"] < usual["edge_density"]
    assert grey["saturation"] == 0 < usual["saturation"]
    assert grey["colour_distribution"] < usual["colour_distribution"]
    assert pale["contrast"] < usual["contrast"] / 3
    assert mirrored["symmetry"] == pytest.approx(1, abs=0.01)
    assert usual["symmetry"] < 0.9
    assert scattered["contextual_relevance"] < 0.2 < usual["contextual_relevance"]


def test_contours_that_hold_together():
    edges = np.zeros((100, 200), np.uint8)
    edges[50, 20:120] = 255
    edges[10, 10:60:4] = 255  # 13 dots
    assert measures.object_coherence(edges) == pytest.approx(100 / 113)
    assert measures.edge_density(edges) == pytest.approx(113 / 20000)


def test_the_slope_of_a_known_spectrum():
    generator = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.rfftfreq(512)[None])
    frequency[0, 0] = 1
    made = np.fft.irfft2(np.fft.rfft2(generator.normal(0, 1, (512, 512))) / frequency)
    assert measures.frequency_slope((128 + made / made.std() * 30).astype(np.float32)) == pytest.approx(-2, abs=0.1)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 900, 3), (512, 512, 3)])
def test_flat_and_odd_pictures_are_measured(shape):
    for grey in (0, 255):
        assert np.isfinite(measure(np.full(shape, grey, np.uint8))).all()


def test_the_size_of_the_file_is_not_measured():
    usual, half = measure(PHOTOGRAPH), measure(resized(PHOTOGRAPH, 0.9))
    np.testing.assert_allclose(half, usual, rtol=0.25, atol=0.12)


@pytest.fixture
def found(tmp_path):
    """Four generators that depart from real pictures the further, the later they come; all sources are small."""
    generator = np.random.default_rng(0)
    rows, made = [], []
    for place, name in enumerate(("real", "near", "mid", "far")):
        for number in range(240):
            source = f"{name}{number % 6}"
            label = "real" if name == "real" else "generated"
            path = tmp_path / f"{name}{number}.png"
            rows.append(Row(path, label, source, path.name, "train", "" if name == "real" else f"{name} (presumed)"))
            made.append(generator.normal(0, 1, 12) + place * np.r_[1.0, np.zeros(11)])
    rows.append(Row(tmp_path / "x.png", "generated", "rare", "x", "train"))
    made.append(np.zeros(12))
    return Measured(rows, np.array(made, np.float32))


def test_the_index_orders_generators(found):
    figures = index(found)
    rows = {row["generator"]: row for row in figures["generators"]}
    assert list(rows).index("near") < list(rows).index("mid") < list(rows).index("far")
    assert rows["(real)"]["v_ai"] > rows["near"]["v_ai"] > rows["mid"]["v_ai"] + 10 > rows["far"]["v_ai"] + 20
    assert rows["far"]["auc"] > 0.95 > rows["near"]["auc"] > 0.6
    assert rows["(others)"]["pictures"] == 1
    for row in rows.values():
        assert 0 <= row["interval"][0] <= row["v_ai"] <= row["interval"][1] <= 100
    weights = figures["weights"]
    assert max(weights, key=weights.get) == "texture_complexity"
    assert all(
        abs(weight) < weights["texture_complexity"] / 4
        for name, weight in weights.items()
        if name != "texture_complexity"
    )
    assert index(found) == figures
    assert json.loads(json.dumps(figures)) == figures


def test_a_picture_is_scored_without_its_source(found):
    """Where a measure tells a source and nothing else, pictures of sources that were not seen are not told at all."""
    rows = [row for row in found.rows if row.source != "rare"]
    places = {source: place for place, source in enumerate(sorted({row.source for row in rows}))}
    marked = np.zeros((len(rows), len(places)), np.float32)
    marked[np.arange(len(rows)), [places[row.source] for row in rows]] = 1
    scores = held_out(Measured(rows, marked))
    assert auc(scores, [row.generated for row in rows]) < 0.6
    with pytest.raises(VeriscopeError, match="as many real sources, and there are 6"):
        held_out(found, folds=7)


def test_what_a_generator_is_called(tmp_path):
    def called(label, generator):
        return generator_of(Row(tmp_path / "a", label, "bucket", "g", "train", generator))

    assert called("generated", "gpt-4o-image(presumed)") == "gpt-4o-image"
    assert called("generated", "") == "bucket"
    assert called("real", "camera") == "(real)"


def test_detectors_against_generators(found):
    labels = np.array([row.generated for row in found.rows])
    far = np.array([row.generator.startswith("far") for row in found.rows])
    generator = np.random.default_rng(0)
    scores = {"sees far": generator.normal(0, 1, len(labels)) + 8 * far, "blind": generator.normal(0, 1, len(labels))}
    scores["blind"][far] = np.nan
    table = {(row["generator"], row["detector"]): row for row in by_generator(found.rows, scores)}
    assert table["far", "sees far"]["caught"] == 1
    assert table["far", "sees far"]["accuracy"] == pytest.approx(0.975, abs=0.005)
    assert table["near", "sees far"]["auc"] == pytest.approx(0.5, abs=0.08)
    assert ("far", "blind") not in table
    assert not any(name == "(real)" for name, _ in table)
    with pytest.raises(VeriscopeError, match="no scores of real pictures"):
        by_generator(found.rows, {"d": np.where(labels, 1.0, np.nan)})


@pytest.fixture
def manifest(tmp_path):
    generator = np.random.default_rng(0)
    table = []
    for label in ("real", "generated"):
        for source in range(3):
            for number in range(6):
                rough = generator.integers(0, 255, (9, 12, 3)).astype(np.uint8)
                pixels = cv2.resize(rough, (240, 180), interpolation=cv2.INTER_CUBIC)
                if label == "real":
                    pixels = np.clip(pixels + generator.normal(0, 15, pixels.shape), 0, 255).astype(np.uint8)
                name = f"{label}{source}-{number}.png"
                Image.fromarray(pixels).save(tmp_path / name)
                table.append(
                    {"path": name, "label": label, "source": f"{label}{source}", "group": name, "split": "train"}
                )
    write_manifest(tmp_path / "m.csv", table)
    return tmp_path / "m.csv"


def test_the_command_writes_the_index_and_the_detectors(manifest, tmp_path, capsys):
    rows = read_manifest(manifest)
    scores = np.array([row.generated for row in rows], float)
    keep_scores(tmp_path / "oracle.scores.parquet", rows, np.zeros(len(rows), int), scores)
    command = [
        "lab",
        "visual-index",
        "--data",
        str(manifest),
        "--out",
        str(tmp_path / "out"),
        "--work",
        str(tmp_path / "work"),
    ]
    assert main([*command, "--folds", "3", "--scores", str(tmp_path / "oracle.scores.parquet")]) == 0
    figures = json.loads((tmp_path / "out" / "visual-index.json").read_text())
    assert figures["pictures"] == {"real": 18, "generated": 18}
    assert figures["auc"] > 0.8
    assert {row["generator"] for row in figures["generators"]} == {"(real)", "generated0", "generated1", "generated2"}
    assert {row["caught"] for row in figures["detectors"]} == {1.0}
    assert "| generated0 | 6 |" in (tmp_path / "out" / "visual-index.md").read_text()
    assert "AUC of the twelve measures" in capsys.readouterr().out
    assert main([*command, "--folds", "7"]) == 2
    assert "as many real sources" in capsys.readouterr().err


def test_what_was_measured_is_kept(manifest, tmp_path, monkeypatch):
    rows = read_manifest(manifest)
    one = measured(rows, tmp_path / "work", most=4, say=lambda line: None)
    assert len(one.rows) == 8
    assert {row.source for row in one.rows if row.generated} == {"generated0", "generated1", "generated2"}
    monkeypatch.setattr(benchmark, "measure", lambda rgb: pytest.fail("measured again"))
    two = measured(rows, tmp_path / "work", most=4, say=lambda line: None)
    assert np.array_equal(one.measures, two.measures)
