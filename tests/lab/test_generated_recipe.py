"""The recipe of "is it generated?" end to end on a small made set: trains, resumes, calibrates, exports what it trained."""

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
from veriscope.lab.recipes import export, generated
from veriscope.synthetic import residuals
from veriscope.weighing import Panel

SOURCES = {"real": ("alpha", "beta", "gamma", "delta"), "generated": ("one", "two", "three", "four")}
SETTINGS = generated.Settings(folds=2, steps=20)


@pytest.fixture
def manifest(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for label, sources in SOURCES.items():
        for source in sources:
            for number in range(6):
                pixels = generator.integers(0, 255, (200, 190, 3)).astype(np.uint8)
                if label == "generated":  # smooth: the statistics of the residual tell the classes apart
                    pixels = np.asarray(Image.fromarray(pixels[::8, ::8]).resize((190, 200), Image.Resampling.BICUBIC))
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
    """The recipe with a small stand-in for the backbone's reading, so that the test does not run 48 backbone passes."""
    monkeypatch.setitem(generated.READ, "depths", lambda rgb: np.asarray(rgb[:8, :8].reshape(-1) / 255, np.float32))
    return generated


def test_trains_resumes_and_exports_what_it_trained(light, manifest, tmp_path):
    assert {fold_of(source, 2) for sources in SOURCES.values() for source in sources} == {0, 1}
    said = []
    figures = light.train([manifest], tmp_path / "work", tmp_path / "out", SETTINGS, say=said.append)
    assert figures["pictures"] == {"real": 24, "generated": 24}
    assert figures["sources"]["generated"] == sorted(SOURCES["generated"])
    assert figures["sources_kept_aside"]["residuals"]["auc"] > 0.95
    assert json.loads((tmp_path / "out" / "generated.figures.json").read_text()) == figures
    panel = Panel.load(tmp_path / "out" / "generated.panel.json")
    assert panel.members.keys() == {"depths@1", "residuals@1"}
    assert panel.pictures == (24, 24)

    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "residuals.onnx"))
    rows = read_manifest(manifest)
    kept, features = light.cache_features(rows, tmp_path / "work", SETTINGS, said.append)
    scores = session.run(None, {"features": features["residuals"]})[0]
    labels = np.array([row.generated for row in kept])
    assert scores[labels == 1].min() > scores[labels == 0].max()
    weights, offset = light.fit_linear(features["residuals"], labels.astype(np.float32), balanced_weights(kept), 0.01, 20)
    np.testing.assert_allclose(scores, features["residuals"] @ weights.numpy() + offset, rtol=1e-3, atol=1e-3)

    said.clear()
    again = light.train([manifest], tmp_path / "work", tmp_path / "out", SETTINGS, say=said.append)
    assert again == figures
    assert not [line for line in said if line.startswith("features")]


def test_an_interrupted_run_reads_only_what_is_missing(light, manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(generated, "SHARD", 10)
    calls = []
    whole = generated.READ["residuals"]

    def counted(rgb):
        calls.append(1)
        if len(calls) == 25:
            raise KeyboardInterrupt
        return whole(rgb)

    monkeypatch.setitem(generated.READ, "residuals", counted)
    with pytest.raises(KeyboardInterrupt):
        light.train([manifest], tmp_path / "work", tmp_path / "out", SETTINGS, say=lambda line: None)
    assert not (tmp_path / "out" / "generated.panel.json").exists()
    light.train([manifest], tmp_path / "work", tmp_path / "out", SETTINGS, say=lambda line: None)
    assert len(calls) == 25 + 48 - 20


def test_fit_recovers_a_known_line():
    generator = np.random.default_rng(0)
    x = generator.normal(3, 2, (4000, 5)).astype(np.float32)
    truth = np.array([1.0, -2.0, 0.0, 0.5, 0.0])
    labels = (generator.random(4000) < 1 / (1 + np.exp(-((x - 3) @ truth)))).astype(np.float32)
    weights, offset = generated.fit_linear(x, labels, np.full(4000, 1 / 4000), 0.0, 100)
    np.testing.assert_allclose(weights.numpy(), truth, atol=0.2)
    assert offset == pytest.approx(-3 * truth.sum(), abs=0.6)
    shrunk, _ = generated.fit_linear(x, labels, np.full(4000, 1 / 4000), 1.0, 100)
    assert np.abs(shrunk.numpy()).sum() < np.abs(weights.numpy()).sum() / 2


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


def test_residual_statistics_tell_smooth_from_noisy_and_ignore_position():
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 255, (600, 600, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(noise[::8, ::8]).resize((600, 600), Image.Resampling.BICUBIC))
    first, second, other = (residuals.features(image) for image in (noise, noise[::-1], smooth))
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert np.abs(first - second).mean() < 0.2 * np.abs(first - other).mean()


def test_upsampling_by_repetition_shows_in_the_spectrum():
    noise = np.random.default_rng(0).normal(128, 30, (512, 512)).astype(np.float32)
    repeated = noise[:256, :256].repeat(2, 0).repeat(2, 1)
    plain, doubled = (residuals._spectrum(image)[residuals.RINGS :] for image in (noise, repeated))
    assert np.abs(doubled - plain).max() > 3 * np.abs(plain).max()
