"""The detectors of pixel residuals: what they look at is what they say, they train in seconds, and are asked by name."""

import csv
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from veriscope.lab.data.manifest import read_manifest
from veriscope.lab.data.samples import prepare
from veriscope.lab.networks.patchcraft import high_pass
from veriscope.lab.recipes import cnndetection as recipe_of_cnndetection
from veriscope.lab.recipes.patchcraft import contrast_of
from veriscope.lab.recipes.recipe import Settings, recipe
from veriscope.picture import open_picture
from veriscope.synthetic import patchcraft, scoring, views

TINY = Settings(folds=3, epochs=1, draws=24, batch=8, minutes=1)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def manifest(tmp_path):
    """Noise; that of generated pictures is blurred."""
    generator = np.random.default_rng(0)
    rows = []
    for label in ("real", "generated"):
        for number in range(6):
            pixels = generator.integers(0, 255, (264, 300, 3)).astype(np.uint8)
            if label == "generated":
                pixels = cv2.blur(pixels, (3, 3))
            name = f"{label}{number}.png"
            Image.fromarray(pixels).save(tmp_path / name)
            source = f"{label}{number % 3}"
            rows.append({"path": name, "label": label, "source": source, "group": name, "split": "train"})
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "manifest.csv"


def chequered(flat, side=256):
    """Noise in each second patch, a flat colour in the others."""
    generator = np.random.default_rng(1)
    square = np.full((side, side, 3), flat, np.uint8)
    for top in range(0, side, 64):
        square[top : top + 32, ::1] = generator.integers(0, 255, (32, side, 3))
    return square


def test_rich_patches_and_poor_ones_are_told_apart_and_put_together_whole():
    square = chequered(90)
    both = patchcraft.rich_and_poor(square)
    assert both.shape == (128, 128, 6)
    assert (both[:, :, 3:] == 90).all()
    degrees = patchcraft.texture(patchcraft.patches_of(square))
    first = patchcraft.patches_of(square)[degrees.argmax()]
    assert np.array_equal(both[:32, :32, :3], first)
    assert len(patchcraft.patches_of(both)) == 16
    rich = patchcraft.texture(patchcraft.patches_of(both[:, :, :3]))
    assert (np.diff(rich) <= 0).all()
    assert rich.min() > 0


def test_texture_counts_neighbours_across_below_and_on_both_diagonals():
    dot = np.zeros((1, 32, 32, 3), np.uint8)
    dot[0, 5, 5] = 10
    assert patchcraft.texture(dot).tolist() == [3 * 10 * 8]
    stripes = np.zeros((1, 32, 32, 3), np.uint8)
    stripes[0, :, ::2] = 1
    assert patchcraft.texture(stripes).tolist() == [3 * (32 * 31 + 2 * 31 * 31)]


def test_a_square_too_small_for_both_kinds_is_refused():
    patchcraft.rich_and_poor(chequered(90, 192))
    with pytest.raises(ValueError, match="no 32 patches"):
        patchcraft.rich_and_poor(chequered(90, 160))


def test_the_filters_are_thirty_and_see_no_flat_and_no_ramp_but_by_first_differences():
    filters = high_pass()
    assert filters.shape == (30, 5, 5)
    assert len({kernel.tobytes() for kernel in filters}) == 30
    np.testing.assert_allclose(filters.sum((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(np.abs(filters).max((1, 2)), 1)
    down, across = np.mgrid[-2:3, -2:3]
    ramp = np.abs((filters * (down + 3 * across)).sum((1, 2)))
    assert (ramp[:8] > 0.5).all()
    np.testing.assert_allclose(ramp[8:], 0, atol=1e-5)


def test_the_paper_s_changes_come_with_the_paper_s_chances():
    generator = np.random.default_rng(0)
    square = generator.integers(0, 255, (32, 32, 3)).astype(np.uint8)
    found = [recipe_of_cnndetection.blur_and_jpeg(square, generator) for _ in range(400)]
    untouched = np.mean([np.array_equal(made, square) for made in found])
    assert 0.18 < untouched < 0.32
    contrast = np.array([made.std() for made in found]) / square.std()
    assert contrast.min() < 0.2  # sigma near 3
    assert all(made.shape == square.shape and made.dtype == np.uint8 for made in found)


@pytest.mark.parametrize("name", ["cnndetection", "patchcraft"])
def test_a_detector_trains_and_is_asked_by_name_with_what_it_was_trained_on(name, manifest, tmp_path, monkeypatch):
    rows = read_manifest(manifest)
    figures = recipe(name).train(rows, tmp_path / "work", tmp_path / "out", TINY, lambda _: None)
    assert figures["sources_kept_aside"]["samples"] == 12
    done = subprocess.run(
        [sys.executable, "-m", "veriscope.cli", "examine", "--json", "--with", name, str(rows[0].path)],
        env={**os.environ, "VERISCOPE_MODELS": str(tmp_path / "out"), "VERISCOPE_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    (evidence,) = json.loads(done.stdout)["evidence"]
    assert evidence["detector"] == name
    assert evidence["reliability"] > 0, evidence
    checkpoint = torch.load(tmp_path / "work" / name / "best.ckpt", map_location="cpu", weights_only=True)
    network = recipe(name).network()
    network.load_state_dict(
        {key.removeprefix("network."): value for key, value in checkpoint["state_dict"].items() if "network" in key}
    )
    squares = views.details(open_picture(rows[0].path).rgb)
    with torch.inference_mode():
        given = network.eval()(torch.stack([recipe(name).tensor(square) for square in squares])).mean()
    assert evidence["score"] == pytest.approx(float(given), abs=1e-3)


def test_patchcraft_is_asked_with_the_same_two_pictures_as_it_is_trained_on(manifest, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(scoring, "mean_score", lambda _, squares: asked.append(squares) or 0.0)
    rows = read_manifest(manifest)
    patchcraft.PatchCraft().score(open_picture(rows[0].path))
    (square,) = views.details(open_picture(rows[0].path).rgb)
    assert np.array_equal((contrast_of(square) * 255).round().numpy().transpose(1, 2, 0), asked[0][0])
    samples, _ = prepare(rows[:1], tmp_path / "samples", say=lambda _: None)
    assert contrast_of(samples.detail[0]).shape == (6, 128, 128)
