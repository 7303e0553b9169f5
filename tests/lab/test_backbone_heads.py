"""Heads on the frozen backbone, on made readings: each trains, exports what it trained, and is asked by name."""

import csv
import os
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from veriscope.errors import ModelError, VeriscopeError
from veriscope.lab.benchmark.metrics import auc
from veriscope.lab.data import samples as data
from veriscope.lab.data.manifest import Row, read_manifest, spread
from veriscope.lab.data.samples import derived, prepare
from veriscope.lab.networks.rine import IntermediateHead, supervised_contrast
from veriscope.lab.networks.standard import Standard
from veriscope.lab.recipes import clip_mlp, rine, sfld
from veriscope.lab.recipes.depths import fit_linear
from veriscope.lab.recipes.heads import Fold, fit_module
from veriscope.lab.recipes.recipe import Settings, recipe

SOURCES = 3  # of each class
PICTURES = 8  # of each source


@pytest.fixture
def manifest(tmp_path):
    """Noise; that of generated pictures is redder."""
    generator = np.random.default_rng(0)
    rows = []
    for label in ("real", "generated"):
        for number in range(SOURCES * PICTURES):
            pixels = generator.integers(0, 200, (200, 190, 3)).astype(np.uint8)
            pixels[..., 0] += 55 * (label == "generated")
            name = f"{label}{number}.png"
            Image.fromarray(pixels).save(tmp_path / name)
            source = f"{label}{number % SOURCES}"
            rows.append({"path": name, "label": label, "source": source, "group": name, "split": "train"})
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "manifest.csv"


@pytest.fixture
def passes(monkeypatch):
    """A small stand-in for the backbone (mean colours of a coarse grid); how many squares each call gave it."""
    calls = []

    def readings_of(squares):
        calls.append(len(squares))
        small = np.stack([square.reshape(16, 14, 16, 14, 3).mean((1, 3)).reshape(-1) for square in squares]) / 255
        return np.tile(small.astype(np.float32)[:, None, None], (1, 8, 2, 1))

    monkeypatch.setattr(data.backbone, "readings_of", readings_of)
    return calls


def train(name, manifest, tmp_path, said, **settings):
    rows = read_manifest(manifest)
    return recipe(name).train(rows, tmp_path / "work", tmp_path / "out", Settings(folds=3, **settings), said.append)


@pytest.mark.parametrize("name", ["clip_mlp", "rine", "sfld"])
def test_a_head_trains_and_exports_what_it_trained(name, manifest, passes, tmp_path, monkeypatch):
    for module in (clip_mlp, rine):
        monkeypatch.setattr(module, "EPOCHS", 25)
    said = []
    figures = train(name, manifest, tmp_path, said)
    assert figures["sources_kept_aside"]["auc"] > 0.9
    samples, _ = prepare(read_manifest(manifest), tmp_path / "work" / "samples", say=said.append)
    features = recipe(name).features(samples, said.append)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / f"{name}.onnx"))
    (scores,) = session.run(None, {"features": features})
    assert scores.shape == (len(samples),)
    assert auc(scores, samples.labels) > 0.9


def test_a_slow_head_trains_on_few_pictures_of_all_sources_and_resumes(manifest, passes, tmp_path):
    said = []
    figures = train("sfld", manifest, tmp_path, said, most=10)
    assert figures["pictures"] == {"real": 10, "generated": 10}
    assert len(figures["sources"]["real"]) == SOURCES
    assert figures["sources_kept_aside"]["samples"] == 20
    weights = (tmp_path / "out" / "sfld.onnx").read_bytes()
    done = len(passes)
    train("sfld", manifest, tmp_path, said, most=10)
    assert len(passes) == done
    assert (tmp_path / "out" / "sfld.onnx").read_bytes() == weights


def test_the_mean_over_levels_is_that_of_each_alone():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100).astype(np.float32)
    levels = [generator.normal(0, 1, (200, 4)).astype(np.float32) + labels[:, None] * shift for shift in (0.2, 1, 2)]
    weights, changes = np.full(200, 1 / 200), generator.normal(0, 1, (30, 12)).astype(np.float32)
    fold = Fold(np.concatenate(levels, 1), labels, weights, changes)
    alone = [
        fit_linear(Fold(level, labels, weights, part))(level)
        for level, part in zip(levels, np.split(changes, 3, axis=1), strict=True)
    ]
    np.testing.assert_allclose(sfld.fit(fold)(fold.features), np.mean(alone, 0), atol=1e-4)


def test_rigid_is_calibrated_without_a_network_and_asked_by_name(manifest, passes, tmp_path):
    said = []
    figures = train("rigid", manifest, tmp_path, said, most=12, version="3")
    assert figures["pictures"] == {"real": 0, "generated": 0}
    assert figures["sources_kept_aside"]["samples"] == 24
    assert not list((tmp_path / "out").glob("*.onnx"))
    script = (
        "import numpy as np, sys; from PIL import Image; from veriscope.picture import open_picture\n"
        "from veriscope.synthetic.rigid import RIGID\n"
        "print(RIGID()(open_picture(sys.argv[1])))"
    )
    environment = {**os.environ, "VERISCOPE_MODELS": str(tmp_path / "out")}
    command = [sys.executable, "-c", script, str(tmp_path / "real0.png")]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "version='3'" in said
    assert "log10_lr=" in said


def test_the_estimator_weighs_blocks_and_the_embedding_is_made_by_contrast():
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    labels = np.tile([0, 1], 200).astype(np.float32)
    features = generator.normal(0, 1, (400, 3, 10)).astype(np.float32)
    features[:, 1] += 2 * labels[:, None]  # one block tells
    fold = Fold(features, labels, np.full(400, 1 / 400), features[:0])
    untrained = IntermediateHead(Standard(features)).eval()
    head = fit_module(IntermediateHead(Standard(features), 64), fold, epochs=80, rate=2e-3, batch=64, loss=rine.loss)
    fresh = generator.normal(0, 1, (400, 3, 10)).astype(np.float32)
    fresh[:, 1] += 2 * labels[:, None]
    assert auc(head(fresh), labels) > 0.95
    shares = head.module.importance.softmax(0).detach().numpy()
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)
    assert shares.mean(1).argmax() == 1
    y = torch.from_numpy(labels)
    with torch.no_grad():
        before, after = (
            supervised_contrast(module.embedding(torch.from_numpy(fresh)), y) for module in (untrained, head.module)
        )
    assert after < before - 0.3  # of the 0.7 that there are between chance and two points


def test_contrast_is_least_where_classes_are_apart_and_passes_over_the_lonely():
    apart = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    labels = torch.tensor([0, 0, 1, 1])
    assert supervised_contrast(apart, labels) < 1e-3
    assert supervised_contrast(apart, torch.tensor([0, 1, 0, 1])) > 10
    alone = torch.tensor([0, 0, 1])
    expected = -torch.log(torch.exp(torch.tensor(10.0)) / (torch.exp(torch.tensor(10.0)) + 1))
    assert float(supervised_contrast(apart[:3], alone, 0.1)) == pytest.approx(float(expected), abs=1e-6)


def test_what_is_derived_is_made_once_and_resumed(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SHARD", 10)
    samples, _ = prepare(read_manifest(manifest), tmp_path / "samples", say=str)
    samples = samples.chosen(samples.turns == 0)
    calls = []

    def mean(square):
        calls.append(1)
        if len(calls) == 25:
            raise KeyboardInterrupt
        return square.mean((0, 1))

    with pytest.raises(KeyboardInterrupt):
        derived(samples, "means", mean, say=str)
    found = derived(samples, "means", mean, say=str)
    assert len(calls) == 25 + len(samples) - 20
    assert len(found) == len(samples)
    few = samples.chosen(np.array([40, 3]))
    np.testing.assert_allclose(
        derived(few, "means", mean, say=str).stacked(), [s.mean((0, 1)) for s in (few.whole[0], few.whole[1])]
    )
    assert len(calls) == 25 + len(samples) - 20

    def broken(square):
        raise ModelError("no backbone")

    with pytest.raises(VeriscopeError, match="48 of 48"):
        derived(samples, "broken", broken, say=str)


def test_rows_are_taken_from_the_sources_in_turn(tmp_path):
    rows = [Row(tmp_path / f"{n}.png", "real", "large" if n < 90 else "small", str(n), "train") for n in range(100)]
    sources = [row.source for row in spread([*rows, *rows], 30)]
    assert sources.count("small") == 10
    assert len(spread([*rows, *rows], 1000)) == 100
