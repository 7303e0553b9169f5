"""Scripted warps are what they say they are, and the recipe of "warps" trains, resumes, exports and is asked by name."""

import csv
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from skimage import data

from veriscope.lab.data.manifest import Row, read_manifest
from veriscope.lab.generators.warping import STEEPEST, Stroke, flow_of, random_strokes, random_warp
from veriscope.lab.networks.warps import HighPass, Warps, pooled, warp_loss
from veriscope.lab.recipes import warps as recipe
from veriscope.lab.recipes.recipe import Settings
from veriscope.tampering import warps as use
from veriscope.tampering.flow import applied, lengths, undone
from veriscope.weighing import Panel

FACE = data.astronaut()[:256, 96:352].copy()
MIDDLE = (128.0, 128.0)


def at(flow, x, y):
    return flow[y, x].tolist()


def test_each_stroke_moves_what_it_says():
    push = flow_of([Stroke("push", MIDDLE, 60, 8)], 256, 256)
    assert at(push, 128, 128) == pytest.approx([-8, 0], abs=1e-4)  # content moves right: it stood to the left
    bloat = flow_of([Stroke("bloat", MIDDLE, 60, 6)], 256, 256)
    pinch = flow_of([Stroke("pinch", MIDDLE, 60, 6)], 256, 256)
    assert at(bloat, 155, 128)[0] < -5.9
    assert np.allclose(bloat, -pinch)
    twirl = flow_of([Stroke("twirl", MIDDLE, 60, 6)], 256, 256)
    assert at(twirl, 155, 128) == pytest.approx([0, 6], abs=0.1)
    slim = flow_of([Stroke("slim", MIDDLE, 40, 5, np.pi / 2, 3.0)], 256, 256)
    assert at(slim, 128 + 18, 128)[0] > 4.9  # both sides of the upright line stood further out
    assert at(slim, 128 - 18, 128)[0] < -4.9
    assert np.abs(slim[..., 1]).max() < 1e-4
    assert lengths(slim)[128 + 100, 128 + 18] > 0  # along the band it reaches further
    assert lengths(push)[128 + 61, 128] == lengths(push)[128, 128 + 61] == 0


def test_strokes_together_do_not_fold_and_leave_the_border():
    strokes = [
        Stroke("push", (40.0, 128.0), 40, 30),
        Stroke("bloat", (5.0, 5.0), 50, 30),
        Stroke("push", (900, 0), 9, 9),
    ]
    flow = flow_of(strokes, 256, 256)
    apart = max(lengths(np.diff(flow, axis=axis)).max() for axis in (0, 1))
    assert 0.5 < apart <= STEEPEST + 1e-4
    for edge in (flow[0], flow[-1], flow[:, 0], flow[:, -1]):
        assert not edge.any()


def test_random_warps_come_with_the_flow_that_made_them():
    generator = np.random.default_rng(3)
    strengths = []
    for _ in range(6):
        warped, flow = random_warp(FACE, generator)
        assert (warped.dtype, warped.shape, flow.dtype, flow.shape) == ("uint8", FACE.shape, "float32", (256, 256, 2))
        moved = lengths(flow)
        strengths.append(moved.max())
        by_flow = applied(FACE, flow, cv2.INTER_CUBIC)
        assert np.abs(by_flow.astype(int) - warped).mean() < 0.3  # the brush may interpolate otherwise
        assert np.array_equal(warped[moved == 0], FACE[moved == 0])
        clear = moved > 1
        if clear.any():
            before, after = (np.abs(x.astype(int) - FACE)[clear].mean() for x in (warped, undone(warped, flow)))
            assert after < before / 3
    assert min(strengths) > 0.5
    assert max(strengths) < 4 * 12 * 256 / 384
    again = random_warp(FACE, np.random.default_rng(3))[1]
    assert np.array_equal(again, random_warp(FACE, np.random.default_rng(3))[1])


def test_strokes_fall_on_faces_or_on_texture():
    generator = np.random.default_rng(0)
    half = np.full((200, 300, 3), 128, np.uint8)
    half[:, 150:] = generator.integers(0, 256, (200, 150, 3))
    anywhere = [stroke.centre[0] for _ in range(25) for stroke in random_strokes(half, generator)]
    assert np.mean(np.array(anywhere) > 140) > 0.95
    box = (100.0, 60.0, 180.0, 150.0)
    for stroke in (stroke for _ in range(15) for stroke in random_strokes(half, generator, box)):
        assert 60 <= stroke.centre[0] <= 220
        assert stroke.radius <= 0.6 * 80 or stroke.radius == pytest.approx(6 * abs(stroke.strength))
    small = [abs(stroke.strength) for _ in range(15) for stroke in random_strokes(half, generator, reference=384)]
    assert 2 <= min(small) < 5 < max(small) <= 12


def test_the_high_pass_takes_level_and_slope_away():
    slope = torch.linspace(0, 1, 32).expand(1, 3, 32, 32)
    assert HighPass()(slope)[..., 2:-2, 2:-2].abs().max() < 1e-6
    assert HighPass()(torch.eye(32).expand(1, 3, 32, 32)).abs().max() > 0.5


def test_both_ways_to_pool_agree():
    logits = torch.randn(2, 1, 12, 9) * 4
    assert pooled(logits).tolist() == pytest.approx([use.pooled(each[0].numpy()) for each in logits], abs=1e-4)


def test_the_loss_is_least_for_the_truth():
    truth = torch.zeros(2, 2, 24, 24)
    truth[1, 0, 6:14, 6:14] = 3
    odds = torch.where(truth.abs().sum(1, keepdim=True) > 0, 8.0, -8.0)
    right = float(warp_loss(truth, odds, truth))
    assert right < 0.01
    assert float(warp_loss(truth, -odds, truth)) > right + 1
    assert float(warp_loss(-truth, odds, truth)) > float(warp_loss(truth * 0, odds, truth)) > right + 0.01


def test_a_few_steps_learn_one_batch():
    torch.manual_seed(0)
    row = Row(None, "real", "a", "a", "train")
    generator = np.random.default_rng(0)
    made = [recipe.square_of(FACE, row, generator, warped=warped) for warped in (False, True, False, True)]
    pixels = torch.from_numpy(np.stack([p for p, _ in made])[:, 48:144, 48:144].transpose(0, 3, 1, 2) / 255).float()
    flow = torch.from_numpy(np.stack([f for _, f in made])[:, 48:144, 48:144].transpose(0, 3, 1, 2).copy())
    assert not flow[0].any()
    assert flow[1].any()
    truth = torch.nn.functional.avg_pool2d(flow, 4)
    network = Warps((8, 16, 16))
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = warp_loss(*network(pixels), truth)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    figures = recipe.batch_figures(network, pixels, truth)
    assert figures["square_auc"] == 1
    assert figures["place_auc"] > 0.95
    moved = truth.norm(dim=1)
    assert figures["end_point"] < 0.8 * float(moved[moved > 0.5].mean())  # of a flow of zero


@pytest.fixture
def small(monkeypatch):
    """The recipe on squares of 64 px and with a network of a few hundred weights."""
    monkeypatch.setattr(recipe, "CUT", 96)
    monkeypatch.setattr(recipe, "SIDE", 64)
    monkeypatch.setattr(recipe, "ASIDE", 1)
    monkeypatch.setattr(recipe, "Warps", lambda: Warps((4, 4, 8)))


@pytest.fixture
def manifest(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for source in ("alpha", "beta", "gamma", "delta"):
        for number in range(2):
            top, left = generator.integers(0, 250, 2)
            name = f"{source}{number}.png"
            Image.fromarray(data.coffee()[top : top + 120, left : left + 110]).save(tmp_path / name)
            rows.append([name, "real", source, name, "train", "1" if source == "beta" else "0"])
    rows.append(["alpha0.png", "generated", "other", "other", "train", "0"])
    path = tmp_path / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["path", "label", "source", "group", "split", "face"], *rows])
    return path


def test_squares_and_their_flows_belong_together(small):
    row = Row(None, "real", "a", "a", "train", face="1")
    cut = FACE[:96, :96].copy()
    for seed in range(4):
        pixels, flow = recipe.square_of(cut, row, np.random.default_rng(seed), warped=True)
        assert pixels.shape == (64, 64, 3)
        assert flow.shape == (64, 64, 2)
        assert lengths(flow).max() > 0.1
        plain, still = recipe.square_of(cut, row, np.random.default_rng(seed), warped=False)
        assert plain.shape == (64, 64, 3)
        assert not still.any()


def test_portraits_come_first(manifest):
    rows = [row for row in read_manifest(manifest) if row.label == "real"]
    assert [row.source for row in recipe.portraits_first(rows, 2)] == ["beta", "beta"]
    assert len(recipe.portraits_first(rows, 100)) == len(rows)
    assert recipe.face_box(rows[0], 100, 100) is None


def test_trains_resumes_exports_and_is_asked_by_name(small, manifest, tmp_path):
    settings = Settings(version="7", folds=3, epochs=1, draws=8, batch=4, most=8)
    said = []

    def train():
        return recipe.RECIPE.train(
            read_manifest(manifest, ("train", "val")), tmp_path / "work", tmp_path / "out", settings, said.append
        )

    figures = train()
    assert json.loads((tmp_path / "out" / "warps.figures.json").read_text()) == figures
    aside = figures["sources_kept_aside"]
    assert (figures["pictures"]["real"], aside["samples"]) == (2, 4)  # of 4 sources 2 stop it, 1 reports
    assert 0 <= aside["auc"] <= 1
    assert aside["standing_still"] > 0
    panel = Panel.load(tmp_path / "out" / "warps.panel.json")
    assert (panel.question, panel.members) == ("edited", {"warps@7": 1.0})
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "warps.onnx"))
    for height, width in ((64, 64), (80, 208)):
        flow, logits = session.run(["flow", "logits"], {"pixels": np.zeros((1, 3, height, width), np.float32)})
        assert flow.shape == (1, 2, height // 4, width // 4)
        assert logits.shape == (1, 1, height // 4, width // 4)

    said.clear()
    assert train() == figures
    assert not [line for line in said if "epochs" in line or line.startswith("cuts: ")]

    script = (
        "import sys; from veriscope import open_picture; from veriscope.tampering.warps import Warps; "
        "w = Warps(); e = w(open_picture(sys.argv[1])); print(w.version, e.map.shape, 0 <= e.score <= 1)"
    )
    environment = {**os.environ, "VERISCOPE_MODELS": str(tmp_path / "out")}
    command = [sys.executable, "-c", script, str(tmp_path / "alpha0.png")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7", "(30,", "28)", "True"]
