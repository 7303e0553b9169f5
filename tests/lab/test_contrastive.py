"""The contrastive detectors: their losses do what they say, they train in seconds, and are asked by name."""

import csv
import os
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F

from veriscope.errors import ModelError
from veriscope.lab.data.manifest import read_manifest
from veriscope.lab.data.samples import prepare
from veriscope.lab.networks import contrastive
from veriscope.lab.networks.contrastive import GlobalLocal, SelfContrast, class_contrast, crops
from veriscope.lab.networks.residual import Trunk
from veriscope.lab.recipes.networks import fit, scored
from veriscope.lab.recipes.recipe import Settings, recipe
from veriscope.lab.recipes.starting import start_from

TINY = Settings(folds=3, epochs=2, draws=48, batch=12, minutes=1)
LOSSES = {GlobalLocal: contrastive.global_local_loss, SelfContrast: contrastive.self_contrast_loss}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def manifest(tmp_path):
    """Noise; that of generated pictures repeats each pixel of a cell."""
    generator = np.random.default_rng(0)
    rows = []
    for label in ("real", "generated"):
        for number in range(12):
            pixels = generator.integers(0, 255, (264, 264, 3)).astype(np.uint8)
            if label == "generated":
                pixels = np.kron(pixels[:66, :66], np.ones((4, 4, 1), np.uint8))
            name = f"{label}{number}.png"
            Image.fromarray(pixels).save(tmp_path / name)
            source = f"{label}{number % 3}"
            rows.append({"path": name, "label": label, "source": source, "group": name, "split": "train"})
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "manifest.csv"


def test_contrast_is_the_log_share_of_its_class():
    anchors, others = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    found = class_contrast(anchors, torch.tensor([1.0]), others, torch.tensor([1.0, 1.0, 0.0]), temperature=0.5)
    near = np.array([1, 0, -1]) / 0.5
    share = near - np.log(np.exp(near).sum())
    assert float(found) == pytest.approx(-share[:2].mean(), rel=1e-5)
    turned = class_contrast(anchors, torch.tensor([1.0]), others, torch.tensor([0.0, 0.0, 1.0]), temperature=0.5)
    assert float(turned) > float(found)


def test_crops_are_parts_of_their_own_picture():
    torch.manual_seed(0)
    places = torch.arange(30 * 40).reshape(1, 30, 40)
    found = crops(torch.stack([places + 10_000 * number for number in range(3)]), 8)
    assert found.shape == (3, 1, 8, 8)
    for number, crop in enumerate(found[:, 0]):
        corner = int(crop[0, 0]) - 10_000 * number
        assert (crop == places[0, corner // 40 :, corner % 40 :][:8, :8] + 10_000 * number).all()
    assert len({int(crop[0, 0, 0]) % 10_000 for crop in found}) > 1


@pytest.mark.parametrize("kind", list(LOSSES))
def test_contrast_draws_classes_together_and_the_head_does_not_shape_the_trunk(kind):
    torch.manual_seed(0)
    network = kind((8, 8, 8, 8), 8)
    side = 224 if kind is GlobalLocal else 96
    pixels, labels = 0.5 * torch.rand(12, 3, side, side), torch.tensor([0.0, 1.0] * 6)
    pixels[1::2, 0] += 0.05  # generated pictures are a little redder

    def separation():
        seen = network.embedding(pixels) if kind is GlobalLocal else network.projections[0](network.exits(pixels)[0])
        near = F.normalize(seen.detach(), dim=1) @ F.normalize(seen.detach(), dim=1).T
        alike = labels[:, None] == labels[None]
        return float(near[alike].mean() - near[~alike].mean())

    before = separation()
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(20):
        loss = LOSSES[kind](network, pixels, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert separation() > before + 0.3
    gradients = []
    for factor in (1, -10):
        with torch.no_grad():
            network.head[1].weight.mul_(factor)
        network.zero_grad()
        torch.manual_seed(1)
        LOSSES[kind](network, pixels, labels).backward()
        gradients.append(network.trunk.first[0].weight.grad.clone())
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


@pytest.mark.parametrize("name", ["code", "selfcon"])
def test_a_contrastive_detector_trains_exports_and_is_asked_by_name(name, manifest, tmp_path):
    said = []
    rows = read_manifest(manifest)
    figures = recipe(name).train(rows, tmp_path / "work", tmp_path / "out", TINY, said.append)
    assert figures["sources_kept_aside"]["samples"] == 24
    samples, _ = prepare(rows, tmp_path / "work" / "samples", say=said.append)
    every = np.ones(len(samples), bool)
    network = fit(recipe(name), samples, every, every, tmp_path / "work" / name / "again", TINY, said.append)
    assert isinstance(network, GlobalLocal if name == "code" else SelfContrast)
    squares = getattr(samples, recipe(name).view).chosen(np.arange(3))
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / f"{name}.onnx"))
    pixels = squares.stacked().transpose(0, 3, 1, 2).astype(np.float32) / 255
    (given,) = session.run(None, {"pixels": pixels})
    trained = fit(recipe(name), *_folds(samples), tmp_path / "work" / name, TINY, said.append)
    np.testing.assert_allclose(given, scored(trained, squares, TINY), atol=1e-3)
    command = [sys.executable, "-m", "veriscope.cli", "examine", "--with", name, "--json", str(rows[0].path)]
    environment = {**os.environ, "VERISCOPE_MODELS": str(tmp_path / "out")}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert f'"detector": "{name}"' in told


def _folds(samples):
    from veriscope.lab.data.manifest import deal
    from veriscope.lab.recipes.networks import CALIBRATING, STOPPING

    folds = deal(samples.rows, TINY.folds)
    return samples, ~np.isin(folds, (STOPPING, CALIBRATING)), folds == STOPPING


def test_a_network_starts_from_a_trunk_and_refuses_what_does_not_fit(tmp_path):
    torch.manual_seed(0)
    trunk, said = Trunk(3, (32, 64, 128, 192)), []
    save_file({f"trunk.{name}": tensor for name, tensor in trunk.state_dict().items()}, tmp_path / "t.safetensors")
    network = GlobalLocal()
    start_from(network, tmp_path / "t.safetensors", said.append)
    assert all(torch.equal(own, network.trunk.state_dict()[name]) for name, own in trunk.state_dict().items())
    assert said == [
        f"started from t.safetensors: {len(trunk.state_dict())} of the network's {len(network.state_dict())} tensors"
    ]
    save_file({"other": torch.zeros(3)}, tmp_path / "o.safetensors")
    with pytest.raises(ModelError, match="none of its 1 tensors"):
        start_from(network, tmp_path / "o.safetensors", said.append)
    (tmp_path / "d.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="cannot be read"):
        start_from(network, tmp_path / "d.safetensors", said.append)
