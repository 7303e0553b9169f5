"""Manifests that are wrong are refused before anything starts, with every wrong row named by its line."""

import os

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from veriscope.cli import main
from veriscope.errors import VeriscopeError
from veriscope.lab.data import checking
from veriscope.lab.data.checking import check, require_sound
from veriscope.lab.data.manifest import read_manifest, read_manifests, write_manifest


@pytest.fixture
def table(tmp_path):
    generator = np.random.default_rng(0)
    rows = []
    for number in range(8):
        Image.fromarray(generator.integers(0, 255, (40, 50, 3)).astype(np.uint8)).save(tmp_path / f"{number}.png")
        label = ("real", "generated")[number % 2]
        split = "train" if number < 6 else "test"
        rows.append(
            {"path": f"{number}.png", "label": label, "source": f"{label}{number % 4}", "group": f"g{number}"}
            | {"split": split}
        )
    return rows


def written(folder, rows, name="manifest.csv"):
    write_manifest(folder / name, rows)
    return folder / name


def told(folder, rows):
    return [str(finding) for finding in check([written(folder, rows)], folder / "work", lambda line: None)]


def test_a_sound_manifest_reads_alike_from_csv_and_parquet(table, tmp_path):
    table[1] |= {"generator": "a, model", "face": "1", "origin": "real0/0.png", "method": "nearest"}
    as_csv, as_parquet = written(tmp_path, table), written(tmp_path, table, "manifest.parquet")
    rows = read_manifest(as_csv)
    assert rows == read_manifest(as_parquet)
    assert [row.path.name for row in rows] == [f"{number}.png" for number in range(8)]
    assert (rows[1].generator, rows[1].face, rows[1].origin, rows[1].method) == (
        "a, model",
        "1",
        "real0/0.png",
        "nearest",
    )
    assert (rows[0].face, rows[0].mask, rows[0].key) == ("", "", "real0/0.png")
    assert {row.split for row in read_manifest(as_csv, ["test"])} == {"test"}
    assert check([as_csv], tmp_path / "work") == []


def test_numbers_and_nothing_in_parquet_are_text(table, tmp_path):
    columns = {name: [row[name] for row in table] for name in table[0]}
    columns |= {"face": list(range(8)), "generator": [None] * 8}
    parquet.write_table(pyarrow.table(columns), tmp_path / "typed.parquet")
    rows = read_manifest(tmp_path / "typed.parquet")
    assert rows[3].face == "3"
    assert rows[3].generator == ""


def test_edited_rows_and_rows_without_a_label_are_passed_over(table, tmp_path):
    table[0]["label"], table[1]["label"] = "edited", "none"
    assert [row.path.name for row in read_manifest(written(tmp_path, table))] == [f"{n}.png" for n in range(2, 8)]


def test_missing_files_are_all_named_by_line(table, tmp_path):
    table[2]["path"] = "gone.png"
    table[5]["path"] = "away.png"
    table[6]["mask"] = "no-mask.png"
    path = written(tmp_path, table)
    with pytest.raises(VeriscopeError) as refused:
        read_manifest(path, ["train"])
    for line, name in ((4, "gone.png"), (7, "away.png"), (8, "no-mask.png")):
        assert f"{path} line {line}: " in str(refused.value)
        assert name in str(refused.value)
    assert "3 rows are wrong" in str(refused.value)


def test_a_line_is_the_one_an_editor_shows(table, tmp_path):
    table[0]["generator"] = "two\nlines"
    table[4]["label"] = "fake"
    (finding,) = told(tmp_path, table)
    line = int(finding.split(" line ")[1].split(":")[0])
    assert ",fake," in (tmp_path / "manifest.csv").read_text().splitlines()[line - 1]


def test_unknown_labels_and_empty_fields(table, tmp_path):
    table[3]["label"] = "fake"
    table[4]["source"] = ""
    first, second = told(tmp_path, table)
    assert first.endswith("line 5: unknown label 'fake'; there are: real, generated, edited, none")
    assert second.endswith("line 6: no source")


def test_a_group_in_two_splits_leaks_whatever_its_source(table, tmp_path):
    table[7]["group"] = table[0]["group"]
    (leak,) = told(tmp_path, table)
    assert leak.endswith("line 9: group g0 is in two splits: test here, train in line 2")


def test_one_name_twice_in_a_source(table, tmp_path):
    (tmp_path / "sub").mkdir()
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(tmp_path / "sub" / "0.png")
    table.append(table[0] | {"path": "sub/0.png"})
    (finding,) = told(tmp_path, table)
    assert "line 10: real0/0.png: source real0 has two pictures of this name, also in line 2" in finding
    table[-1]["name"] = "sub/0.png"
    assert told(tmp_path, table) == []


def test_one_class_only(table, tmp_path):
    for row in table[:6]:
        row["label"] = "real"
    (finding,) = told(tmp_path, table)
    assert finding.endswith("manifest.csv: one class only: no picture in splits train and val is labelled generated")


def test_unreadable_and_truncated_pictures(table, tmp_path):
    (tmp_path / "2.png").write_text("not a picture")
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:3000])
    (tmp_path / "4.png").write_bytes(b"")
    found = told(tmp_path, table)
    assert [finding.split(" line ")[1][:2] for finding in found] == ["4:", "5:", "6:"]
    assert "cannot be read" in found[0]
    assert "the file ends early" in found[1]


def test_one_file_under_two_labels_or_in_two_splits(table, tmp_path):
    (tmp_path / "3.png").write_bytes((tmp_path / "2.png").read_bytes())
    (tmp_path / "6.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "4.png").write_bytes((tmp_path / "2.png").read_bytes())  # a copy within label and split does no harm
    labels, splits = told(tmp_path, table)
    assert "line 5: 3.png is the same file as" in labels
    assert "label generated here, real there" in labels
    assert "line 8: 6.png" in splits
    assert splits.endswith("split test here, train there")
    table[6]["label"] = "none"
    assert len(told(tmp_path, table)) == 1


def test_leaks_between_two_manifests_are_found(table, tmp_path):
    train, test = written(tmp_path, table[:6], "a.csv"), written(tmp_path, table[6:], "b.csv")
    assert len(read_manifests([train, test])) == 8
    table[6]["group"] = "g1"
    test = written(tmp_path, table[6:], "b.csv")
    with pytest.raises(VeriscopeError, match=r"b\.csv line 2: group g1 .* train in .*a\.csv line 3"):
        read_manifests([train, test])


def test_only_the_first_rows_are_named_and_the_rest_counted(table, tmp_path):
    rows = [table[0] | {"path": f"gone{number}.png"} for number in range(33)]
    with pytest.raises(VeriscopeError, match="33 rows are wrong") as refused:
        read_manifest(written(tmp_path, rows))
    assert str(refused.value).count("no such file") == 20
    assert str(refused.value).endswith("and 13 more")


@pytest.mark.parametrize("name", ["broken.csv", "broken.parquet"])
def test_files_that_are_no_manifest(name, tmp_path):
    with pytest.raises(VeriscopeError, match="cannot be read"):
        read_manifest(tmp_path / name)
    (tmp_path / name).write_bytes(b"\xff\xfe\x00path,label\n\x80\x81")
    with pytest.raises(VeriscopeError, match=name):
        read_manifest(tmp_path / name)
    (tmp_path / "short.csv").write_text("path,source\na.png,x\n")
    with pytest.raises(VeriscopeError, match="lacks the columns label, group, split"):
        read_manifest(tmp_path / "short.csv")


def test_a_second_look_opens_only_what_changed(table, tmp_path, monkeypatch):
    opened = []
    open_picture = checking.open_picture
    monkeypatch.setattr(checking, "open_picture", lambda path: opened.append(path.name) or open_picture(path))
    assert told(tmp_path, table) == []
    assert sorted(opened) == [f"{number}.png" for number in range(8)]
    opened.clear()
    (tmp_path / "5.png").write_bytes(b"changed")
    os.utime(tmp_path / "5.png", (1, 1))
    (finding,) = told(tmp_path, table)
    assert "line 7: " in finding
    assert opened == ["5.png"]
    assert told(tmp_path, table) == [finding]
    assert opened == ["5.png"]


def test_the_command_prints_a_table_and_refuses(table, tmp_path, capsys):
    path = written(tmp_path, table)
    command = ["lab", "check", "--data", str(path), "--work", str(tmp_path / "work")]
    assert main(command) == 0
    assert "generated" in capsys.readouterr().out
    table[1]["path"] = "gone.png"
    written(tmp_path, table)
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "a training would refuse this" in said
    assert "such file" in " ".join(said.split())


def test_training_refuses_before_it_starts(table, tmp_path, capsys):
    (tmp_path / "1.png").write_text("not a picture")
    path = written(tmp_path, table)
    folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert main(["lab", "train", "depths", "--data", str(path), *folders, "--folds", "3"]) == 2
    assert f"{path} line 3: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "work" / "samples").exists()
    with pytest.raises(VeriscopeError, match="line 3"):
        require_sound([path], tmp_path / "work")
