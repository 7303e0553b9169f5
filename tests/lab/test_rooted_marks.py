"""Marks in decoders and latents: what is written is read, without the key it is not, and files come back as they were."""

import copy
import json

import numpy as np
import pytest
import torch
from skimage import data

from veriscope.errors import ModelError, VeriscopeError
from veriscope.lab.generators.bundled import bundled_diffusion
from veriscope.lab.generators.training import Schedule
from veriscope.lab.networks.modulation import Modulation, channels, fold, modulated
from veriscope.lab.watermarks import coders, keys, root, users
from veriscope.lab.watermarks.extractor import Extractor, load_extractor
from veriscope.lab.watermarks.statistics import cosine_p, least_matched
from veriscope.synthetic import diffusion as in_use
from veriscope.watermarks.payload import binomial

KEY = "a long secret key"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def squares():
    """Many small squares of a few photographs."""
    pictures = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    generator = np.random.default_rng(0)
    found = []
    for number in range(220):
        rgb = pictures[number % 4]
        top, left = (int(generator.integers(0, side - 64)) for side in rgb.shape[:2])
        found.append(rgb[top : top + 64, left : left + 64])
    return np.stack(found)


@pytest.fixture(scope="module")
def extractor(squares):
    model = Extractor(16)
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
    model.fit(pixels.split(20), torch.Generator().manual_seed(0))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def coder():
    return coders.open_coder("small-diffusion")


def test_the_bundled_model_is_the_same_in_torch():
    torch_model, onnx_model = bundled_diffusion(), in_use.installed()
    pixels = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    latents = onnx_model.encode(pixels)
    assert np.abs(torch_model.encode(torch.from_numpy(pixels)).numpy() - latents).max() < 1e-4
    velocity = torch_model.velocity(torch.from_numpy(latents), 0.4).numpy()
    assert np.abs(velocity - onnx_model.velocity(latents, 0.4)).max() < 1e-4
    assert np.abs(torch_model.decode(torch.from_numpy(latents)).numpy() - onnx_model.decode(latents)).max() < 1e-4


def test_signature_bits_are_secret_and_come_back():
    plain = "0110100111000101"
    assert keys.plain_bits(keys.signature_bits(plain, KEY, 16), KEY) == plain
    assert keys.plain_bits(keys.signature_bits(plain, KEY, 16), "another secret key") != plain
    many = np.stack([keys.signature_bits("a text", f"{KEY} {number}", 64) for number in range(200)])
    assert abs(many.mean() - 0.5) < 0.03
    with pytest.raises(VeriscopeError, match="reads 16"):
        keys.signature_bits("0101", KEY, 16)
    with pytest.raises(VeriscopeError, match="at least 8"):
        keys.checked("short")


def test_the_binomial_threshold_is_exact():
    least = least_matched(48, 1e-6)
    assert binomial(least, 48) <= 1e-6 < binomial(least - 1, 48)


def test_cosines_of_random_directions_have_the_stated_p_value():
    generator = np.random.default_rng(0)
    fixed = np.linspace(-1, 3, 50)
    drawn = generator.standard_normal((4000, 50))
    cosines = drawn @ fixed / np.linalg.norm(fixed) / np.linalg.norm(drawn, axis=1)
    p_values = np.array([cosine_p(float(one), 50) for one in cosines])
    assert abs((p_values < 0.1).mean() - 0.1) < 0.02


def test_readings_of_unmarked_squares_are_even(extractor, squares, tmp_path):
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
    readings = extractor(pixels)
    assert readings.mean(0).abs().max() < 0.05
    assert 0.5 < readings.std(0).mean() < 1.1
    extractor.save(tmp_path)
    again = load_extractor(tmp_path)
    assert torch.allclose(again(pixels[:3]), readings[:3], atol=1e-2)
    (tmp_path / "extractor.json").write_text('{"bits": 8}')
    with pytest.raises(ModelError, match="damaged"):
        load_extractor(tmp_path)
    with pytest.raises(ModelError, match="fit-extractor"):
        load_extractor(tmp_path / "nowhere")


def test_a_root_is_learned_resumed_and_read(extractor, coder, squares, tmp_path):
    before = copy.deepcopy(coder.state_dict())
    schedule = Schedule(minutes=60, steps=25, batch=4, rate=3e-3, seed=1, device="cpu")
    said: list[str] = []
    given = (coder, extractor, "0110100111000101", KEY, squares, squares[:8], tmp_path, tmp_path / "out", schedule)
    about = root.root_signature(*given, said.append)
    assert all(torch.equal(value, before[name]) for name, value in coder.state_dict().items())
    assert about["bit_accuracy"] > about["bit_accuracy_unmarked"] + 0.1
    assert KEY not in (tmp_path / "out" / "signature.json").read_text()
    read, held = root.opened(tmp_path / "out")
    marked = coders.open_coder(str(tmp_path / "out"))
    assert marked.diffusion is not None
    rgb = data.astronaut()[:128, :128]
    drawn = root.trace_signature(marked.reconstruct(rgb), read, held["signature"], KEY)
    plain = root.trace_signature(coder.reconstruct(rgb), read, held["signature"], KEY)
    assert drawn.matched > plain.matched
    assert drawn.p_value == binomial(drawn.matched, 16)
    assert drawn.read is not None
    again = root.root_signature(*given, said.append)
    assert again == about
    assert any("resuming at step 25" in line for line in said)


def test_a_users_decoder_is_the_modulated_one(coder, extractor, tmp_path):
    mapping = Modulation(16, channels(coder.decoder))
    torch.nn.init.normal_(mapping.leave.weight, std=0.05)
    held = users.Users(coder, mapping, extractor)
    latents = torch.randn(2, 16, 4, 4)
    prints = torch.from_numpy(np.stack([held.fingerprint(name, KEY) for name in ("ada", "eve")]).astype(np.float32))
    with torch.no_grad(), modulated(coder.decoder, mapping(prints)):
        both = coder.decode(latents)
    for number, name in enumerate(("ada", "eve")):
        own = held.decoder_of(name, KEY).decode(latents[number : number + 1])
        assert torch.allclose(own, both[number : number + 1], atol=1e-4)
    plain = coder.decode(latents)
    assert not torch.allclose(plain, both, atol=1e-3)
    held.save(tmp_path)
    again = users.load_users(tmp_path).decoder_of("ada", KEY).decode(latents[:1])
    assert torch.allclose(again, both[:1], atol=1e-4)


def test_transposed_convolutions_fold_too():
    layer = torch.nn.Sequential(torch.nn.ConvTranspose2d(3, 5, 4, 2, 1), torch.nn.Conv2d(5, 2, 3))
    factors = {"0": torch.rand(1, 3) + 0.5, "1": torch.rand(1, 5) + 0.5}
    x = torch.rand(1, 3, 6, 6)
    with torch.no_grad(), modulated(layer, factors):
        wanted = layer(x)
    fold(layer, factors)
    assert torch.allclose(layer(x), wanted, atol=1e-5)


def test_tracing_names_the_user_and_counts_how_many_were_tried(coder, extractor):
    held = users.Users(coder, Modulation(16, channels(coder.decoder)), extractor)
    rgb = data.coffee()[:128, :128]
    bits = extractor.bits_of(rgb)
    names = [f"user {number}" for number in range(50)]
    found = held.trace(rgb, names, KEY)
    agree = [(held.fingerprint(name, KEY) == bits).sum() for name in names]
    assert found.nearest == names[int(np.argmax(agree))]
    assert found.users == 50
    assert found.p_value > binomial(found.matched, 16)
    assert found.user is None
    with pytest.raises(VeriscopeError, match="no user"):
        held.trace(rgb, [], KEY)


def test_tiny_autoencoders_open_by_files_and_by_folder(tmp_path):
    from veriscope.lab.generators.autoencoder import Autoencoder

    made = Autoencoder()
    paths = [tmp_path / "encoder.pth", tmp_path / "decoder.pth"]
    torch.save(made.encoder.state_dict(), paths[0])
    torch.save(made.decoder.state_dict(), paths[1])
    opened = coders.open_coder(f"{paths[0]},{paths[1]}")
    opened.save(tmp_path / "kept")
    again = coders.open_coder(str(tmp_path / "kept"))
    pixels = torch.rand(1, 3, 32, 32)
    assert torch.equal(again.decode(again.encode(pixels)), opened.decode(opened.encode(pixels)))


@pytest.mark.parametrize("spec", ["nowhere", "folder"])
def test_what_is_no_decoder_is_refused(spec, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="no decoder is there"):
        coders.open_coder(str(tmp_path / spec))


def test_a_users_vae_needs_diffusers_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    with pytest.raises(ModelError, match="pip install diffusers"):
        coders.open_coder(str(tmp_path))
    (tmp_path / "vae" / "config.json").write_text(json.dumps({"_class_name": "UNet2DConditionModel"}))
    with pytest.raises(ModelError, match="no autoencoder"):
        coders.open_coder(str(tmp_path))
