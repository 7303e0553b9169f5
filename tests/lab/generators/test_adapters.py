"""Big models by path, with a module that stands in for diffusers: what they are asked, and what they are never asked."""

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from veriscope.errors import ModelError
from veriscope.lab.generators.adapters import DiffusersModel


class Part:
    """Of a model: remembers how it was loaded."""

    loaded: list = []  # noqa: RUF012

    @classmethod
    def from_pretrained(cls, folder, **options):
        Part.loaded.append((cls.__name__, folder, options))
        return cls()

    def to(self, device):
        self.device = device
        return self


class AutoencoderKL(Part):
    dtype = torch.float32

    def encode(self, pixels):
        assert -1 <= float(pixels.min()) < 0 < float(pixels.max()) <= 1
        assert not [size for size in pixels.shape[2:] if size % 16]
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: pixels * 0.5))

    def decode(self, latents):
        return SimpleNamespace(sample=latents * 2)


class AutoPipelineForImage2Image(Part):
    def __call__(self, prompt, image, strength, num_inference_steps, generator):
        noise = torch.rand(1, generator=generator).item()
        assert strength * num_inference_steps >= 1
        return SimpleNamespace(images=[Image.eval(image, lambda value: round(value * (1 - strength) + noise))])


class AutoPipelineForInpainting(Part):
    def __call__(self, prompt, image, mask_image, height, width, generator, **_):
        assert image.size == mask_image.size == (width, height)
        made = np.array(image)
        made[np.array(mask_image) == 255] = 7
        return SimpleNamespace(images=[Image.fromarray(made)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    module = ModuleType("diffusers")
    for kind in (AutoencoderKL, AutoPipelineForImage2Image, AutoPipelineForInpainting):
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "diffusers", module)
    Part.loaded.clear()
    index = {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    return tmp_path


def test_each_way_keeps_the_size_and_loads_its_part_once(folder):
    cat = data.chelsea()[:45, :70]
    model = DiffusersModel(folder, device="cpu")
    assert not Part.loaded
    assert np.array_equal(model.reconstruct(cat), cat)
    one = model.regenerate(cat, 0.02, seed=3)
    assert one.shape == cat.shape
    assert np.array_equal(one, model.regenerate(cat, 0.02, seed=3))
    assert model.regenerate(cat, 0.5).mean() < one.mean()
    mask = np.zeros(cat.shape[:2], bool)
    mask[10:20, 30:40] = True
    painted = model.inpaint(cat, mask)
    assert (painted[mask] == 7).all()
    assert np.array_equal(painted[~mask], cat[~mask])
    assert [name for name, *_ in Part.loaded] == [
        "AutoencoderKL",
        "AutoPipelineForImage2Image",
        "AutoPipelineForInpainting",
    ]
    for _, where, options in Part.loaded:
        assert where == str(folder)
        assert options["local_files_only"]
        assert options["use_safetensors"]


def test_what_is_missing_is_named(folder, monkeypatch):
    cat = data.chelsea()[:32, :32]
    with pytest.raises(ModelError, match=r"model_index\.json"):
        DiffusersModel(folder / "nowhere")
    (folder / "model_index.json").write_text('{"vae": ["os", "system"]}')
    with pytest.raises(ModelError, match="names no autoencoder"):
        DiffusersModel(folder).reconstruct(cat)
    (folder / "model_index.json").write_text("{}")
    model = DiffusersModel(folder)
    monkeypatch.setattr(AutoPipelineForImage2Image, "from_pretrained", lambda *_, **__: json.loads("no"))
    with pytest.raises(ModelError, match="cannot be loaded"):
        model.regenerate(cat)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ModelError, match="pip install diffusers"):
        model.regenerate(cat)
