"""The recipe of "depths" end to end on a small made set: it trains, resumes, calibrates, and exports what it trained."""

import csv
import json

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import fold_of, read_manifest
from veriscope.lab.networks.clip_vit import TOKENS, WIDTH, Tower
from veriscope.lab.networks.depths import Depths
from veriscope.lab.recipes import depths, export
from veriscope.weighing import Panel

SOURCES = {"real": ("alpha", "beta", "gamma", "delta"), "generated": ("one", "two", "three", "four")}


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(1)
    network = Tower(depths.BLOCKS)
    torch.nn.init.normal_(network.positions, std=0.02)
    return network.eval()


@pytest.fixture
def manifest(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for label, sources in SOURCES.items():
        for source in sources:
            for number in range(3):
                pixels = generator.integers(0, 255, (24, 24, 3), np.uint8)
                if label == "generated":
                    pixels[..., 0] = 250
                name = f"{source}{number}.png"
                Image.fromarray(pixels).resize((192, 176), Image.Resampling.BICUBIC).save(tmp_path / name)
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
def recipe(monkeypatch, tower):
    monkeypatch.setattr(depths.models, "pull", lambda name: name)
    monkeypatch.setattr(depths, "load_from_quantised", lambda path, blocks: tower)
    return depths


def test_trains_resumes_and_exports_what_it_trained(recipe, tower, manifest, tmp_path):
    folds = 2
    assert {fold_of(source, folds) for sources in SOURCES.values() for source in sources} == {0, 1}
    settings = depths.Settings(folds=folds, epochs=2, batch=8, patches=16, rank=2)
    said = []
    figures = recipe.train([manifest], tmp_path / "work", tmp_path / "out", settings, say=said.append)
    assert figures["pictures"] == {"real": 12, "generated": 12}
    assert figures["sources"]["generated"] == sorted(SOURCES["generated"])
    assert 0 <= figures["held_out_sources"]["auc"] <= 1
    panel = Panel.load(tmp_path / "out" / "depths.panel.json")
    assert panel.members == {"depths@1": 1.0}
    assert panel.pictures == (12, 12)
    assert json.loads((tmp_path / "out" / "depths.figures.json").read_text()) == figures

    said.clear()
    again = recipe.train([manifest], tmp_path / "work", tmp_path / "out", settings, say=said.append)
    assert again == figures
    assert not [line for line in said if "step" in line or "tokens" in line]

    network = Depths(tower, settings.rank)
    saved = torch.load(tmp_path / "work" / "all.pt", weights_only=True)
    network.load_state_dict(saved["network"], strict=False)
    tokens = torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.eval()(tokens)[0].numpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "depths.onnx"))
    np.testing.assert_allclose(session.run(None, {"tokens": tokens.numpy()})[0], expected, atol=5e-3)
    trunk = onnxruntime.InferenceSession(str(tmp_path / "out" / "clip_vit_b16_trunk.onnx"))
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = depths.trunk(tower, pixels).numpy()
    given = trunk.run(None, {"pixels": pixels.numpy()})[0]
    assert np.corrcoef(given.ravel(), wanted.ravel())[0, 1] > 0.999


def test_training_learns_and_leaves_the_backbone_alone(tower):
    torch.manual_seed(0)
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    generator = np.random.default_rng(0)
    labels = np.tile([0, 1], 24).astype(np.float32)
    tokens = generator.normal(size=(48, 20, WIDTH)).astype(np.float32)
    tokens[labels == 1, :, :40] += 1.0
    rows = [type("R", (), {"source": f"s{n % 4}", "generated": int(label)})() for n, label in enumerate(labels)]
    settings = depths.Settings(epochs=6, batch=12, patches=12, rank=2)
    import pathlib
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        network = depths.fit(
            rows,
            tokens.astype(np.float16),
            labels,
            np.ones(48, bool),
            tower,
            pathlib.Path(folder) / "n.pt",
            settings,
            print,
        )
    scores = depths.predict(network, tokens.astype(np.float16), np.arange(48))
    assert scores[labels == 1].mean() > scores[labels == 0].mean() + 0.5
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())


def test_only_the_small_file_changes_when_a_detector_is_retrained(tower, tmp_path):
    for name in ("a", "b"):
        network = Depths(tower, 4).eval()
        torch.nn.init.normal_(network.head[0].weight)
        (tmp_path / name).mkdir()
        export.export_depths(network, tmp_path / name / "depths.onnx")
    frozen = [(tmp_path / name / export.FROZEN).read_bytes() for name in ("a", "b")]
    assert frozen[0] == frozen[1]
    assert len(frozen[0]) > 20e6
    small = [(tmp_path / name / "depths.onnx").read_bytes() for name in ("a", "b")]
    assert small[0] != small[1]
    assert len(small[0]) < 5e6


def test_manifests_that_are_wrong_are_refused_with_their_rows(recipe, manifest, tmp_path):
    rows = list(csv.DictReader(manifest.open()))
    settings = depths.Settings(folds=2)

    def refused(changed, match):
        with pytest.raises(VeriscopeError, match=match):
            recipe.train([write(tmp_path, changed)], tmp_path / "w", tmp_path / "o", settings)
        assert not (tmp_path / "w" / "tokens").exists()

    refused([row for row in rows if row["label"] == "real"], "real and generated")
    refused([*rows, {**rows[0], "path": "gone.png"}], r"gone\.png")
    refused([*rows, {**rows[0], "split": "val"}], "two splits")
    with pytest.raises(VeriscopeError, match="columns"):
        read_manifest(_without_label(tmp_path))
    with pytest.raises(VeriscopeError, match="cannot be read"):
        read_manifest(tmp_path / "no.csv")


def _without_label(folder):
    path = folder / "short.csv"
    path.write_text("path,source\na.png,x\n")
    return path
