"""Explanations point where the score comes from; an audit finds the channel and the colour that it rests on."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from veriscope import plugins
from veriscope.cli import main
from veriscope.errors import VeriscopeError
from veriscope.lab.analysis import audit, channels, drawing, explaining, occlusion
from veriscope.lab.analysis.channels import Channel
from veriscope.lab.analysis.gradcam import gradcam
from veriscope.lab.analysis.trained import Trained, trained
from veriscope.lab.data.manifest import read_manifest
from veriscope.lab.networks.npr import NPR
from veriscope.lab.networks.residual import ResidualBlock
from veriscope.lab.recipes.networks import NetworkRecipe
from veriscope.lab.recipes.recipe import recipe
from veriscope.picture import Picture, open_picture
from veriscope.synthetic import patchcraft, views


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def picture_of(rgb):
    return Picture(name="p.png", data=b"", format="PNG", rgb=rgb)


def test_gradcam_points_at_the_region_that_the_score_is_the_mean_of():
    class Last(nn.Module):
        """Two maps: the first is bright in one place alone and counts, the second in another and counts against."""

        def __init__(self):
            super().__init__()
            self.maps = nn.Conv2d(2, 2, 1, bias=False)
            nn.init.dirac_(self.maps.weight)

        def forward(self, pixels):
            means = self.maps(pixels).mean((2, 3))
            return 3 * means[:, 0] - 2 * means[:, 1] + 0.5

    inputs = torch.zeros(2, 2, 8, 8)
    inputs[0, 0, 2, 5], inputs[1, 1, 7, 0] = 1, 1
    scores, heat = gradcam(Last(), inputs)
    assert heat.shape == (2, 8, 8)
    assert np.unravel_index(heat[0].argmax(), (8, 8)) == (2, 5)
    assert np.unravel_index(heat[1].argmin(), (8, 8)) == (7, 0)
    np.testing.assert_allclose(heat.sum((1, 2)), scores - 0.5, atol=1e-6)
    assert np.count_nonzero(heat) == 2
    with pytest.raises(VeriscopeError, match="makes no maps"):
        gradcam(nn.Sequential(nn.Flatten(), nn.Linear(128, 1), nn.Flatten(0)), inputs)


class Bright:
    """A detector whose score is the mean of one part of the picture, less that of another."""

    name = "bright"

    def score(self, picture):
        return float(picture.rgb[32:64, 64:96].mean() - picture.rgb[96:128, :32].mean()) / 255


def test_occlusion_finds_the_planted_patch_and_the_one_that_speaks_against(monkeypatch):
    rgb = np.zeros((128, 160, 3), np.uint8)
    rgb[32:64, 64:96] = rgb[96:128, :32] = 250
    monkeypatch.setattr(plugins, "named", lambda names: (Bright(),))
    explained = explaining.by_occlusion("bright", picture_of(rgb), 4, lambda line: None)
    (panel,) = explained.panels
    assert panel.heat.shape == (4, 5)
    assert np.unravel_index(panel.heat.argmax(), (4, 5)) == (1, 2)
    assert np.unravel_index(panel.heat.argmin(), (4, 5)) == (3, 0)
    assert panel.heat.max() > 0.2 > 0.1 > abs(panel.heat[0, 4])
    rgb = rgb.copy()
    rgb[96:128, :32] = 0
    explained = explaining.by_occlusion("bright", picture_of(rgb), 4, lambda line: None)
    assert explained.sentence(picture_of(rgb)) == (
        "bright scores p.png +0.98; what speaks most for 'generated' lies in the middle"
    )


def test_covering_takes_one_cell_from_the_smooth_copy_and_leaves_the_rest():
    sharp, smooth = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 200, np.uint8)
    made = occlusion.covered(sharp, smooth, (16, 32, 32, 48))
    assert (made[18:30, 34:46] == 200).all()
    made[14:34, 30:50] = 0
    assert not made.any()


def test_boxes_are_where_a_detector_looks():
    (detector,) = plugins.named(["npr"])
    rgb = np.random.default_rng(0).integers(0, 255, (300, 900, 3)).astype(np.uint8)
    found = occlusion.boxes(detector, rgb)
    assert len(found) == 3
    for (top, left, bottom, right), square in zip(found, views.details(rgb), strict=True):
        assert np.array_equal(rgb[top:bottom, left:right], square)
    assert occlusion.boxes(Bright(), rgb) == [(0, 0, 300, 900)]
    with pytest.raises(VeriscopeError, match="has no score"):
        occlusion.with_score(object(), "other")


def test_a_map_of_the_contrast_is_laid_on_the_patches_that_it_is_of():
    generator = np.random.default_rng(0)
    square = generator.integers(100, 104, (256, 256, 3)).astype(np.uint8)
    square[64:96, 128:160] = generator.integers(0, 255, (32, 32, 3))
    square[192:224, 0:32] = 100
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1  # the richest and the poorest patch
    laid = recipe("patchcraft").onto(square, heat)
    assert laid.shape == (256, 256)
    rich, poor = patchcraft.sorted_by_texture(square)
    assert rich[0] == 2 * 8 + 4
    assert poor[0] == 6 * 8
    strong = np.argwhere(cv2.resize(laid, (8, 8), interpolation=cv2.INTER_AREA) > 0.4)
    assert strong.tolist() == [[2, 4], [6, 0]]


def test_overlays_are_red_for_generated_and_blue_for_real():
    grey = np.full((8, 8, 3), 128, np.uint8)
    heat = np.zeros((8, 8), np.float32)
    heat[0, 0], heat[7, 7] = 1, -1
    made = drawing.overlay(grey, heat, 1.0).astype(int)
    assert made[0, 0, 0] > made[0, 0, 2] + 60
    assert made[7, 7, 2] > made[7, 7, 0] + 60
    assert (made[3, 3] == 128).all()


class Planted(nn.Module):
    """A block of whose eight channels the third passes red on and the sixth blue; red alone tells."""

    def __init__(self):
        super().__init__()
        self.block = ResidualBlock(3, 8, 2)
        with torch.no_grad():
            for value in self.block.parameters():
                value.zero_()
            self.block.shortcut[0].weight[3, 0] = 1
            self.block.shortcut[0].weight[6, 2] = 1
            self.block.shortcut[1].weight.fill_(1)

    def forward(self, pixels):
        return 4 * self.block(pixels).mean((2, 3))[:, 3]


def red_or_not(count, side=32):
    """Dim noise; the second half is redder and less green, and no brighter."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(60, 120, (2 * count, side, side, 3)).astype(np.uint8)
    pixels[count:, :, :, 0] += 100
    pixels[count:, :, :, 1] -= 51
    return pixels


def test_the_planted_channel_is_the_most_relevant_and_the_one_that_matters():
    network, pixels = Planted(), red_or_not(6)
    inputs = torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float() / 255
    (layer,) = looked = channels.layers(network, inputs)
    assert (layer.name, layer.channels) == ("block", 8)
    worth = channels.relevance(network, looked, inputs[6:])
    np.testing.assert_allclose(worth[0], np.eye(8)[3], atol=1e-6)
    assert channels.ranked(worth)[0] == Channel(0, 3)
    before = channels.scores(network, inputs)
    assert before[6:].min() > before[:6].max() + 1
    without = channels.scores(network, inputs, looked, [Channel(0, 3)])
    assert not without.any()
    np.testing.assert_allclose(channels.scores(network, inputs, looked, [Channel(0, 1)]), before)
    np.testing.assert_allclose(channels.scores(network, inputs), before)
    (strongest,) = channels.strongest(network, looked, inputs)
    np.testing.assert_allclose(strongest[:, 3], pixels[:, ::2, ::2, 0].max((1, 2)) / 255, rtol=1e-4)
    with pytest.raises(VeriscopeError, match="no residual blocks"):
        channels.layers(nn.Sequential(nn.Conv2d(3, 1, 1)), inputs)


@pytest.fixture
def manifest(tmp_path):
    """Noise that is red where generated, of two sources each and in two splits."""
    rows = []
    for split in ("train", "test"):
        for number, pixels in enumerate(red_or_not(8, 264)):
            label = "generated" if number >= 8 else "real"
            name = f"{split}{number}.png"
            Image.fromarray(pixels).save(tmp_path / name)
            rows.append({"path": name, "label": label, "source": f"{label}{number % 2}", "group": name, "split": split})
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "manifest.csv"


def test_an_audit_says_that_the_planted_channel_and_colour_are_all_there_is(manifest):
    made = Trained(NetworkRecipe("planted", "", (), Planted), Planted().eval())
    found = audit.audit_network(made, read_manifest(manifest), "test", most=8, seed=0, say=lambda line: None)
    assert found["counts"] == {"real": 8, "generated": 8}
    first = found["channels"]["ranked"][0]
    assert (first["layer"], first["channel"]) == ("block", 3)
    assert first["p"] < 0.01
    assert first["median_in_colour"] > first["median_in_grey"] + 0.1
    assert found["channels"]["changed_by_colour"]["of_the_first"] == 1
    assert found["channels"]["changed_by_colour"]["of_all"] < 0.5
    rows = {(row["silenced"], row["channels"]): row for row in found["channels"]["silenced"]}
    assert rows["none", 0]["auc"] == rows["none", 0]["tpr"] == 1
    assert rows["first", 1]["auc"] == 0.5
    assert rows["first", 1]["tpr"] == 0
    assert rows["last", 1] == {"silenced": "last", "channels": 1, "auc": 1.0, "tpr": 1.0, "fpr": rows["none", 0]["fpr"]}
    colour, grey = found["colour"]
    assert colour["auc"] == 1
    assert grey["median_generated"] < colour["median_generated"] - 0.5
    assert grey["tpr"] == 0
    assert found["channels"]["ranked_on"] == {"pictures": 8, "split": "train and val"}
    with pytest.raises(
        VeriscopeError, match=r"split 'val' has no readable real and no generated picture; .*: test, train"
    ):
        audit.audit_network(made, read_manifest(manifest), "val", most=8, seed=0, say=lambda line: None)


def test_grey_keeps_luma():
    rgb = red_or_not(1)[1]
    grey = audit.greyscale(rgb)
    assert (grey == grey[:, :, :1]).all()
    np.testing.assert_allclose(grey[:, :, 0], picture_of(rgb).luma, atol=0.51)


@pytest.fixture
def work(tmp_path):
    """What a training of ``npr`` leaves."""
    torch.manual_seed(0)
    (tmp_path / "work" / "npr").mkdir(parents=True)
    state = {f"network.{name}": tensor for name, tensor in NPR().state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "work" / "npr" / "best.ckpt")
    return tmp_path / "work"


def test_explain_writes_the_map_of_a_trained_network_and_says_its_score(manifest, work, tmp_path, capsys):
    picture = manifest.parent / "test0.png"
    out = tmp_path / "maps" / "map.png"
    assert main(["lab", "explain", "npr", str(picture), "--out", str(out), "--work", str(work)]) == 0
    made = trained("npr", work, instead="")
    with torch.inference_mode():
        score = float(made.network(made.inputs(views.details(open_picture(picture).rgb))).mean())
    assert capsys.readouterr().out.startswith(f"npr scores test0.png {score:+.2f}; what speaks most for ")
    assert min(Image.open(out).size) > 400
    assert not list(out.parent.glob("*.partial"))


def test_what_cannot_be_explained_or_audited_says_what_can(manifest, work, tmp_path, capsys):
    out = str(tmp_path / "out")
    picture = str(manifest.parent / "test0.png")
    assert main(["lab", "explain", "depths", picture, "--out", out]) == 2
    assert "give --method occlusion, or one of: aedetect, cnndetection, code, npr" in capsys.readouterr().err
    assert main(["lab", "audit", "depths", "--data", str(manifest), "--out", out]) == 2
    assert "give --colour-only, or one of: aedetect" in capsys.readouterr().err
    assert main(["lab", "explain", "patchcraft", picture, "--out", out, "--work", str(work)]) == 2
    assert "train it first, veriscope lab train patchcraft" in capsys.readouterr().err
    (work / "npr" / "best.ckpt").write_bytes(b"damaged")
    assert main(["lab", "explain", "npr", picture, "--out", out, "--work", str(work)]) == 2
    assert "not a checkpoint of npr" in capsys.readouterr().err


def test_audit_writes_json_markdown_and_a_plot(manifest, work, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["lab", "audit", "npr", "--data", str(manifest), "--out", str(out)]
    assert main([*command, "--work", str(work), "--most", "3"]) == 0
    figures = json.loads((out / "audit.json").read_text())
    assert figures["detector"] == "npr"
    assert [layer["channels"] for layer in figures["channels"]["layers"]] == [64, 128]
    assert len(figures["scores"]["generated_grey"]) == 3
    text = (out / "audit.md").read_text()
    assert "# Audit: npr" in text
    assert "| first | 4 |" in text
    assert min(Image.open(out / "audit.png").size) > 800
    assert "channels silenced" in capsys.readouterr().out


def test_colour_is_measured_of_any_detector_with_a_score(manifest, tmp_path, monkeypatch):
    class Red:
        name = "red"

        def score(self, picture):
            return float(picture.rgb[:, :, 0].mean() - picture.rgb[:, :, 1].mean())

    monkeypatch.setattr(plugins, "named", lambda names: (Red(),))
    out = tmp_path / "out"
    command = ["lab", "audit", "red", "--data", str(manifest), "--out", str(out), "--most", "4"]
    assert main([*command, "--colour-only"]) == 0
    figures = json.loads((out / "audit.json").read_text())
    colour, grey = figures["colour"]
    assert colour["auc"] == 1
    assert grey["auc"] == 0.5
    assert grey["median_generated"] == 0
    assert "channels" not in figures
    assert (out / "audit.png").stat().st_size > 10_000
