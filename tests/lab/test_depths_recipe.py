"""The recipe of "depths" end to end on a small made set: it trains, resumes, calibrates, and exports what it trained."""

import csv
import json

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import balanced_weights, fold_of, read_manifest
from veriscope.lab.networks.clip_vit import Tower
from veriscope.lab.recipes import depths, export
from veriscope.weighing import Panel

SOURCES = {"real": ("alpha", "beta", "gamma", "delta"), "generated": ("one", "two", "three", "four")}
SETTINGS = depths.Settings(folds=2, steps=20)


@pytest.fixture
def manifest(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for label, sources in SOURCES.items():
        for source in sources:
            for number in range(8):
                pixels = generator.integers(0, 200, (200, 190, 3)).astype(np.uint8)
                if label == "generated":
                    pixels[..., 0] += 55
                name = f"{source}{number}.png"
                Image.fromarray(pixels).save(tmp_path / name)
                rows.append({"path": name, "label": label, "source": source, "group": name, "split": "train"})
    return write(tmp_path, rows)


def write(folder, rows):
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "source", "group", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def light(monkeypatch):
    """The recipe with a small stand-in for the backbone, so that the test does not run 64 passes of it."""

    def readings_of(squares):
        small = np.stack([square[::16, ::16].reshape(-1)[: 2 * 196] for square in squares]) / np.float32(255)
        return np.tile(np.pad(small, ((0, 0), (0, 2 * (768 - 196)))).reshape(-1, 1, 2, 768), (1, 8, 1, 1))

    monkeypatch.setattr(depths.backbone, "readings_of", readings_of)
    return depths


def test_trains_resumes_and_exports_what_it_trained(light, manifest, tmp_path):
    assert {fold_of(source, 2) for sources in SOURCES.values() for source in sources} == {0, 1}
    said = []
    figures = light.train([manifest], tmp_path / "work", tmp_path / "out", SETTINGS, say=said.append)
    assert figures["pictures"] == {"real": 32, "generated": 32}
    assert figures["sources"]["generated"] == sorted(SOURCES["generated"])
    assert figures["sources_kept_aside"]["auc"] > 0.9
    assert json.loads((tmp_path / "out" / "depths.figures.json").read_text()) == figures
    panel = Panel.load(tmp_path / "out" / "depths.panel.json")
    assert panel.members == {"depths@1": 1.0}
    assert panel.pictures == (32, 32)

    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "depths.onnx"))
    rows = read_manifest(manifest)
    changes, _ = light.cache_changes(rows, tmp_path / "work", SETTINGS, said.append)
    kept, features = light.cache_features(rows, tmp_path / "work", SETTINGS, said.append)
    scores = session.run(None, {"features": features})[0]
    labels = np.array([row.generated for row in kept])
    assert scores[labels == 1].min() > scores[labels == 0].max()
    weights, offset = light.fit_linear(
        features, labels.astype(np.float32), balanced_weights(kept), SETTINGS.decay, 20, changes, SETTINGS.invariance
    )
    np.testing.assert_allclose(scores, features @ weights.numpy() + offset, rtol=1e-3, atol=1e-3)

    said.clear()
    again = light.train([manifest], tmp_path / "work", tmp_path / "out", SETTINGS, say=said.append)
    assert again == figures
    assert not [line for line in said if line.startswith("features")]
    assert (tmp_path / "work" / "saved_again.npz").exists()


def test_an_interrupted_run_reads_only_what_is_missing(light, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(depths, "SHARD", 10)
    calls = []
    whole = depths.backbone.readings_of

    def counted(squares):
        calls.append(1)
        if len(calls) == 25:
            raise KeyboardInterrupt
        return whole(squares)

    monkeypatch.setattr(depths.backbone, "readings_of", counted)
    with pytest.raises(KeyboardInterrupt):
        light.train([manifest], tmp_path / "work", tmp_path / "out", SETTINGS, say=lambda line: None)
    assert not (tmp_path / "out" / "depths.panel.json").exists()
    light.train([manifest], tmp_path / "work", tmp_path / "out", SETTINGS, say=lambda line: None)
    assert (
        len(calls) == 25 + 64 - 20 + 6 * 3 * 8
    )  # and three pictures of each of eight sources, saved again in six ways


def test_fit_recovers_a_known_line():
    generator = np.random.default_rng(0)
    x = generator.normal(3, 2, (4000, 5)).astype(np.float32)
    truth = np.array([1.0, -2.0, 0.0, 0.5, 0.0])
    labels = (generator.random(4000) < 1 / (1 + np.exp(-((x - 3) @ truth)))).astype(np.float32)
    weights, offset = depths.fit_linear(x, labels, np.full(4000, 1 / 4000), 0.0, 100)
    np.testing.assert_allclose(weights.numpy(), truth, atol=0.2)
    assert offset == pytest.approx(-3 * truth.sum(), abs=0.6)
    shrunk, _ = depths.fit_linear(x, labels, np.full(4000, 1 / 4000), 1.0, 100)
    assert np.abs(shrunk.numpy()).sum() < np.abs(weights.numpy()).sum() / 2


def test_the_score_is_held_still_where_it_should_not_change():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 500).astype(np.float32)
    x = generator.normal(0, 1, (1000, 2)).astype(np.float32) + labels[:, None]
    changes = np.stack([np.zeros(300), generator.normal(0, 1, 300)], 1).astype(
        np.float32
    )  # saving again moves the second
    weights = np.full(1000, 1 / 1000)
    free, _ = depths.fit_linear(x, labels, weights, 1e-4, 100)
    held, _ = depths.fit_linear(x, labels, weights, 1e-4, 100, changes, 10.0)
    assert abs(float(held[1])) < 0.1 * abs(float(free[1]))
    assert float(held[0]) > 0.8 * float(free[0])


def test_exported_backbone_reads_as_the_torch_one(tmp_path):
    torch.manual_seed(0)
    tower = Tower(2).eval()
    torch.nn.init.normal_(tower.positions, std=0.02)
    export.export_backbone(tower, tmp_path / "b.onnx")
    pixels = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        readings, tokens = export.Readings(tower)(pixels)
    given = onnxruntime.InferenceSession(str(tmp_path / "b.onnx")).run(None, {"pixels": pixels.numpy()})
    for ours, theirs in zip(given, (readings, tokens), strict=True):
        assert np.corrcoef(ours.ravel(), theirs.numpy().ravel())[0, 1] > 0.9995
    assert readings.shape == (2, 2, 2, 768)
    np.testing.assert_allclose(readings[:, 1, 1], tokens[:, 1:].mean(1), atol=1e-5)


def test_manifests_that_are_wrong_are_refused_with_their_rows(light, manifest, tmp_path):
    with manifest.open() as file:
        rows = list(csv.DictReader(file))

    def refused(changed, match):
        with pytest.raises(VeriscopeError, match=match):
            light.train([write(tmp_path, changed)], tmp_path / "w", tmp_path / "o", SETTINGS)
        assert not (tmp_path / "w").exists()

    refused([row for row in rows if row["label"] == "real"], "real and generated")
    refused([*rows, {**rows[0], "path": "gone.png"}], r"gone\.png")
    refused([*rows, {**rows[0], "split": "val"}], "two splits")
    (tmp_path / "short.csv").write_text("path,source\na.png,x\n")
    with pytest.raises(VeriscopeError, match="columns"):
        read_manifest(tmp_path / "short.csv")
    with pytest.raises(VeriscopeError, match="cannot be read"):
        read_manifest(tmp_path / "no.csv")
