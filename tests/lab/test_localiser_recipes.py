"""The recipes of localisers on a handful of pictures: they train, resume, export, and what they export locates."""

import csv
import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope import models, open_picture
from veriscope.errors import VeriscopeError
from veriscope.lab.data.edits import make_edits
from veriscope.lab.data.manifest import read_manifests
from veriscope.lab.recipes import consistency, fingerprint, fused, localiser, weak
from veriscope.lab.recipes.recipe import Settings
from veriscope.tampering import fused as fusing
from veriscope.tampering import methods

SETTINGS = Settings(minutes=0.1, epochs=1, draws=8, batch=2, most=4, folds=3)
SCENES = (data.astronaut, data.coffee, data.chelsea, data.rocket, data.immunohistochemistry, data.retina)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "source", "group", "split"])
        for number, scene in enumerate(SCENES):
            Image.fromarray(scene()[:400, :400]).save(folder / f"{number}.jpg", quality=92)
            table.writerow([f"{number}.jpg", "real", f"source{number}", f"g{number}", "train"])
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    rows = read_manifests([manifest], ("train",))
    with pytest.MonkeyPatch.context() as patch:
        for recipe in (fingerprint, consistency):
            patch.setattr(recipe, "ASIDE", 1)
            patch.setattr(recipe, "PICTURES", 2)
        for recipe in (localiser, weak):
            patch.setattr(recipe, "ASIDE", 1)
        figures = {
            recipe.RECIPE.name: recipe.RECIPE.train(rows, folder / "work", folder / "models", SETTINGS, print)
            for recipe in (fingerprint, consistency, localiser, weak)
        }
        yield folder, rows, figures


@pytest.fixture
def installed(trained, monkeypatch):
    monkeypatch.setenv("VERISCOPE_MODELS", str(trained[0] / "models"))
    for cached in (models.registry, models.panels, models._session, methods.usable, fusing.coefficients):
        cached.cache_clear()
    yield trained
    monkeypatch.undo()
    for cached in (models.registry, models.panels, models._session, methods.usable, fusing.coefficients):
        cached.cache_clear()


def test_each_recipe_leaves_weights_figures_card_and_entry(trained):
    folder, _, figures = trained
    for name in ("fingerprint", "consistency", "localiser", "weak"):
        for suffix in (".onnx", ".figures.json", ".md", ".model.toml"):
            assert (folder / "models" / f"{name}{suffix}").stat().st_size > 100
        assert figures[name]["pictures"]["real"] >= 1
    assert 0 <= figures["localiser"]["sources_kept_aside"]["picture_auc"] <= 1


def test_a_finished_training_only_loads(trained):
    folder, rows, figures = trained
    said = []
    again = fingerprint.RECIPE.train(rows, folder / "work", folder / "again", SETTINGS, said.append)
    assert again["sources"] == figures["fingerprint"]["sources"]
    assert not [line for line in said if "epochs" in line]


def test_the_localiser_asks_for_its_fingerprint(trained, tmp_path):
    with pytest.raises(VeriscopeError, match="train fingerprint first"):
        localiser.RECIPE.train(trained[1], tmp_path, tmp_path / "none", SETTINGS, print)


@pytest.mark.parametrize("shape", [(64, 80), (333, 250)])
def test_what_was_exported_locates_at_any_size(installed, shape):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(data.astronaut()[: shape[0], : shape[1]])).save(file, "JPEG")
    picture = open_picture(file.getvalue())
    for method in methods.usable():
        if method.name in ("localiser", "weak", "fingerprint", "consistency"):
            found = method.locate(picture)
            assert found.map.min() >= 0
            assert found.map.max() <= 1
            assert abs(found.map.shape[0] / found.map.shape[1] - shape[0] / shape[1]) < 0.3
            assert method.version == "1"


def test_a_square_and_its_mask_stay_together_through_its_last_history():
    square = np.zeros((288, 288, 4), np.uint8)
    square[100:180, 120:240] = 255
    tokens = np.zeros((14, 14, 3), np.float32)
    tokens[5:9, 6:12] = 1
    for seed in range(12):
        for side in (192, 288):
            pixels, mask, seen = localiser.aged(square, tokens, side, np.random.default_rng(seed))
            assert pixels.shape == (side, side, 3)
            light = pixels.mean(2) > 127
            assert (light == mask).mean() > 0.98
            rows = np.repeat(np.repeat(seen[..., 0] > 0.5, 20, 0), 20, 1)
            place = np.array(np.nonzero(rows)).mean(1) / 280
            assert np.abs(place - np.array(np.nonzero(mask)).mean(1) / side).max() < 0.12


def test_coefficients_are_never_negative_and_find_the_method_that_knows():
    generator = np.random.default_rng(0)
    told = (generator.random(400) < 0.5).astype(np.float32)
    values = np.stack([told + generator.normal(0, 0.3, 400), -told + generator.normal(0, 0.3, 400)], 1)
    found = fused.nonnegative(values.astype(np.float32), told, np.ones(400), ["knows", "against"])
    assert found["knows"] > 1
    assert "against" not in found


def test_fusing_writes_coefficients_and_a_panel_that_an_examination_reads(installed, manifest, tmp_path):
    folder, _, _ = installed
    real = read_manifests([manifest], ("train",))
    make_edits(real, ("splice", "copy_move", "none"), (), tmp_path / "edits", count=12, seed=1, say=lambda line: None)
    rows = read_manifests([tmp_path / "edits" / "manifest.csv"], ("train", "val"), fused.RECIPE.labels) + real
    settings = Settings(most=8, folds=3)
    fused.RECIPE.train(rows, tmp_path / "work", folder / "models", settings, lambda line: None)
    models.registry.cache_clear()
    models.panels.cache_clear()
    file = io.BytesIO()
    Image.fromarray(data.coffee()).save(file, "JPEG")
    for detector in (fusing.Fused(), fusing.FusedQuick()):
        evidence = detector(open_picture(file.getvalue()))
        assert evidence.weighed
        assert evidence.map.max() <= 1
        assert np.isfinite(evidence.log10_lr)
