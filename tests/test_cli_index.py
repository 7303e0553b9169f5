"""``veriscope index`` and ``veriscope examine --known`` as a user meets them."""

import json
import os

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("lancedb")

from tests.copies.samples import PICTURES, TEXTURE
from veriscope import batch
from veriscope.cli import WRONG_INPUT, main


def call(*words):
    """The exit code of ``veriscope WORDS``."""
    return main([str(word) for word in words])


def put(rgb, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(rgb)).save(path, **options)
    return path


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder to work in, with ``known/`` of two photographs and one file that is none."""
    monkeypatch.chdir(tmp_path)
    for name in ("coffee", "chelsea"):
        put(PICTURES[name], tmp_path / "known" / f"{name}.jpg", quality=90)
    (tmp_path / "known" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return tmp_path


def test_adding_names_what_it_leaves_out_and_a_second_run_adds_nothing(room, capsys):
    assert call("index", "add", "--index", "ix", "known") == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [f"added: {room / 'known' / name}.jpg" for name in ("chelsea", "coffee")]
    assert "broken.jpg" in told.err
    assert "2 added, 0 known before, 1 could not be added; the index holds 2 pictures" in told.err
    put(PICTURES["coffee"], room / "known" / "again.jpg", quality=90)
    assert call("index", "add", "--index", "ix", ".") == 0  # the index's own small copies are not pictures to add
    told = capsys.readouterr()
    assert f"known: {room / 'known' / 'again.jpg'} (as {room / 'known' / 'coffee.jpg'})" in told.out
    assert "0 added, 3 known before, 1 could not be added; the index holds 2 pictures" in told.err


def test_a_changed_file_is_added_anew(room, capsys):
    path = put(PICTURES["coffee"], room / "one.png")
    assert call("index", "add", "--index", "ix", path) == 0
    put(PICTURES["rocket"], path)
    os.utime(path, ns=(1, 1))
    assert call("index", "add", "--index", "ix", path) == 0
    assert capsys.readouterr().out.splitlines() == [f"added: {path}"] * 2


def test_only_bad_pictures_are_an_error(room, capsys):
    assert call("index", "add", "--index", "ix", "known/broken.jpg") == WRONG_INPUT
    assert "broken.jpg" in capsys.readouterr().err
    assert call("index", "add", "--index", "ix", "nowhere") == WRONG_INPUT
    assert "no such file" in capsys.readouterr().err


def test_searching_prints_the_promised_json(room, capsys):
    call("index", "add", "--index", "ix", "--name", "the cat", "known/chelsea.jpg")
    copy, other = put(PICTURES["chelsea"][40:, 60:], room / "copy.png"), put(TEXTURE, room / "other.png")
    capsys.readouterr()
    assert call("index", "search", "--index", "ix", "--json", copy) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["query"] == str(copy)
    (match,) = found["matches"]
    assert match["reference"] == "the cat"
    assert found.keys() == {"query", "matches"}
    assert match.keys() == {"reference", "score", "level", "says"}
    assert call("index", "search", "--index", "ix", "--json", "--details", copy) == 0
    (match,) = json.loads(capsys.readouterr().out)["matches"]
    assert match["details"]["inliers"] > 20
    assert call("index", "search", "--index", "ix", "--json", other, "known/broken.jpg") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"query": str(other), "matches": []}
    assert "broken.jpg" in lines[1]["error"]
    assert call("index", "search", "--index", "ix", copy) == 0
    assert "the cat (score" in capsys.readouterr().out
    assert call("index", "search", "--index", "nowhere", copy) == WRONG_INPUT
    assert "no index; make one by: veriscope index add --index nowhere" in capsys.readouterr().err


def test_removing_stats_verifying_and_duplicates(room, capsys):
    put(PICTURES["coffee"], room / "known" / "smaller.jpg", quality=40)
    call("index", "add", "--index", "ix", "known")
    capsys.readouterr()
    assert call("index", "stats", "--index", "ix", "--json") == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 3
    assert call("index", "duplicates", "--index", "ix", "--json", "--out", "groups.parquet") == 0
    found = json.loads(capsys.readouterr().out)
    assert [sorted(map(os.path.basename, group)) for group in found["groups"]] == [["coffee.jpg", "smaller.jpg"]]
    assert found["sizes"] == {"2": 1}
    assert (room / "groups.parquet").exists()
    assert call("index", "duplicates", "--index", "ix") == 0
    assert "1 groups of 2 pictures, among 3; 0 flat ones were left out" in capsys.readouterr().out
    assert call("index", "verify", "--index", "ix", "--files") == 0
    (room / "known" / "smaller.jpg").unlink()
    assert call("index", "verify", "--index", "ix") == 0
    capsys.readouterr()
    assert call("index", "verify", "--index", "ix", "--files") == WRONG_INPUT
    assert "smaller.jpg: its file is not there" in capsys.readouterr().out
    assert call("index", "remove", "--index", "ix", "known/smaller.jpg", "nothing") == 0
    told = capsys.readouterr()
    assert told.out == f"removed: {room / 'known' / 'smaller.jpg'}\n"
    assert "nothing: not in the index" in told.err
    assert call("index", "remove", "--index", "ix", "nothing") == WRONG_INPUT


def test_an_examination_says_where_the_picture_has_been(room, capsys):
    call("index", "add", "--index", "ix", "known")
    copy = put(PICTURES["coffee"][:, ::-1], room / "copy.jpg", quality=60)
    capsys.readouterr()
    assert call("examine", copy, "--declared-only", "--json", "--known", "ix") == 0
    report = json.loads(capsys.readouterr().out)
    assert [os.path.basename(seen["reference"]) for seen in report["seen"]] == ["coffee.jpg"]
    assert "--known ix" in report["software"]["command"]
    assert call("examine", copy, "--declared-only", "--known", "nowhere") == WRONG_INPUT


def test_results_are_not_kept_when_the_index_has_changed(room):
    call("index", "add", "--index", "ix", "known/coffee.jpg")
    before = batch.Settings(known="ix").fingerprint
    assert batch.Settings(known="ix").fingerprint == before != batch.Settings().fingerprint
    call("index", "add", "--index", "ix", "known/chelsea.jpg")
    assert batch.Settings(known="ix").fingerprint != before
