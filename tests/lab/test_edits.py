"""Edits: each kind changes what its mask says and nothing else; histories are real files; the factory is sound and resumes."""

import argparse
import csv
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from veriscope.cli.lab import editing as command
from veriscope.errors import VeriscopeError
from veriscope.lab.data import pairs
from veriscope.lab.data.checking import check
from veriscope.lab.data.edits import hosts, make_edits
from veriscope.lab.data.histories import Saving, history, unsaved
from veriscope.lab.data.manifest import write_manifest
from veriscope.lab.generators import blending, lettering, removal
from veriscope.lab.generators.editing import KINDS, edited
from veriscope.lab.generators.methods import methods
from veriscope.lab.generators.region_shapes import random_region
from veriscope.lab.generators.small import SmallAutoencoder
from veriscope.picture import open_picture

HOST = np.ascontiguousarray(data.chelsea()[40:200, 60:300])
DONOR = np.ascontiguousarray(data.coffee()[60:300, 100:400])
TOUCHING = tuple(kind for kind in KINDS if kind != "none")


def drawn(seed):
    return np.random.default_rng(seed)


def inverted(part):
    return 255 - part


@pytest.mark.parametrize("kind", TOUCHING)
def test_an_edit_lies_where_its_mask_is(kind):
    for seed in range(6):
        before = HOST.copy()
        picture, mask, facts = edited(HOST, DONOR, kind, drawn(seed), inverted)
        again = edited(HOST, DONOR, kind, drawn(seed), inverted)
        assert np.array_equal(HOST, before)
        assert np.array_equal(picture, again[0])
        assert np.array_equal(mask, again[1])
        assert (picture.dtype, picture.shape, mask.dtype, mask.shape) == (np.uint8, HOST.shape, bool, HOST.shape[:2])
        assert 0.005 <= mask.mean() <= 0.4
        assert facts["kind"] == kind
        assert facts["area"] == pytest.approx(mask.mean(), abs=1e-4)
        json.dumps(facts)
        change = np.abs(picture.astype(int) - HOST).mean(2)
        assert change[mask].mean() >= 0.5
        far = cv2.dilate(mask.astype(np.uint8), np.ones((81, 81), np.uint8)) == 0  # beyond the softest border
        assert not change[far].any()


def test_what_cannot_be_edited_is_said():
    picture, mask, facts = edited(HOST, DONOR, "none", drawn(0))
    assert np.array_equal(picture, HOST)
    assert not mask.any()
    assert facts == {"kind": "none", "area": 0.0}
    with pytest.raises(ValueError, match="no edit is called 'warp'"):
        edited(HOST, DONOR, "warp", drawn(0))
    with pytest.raises(ValueError, match="needs a generator"):
        edited(HOST, DONOR, "regenerate", drawn(0))
    with pytest.raises(ValueError, match="at least 64"):
        edited(HOST[:40], DONOR, "blur", drawn(0))


@pytest.mark.parametrize(
    ("host", "donor"),
    [
        (HOST[:64, :64], DONOR[:30, :20]),
        (HOST[:67, :203], np.full((90, 80, 3), 7, np.uint8)),
        (np.full((80, 120, 3), 128, np.uint8), DONOR),
        (np.zeros((400, 66, 3), np.uint8), np.zeros((64, 300, 3), np.uint8)),
    ],
)
def test_odd_pictures_are_edited_too(host, donor):
    for kind in TOUCHING:
        for seed in range(2):
            picture, mask, _ = edited(host, donor, kind, drawn(seed), inverted)
            assert picture.shape == host.shape
            assert 0.005 <= mask.mean() <= 0.4, kind


def test_a_part_goes_where_its_facts_say_and_keeps_its_pixels_where_it_keeps_its_size():
    region = np.zeros(HOST.shape[:2], bool)
    region[50:90, 70:130] = True
    exact = 0
    for seed in range(24):
        moved, covered, facts = blending.placed(HOST, region, HOST.shape[:2], (0.01, 0.2), drawn(seed), away=60)
        assert np.hypot(*facts["shift"]) >= 59
        assert 0.4 * region.sum() * facts["scale"] ** 2 <= covered.sum() <= 1.1 * region.sum() * facts["scale"] ** 2
        if facts["scale"] == 1 and facts["angle"] == 0 and not facts["flipped"]:
            exact += 1
            across, down = (int(step) for step in facts["shift"])
            rows, columns = np.nonzero(covered)
            assert np.array_equal(moved[rows, columns], HOST[rows - down, columns - across])
            assert region[rows - down, columns - across].all()
    assert exact > 2


def test_regions_cover_what_is_asked_and_follow_edges():
    picture = np.full((160, 240, 3), 60, np.uint8)
    cv2.circle(picture, (120, 80), 40, (230, 200, 40), -1)
    disc = picture[:, :, 0] > 100
    overlaps = []
    for seed in range(8):
        mask, facts = random_region(picture, drawn(seed), (0.12, 0.14), 1.0)
        assert 0.1 <= mask.mean() <= 0.15
        if facts["shape"] == "object":
            overlaps.append((mask & disc).sum() / (mask | disc).sum())
    assert max(overlaps) > 0.85  # the disc, cut out along its edge
    shapes = {random_region(HOST, drawn(seed))[1]["shape"] for seed in range(60)}
    assert shapes == {"object", "blob", "ellipse", "polygon", "brush"}


def test_poisson_blending_meets_the_border_and_keeps_the_texture():
    texture = drawn(0).integers(-9, 10, (120, 160, 1))
    host = np.full((120, 160, 3), 180, np.uint8)
    part = (60 + texture + np.zeros(3)).astype(np.uint8)
    mask = np.zeros((120, 160), bool)
    mask[30:90, 40:120] = True
    picture = blending.with_light_of(host, part, mask)
    assert np.array_equal(picture[~mask], host[~mask])
    assert abs(picture[mask].mean() - 180) < 4
    inner = np.s_[45:75, 60:100]
    assert np.corrcoef(picture[inner].ravel(), part[inner].ravel())[0, 1] > 0.9
    slope = np.broadcast_to(np.arange(160, dtype=np.float32)[None, :, None], (120, 160, 3))
    assert np.abs(blending.membrane(slope, mask) - slope).max() < 4  # a plane is harmonic
    assert not blending.membrane(slope, np.ones_like(mask)).any()


def test_removal_fills_a_hole_from_what_is_around():
    stripes = np.zeros((120, 160, 3), np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = stripes[:, 2::8] = stripes[:, 3::8] = 200
    hole = np.zeros((120, 160), bool)
    hole[40:72, 60:100] = True
    marked = stripes.copy()
    marked[hole] = (255, 0, 0)
    filled = removal.exemplar_filled(marked, hole, drawn(0))
    assert np.array_equal(filled[~hole], marked[~hole])
    assert not ((filled == (255, 0, 0)).all(2)).any()
    assert {tuple(pixel) for pixel in filled[hole].tolist()} == {(0, 0, 0), (200, 200, 200)}  # copied, never mixed
    ways = set()
    for seed in range(12):
        picture, facts = removal.removed(marked, hole, drawn(seed))
        ways.add(facts["way"])
        assert np.abs(picture[hole].astype(int) - (255, 0, 0)).sum(1).mean() > 100
    assert ways == set(removal.WAYS)


def test_text_is_seen_and_a_machine_without_fonts_has_one(monkeypatch):
    for known in (lettering.fonts(), ()):
        monkeypatch.setattr(lettering, "fonts", lambda known=known: known)
        kinds = set()
        for seed in range(8):
            picture, mask, facts = lettering.lettered(HOST, drawn(seed))
            assert facts["text"].strip()
            assert np.abs(picture.astype(int) - HOST).max() > 40
            assert not (picture != HOST).any(2)[~mask].mean() > 0.002
            kinds.add(facts["replaced"])
        assert kinds == {True, False}


def blockiness(rgb):
    """How much larger steps are across the borders of an 8 x 8 grid at the corner than elsewhere."""
    steps = np.abs(np.diff(rgb.astype(float).mean(2), axis=1)).mean(0)
    at_border = np.arange(1, len(steps) + 1) % 8 == 0
    return steps[at_border].mean() / steps[~at_border].mean()


def test_a_host_was_a_jpeg_before_its_edit():
    blank = np.zeros(HOST.shape[:2], bool)
    smooth = cv2.GaussianBlur(HOST, (0, 0), 1.5)
    shares = {"": [], "grid": [], "shifted": []}
    for seed in range(60):
        made, mask, steps = history(smooth, blank, drawn(seed), "before")
        assert made.shape == smooth.shape
        assert mask is blank
        kind = "" if not steps else "shifted" if "cut" in steps[0] else "grid"
        quality = int(steps[0].split()[1]) if steps else 0
        if not steps or quality < 80:
            shares[kind].append(blockiness(made))
        if not steps:
            assert np.array_equal(made, smooth)
    assert all(shares.values())
    assert np.mean(shares["grid"]) > 1.1 * np.mean(shares[""])
    assert np.mean(shares["grid"]) > 1.05 * np.mean(shares["shifted"])


def test_after_an_edit_pixels_and_mask_move_together():
    mask = np.zeros(HOST.shape[:2], bool)
    mask[40:100, 80:150] = True
    marked = np.where(mask[:, :, None], np.uint8(255), np.uint8(0)).repeat(3, 2)
    sizes, lasts = set(), set()
    for seed in range(40):
        made, moved, steps = history(marked, mask, drawn(seed), "after")
        assert made.shape[:2] == moved.shape
        assert moved.mean() == pytest.approx(mask.mean(), rel=0.1)
        assert ((made.mean(2) > 127) == moved).mean() > 0.98
        sizes.add(made.shape)
        lasts.add(steps[-1].split()[0])
        kept = history(marked, mask, drawn(seed), "after", resizing=False)
        assert kept[0].shape == marked.shape
        pixels, _, before_last, saving = unsaved(marked, mask, drawn(seed))
        assert [*before_last, str(saving)] == steps
        assert np.array_equal(saving.applied(pixels), made)
    assert len(sizes) > 5
    assert lasts == {"JPEG", "PNG"}


def test_a_saving_writes_the_file_that_it_applies():
    for saving in (Saving(), Saving(70, subsampled=True), Saving(92)):
        opened = open_picture(saving.encoded(HOST)).rgb
        assert np.abs(opened.astype(int) - saving.applied(HOST)).mean() < 0.6
    assert np.array_equal(open_picture(Saving().encoded(HOST)).rgb, HOST)


@pytest.fixture
def manifest(tmp_path):
    table = []
    for number in range(6):
        name = f"origin{number}.jpg"
        Image.fromarray(data.chelsea()[number * 5 : number * 5 + 180, number : number + 200]).save(tmp_path / name)
        split = ("train", "train", "train", "val", "val", "test")[number]
        table.append({"path": name, "label": "real", "source": f"s{number % 2}", "group": f"g{number}", "split": split})
    Image.fromarray(data.coffee()[:90, :90]).save(tmp_path / "made.png")
    table.append({"path": "made.png", "label": "generated", "source": "m", "group": "m", "split": "train"})
    write_manifest(tmp_path / "manifest.csv", table)
    return tmp_path / "manifest.csv"


def lines(out):
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run(manifest, kinds, out, count, opened=(), **settings):
    return make_edits(hosts([manifest]), kinds, opened, out, count=count, say=[].append, **settings)


def test_the_factory_writes_pictures_masks_and_their_provenance(manifest, tmp_path):
    out = tmp_path / "out"
    kinds = ["splice", "blur", "none"]
    outcome = run(manifest, kinds, out, 12)
    assert (outcome.made, outcome.held, outcome.left_out) == (12, 0, [])
    origins = {row.key: row for row in hosts([manifest])}
    table = lines(out)
    assert sorted(line["method"] for line in table) == sorted(kinds * 4)
    for line in table:
        row = origins[line["origin"]]
        assert (line["source"], line["group"], line["split"]) == (row.source, row.group, row.split)
        assert line["origin_sha256"] == hashlib.sha256(row.path.read_bytes()).hexdigest()
        opened = open_picture(out / line["path"])
        assert (str(opened.width), str(opened.height)) == (line["width"], line["height"])
        assert bool(line["jpeg_quality"]) == (opened.format == "JPEG")
        settings = json.loads(line["settings"])
        assert settings["edit"]["kind"] == line["method"]
        assert settings["after"][-1].startswith(opened.format)
        assert (line["label"], bool(line["mask"])) == (
            ("real", False) if line["method"] == "none" else ("edited", True)
        )
        if line["mask"]:
            mask = np.asarray(Image.open(out / line["mask"]))
            assert mask.shape == opened.rgb.shape[:2]
            assert set(np.unique(mask)) == {0, 255}
            assert 0.004 <= (mask > 0).mean() <= 0.41
        if line["method"] == "splice":
            donor = origins[line["donor"]]
            assert donor.split == row.split
            assert donor.group != row.group
            assert line["donor_sha256"] == hashlib.sha256(donor.path.read_bytes()).hexdigest()
    assert check([manifest, out / "manifest.csv"], tmp_path / "work", [].append) == []


def test_a_second_run_makes_what_is_missing_and_nothing_else(manifest, tmp_path, monkeypatch):
    out, whole, written = tmp_path / "out", pairs.os.replace, []

    def failing(partial, path):
        written.append(path)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        whole(partial, path)

    monkeypatch.setattr(pairs.os, "replace", failing)
    with pytest.raises(VeriscopeError, match="No space left"):
        run(manifest, ["noise"], out, 3)
    assert len(lines(out)) == 1
    assert not list(out.rglob("*.partial"))
    monkeypatch.setattr(pairs.os, "replace", whole)
    assert run(manifest, ["noise"], out, 3).made == 2
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if path.name != "manifest.csv"}
    gone = out / lines(out)[1]["path"]
    content = gone.read_bytes()
    gone.unlink()
    outcome = run(manifest, ["noise", "none"], out, 8)
    assert (outcome.made, outcome.held) == (6, 2)
    assert gone.read_bytes() == content
    masks = gone.stem
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.stem != masks)
    assert len(lines(out)) == len({line["name"] for line in lines(out)}) == 8
    with pytest.raises(VeriscopeError, match="name another folder"):
        run(manifest, ["noise"], out, 3, seed=1)


def test_only_real_pictures_kept_for_training_are_edited(manifest, tmp_path):
    assert {row.split for row in hosts([manifest])} == {"train", "val"}
    assert {row.label for row in hosts([manifest])} == {"real"}
    with pytest.raises(VeriscopeError, match="not of test"):
        hosts([manifest], ["train", "test"])
    text = manifest.read_text()
    manifest.write_text(text.replace("origin1.jpg,real", "origin1.jpg,reel"))
    with pytest.raises(VeriscopeError, match="unknown label 'reel'"):
        hosts([manifest])
    manifest.write_text(text.replace(",g4,", ",g3,"))
    with pytest.raises(VeriscopeError, match="split val has one"):
        run(manifest, ["splice"], tmp_path / "out", 2)
    for kinds, match in ((["warp"], "no edit is called warp"), (["regenerate"], "--generators NAME=PLACE")):
        with pytest.raises(VeriscopeError, match=match):
            run(manifest, kinds, tmp_path / "out", 2)


def test_unreadable_and_small_hosts_are_named_and_left_out(manifest, tmp_path):
    (tmp_path / "origin0.jpg").write_bytes(b"no picture")
    Image.fromarray(HOST[:40, :90]).save(tmp_path / "origin1.jpg")
    outcome = run(manifest, ["relight"], tmp_path / "out", 5)
    assert outcome.made == 3
    assert sorted(line.split(":")[0].rsplit("/")[-1] for line in outcome.left_out) == ["origin0.jpg", "origin1.jpg"]


def test_the_command_regenerates_with_a_generator_given_by_its_place(manifest, tmp_path, capsys):
    torch.manual_seed(0)
    SmallAutoencoder().save(tmp_path / "nearest")
    parser = argparse.ArgumentParser()
    command.add_to(parser.add_subparsers())
    out = tmp_path / "out"
    words = ["make-edits", "--data", f"{manifest}", "--out", f"{out}", "--count", "4", "--kinds", "regenerate", "none"]
    options = parser.parse_args([*words, "--generators", f"nearest={tmp_path}/nearest"])
    assert options.run(options) == 0
    assert "made 4 pictures" in capsys.readouterr().out
    table = [line for line in lines(out) if line["method"] == "regenerate"]
    assert all("small autoencoder" in line["generator"] for line in table)
    assert json.loads(table[0]["settings"])["weights"] == methods([f"nearest={tmp_path}/nearest"])[0].weights
    assert options.run(options) == 0
    assert "made 0 pictures, 4 were there" in capsys.readouterr().out
    torch.manual_seed(1)
    SmallAutoencoder().save(tmp_path / "nearest")  # trained anew: its pictures are made again, the others are not
    options.run(options)
    assert "made 2 pictures, 2 were there" in capsys.readouterr().out
    refused = parser.parse_args([*words, "--generators", f"patches:nearest={tmp_path}/nearest"])
    with pytest.raises(VeriscopeError, match="reconstruct or regenerate"):
        refused.run(refused)
    assert Path(table[0]["mask"]).suffix == ".png"
