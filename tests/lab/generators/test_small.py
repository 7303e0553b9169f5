"""Our own autoencoders differ by their up-sampling, fit a CPU, learn, resume, and come back from disk as they were."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from veriscope.errors import ModelError, VeriscopeError
from veriscope.lab.data.manifest import Row
from veriscope.lab.generators import training
from veriscope.lab.generators.crops import crops
from veriscope.lab.generators.small import FACTORS, UPSAMPLERS, Shape, SmallAutoencoder, load_small
from veriscope.lab.generators.training import Schedule, train_autoencoder


@pytest.fixture
def rows(tmp_path):
    made = []
    for name in ("chelsea", "coffee", "astronaut"):
        path = tmp_path / f"{name}.png"
        Image.fromarray(getattr(data, name)()).save(path)
        made.append(Row(path, "real", "skimage", name, "train"))
    return made


def trained(rows, tmp_path, said=None, shape=None, **schedule):
    chosen = Schedule(**{"steps": 4, "batch": 2, "count": 6, "device": "cpu", **schedule})
    say = (said if said is not None else []).append
    return train_autoencoder(shape or Shape(), rows, rows[:1], tmp_path / "work", tmp_path / "out", chosen, say)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("upsampler", UPSAMPLERS)
def test_every_shape_is_small_and_keeps_the_size(upsampler, factor):
    model = SmallAutoencoder(Shape(upsampler, factor)).eval()
    assert sum(value.numel() for value in model.parameters()) < 1_000_000
    assert model.encode(torch.rand(1, 3, 32, 48)).shape == (1, 16, 32 // factor, 48 // factor)
    rgb = data.chelsea()[:37, :51]
    assert model.reconstruct(rgb).shape == rgb.shape


def test_upsamplers_leave_different_traces():
    """The energy at the highest frequencies of an untrained decoder's picture is what its up-sampling makes it."""
    energy = {}
    for upsampler in UPSAMPLERS:
        torch.manual_seed(0)
        made = SmallAutoencoder(Shape(upsampler)).eval().reconstruct(data.astronaut()[:256, :256])
        spectrum = np.abs(np.fft.fft2(made.mean(2) - made.mean()))
        energy[upsampler] = spectrum[112:144, 112:144].sum() / spectrum.sum()
    assert energy["bilinear"] < min(energy["transposed"], energy["shuffle"])


def test_a_crop_is_reconstructed_as_it_is_in_the_whole():
    """Nothing looks at the picture at large, so what is learned on crops holds for pictures."""
    torch.manual_seed(0)
    model = SmallAutoencoder().eval()
    whole = torch.rand(1, 3, 384, 384)
    inner = model(whole[:, :, 64:320, 64:320])[:, :, 120:136, 120:136]  # further from the edge than it looks
    assert torch.allclose(model(whole)[:, :, 184:200, 184:200], inner, atol=1e-5)


def test_it_learns_and_comes_back_as_it_was(rows, tmp_path):
    few = trained(rows, tmp_path / "few", steps=1)
    figures = trained(rows, tmp_path, steps=40)
    assert figures["psnr"] > few["psnr"] + 1
    loaded = load_small(tmp_path / "out")
    assert loaded.shape == Shape()
    about = json.loads((tmp_path / "out" / "autoencoder.json").read_text())
    assert about["psnr"] == figures["psnr"]
    assert about["upsampler"] == "nearest"
    rgb = data.coffee()[:64, :64]
    loaded.save(tmp_path / "again")
    assert np.array_equal(load_small(tmp_path / "again").reconstruct(rgb), loaded.reconstruct(rgb))


def test_an_interrupted_training_ends_where_an_unbroken_one_does(rows, tmp_path, monkeypatch):
    trained(rows, tmp_path / "whole", steps=6)
    whole_step, done = training._Autoencoding.step, []

    def stopping(self, batch, progress, rate):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(progress)
        return whole_step(self, batch, progress, rate)

    with monkeypatch.context() as patch:
        patch.setattr(training._Autoencoding, "step", stopping)
        with pytest.raises(KeyboardInterrupt):
            trained(rows, tmp_path, steps=6)
    assert not (tmp_path / "out").exists()
    said = []
    trained(rows, tmp_path, said, steps=6)
    assert "resuming at step 4" in said
    one, other = load_small(tmp_path / "whole" / "out"), load_small(tmp_path / "out")
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_checkpoints_of_other_trainings_and_broken_ones_are_passed_over(rows, tmp_path):
    trained(rows, tmp_path)
    said = []
    trained(rows, tmp_path, said, seed=1)
    assert any("another training" in line for line in said)
    (checkpoint,) = (tmp_path / "work").glob("*.ckpt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    said.clear()
    assert trained(rows, tmp_path, said, seed=1)["steps"] == 4
    assert any("not whole" in line for line in said)


def test_a_full_disk_keeps_the_last_checkpoint(rows, tmp_path, monkeypatch):
    trained(rows, tmp_path)
    (checkpoint,) = (tmp_path / "work").glob("*.ckpt")
    before = checkpoint.read_bytes()

    def full(state, path):
        path.write_bytes(b"half")
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(training.torch, "save", full)
    with pytest.raises(VeriscopeError, match="No space left"):
        trained(rows, tmp_path, seed=1)
    assert checkpoint.read_bytes() == before
    assert not list((tmp_path / "work").glob("*.partial"))


def test_crops_are_kept_and_unreadable_pictures_named(rows, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    said = []
    more = [*rows, Row(broken, "real", "skimage", "b", "train")]
    found = crops(more, tmp_path / "work", count=40, seed=3, say=said.append)
    assert found.shape == (30, 128, 128, 3)
    assert len(said) == 1
    assert "broken.png" in said[0]
    said.clear()
    assert np.array_equal(crops(more, tmp_path / "work", count=40, seed=3, say=said.append), found)
    assert not said
    with pytest.raises(VeriscopeError, match="none of 1"):
        crops(more[3:], tmp_path / "other", say=said.append)


def test_wrong_folders_are_errors_that_name_them(tmp_path):
    with pytest.raises(ModelError, match="no such autoencoder"):
        SmallAutoencoder(Shape("cubic"))
    with pytest.raises(ModelError, match="train-generator autoencoder"):
        load_small(tmp_path)
    SmallAutoencoder().save(tmp_path / "a")
    SmallAutoencoder(Shape("shuffle")).save(tmp_path / "b")
    (tmp_path / "b" / "autoencoder.safetensors").replace(tmp_path / "a" / "autoencoder.safetensors")
    with pytest.raises(ModelError, match="not those that"):
        load_small(tmp_path / "a")
    (tmp_path / "a" / "autoencoder.safetensors").write_bytes(b"junk")
    with pytest.raises(ModelError, match="damaged"):
        load_small(tmp_path / "a")
