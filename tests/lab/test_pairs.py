"""The factory of pairs: aligned in all but the trace, with provenance, resumed, and gentle with bad pictures and full disks."""

import csv
import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from veriscope.cli import main
from veriscope.errors import VeriscopeError
from veriscope.lab.data import pairs
from veriscope.lab.data.checking import check
from veriscope.lab.data.manifest import Row, read_lines, read_manifest, write_manifest
from veriscope.lab.data.pairs import make_pairs
from veriscope.lab.generators.diffusion import Diffusion
from veriscope.lab.generators.methods import methods
from veriscope.lab.generators.small import Shape, SmallAutoencoder, load_small
from veriscope.lab.networks.denoiser import Denoiser
from veriscope.picture import open_picture

torch.set_num_threads(1)


@pytest.fixture
def rows(tmp_path):
    made = []
    for number in range(8):
        path = tmp_path / f"origin{number}.png"
        Image.fromarray(data.chelsea()[number * 5 : number * 5 + 200, number : number + 220]).save(path)
        split = "val" if number == 7 else "train"
        made.append(Row(path, "real", f"s{number % 2}", f"g{number}", split, face="1"))
    return made


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    SmallAutoencoder().save(tmp_path / "nearest")
    return tmp_path / "nearest"


def lines(out):
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run(rows, specs, out, said=None, **settings):
    return make_pairs(rows, methods(specs), out, say=(said if said is not None else []).append, **settings)


def test_sides_differ_by_the_generator_alone(rows, folder, tmp_path):
    out = tmp_path / "out"
    outcome = run(rows, [f"nearest={folder}", f"patches:nearest={folder}"], out, most=150)
    assert (outcome.made, outcome.held, outcome.left_out) == (24, 0, [])
    table = lines(out)
    origins = {row.key: row for row in rows}
    autoencoder = load_small(folder)
    formats = set()
    for origin, row in origins.items():
        sides = {line["method"]: line for line in table if line["origin"] == origin}
        assert set(sides) == {"real", "nearest", "patches_nearest"}
        opened = {method: open_picture(out / line["path"]) for method, line in sides.items()}
        assert len({(p.width, p.height, p.format) for p in opened.values()}) == 1
        assert max(opened["real"].width, opened["real"].height) <= 150
        assert {line["jpeg_quality"] for line in sides.values()} == {sides["real"]["jpeg_quality"]}
        formats.add((opened["real"].format, sides["real"]["jpeg_quality"]))
        for line in sides.values():
            assert (line["group"], line["split"], line["face"]) == (row.group, row.split, "1")
            assert line["origin_sha256"] == hashlib.sha256(row.path.read_bytes()).hexdigest()
        assert (sides["real"]["label"], sides["real"]["source"]) == ("real", row.source)
        assert (sides["nearest"]["label"], sides["nearest"]["source"]) == ("generated", "pairs_nearest")
        assert (sides["patches_nearest"]["label"], sides["patches_nearest"]["mask"][-4:]) == ("edited", ".png")
        if opened["real"].format == "PNG":  # nothing is lost, so the fake is exactly the generator's picture
            assert np.array_equal(opened["nearest"].rgb, autoencoder.reconstruct(opened["real"].rgb))
            mask = open_picture(out / sides["patches_nearest"]["mask"]).rgb[:, :, 0]
            assert set(np.unique(mask)) == {0, 255}
            changed = (opened["patches_nearest"].rgb != opened["real"].rgb).any(2)
            assert changed[mask == 255].mean() > 0.9
            assert changed[mask == 0].mean() < 0.3
    assert len(formats) > 4
    assert any(kind == "PNG" for kind, _ in formats)


def test_the_manifest_is_sound_beside_that_of_the_origins(rows, folder, tmp_path):
    table = [{name: str(getattr(row, name)) for name in ("path", "label", "source", "group", "split")} for row in rows]
    write_manifest(tmp_path / "manifest.csv", table)
    run(rows, [f"nearest={folder}"], tmp_path / "out")
    assert check([tmp_path / "manifest.csv", tmp_path / "out" / "manifest.csv"], tmp_path / "work", [].append) == []
    assert len(read_manifest(tmp_path / "out" / "manifest.csv", ("train",))) == 14


def test_a_second_run_makes_what_is_missing_and_nothing_else(rows, folder, tmp_path):
    out = tmp_path / "out"
    assert run(rows, [f"nearest={folder}"], out, limit=3).made == 6
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.name != "manifest.csv"}
    (gone, *_) = (out / "nearest").iterdir()
    content = gone.read_bytes()
    gone.unlink()
    outcome = run(rows, [f"nearest={folder}"], out)
    assert (outcome.made, outcome.held) == (11, 5)
    assert gone.read_bytes() == content
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path != gone)
    assert len(lines(out)) == 16
    torch.manual_seed(1)
    SmallAutoencoder().save(folder)  # trained anew: its pictures are made again, the real sides are not
    assert run(rows, [f"nearest={folder}"], out).made == 8
    assert len(lines(out)) == 16
    with pytest.raises(VeriscopeError, match="of seed 0"):
        run(rows, [f"nearest={folder}"], out, seed=1)


def test_interruptions_and_full_disks_keep_what_was_complete(rows, folder, tmp_path, monkeypatch):
    out, whole, written = tmp_path / "out", pairs.os.replace, []

    def failing(error):
        def replace(partial, path):
            written.append(path)
            if len(written) == 6:
                raise error
            whole(partial, path)

        return replace

    monkeypatch.setattr(pairs.os, "replace", failing(OSError(28, "No space left on device")))
    with pytest.raises(VeriscopeError, match="No space left"):
        run(rows, [f"nearest={folder}"], out)
    assert len(lines(out)) == 5
    assert not list(out.rglob("*.partial"))
    written.clear()
    monkeypatch.setattr(pairs.os, "replace", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run(rows, [f"nearest={folder}"], out)
    assert len(lines(out)) == 10
    monkeypatch.setattr(pairs.os, "replace", whole)
    assert run(rows, [f"nearest={folder}"], out).made == 6
    assert len(lines(out)) == 16


def test_unreadable_pictures_are_named_and_left_out(rows, folder, tmp_path):
    rows[2].path.write_bytes(b"no picture")
    said = []
    outcome = run(rows, [f"nearest={folder}"], tmp_path / "out", said)
    assert outcome.made == 14
    assert len(outcome.left_out) == 1
    assert "origin2.png" in outcome.left_out[0]
    assert any("origin2.png" in line for line in said)


def test_methods_are_told_apart_and_wrong_ones_refused(folder, tmp_path):
    torch.manual_seed(0)
    Diffusion(SmallAutoencoder(Shape("shuffle")), Denoiser(16)).eval().save(tmp_path / "diffusion")
    found = methods([f"d={tmp_path}/diffusion", f"reconstruct:d={tmp_path}/diffusion", f"patches:n={folder}"])
    assert [(method.name, method.way, method.label) for method in found] == [
        ("d", "regenerate", "generated"),
        ("reconstruct_d", "reconstruct", "generated"),
        ("patches_n", "patches", "edited"),
    ]
    rgb = data.chelsea()[:64, :96]
    made = found[0].make(rgb, np.random.default_rng(0))
    assert made.picture.shape == rgb.shape
    assert 0.1 <= made.settings["strength"] <= 0.5
    again = found[0].make(rgb, np.random.default_rng(0))
    assert np.array_equal(made.picture, again.picture)
    for specs, match in (
        ([f"n={folder}", f"n={tmp_path}/diffusion"], "two generators are called n"),
        ([f"inpaint:n={folder}"], "cannot inpaint"),
        (["n=/nowhere"], "name a folder"),
        (["a/b=x"], "HOW is one of"),
        ([f"n={tmp_path}"], "train-generator"),
    ):
        with pytest.raises(VeriscopeError, match=match):
            methods(specs)


def test_the_commands_train_a_generator_and_make_pairs_with_it(rows, tmp_path, capsys):
    table = [{name: str(getattr(row, name)) for name in ("path", "label", "source", "group", "split")} for row in rows]
    write_manifest(tmp_path / "manifest.csv", table)
    where = ["--data", f"{tmp_path}/manifest.csv"]
    small = ["--steps", "2", "--batch", "2", "--count", "6", "--work", f"{tmp_path}/work"]
    train = ["lab", "train-generator"]
    out = ["--out", f"{tmp_path}/shuffle"]
    assert main([*train, "autoencoder", "--upsampler", "shuffle", "--factor", "4", *where, *small, *out]) == 0
    assert '"psnr"' in capsys.readouterr().out
    out = ["--out", f"{tmp_path}/diffusion", "--autoencoder", f"{tmp_path}/shuffle"]
    assert main([*train, "diffusion", *where, *small, *out, "--onnx"]) == 0
    assert (tmp_path / "diffusion" / "denoiser.onnx").exists()
    named = [f"shuffle={tmp_path}/shuffle", f"diffusion={tmp_path}/diffusion"]
    out = ["--out", f"{tmp_path}/pairs", "--limit", "2", "--splits", "train"]
    assert main(["lab", "make-pairs", *where, "--generators", *named, *out]) == 0
    assert "made 6 pictures" in capsys.readouterr().out
    assert {line.row.method for line in read_lines(tmp_path / "pairs" / "manifest.csv")} == {
        "real",
        "shuffle",
        "diffusion",
    }
    assert main([*train, "diffusion", *where, *small, "--out", f"{tmp_path}/x"]) != 0
    assert "--autoencoder" in capsys.readouterr().err
