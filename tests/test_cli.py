"""The command line as a user meets it: what it prints, what it writes, and how it ends."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from pypdf import PdfReader
from skimage import data

from veriscope.cli import main
from veriscope.evidence import Report

EXAMPLES = Path(__file__).parent.parent / "examples"
PHOTOGRAPH = str(EXAMPLES / "photograph.jpg")
SPLICED = str(EXAMPLES / "spliced.jpg")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "in"
    pictures.mkdir()
    Image.fromarray(data.chelsea()).resize((120, 90)).save(pictures / "cat.jpg")
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return pictures


def refused(capsys, *words):
    """The one line on standard error of a call that ends with exit code 2."""
    assert main(list(words)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    assert line.startswith("veriscope: ")
    assert "Traceback" not in line
    return line


def test_missing_file(capsys):
    assert re.search("nothing.jpg: no such file", refused(capsys, "examine", "nothing.jpg"))


def test_pattern_without_a_match(capsys):
    assert "no file matches" in refused(capsys, "examine", "nothing*.jpg")


def test_folder_without_pictures(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no picture")
    assert "no picture in it" in refused(capsys, "examine", "empty")
    assert not (tmp_path / "veriscope-results").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"Dear reader, this was renamed.\n" * 20, "text, not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "JPEG header"),
    ],
)
def test_what_is_no_picture_is_named_with_its_reason(tmp_path, capsys, content, reason):
    (tmp_path / "renamed.jpg").write_bytes(content)
    line = refused(capsys, "examine", "renamed.jpg")
    assert "renamed.jpg" in line
    assert reason in line


def test_limits_are_options(capsys):
    assert "megapixels" in refused(capsys, "examine", PHOTOGRAPH, "--max-pixels", "1000")
    assert "MB" in refused(capsys, "examine", PHOTOGRAPH, "--max-bytes", "1000")


@pytest.mark.parametrize(
    "options",
    [
        ("--jobs", "-1"),
        ("--max-bytes", "0"),
        ("--max-pixels", "-5"),
        *(("--time-limit", text) for text in ("0", "-1", "nan", "inf")),
    ],
)
def test_options_out_of_range(capsys, options):
    assert options[0] in refused(capsys, "examine", PHOTOGRAPH, *options)


@pytest.mark.parametrize("words", [(), ("examine",), ("examine", PHOTOGRAPH, "--jobs", "many"), ("paint", "x")])
def test_a_call_that_does_not_parse(capsys, words):
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 2
    assert "usage: veriscope" in capsys.readouterr().err


def test_unknown_detector_names_those_there_are(capsys, folder):
    line = refused(capsys, "examine", PHOTOGRAPH, "--with", "no_such")
    assert "no_such" in line
    assert "double_quantisation" in line
    assert "no_such" in refused(capsys, "examine", str(folder), "--with", "no_such")


def test_json_is_the_report(capsys):
    assert main(["examine", SPLICED, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["schema"] == 1
    report = Report.from_json(said.out)
    assert report.file.name == "spliced.jpg"
    assert {"generated", "edited"} <= report.pixels.keys()
    assert any(row.detector == "double_quantisation" and row.map for row in report.evidence)
    assert Report.from_json(report.to_json()) == report


def test_the_terminal_shows_three_answers(capsys):
    assert main(["examine", SPLICED]) == 0
    said = capsys.readouterr().out.upper()
    for answer in ("WHAT THE FILE DECLARES", "WHERE IT HAS BEEN", "WHAT THE PIXELS SUGGEST"):
        assert answer in said


def test_with_asks_one_detector(capsys):
    main(["examine", SPLICED, "--json", "--with", "double_quantisation"])
    report = Report.from_json(capsys.readouterr().out)
    assert [row.detector for row in report.evidence] == ["double_quantisation"]
    assert report.software.command.endswith("spliced.jpg --with double_quantisation")


def test_declared_only_asks_no_pixel(capsys):
    main(["examine", str(EXAMPLES / "tag_comfyui.png"), "--json", "--declared-only"])
    report = Report.from_json(capsys.readouterr().out)
    assert report.evidence == []
    assert report.pixels == {}
    assert any(item.kind == "generator" and item.generative for item in report.declares)
    assert report.headline.startswith("The pixels were not examined")


def test_html_and_pdf_go_to_a_folder_that_is_made(tmp_path, capsys):
    assert main(["examine", PHOTOGRAPH, "--declared-only", "--html", "--pdf", "--out", "new/reports"]) == 0
    html, pdf = (tmp_path / "new" / "reports" / f"photograph.report.{kind}" for kind in ("html", "pdf"))
    assert "photograph.jpg" in html.read_text()
    assert len(PdfReader(pdf).pages) >= 1
    said = capsys.readouterr().out
    assert str(html.relative_to(tmp_path)) in said
    assert str(pdf.relative_to(tmp_path)) in said


def test_an_out_that_cannot_be_written(tmp_path, capsys, folder):
    (tmp_path / "file").write_text("in the way")
    for source in (PHOTOGRAPH, str(folder)):
        assert "file" in refused(capsys, "examine", source, "--declared-only", "--html", "--out", "file/reports")


def test_a_folder_run_keeps_going_and_resumes(tmp_path, capsys, folder):
    call = ["examine", str(folder), "--declared-only", "--html", "--out", "run", "--jobs", "1"]
    assert main(call) == 0
    assert "2 of 2 pictures, 1 errors" in capsys.readouterr().err
    lines = [json.loads(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    rows = {Path(line["path"]).name: line for line in lines}
    assert rows.keys() == {"cat.jpg", "broken.jpg"}
    assert "broken.jpg" in rows["broken.jpg"]["error"]
    assert rows["broken.jpg"]["report"] is None
    report = Report.model_validate(rows["cat.jpg"]["report"])
    assert report.software.command.endswith("cat.jpg --declared-only")
    index = (tmp_path / "run" / "index.html").read_text()
    assert "cat.jpg" in index
    assert "broken.jpg" in index
    assert (tmp_path / "run" / "reports" / rows["cat.jpg"]["href"]).exists()
    before = (tmp_path / "run" / "results.jsonl").read_bytes()
    assert main(call) == 0
    assert (tmp_path / "run" / "results.jsonl").read_bytes() == before


def test_an_index_elsewhere(tmp_path, folder):
    call = ["examine", str(folder), "--declared-only", "--out", "run", "--index", "new/page.html", "--jobs", "1"]
    assert main(call) == 0
    assert "cat.jpg" in (tmp_path / "new" / "page.html").read_text()


def test_an_index_of_one_picture_is_refused(capsys):
    assert "--index" in refused(capsys, "examine", PHOTOGRAPH, "--index", "page.html")


def test_a_folder_run_prints_a_line_of_json_each(capsys, folder):
    assert main(["examine", str(folder), "--declared-only", "--json", "--out", "run", "--jobs", "1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted("error" in row for row in rows) == [False, True]
    assert all(row.get("schema") == 1 for row in rows if "error" not in row)


def test_detectors_are_listed(capsys):
    assert main(["detectors", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["double_quantisation"]["question"] == "edited"
    assert rows["double_quantisation"]["weighed"] is False
    assert main(["detectors"]) == 0
    assert "double_quantisation" in capsys.readouterr().out


def test_models_are_listed(capsys):
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["clip-vit-b16-eight-blocks"]["licence"] == "MIT"
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for row in rows.values() for digest in row["files"].values())
    assert main(["models", "list"]) == 0


def test_unknown_model(capsys):
    assert "no_such" in refused(capsys, "models", "pull", "no_such")


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"veriscope \d+\.\d+\.\d+\n", capsys.readouterr().out)
