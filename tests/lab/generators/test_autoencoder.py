from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from veriscope.errors import ModelError

torch = pytest.importorskip("torch")
from veriscope.lab.generators.autoencoder import Autoencoder, load_autoencoder  # noqa: E402


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    torch.manual_seed(0)
    model = Autoencoder()
    torch.save(model.encoder.state_dict(), tmp_path / "encoder.pth")
    torch.save(model.decoder.state_dict(), tmp_path / "decoder.pth")
    return tmp_path / "encoder.pth", tmp_path / "decoder.pth"


def test_loaded_weights_give_the_saved_models_output(paths: tuple[Path, Path]) -> None:
    torch.manual_seed(0)
    expected, loaded = Autoencoder().eval(), load_autoencoder(*paths)
    pixels = torch.rand(1, 3, 32, 48)
    latents = loaded.encode(pixels)
    assert latents.shape == (1, 32, 4, 6)
    assert torch.allclose(expected.decode(expected.encode(pixels)), loaded(pixels))


@pytest.mark.parametrize("shape", [(16, 24, 3), (17, 23, 3), (9, 8, 3), (3, 50, 3)])
def test_any_size_comes_back_in_its_shape(shape: tuple[int, int, int], paths: tuple[Path, Path]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    made = load_autoencoder(*paths).reconstruct(rgb)
    assert made.shape == shape
    assert made.dtype == np.uint8


def test_parameter_names_are_the_published_ones() -> None:
    model = Autoencoder()
    names = set(model.encoder.state_dict())
    assert {"0.weight", "1.conv.4.bias", "2.weight", "11.pool.3.weight", "14.bias"} <= names
    assert "10.bias" not in names
    assert {"1.weight", "3.pool.1.bias", "7.weight", "18.conv.0.weight", "19.bias"} <= set(model.decoder.state_dict())


def test_wrong_files_are_errors_that_name_them(paths: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing\.pth"):
        load_autoencoder(tmp_path / "missing.pth", paths[1])
    with pytest.raises(ModelError, match="another architecture"):
        load_autoencoder(paths[1], paths[0])
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"junk\.pth"):
        load_autoencoder(tmp_path / "junk.pth", paths[1])
