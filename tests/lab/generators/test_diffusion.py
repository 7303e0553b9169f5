"""The diffusion model's clock, its ways there and back, its training, and that ONNX does what torch does."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from skimage import data

from veriscope.errors import ModelError
from veriscope.lab.data.manifest import Row
from veriscope.lab.generators.diffusion import Diffusion, load_diffusion
from veriscope.lab.generators.small import SmallAutoencoder
from veriscope.lab.generators.training import Schedule, train_diffusion
from veriscope.lab.networks.denoiser import Denoiser
from veriscope.synthetic import ddim


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = Diffusion(SmallAutoencoder(), Denoiser(16), torch.full((16,), 0.1), torch.full((16,), 0.7)).eval()
    for name, value in made.denoiser.named_parameters():  # the last layers start at nothing
        if name.endswith("second.weight"):
            torch.nn.init.normal_(value, std=0.02)
    return made


def test_the_clock_is_exact_for_a_known_picture():
    """With the true velocity of one picture and one noise, every step lies on the arc between them."""
    generator = np.random.default_rng(0)
    clean, noise = generator.normal(size=(2, 1, 4, 8, 8)).astype(np.float32)

    def velocity(latents, time):
        angle = time * np.pi / 2
        return np.cos(angle) * noise - np.sin(angle) * clean

    half = ddim.run(ddim.noised(clean, noise, 0.1), velocity, 0.1, 0.6, 5)
    np.testing.assert_allclose(half, ddim.noised(clean, noise, 0.6), atol=1e-5)
    np.testing.assert_allclose(ddim.noise(half, velocity(half, 0.6), 0.6), noise, atol=1e-5)
    np.testing.assert_allclose(ddim.run(half, velocity, 0.6, 0.0, 3), clean, atol=1e-5)


def test_there_and_back_is_nearer_with_more_steps(model):
    clean = model.encode(torch.rand(1, 3, 64, 64))
    errors = [float((model.sample(model.invert(clean, steps), steps) - clean).abs().mean()) for steps in (2, 8, 32)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1 * float(clean.abs().mean())


def test_regeneration_keeps_size_follows_its_seed_and_its_strength(model):
    rgb = data.chelsea()[:70, :101]
    made = model.regenerate(rgb, 0.3, steps=6, seed=1)
    assert made.shape == rgb.shape
    assert made.dtype == np.uint8
    assert np.array_equal(made, model.regenerate(rgb, 0.3, steps=6, seed=1))
    assert not np.array_equal(made, model.regenerate(rgb, 0.3, steps=6, seed=2))
    through = model.autoencoder.reconstruct(rgb).astype(int)
    changes = [np.abs(model.regenerate(rgb, strength, steps=6) - through).mean() for strength in (0.02, 0.9)]
    assert changes[0] < changes[1]
    assert model.reconstruct(rgb, steps=3).shape == rgb.shape
    assert model.first_step_noise(rgb).shape == (16, 12, 16)


def test_onnx_does_what_torch_does(model, tmp_path):
    model.export(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decoder.onnx", "denoiser.onnx", "encoder.onnx"]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 6_000_000
    encoder, denoiser, decoder = (
        onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx")) for name in ("encoder", "denoiser", "decoder")
    )
    pixels = np.random.default_rng(0).random((3, 3, 64, 128), np.float32)  # another size than it was exported at
    (latents,) = encoder.run(None, {"pixels": pixels})
    np.testing.assert_allclose(latents, model.encode(torch.from_numpy(pixels)).detach().numpy(), atol=1e-4)

    def velocity(latents, time):
        return denoiser.run(None, {"latents": latents, "time": np.full(len(latents), time, np.float32)})[0]

    noise = ddim.run(latents, velocity, ddim.LEAST, ddim.MOST, 3)
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise, model.invert(torch.from_numpy(latents), 3).numpy(), atol=1e-3)
    (made,) = decoder.run(None, {"latents": noise})
    np.testing.assert_allclose(made, model.decode(torch.from_numpy(noise)).detach().numpy(), atol=1e-3)


def test_it_trains_on_latents_and_comes_back_as_it_was(tmp_path):
    path = tmp_path / "cat.png"
    Image.fromarray(data.chelsea()).save(path)
    rows = [Row(path, "real", "skimage", "cat", "train")]
    torch.manual_seed(0)
    autoencoder = SmallAutoencoder()

    def trained(folder: Path, steps: int) -> dict:
        schedule = Schedule(steps=steps, batch=4, count=8, rate=1e-3, device="cpu")
        return train_diffusion(autoencoder, rows, rows, tmp_path / "work", tmp_path / folder, schedule, [].append)

    assert trained("more", 25)["velocity_loss"] < trained("few", 1)["velocity_loss"]
    loaded = load_diffusion(tmp_path / "more")
    latents = loaded.encode(torch.rand(8, 3, 128, 128))
    assert float(latents.std()) > 0.3
    rgb = data.chelsea()[:64, :64]
    loaded.save(tmp_path / "again")
    assert np.array_equal(load_diffusion(tmp_path / "again").reconstruct(rgb, 2), loaded.reconstruct(rgb, 2))
    with pytest.raises(ModelError, match="train-generator diffusion"):
        load_diffusion(tmp_path)
