"""CIFAKE's protocol: pairs of one content, no group on both sides, networks that learn, figures that say what they are."""

import csv
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from veriscope.cli import main
from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark import cifake, cifake_pictures
from veriscope.lab.benchmark.cifake_pictures import Mirrored, generators, mirrored, parts_of
from veriscope.lab.data.manifest import Row, read_manifest
from veriscope.lab.generators.small import SmallAutoencoder
from veriscope.lab.networks.cifake import SmallCNN


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def manifest(tmp_path):
    """Real pictures of noise at several scales, and one generated one that is no use here."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(13):
        rough = generator.integers(0, 255, (20 + 4 * number, 24, 3)).astype(np.uint8)
        name = f"{number}.png"
        Image.fromarray(cv2.resize(rough, (150, 140))).save(tmp_path / name)
        label = "generated" if number == 12 else "real"
        split = ("train", "train", "val", "test")[number % 4]
        rows.append({"path": name, "label": label, "source": f"s{number}", "group": name, "split": split})
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "manifest.csv"


class Blur:
    """A generator that only blurs."""

    name, label, generator, weights = "blur", "generated", "a blur", "0"

    def make(self, rgb, generator):
        assert rgb.shape == (128, 128, 3)
        return SimpleNamespace(picture=cv2.GaussianBlur(rgb, (0, 0), 4))


class Dark(Blur):
    name = "dark"

    def make(self, rgb, generator):
        return SimpleNamespace(picture=rgb // 4)


def test_a_fake_shows_what_its_real_picture_shows_and_generators_take_turns(manifest, tmp_path):
    rows = [row for row in read_manifest(manifest) if not row.generated]
    found = mirrored(rows, 4, [Blur(), Dark()], tmp_path / "work", 0, lambda line: None)
    assert found.real.shape == found.made.shape == (48, 32, 32, 3)
    assert [row.key for row in found.rows[::4]] == [row.key for row in rows]
    by = np.array(found.by)
    assert (by[:-1:2] != by[1::2]).all()
    dark = by == "dark"
    np.testing.assert_allclose(found.made[dark], found.real[dark] / 4, atol=2)
    for real, made in zip(found.real[~dark], found.made[~dark], strict=True):
        alike = cv2.GaussianBlur(real, (0, 0), 1)
        assert np.abs(alike.astype(int) - made).mean() < np.abs(real.astype(int) - made).mean()
    again = mirrored(rows, 4, [Blur(), Dark()], tmp_path / "work", 0, lambda line: pytest.fail("made again"))
    assert np.array_equal(again.made, found.made)


def test_the_manifest_s_splits_are_kept_and_missing_ones_dealt_by_group(manifest):
    rows = read_manifest(manifest)
    parts = parts_of(rows, 0, lambda line: pytest.fail(line))
    assert {name: len(part) for name, part in parts.items()} == {"train": 6, "val": 3, "test": 3}
    assert all(not row.generated and row.split == name for name, part in parts.items() for row in part)
    few = [Row(row.path, "real", f"s{place % 2}", f"g{place // 2}", "train") for place, row in enumerate(rows)]
    said = []
    parts = parts_of(few, 0, said.append)
    assert "dealt anew" in said[0]
    groups = [{row.group for row in part} for part in parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 7
    with pytest.raises(VeriscopeError, match="2 real pictures of 2 sources cannot be dealt"):
        parts_of(rows[:2], 0, said.append)


def test_a_network_learns_pairs_and_its_maps_point_at_the_trace():
    generator = np.random.default_rng(0)
    rows = [Row(None, "real", f"s{number % 4}", f"{number}", "train") for number in range(80)]
    real = generator.integers(60, 160, (80, 32, 32, 3)).astype(np.uint8)
    made = real.copy()
    made[:, 4:12, 20:28] += 90  # the trace
    pairs = Mirrored(rows, real, made, ["x"] * 80)
    network = cifake.fit(SmallCNN(2, 8, 16), pairs, pairs, 3, 0, lambda line: None)
    figures = cifake._figures((2, 8, 16), network, {"val": pairs, "test": pairs}, 0)
    assert figures["accuracy"] > 0.95
    assert figures["auc"] > 0.98
    assert figures["interval"][0] <= figures["accuracy"] <= figures["interval"][1]
    hits = 0
    for _, fake in (found := cifake.examples(network, pairs)):
        row, column = np.unravel_index(fake.heat.argmax(), fake.heat.shape)
        hits += row * 4 in range(0, 16) and column * 4 in range(16, 32)
    assert len(found) == cifake.SHOWN
    assert hits >= 5


@pytest.mark.parametrize("shape", cifake.TOPOLOGIES)
def test_the_networks_take_pictures_of_32_px(shape):
    assert SmallCNN(*shape)(torch.rand(3, 3, 32, 32)).shape == (3,)


def test_parts_of_pictures_are_no_fakes(tmp_path):
    SmallAutoencoder().save(tmp_path)
    with pytest.raises(VeriscopeError, match="patches_a: changes a part"):
        generators([f"patches:a={tmp_path}"], [], tmp_path, 1, 0, lambda line: None)


def test_the_command_trains_a_generator_and_networks_and_writes_what_it_found(manifest, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cifake_pictures, "SQUARES", 48)
    out = tmp_path / "out"
    command = ["lab", "cifake", "--data", str(manifest), "--out", str(out), "--work", str(tmp_path / "work")]
    assert main([*command, "--minutes", "0.05", "--count", "24"]) == 0
    figures = json.loads((out / "cifake.json").read_text())
    assert figures["pictures"] == {"train": 24, "val": 12, "test": 12}
    assert len(figures["networks"]) == 3
    assert figures["chosen"] in figures["networks"]
    assert figures["generators"]["small"]["what"] == "small autoencoder (nearest, factor 4)"
    assert figures["trained_on_the_spot"] is True
    text = (out / "cifake.md").read_text()
    assert "CIFAKE has 100,000 and 20,000" in text
    assert f"{figures['chosen']['accuracy']:.1%} accurate" in text
    assert min(Image.open(out / "cifake.png").size) > 400
    assert "92.98%" in capsys.readouterr().out
    place = tmp_path / "work" / "cifake-generator"
    assert main([*command, "--minutes", "0.02", "--count", "12", "--generators", f"mine={place}"]) == 0
    assert "(given): mine, small autoencoder" in (out / "cifake.md").read_text()
    assert main([*command, "--minutes", "0"]) == 2
    assert "must be positive" in capsys.readouterr().err
