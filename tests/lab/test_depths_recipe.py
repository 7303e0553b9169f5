"""The recipe of "depths" end to end on a small made set: it trains, resumes, calibrates, and exports what it trained."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.data import samples as data
from veriscope.lab.data.manifest import read_manifest, read_manifests
from veriscope.lab.data.samples import TURNS, prepare
from veriscope.lab.networks.clip_vit import Tower
from veriscope.lab.recipes import depths, export
from veriscope.lab.recipes.heads import Fold
from veriscope.lab.recipes.recipe import Settings, recipe
from veriscope.weighing import Panel

SOURCES = {
    "real": ("alpha", "beta", "gamma", "delta", "epsilon", "zeta"),
    "generated": ("one", "two", "three", "four", "five", "six"),
}


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

    monkeypatch.setattr(data.backbone, "readings_of", readings_of)


def trained(manifest, tmp_path, said=None, name="depths", **settings):
    rows = read_manifests([manifest], ("train", "val"))
    chosen = Settings(folds=3, **settings)
    return recipe(name).train(rows, tmp_path / "work", tmp_path / "out", chosen, (said or []).append)


def test_trains_resumes_and_exports_what_it_trained(light, manifest, tmp_path):
    said = []
    figures = trained(manifest, tmp_path, said)
    assert figures["pictures"] == {"real": 48, "generated": 48}
    assert figures["sources"]["generated"] == sorted(SOURCES["generated"])
    assert figures["sources_kept_aside"]["auc"] > 0.9
    assert json.loads((tmp_path / "out" / "depths.figures.json").read_text()) == figures
    panel = Panel.load(tmp_path / "out" / "depths.panel.json")
    assert panel.members == {"depths@1": 1.0}
    assert panel.pictures == (48 * TURNS, 48 * TURNS)

    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "depths.onnx"))
    samples, skipped = prepare(read_manifest(manifest), tmp_path / "work" / "samples")
    assert not skipped
    features = depths.RECIPE.features(samples, said.append)
    scores = session.run(None, {"features": features})[0]
    assert auc(scores, samples.labels) > 0.95

    said.clear()
    assert trained(manifest, tmp_path, said) == figures
    assert not [line for line in said if line.startswith(("samples", "readings"))]


def test_the_trained_model_is_asked_by_name(light, manifest, tmp_path):
    trained(manifest, tmp_path, version="7")
    script = "from veriscope import models; print(models.model('depths').version, [p.members for p in models.panels()])"
    environment = {**os.environ, "VERISCOPE_MODELS": str(tmp_path / "out")}
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("7 ")
    assert "depths@7" in said.stdout


def test_an_interrupted_run_makes_only_what_is_missing(light, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SHARD", 10)
    calls = []
    whole = data.histories

    def counted(row, seed):
        calls.append(1)
        if len(calls) == 25:
            raise KeyboardInterrupt
        return whole(row, seed)

    monkeypatch.setattr(data, "histories", counted)
    with pytest.raises(KeyboardInterrupt):
        trained(manifest, tmp_path)
    assert not (tmp_path / "out").exists()
    trained(manifest, tmp_path)
    assert len(calls) == 25 + 96 - 20


def test_a_full_disk_keeps_what_was_complete(light, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SHARD", 10)
    saved, whole = [], np.save

    def full(path, array):
        saved.append(path)
        if len(saved) == 5:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        whole(path, array)

    monkeypatch.setattr(data.np, "save", full)
    with pytest.raises(VeriscopeError, match="No space left"):
        trained(manifest, tmp_path)
    kept = list((tmp_path / "work" / "samples").glob("*.json"))
    assert len(kept) == 2
    assert not list((tmp_path / "work" / "samples").glob("*.partial*"))
    trained(manifest, tmp_path)
    assert all(path.exists() for path in kept)


def test_fit_recovers_a_known_line():
    generator = np.random.default_rng(0)
    x = generator.normal(3, 2, (4000, 5)).astype(np.float32)
    truth = np.array([1.0, -2.0, 0.0, 0.5, 0.0])
    labels = (generator.random(4000) < 1 / (1 + np.exp(-((x - 3) @ truth)))).astype(np.float32)
    none = np.zeros((0, 5), np.float32)
    fold = Fold(x, labels, np.full(4000, 1 / 4000), none)
    found = depths.fit_linear(fold, decay=0.0, steps=100)
    weights, offset = found.weights, found.offset
    np.testing.assert_allclose(weights.numpy(), truth, atol=0.2)
    assert offset == pytest.approx(-3 * truth.sum(), abs=0.6)
    shrunk = depths.fit_linear(fold, decay=1.0, steps=100).weights
    assert np.abs(shrunk.numpy()).sum() < np.abs(weights.numpy()).sum() / 2


def test_the_score_is_held_still_where_it_should_not_change():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 500).astype(np.float32)
    x = generator.normal(0, 1, (1000, 2)).astype(np.float32) + labels[:, None]
    changes = np.stack([np.zeros(300), generator.normal(0, 1, 300)], 1).astype(
        np.float32
    )  # saving again moves the second
    fold = Fold(x, labels, np.full(1000, 1 / 1000), changes)
    free = depths.fit_linear(fold, decay=1e-4, invariance=0.0).weights
    held = depths.fit_linear(fold, decay=1e-4, invariance=10.0).weights
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
            trained(write(tmp_path, changed), tmp_path)
        assert not (tmp_path / "work").exists()

    refused([row for row in rows if row["label"] == "real"], "as many generated sources")
    refused([*rows, {**rows[0], "path": "gone.png"}], r"gone\.png")
    refused([*rows, {**rows[0], "split": "val"}], "two splits")
    (tmp_path / "short.csv").write_text("path,source\na.png,x\n")
    with pytest.raises(VeriscopeError, match="columns"):
        read_manifest(tmp_path / "short.csv")
    with pytest.raises(VeriscopeError, match="cannot be read"):
        read_manifest(tmp_path / "no.csv")
