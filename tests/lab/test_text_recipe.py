"""The detector of tampered text: its network and loss do what they say; it trains in seconds and is asked with its own file."""

import csv
from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from skimage import data

from veriscope.lab.data.manifest import read_manifest
from veriscope.lab.networks.text_tampering import (
    Consistency,
    TextTamperingNetwork,
    dct_filters,
    tampered_authentic_contrast,
)
from veriscope.lab.recipes.localising import export_dense
from veriscope.lab.recipes.recipe import Settings
from veriscope.lab.recipes.text_tampering import (
    ODDS,
    STRIDE,
    DocumentBatches,
    TextTamperingRecipe,
    chosen_threshold,
    is_clean,
    mean_f1,
)

SMALL = (4, 6, 8, 10)
TINY = Settings(folds=3, epochs=2, draws=4, batch=2, minutes=1, device="cpu")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_dct_filters_are_the_transform_of_jpeg():
    filters = dct_filters().reshape(64, 64)
    torch.testing.assert_close(filters @ filters.T, torch.eye(64), atol=1e-5, rtol=0)
    block = torch.zeros(64)
    block[11] = 1  # row 1, column 3: down once, across three times
    pattern = (filters.T @ block).reshape(8, 8)
    assert [int((side.sign().diff() != 0).sum()) for side in (pattern[0], pattern[:, 0])] == [3, 1]


def test_contrast_asks_tampered_places_to_be_near_each_other_alone():
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, :, 2:5, 2:5] = 1  # the second picture is untouched and says nothing
    twins = torch.zeros(2, 4, 8, 8)
    twins[:, 0] = 1
    apart, alike = twins.clone(), twins.clone()
    apart[0, :, 2:5, 2:5] = torch.tensor([0.0, 1, 0, 0])[:, None, None]
    low, high = (float(tampered_authentic_contrast(each, twins, masks)) for each in (apart, alike))
    assert low < 0.7 < 3 < high
    assert float(tampered_authentic_contrast(alike, twins, torch.zeros_like(masks))) == 0


def test_consistency_sees_the_page_at_large():
    torch.manual_seed(0)
    layer = Consistency(6).eval()
    page = torch.rand(1, 6, 8, 8)
    other = page.clone()
    other[..., 4:] = 1 - other[..., 4:]
    assert (layer(page)[..., :2] - layer(other)[..., :2]).abs().max() > 1e-4


def test_batches_hold_documents_photographs_and_twins():
    photographs = np.stack([data.chelsea()[:256, :256], data.astronaut()[:256, :256]])
    batches = DocumentBatches(photographs, 10, 3, 7)
    pixels, twins, masks = batches[1]
    assert pixels.shape == twins.shape == (10, 3, 192, 192)
    assert masks.shape == (10, 1, 48, 48)
    again = batches[1]
    assert all(torch.equal(one, two) for one, two in zip((pixels, twins, masks), again, strict=True))
    changed = (pixels - twins).abs().amax((1, 2, 3)) > 0
    assert torch.equal(changed, masks.amax((1, 2, 3)) > 0)
    assert changed.any()
    assert not changed.all()


def test_the_threshold_leaves_untouched_documents_alone():
    masks = [np.zeros((64, 64), bool) for _ in range(4)]
    edited, untouched = [], []
    for number, mask in enumerate(masks):
        mask[8:32, 8:32] = True
        odds = np.full((16, 16), -2.0, np.float32)
        odds[2:8, 2:8] = 4
        edited.append(odds)
        untouched.append(np.full((16, 16), -2.0, np.float32))
        untouched[-1][4:8, 4:8] = float(number) / 2  # false alarms up to 1.5
    at = chosen_threshold(edited, masks, untouched)
    assert 1.5 < at <= 4
    assert mean_f1(edited, masks, at) == 1
    assert all(is_clean(odds, at) for odds in untouched)
    assert not is_clean(untouched[-1], 1.0)
    assert chosen_threshold(edited, masks, [np.full((16, 16), 99, np.float32)]) == ODDS[-1]


@pytest.fixture
def manifest(tmp_path):
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("path", "label", "source", "group", "split"))
        writer.writeheader()
        for name in ("chelsea", "astronaut", "coffee"):
            Image.fromarray(getattr(data, name)()).save(tmp_path / f"{name}.png")
            writer.writerow({"path": f"{name}.png", "label": "real", "source": name, "group": name, "split": "train"})
    return tmp_path / "manifest.csv"


def test_it_trains_resumes_and_exports_a_network_of_any_size(manifest, tmp_path):
    recipe = TextTamperingRecipe(network=partial(TextTamperingNetwork, SMALL), reported=4)
    said, out = [], tmp_path / "out"
    figures = recipe.train(read_manifest(manifest), tmp_path / "work", out, TINY, said.append)
    aside = figures["sources_kept_aside"]
    assert 1 <= aside["documents"] <= 4
    assert all(0 <= aside[name] <= 1 for name in ("pixel_f1", "iou", "clean_stability"))
    assert {path.name for path in out.iterdir()} == {
        f"text_tampering.{end}" for end in ("onnx", "figures.json", "md", "model.toml")
    }
    written = (out / "text_tampering.onnx").read_bytes()
    lines = len(said)
    assert recipe.train(read_manifest(manifest), tmp_path / "work", out, TINY, said.append) == figures
    assert not any("epochs" in line for line in said[lines:])  # a finished training only loads
    assert onnxruntime.InferenceSession(written).get_outputs()[0].name == "map"


def test_the_exported_network_is_the_trained_one_at_any_size(tmp_path):
    torch.manual_seed(0)
    network = TextTamperingNetwork(SMALL).eval()
    network.offset += 0.5
    export_dense(network, (torch.rand(1, 3, 128, 160),), tmp_path / "t.onnx", ("pixels",), ("map",))
    session = onnxruntime.InferenceSession(tmp_path / "t.onnx")
    for shape in ((1, 3, 64, 96), (2, 3, 160, 80)):
        pixels = torch.rand(shape)
        with torch.inference_mode():
            wanted = network(pixels).numpy()
        (found,) = session.run(None, {"pixels": pixels.numpy()})
        assert found.shape == (shape[0], 1, shape[2] // STRIDE, shape[3] // STRIDE)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
