"""The detectors of reconstruction: their pairs are aligned, their maps true, and each trains, resumes and is asked by name."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import read_manifest
from veriscope.lab.data.samples import prepare
from veriscope.lab.generators.diffusion import Diffusion
from veriscope.lab.generators.methods import Method
from veriscope.lab.generators.small import SmallAutoencoder
from veriscope.lab.networks.denoiser import Denoiser
from veriscope.lab.networks.dire import OnErrors, OnFirstNoise
from veriscope.lab.networks.laundering import Odds, TwoStages
from veriscope.lab.recipes import laundering as recipe_of_laundering
from veriscope.lab.recipes.distildire import Distilling
from veriscope.lab.recipes.export import export_network
from veriscope.lab.recipes.recipe import Settings, recipe
from veriscope.lab.recipes.reconstruction import CUT, EVERYTHING, HISTORIES, NOTHING, PASSED, PATCH, cuts, passes, told
from veriscope.synthetic import diffusion, laundering
from veriscope.synthetic.diffusion import Generator

SOURCES = {"real": ("alpha", "beta", "gamma"), "generated": ("one", "two", "three")}
EACH = 3  # pictures of a source
QUICK = {"folds": 3, "minutes": 1.0, "epochs": 2, "draws": 48, "batch": 12}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def rows(tmp_path):
    generator = np.random.default_rng(0)
    lines = []
    for label, sources in SOURCES.items():
        for source in sources:
            for number in range(EACH):
                pixels = generator.integers(0, 256, (210, 330, 3)).astype(np.uint8)
                if label == "generated":
                    pixels = smooth(pixels)
                name = f"{source}{number}.png"
                Image.fromarray(pixels).save(tmp_path / name)
                lines.append({"path": name, "label": label, "source": source, "group": name, "split": "train"})
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return read_manifest(tmp_path / "manifest.csv")


def smooth(rgb):
    return np.ascontiguousarray(cv2.blur(rgb, (3, 3)))


@dataclass
class Toy:
    """Stands in for an autoencoder; counts its passes."""

    change: object
    passed: list = field(default_factory=list)

    def reconstruct(self, rgb):
        self.passed.append(rgb.shape)
        return self.change(rgb)


def method(change, weights="1"):
    return Method("toy", "reconstruct", "toy", weights, Toy(change))


@pytest.fixture
def autoencoder(tmp_path):
    torch.manual_seed(0)
    SmallAutoencoder().save(tmp_path / "toy")
    return f"toy={tmp_path / 'toy'}"


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    made = SmallAutoencoder()
    Diffusion(made, Denoiser(made.latent)).save(tmp_path / "sd")
    return f"sd={tmp_path / 'sd'}"


def trained(name, rows, tmp_path, said=None, **settings):
    chosen = Settings(**{**QUICK, **settings})
    return recipe(name).train(
        rows, tmp_path / "work", tmp_path / "out", chosen, (said if said is not None else []).append
    )


def examined(name, tmp_path, path):
    """The evidence that the command line prints for a picture, by the weights in ``out``."""
    done = subprocess.run(
        [sys.executable, "-m", "veriscope.cli", "examine", "--json", "--with", name, str(path)],
        env={**os.environ, "VERISCOPE_MODELS": str(tmp_path / "out"), "VERISCOPE_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    (evidence,) = json.loads(done.stdout)["evidence"]
    assert evidence["reliability"] > 0, evidence
    return evidence


def test_a_cut_and_its_pass_go_through_the_same_histories(rows, tmp_path):
    real, squares = cuts([row for row in rows if not row.generated], tmp_path / "work", 0, print)
    assert squares[0].shape == (CUT, CUT, 3)
    passed, made = passes(real, squares, [method(lambda rgb: rgb)], tmp_path / "work", 0, print)
    samples = told([(real, squares, NOTHING), (passed, made, EVERYTHING)], 0)
    half = len(samples) // 2
    assert half == 3 * EACH * HISTORIES
    assert all(np.array_equal(samples.detail[at], samples.detail[half + at]) for at in range(half))
    assert not np.array_equal(samples.detail[0], samples.detail[1])
    assert samples.detail[0].shape == (PATCH, PATCH, 3)
    later = samples.chosen(samples.labels == EVERYTHING)
    assert np.array_equal(later.detail[3], samples.detail[half + 3])
    assert set(later.labels) == {EVERYTHING}
    assert {row.method for row in later.rows} == {"toy"}


def test_passes_are_kept_until_the_weights_change(rows, tmp_path):
    real, squares = cuts(rows[:4], tmp_path / "work", 0, print)
    for weights, count in (("1", 4), ("1", 0), ("2", 4)):
        by = method(smooth, weights)
        _, made = passes(real, squares, [by], tmp_path / "work", 0, print)
        assert len(by.model.passed) == count
        assert np.array_equal(made[2], smooth(squares[2]))


def test_aedetect_learns_from_real_pictures_alone(rows, tmp_path, autoencoder, monkeypatch):
    from veriscope.lab.recipes import reconstruction

    opened = []
    whole = reconstruction.load_pixels
    monkeypatch.setattr(reconstruction, "load_pixels", lambda row: (opened.append(row), whole(row))[1])
    said = []
    figures = trained("aedetect", rows, tmp_path, said, generators=[autoencoder], draws=120, epochs=3)
    assert {row.label for row in opened} == {"real"}
    assert figures["pictures"] == {"real": EACH, "generated": 0}
    assert figures["settings"]["generators"] == ["toy"]
    assert figures["reconstructions_kept_aside"]["auc"] > 0.9

    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "aedetect.onnx"))
    network = recipe("aedetect").network().eval()
    state = torch.load(tmp_path / "work" / "aedetect" / "best.ckpt", weights_only=False)["state_dict"]
    network.load_state_dict({name.removeprefix("network."): value for name, value in state.items()})
    pixels = torch.rand(2, 3, 256, 256)
    with torch.inference_mode():
        np.testing.assert_allclose(
            session.run(None, {"pixels": pixels.numpy()})[0], network(pixels), atol=1e-2
        )  # stored in 8 bits
    assert examined("aedetect", tmp_path, rows[0].path)["question"] == "generated"

    said.clear()
    assert trained("aedetect", rows, tmp_path, said, generators=[autoencoder], draws=120, epochs=3) == figures
    assert not [line for line in said if "s each" in line]


def test_aedetect_is_fitted_anew_for_the_benchmark(rows, tmp_path, autoencoder):
    samples, _ = prepare(rows, tmp_path / "work" / "samples", say=print)
    fitted = ~np.isin(samples.sources, ("gamma", "three"))
    settings = Settings(**QUICK, generators=[autoencoder])
    scores = recipe("aedetect").refit(samples, fitted, tmp_path / "work", settings, print)
    assert scores.shape == (len(samples),)
    assert np.isfinite(scores).all()


def test_recipes_of_reconstruction_say_what_they_need(rows, tmp_path, autoencoder, model):
    for name in ("aedetect", "laundering"):
        with pytest.raises(VeriscopeError, match="--generators"):
            trained(name, rows, tmp_path)
        with pytest.raises(VeriscopeError, match="more than a reconstruction"):
            trained(name, rows, tmp_path, generators=[model])
    for name in ("dire", "distildire"):
        with pytest.raises(VeriscopeError, match="diffusion"):
            trained(name, rows, tmp_path, generators=[autoencoder])
    assert not (tmp_path / "out").exists()


def test_the_two_stages_make_three_probabilities():
    odds = np.array([[-9.0, 9.0], [9.0, -9.0], [9.0, 9.0], [0.3, -0.7]])
    shares = laundering.probabilities(odds)
    np.testing.assert_allclose(shares.sum(1), 1)
    assert shares.argmax(1)[:3].tolist() == [0, 1, 2]
    np.testing.assert_allclose(laundering.log_odds(odds), np.log(shares[:, 2] / (1 - shares[:, 2])))


def test_the_second_stage_learns_nothing_from_pristine_pictures():
    torch.manual_seed(0)
    network = TwoStages((4, 8)).train()
    recipe_of_laundering.two_stages(network, torch.rand(4, 3, 32, 32), torch.full((4,), NOTHING)).backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in network.made.parameters())
    assert any(parameter.grad.any() for parameter in network.trace.parameters())


def test_calibration_brings_the_stages_to_log_odds():
    generator = np.random.default_rng(0)
    labels = np.repeat([NOTHING, PASSED, EVERYTHING], (600, 300, 900)).astype(np.float32)
    means = np.stack([np.where(labels > NOTHING, 1, -1), np.where(labels == EVERYTHING, 1, -1)], 1)
    scores = 5 * (means + generator.normal(0, 1, means.shape)) + 3  # five times too sure, and off by three
    network = TwoStages((4, 8))
    recipe_of_laundering.calibrate(network, scores, labels)
    made = scores * network.slope.numpy() + network.offset.numpy()
    # Two normals at -1 and 1 have the log odds 2 x, and the first stage's odds before are 2 to 1 of three kinds alike.
    np.testing.assert_allclose(network.slope.numpy(), 0.4, atol=0.06)
    np.testing.assert_allclose(made.mean(0) - 2 * ((scores - 3) / 5).mean(0), [np.log(2), 0], atol=0.3)
    figures = recipe_of_laundering.figures_of_kinds(made, labels)
    assert all(figures["read_as"][kind][kind] > 0.6 for kind in laundering.KINDS)
    assert figures["stage_one_auc"] > 0.9


def test_laundering_tells_three_kinds_and_is_asked_by_name(rows, tmp_path, autoencoder):
    figures = trained("laundering", rows, tmp_path, generators=[autoencoder], draws=120, epochs=3)
    assert figures["sources_kept_aside"]["samples"] == 2 * EACH * 3 + EACH * 3
    assert figures["kinds_kept_aside"]["stage_one_auc"] > 0.6
    evidence = examined("laundering", tmp_path, rows[0].path)
    assert all(kind in evidence["says"] for kind in laundering.KINDS)


def test_a_laundered_picture_is_called_so_and_not_generated(rows, tmp_path, autoencoder):
    """The weights are set by hand: whatever the picture, its trace is that of a pass alone, and then of a generator."""
    trained("laundering", rows, tmp_path, generators=[autoencoder])
    network, path = TwoStages(), tmp_path / "out" / "laundering.onnx"
    network.slope.zero_()
    found = []
    for of_a_generator in (-6.0, 6.0):
        network.offset.copy_(torch.tensor([6.0, of_a_generator]))
        before = hashlib.sha256(path.read_bytes()).hexdigest()
        export_network(Odds(network), (torch.rand(2, 3, 256, 256),), path)
        entry = tmp_path / "out" / "laundering.model.toml"
        entry.write_text(entry.read_text().replace(before, hashlib.sha256(path.read_bytes()).hexdigest()))
        found.append(examined("laundering", tmp_path, rows[0].path))
    laundered, generated = found
    assert laundered["score"] < 0 < generated["score"]
    assert laundered["log10_lr"] <= generated["log10_lr"]
    assert "laundered, that is, passed through a generator's autoencoder" in laundered["says"]
    assert "laundered, that is, passed" not in generated["says"]


def perfect(offset=0.0):
    """A generator that knows every picture; its decoder is wrong by ``offset``."""
    return Generator(
        lambda pixels: np.ascontiguousarray(pixels[:, :, ::8, ::8].repeat(8, 2).repeat(8, 3)[:, :, ::8, ::8]),
        lambda latents, time: latents * np.float32(-np.tan(time * np.pi / 2)),
        lambda latents: latents.repeat(8, 2).repeat(8, 3) + np.float32(offset),
    )


def test_the_error_map_is_what_the_generator_does_not_give_back():
    coarse = np.random.default_rng(0).integers(20, 230, (2, 16, 16, 3)).astype(np.uint8)
    squares = coarse.repeat(8, 1).repeat(8, 2)
    assert diffusion.error_maps(squares, perfect()).max() <= 1
    for offset in (10, -10):
        errors = diffusion.error_maps(squares, perfect(offset / 255))
        assert errors.shape == squares.shape
        assert 9 <= errors.min() <= errors.max() <= 11
    changed = squares.copy()
    changed[0, 40:48, 40:48] = 255 - changed[0, 40:48, 40:48]
    changed[0, 40, 40] = squares[0, 40, 40]  # the pixel that the encoder reads
    errors = diffusion.error_maps(changed, perfect())
    assert errors[0, 41:48, 41:48].max() > 40
    assert errors[1].max() <= 1


def test_the_first_noise_is_read_as_bytes_about_128():
    squares = np.full((1, 128, 128, 3), 77, np.uint8)
    noise = diffusion.first_noise(squares, perfect())
    assert noise.shape == (1, 16, 16, 3)
    assert set(np.unique(noise)) == {128}
    guessing = Generator(perfect().encode, lambda latents, time: np.ones_like(latents), perfect().decode)
    assert abs(int(diffusion.first_noise(squares, guessing)[0, 0, 0, 0]) - (128 + diffusion.NOISE_STEPS)) <= 2
    beside = diffusion.laid_beside(squares, noise)
    assert beside.shape == (1, 128, 128, 6)
    assert np.array_equal(beside[..., :3], squares)


def test_the_student_is_pulled_towards_its_teacher():
    torch.manual_seed(0)
    teacher, student = OnErrors((4, 8)), OnFirstNoise(5, (4, 8))
    before = [parameter.clone() for parameter in teacher.parameters()]
    loss = Distilling(teacher.requires_grad_(False))
    pixels, labels = torch.rand(8, 8, 32, 32), torch.randint(0, 2, (8,)).float()

    def distance():
        with torch.inference_mode():
            return float((student.train().features(pixels) - teacher.eval().features(pixels[:, -3:])).square().mean())

    first = distance()
    optimiser = torch.optim.Adam(student.parameters(), 1e-2)
    for _ in range(30):
        optimiser.zero_grad()
        loss(student.train(), pixels, labels).backward()
        optimiser.step()
    assert distance() < first / 3
    assert all(torch.equal(old, new) for old, new in zip(before, teacher.parameters(), strict=True))


def test_dire_and_its_student_train_resume_and_are_asked_by_name(rows, tmp_path, model):
    said = []
    figures = trained("dire", rows, tmp_path, said, generators=[model], most=5)
    assert figures["settings"]["generators"] == ["sd"]
    assert sum(figures["pictures"].values()) <= 10
    assert examined("dire", tmp_path, rows[0].path)["detector"] == "dire"
    mapped = [line for line in said if line.startswith("error-maps")]
    assert mapped
    said.clear()
    trained("distildire", rows, tmp_path, said, generators=[model], most=5)
    assert not [
        line for line in said if line.startswith(("error-maps", "dire:"))
    ]  # the teacher's work is there already
    assert [line for line in said if line.startswith("first-noise")]
    assert examined("distildire", tmp_path, rows[0].path)["detector"] == "distildire"
    said.clear()
    assert trained("dire", rows, tmp_path, said, generators=[model], most=5) == figures
    assert not said
