"""A folder becomes a manifest that a training accepts: siblings together, test sources apart, bad files named."""

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope.cli import main
from veriscope.errors import VeriscopeError
from veriscope.lab.data.augmentation import jpeg, random_history, resized
from veriscope.lab.data.checking import check
from veriscope.lab.data.importing import import_folder
from veriscope.lab.data.manifest import Row, read_manifest
from veriscope.lab.data.siblings import print_of, siblings
from veriscope.lab.data.splitting import split_rows

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field")


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def quiet(line):
    pass


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for label, sources in {"real": ("phone", "stock", "film"), "Fake": ("one", "two", "three")}.items():
        for source in sources:
            for number in range(6):
                rough = generator.integers(0, 255, (7, 9, 3)).astype(np.uint8)
                save(tmp_path / "in" / label / source / f"{number}.png", cv2.resize(rough, (180, 140)))
    return tmp_path / "in"


def test_crops_and_recompressions_are_siblings_and_nothing_else():
    prints, owners = [], []
    for place, name in enumerate(PHOTOGRAPHS):
        pixels = getattr(data, name)()
        seen = [pixels, jpeg(pixels, 40), resized(pixels, 0.4), pixels[40:-60, 50:-20], pixels[: len(pixels) * 3 // 4]]
        seen += [random_history(pixels, np.random.default_rng(seed)) for seed in range(4)]
        prints += [print_of(one) for one in seen]
        owners += [place] * len(seen)
    found, owners = siblings(prints), np.array(owners)
    for place in range(len(PHOTOGRAPHS)):
        assert len(set(found[owners == place])) == 1
    assert len(set(found)) == len(PHOTOGRAPHS)


def test_flat_pictures_are_no_siblings():
    prints = [print_of(np.full((90, 120, 3), grey, np.uint8)) for grey in (0, 128, 255)]
    assert siblings(prints).tolist() == [0, 1, 2]


def test_folders_say_label_and_source_in_either_order(folder, tmp_path):
    found = import_folder(folder, say=quiet)
    assert len(found.rows) == 36
    assert not found.unreadable
    assert {(row.label, row.source) for row in found.rows} == {
        *(("real", source) for source in ("phone", "stock", "film")),
        *(("generated", source) for source in ("one", "two", "three")),
    }
    save(tmp_path / "field" / "progan" / "0_real" / "a.png", data.coffee())
    save(tmp_path / "field" / "progan" / "1_fake" / "b.png", data.chelsea())
    rows = import_folder(tmp_path / "field", say=quiet).rows
    assert {(row.label, row.source) for row in rows} == {("real", "progan"), ("generated", "progan")}
    rows = import_folder(folder / "real" / "stock", label="real", say=quiet).rows
    assert {(row.label, row.source) for row in rows} == {("real", "stock")}
    rows = import_folder(folder, label="generated", source="mine", say=quiet).rows
    assert {(row.label, row.source) for row in rows} == {("generated", "mine")}
    assert len({row.key for row in rows}) == 36  # six files are called 0.png


def test_groups_by_name_join_a_picture_and_its_reconstruction(folder, tmp_path):
    save(tmp_path / "pairs" / "real" / "film" / "x.png", data.coffee())
    save(tmp_path / "pairs" / "generated" / "vae" / "x.jpg", data.chelsea())
    save(tmp_path / "pairs" / "generated" / "vae" / "y.jpg", data.astronaut())
    rows = import_folder(tmp_path / "pairs", by="name", say=quiet).rows
    groups = {row.path.name: row.group for row in rows}
    assert groups["x.png"] == groups["x.jpg"] != groups["y.jpg"]


def test_unreadable_files_are_named_and_left_out(folder):
    (folder / "real" / "phone" / "broken.jpg").write_text("no")
    (folder / "real" / "phone" / "notes.txt").write_text("passed over")
    half = (folder / "real" / "film" / "0.png").read_bytes()
    (folder / "real" / "film" / "half.png").write_bytes(half[: len(half) // 2])
    found = import_folder(folder, say=quiet)
    assert len(found.rows) == 36
    assert len(found.unreadable) == 2
    assert any("broken.jpg" in line for line in found.unreadable)
    assert any("half.png: the file ends early" in line for line in found.unreadable)


def test_folders_that_cannot_be_imported(folder, tmp_path):
    with pytest.raises(VeriscopeError, match="no such folder"):
        import_folder(tmp_path / "none", say=quiet)
    with pytest.raises(VeriscopeError, match=r"no folder on its way .*18 pictures.* --label"):
        import_folder(folder / "real", say=quiet)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VeriscopeError, match="holds no picture"):
        import_folder(tmp_path / "empty", say=quiet)
    (tmp_path / "empty" / "a.jpg").write_text("no")
    with pytest.raises(VeriscopeError, match="none of its 1 pictures can be read"):
        import_folder(tmp_path / "empty", label="real", say=quiet)


def made_rows(sources, size, tmp_path, siblings=1):
    return [
        Row(tmp_path / f"{source}{number}.png", label, source, f"{source}/{number // siblings}", "")
        for label, names in sources.items()
        for source in names
        for number in range(size)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_test_sources_are_apart_and_groups_whole(seed, tmp_path):
    sources = {"real": [f"r{n}" for n in range(7)], "generated": [f"g{n}" for n in range(9)]}
    rows = made_rows(sources, 20, tmp_path, siblings=3)
    splits = split_rows(rows, seed=seed)
    assert splits == split_rows(rows, seed=seed)
    where = {}
    for row, split in zip(rows, splits, strict=True):
        where.setdefault(row.group, set()).add(split)
        where.setdefault(f"source {row.source}", set()).add(split == "test")
    assert all(len(places) == 1 for places in where.values())
    for label in sources:
        shares = [
            np.mean([s == split for row, s in zip(rows, splits, strict=True) if row.label == label])
            for split in ("train", "val", "test")
        ]
        np.testing.assert_allclose(shares, (0.7, 0.1, 0.2), atol=0.1)
    assert splits != split_rows(rows, seed=seed + 10)


def test_sources_that_share_a_group_are_dealt_together(tmp_path):
    rows = made_rows({"real": ["a", "b", "c"], "generated": ["d", "e", "f"]}, 10, tmp_path)
    pairs = [
        Row(tmp_path / "x.png", "generated", "vae of a", "a/3", ""),
        Row(tmp_path / "y.png", "real", "a", "d/1", ""),
    ]
    for seed in range(8):
        splits = split_rows([*rows, *pairs], seed=seed)
        of = {row.source: split == "test" for row, split in zip([*rows, *pairs], splits, strict=True)}
        assert of["a"] == of["d"] == of["vae of a"]


def test_a_label_with_one_source_is_split_by_groups_and_it_is_said(tmp_path):
    rows = made_rows({"real": ["only"], "generated": ["d", "e", "f"]}, 30, tmp_path, siblings=2)
    said = []
    splits = split_rows(rows, say=said.append)
    assert said == [
        "real: too few sources to keep one aside; its test pictures are other groups of the training's sources"
    ]
    assert {split for row, split in zip(rows, splits, strict=True) if row.source == "only"} == {"train", "val", "test"}
    for shares in ((0.5, 0.5), (0.7, 0.2, 0.2), (1.2, -0.2, 0), (0, 0.5, 0.5)):
        with pytest.raises(VeriscopeError, match="sum to 1"):
            split_rows(rows, shares)


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_the_command_writes_a_manifest_that_is_sound(folder, tmp_path, name, capsys):
    (folder / "real" / "phone" / "broken.jpg").write_text("no")
    out = tmp_path / "elsewhere" / name
    assert main(["lab", "import", str(folder), "--out", str(out), "--seed", "3"]) == 0
    told = capsys.readouterr()
    assert "broken.jpg" in told.err
    assert "36 pictures, 1 left out" in told.out
    assert len(read_manifest(out)) == 36
    assert check([out], tmp_path / "work", quiet) == []
    assert main(["lab", "import", str(folder), "--out", str(out), "--split-shares", "0.9", "0.9", "0"]) == 2
