"""What the documentation shows works, and what it names exists."""

import argparse
import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from veriscope import plugins
from veriscope.batch import SUFFIXES
from veriscope.cli import parser
from veriscope.examination import TIME_LIMIT
from veriscope.picture import Limits
from veriscope.recognition import MAX_FRAMES, MAX_JPEG_HEADER, MAX_JPEG_SEGMENTS, MAX_PNG_CHUNKS, MAX_SCANNED_PIXELS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "examples" / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PILLARS = {
    *("adversarial", "attribution", "evaluation", "face", "multimodal", "protection"),
    *("provenance", "synthesis", "synthetic", "tamper", "video", "watermark"),
}


def name(page):
    return str(page.relative_to(ROOT))


def blocks(page, *languages):
    return [body for language, body in FENCE.findall(page.read_text()) if language in languages]


def command_lines(first):
    """The lines of all shell examples whose first word is ``first``, with the page they stand on."""
    bodies = [(page, body.replace("\\\n", " ")) for page in PAGES for body in blocks(page, "bash", "console")]
    lines = [(page, line) for page, body in bodies for line in body.splitlines()]
    return [(page, line.removeprefix("$ ")) for page, line in lines if line.removeprefix("$ ").startswith(f"{first} ")]


PYTHON = [
    pytest.param(body, id=f"{name(page)}-{number}")
    for page in PAGES
    for number, body in enumerate(blocks(page, "python"))
]


@pytest.mark.parametrize("body", PYTHON)
def test_python_examples_run(body, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(body, "example", "exec"), {"__name__": "example"})


def test_there_are_examples_to_run():
    assert len(PYTHON) >= 5
    assert len(command_lines("veriscope")) >= 12


@pytest.mark.parametrize(("page", "line"), command_lines("veriscope"))
def test_commands_parse(page, line):
    words = shlex.split(line.partition(" > ")[0], comments=True)[1:]
    try:
        options = parser().parse_args(words)
    except SystemExit:
        pytest.fail(f"{name(page)}: {line}")
    if words[0] != "examine":
        return
    known = {detector.name for detector in plugins.detectors() if not isinstance(detector, plugins.Broken)}
    assert set(options.detectors or []) <= known
    for path in options.paths:
        if path.startswith("examples"):
            assert list(ROOT.glob(path)), f"{name(page)}: {path}"


def test_scripts_and_make_targets_exist():
    for page, line in command_lines("python"):
        words = shlex.split(line)
        assert (ROOT / words[1]).exists(), f"{name(page)}: {line}"
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {line.split()[1] for _, line in command_lines("make")}
    assert {"demo", "test"} <= called <= targets


def test_every_option_of_examine_is_in_the_readme():
    (commands,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    examine = commands.choices["examine"]
    options = {option for action in examine._actions for option in action.option_strings if option.startswith("--")}
    readme = (ROOT / "README.md").read_text()
    assert {option for option in options if option not in readme} <= {"--help", "--index"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text())
    for link in LINK.findall(text):
        if not link.startswith(("http://", "https://", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), f"{name(page)}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_named_in_the_text_exist(page):
    for path in re.findall(r"`((?:src|docs|tests|scripts|benchmarks|examples)/[\w./-]+)`", page.read_text()):
        assert (ROOT / path).exists(), f"{name(page)}: {path}"


def test_pages_name_no_machine_and_no_package_host():
    for page in PAGES:
        found = re.findall(
            r"/(?:home|root|work|tmp|Users)/\S*|pypi\.\w+|huggingface\.\w+|localhost\S*", page.read_text()
        )
        assert not found, f"{name(page)}: {found}"


def test_readme_opens_with_a_report_and_two_commands():
    readme = (ROOT / "README.md").read_text()
    title, picture = readme.split("\n\n")[:2]
    assert title == "# Veriscope"
    (path,) = LINK.findall(picture)
    assert (ROOT / path).stat().st_size < 300_000
    assert readme.index("make demo") < readme.index("make test") < readme.index("## What it does not claim")
    assert re.findall("^## .*", readme, re.MULTILINE)[0] == "## What it does not claim"


@pytest.fixture
def plugin(tmp_path):
    """The README's detector as an installed distribution: its files and its metadata in one folder."""
    readme = ROOT / "README.md"
    (code,) = (body for body in blocks(readme, "python") if "class " in body)
    (project,) = blocks(readme, "toml")
    described = tomllib.loads(project)["project"]
    folder = tmp_path / "site"
    metadata = folder / f"{described['name'].replace('-', '_')}-{described['version']}.dist-info"
    metadata.mkdir(parents=True)
    ((group, entries),) = described["entry-points"].items()
    (value,) = entries.values()
    (folder / f"{value.partition(':')[0]}.py").write_text(code)
    lines = [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {described['name']}\nVersion: {described['version']}\n"
    )
    assert len(code.splitlines()) + len(project.splitlines()) <= 60
    return folder


def veriscope(folder, *words):
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "veriscope.cli", *words]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout)


def test_the_plugin_of_the_readme_joins_and_speaks(plugin):
    rows = {row["name"]: row for row in veriscope(plugin, "detectors", "--json")}
    assert rows["flatness"]["question"] == "edited"
    assert rows["flatness"]["weighed"] is False
    assert rows["flatness"]["about"] == "Exactly flat areas: was something drawn over the picture?"
    picture = str(ROOT / "examples" / "truncated.jpg")
    report = veriscope(plugin, "examine", picture, "--json", "--with", "flatness")
    (row,) = report["evidence"]
    assert 0.1 < row["score"] < 0.9  # what the file does not hold is shown as even grey
    assert row["map"].startswith("data:image/png")
    assert report["pixels"]["edited"]["state"] == "cannot tell"


def test_changelog_has_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.MULTILINE)[0] == PROJECT["version"]


def test_every_dependency_has_its_line():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    for wanted in PROJECT["dependencies"]:
        assert f"| {re.split('[><=~!]', wanted)[0]} |" in page
    for extra in PROJECT["optional-dependencies"]:
        assert f"| `{extra}` |" in page


def test_systems_table_has_a_row_for_each_system():
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in (ROOT / "docs" / "systems.md").read_text().splitlines()
        if re.match(r"\| \d+ \|", line)
    ]
    assert [row[0] for row in cells] == [str(n) for n in range(1, 149)]
    with (ROOT / "docs" / "systems_state.csv").open(newline="") as file:
        states = {row["n"]: row["state"] for row in csv.DictReader(file)}
    for n, short, pillar, state, command, ours, _, _ in cells:
        assert short != "–"
        assert pillar in PILLARS
        assert state == (f"later ({pillar})" if states[n] == "later" else states[n])
        assert states[n] in {"works", "partial", "context only", "later"}
        runs = states[n] in {"works", "partial"}
        assert (command != "–") == runs
        assert (ours != "–") == runs
        if runs:
            parser().parse_args(shlex.split(command.strip("`"))[1:])


def test_systems_script_writes_a_page_that_is_whole(tmp_path):
    header = (ROOT / "docs" / "systems_state.csv").read_text().splitlines()[0]
    (tmp_path / "states.csv").write_text("\n".join([header, "1,later,,,", "2,later,,,", "3,later,,,"]) + "\n")
    columns = ("n", "short name", "pillar", "headline result")
    lines = [
        columns,
        ("1", "A|B", "face", "- (no figures)"),
        ("2", 'C"', "tamper", "-"),
        ("3", "D", "video", "0.9 AUC"),
    ]
    (tmp_path / "systems.tsv").write_text("\n".join("\t".join(line) for line in lines) + "\n")
    command = [sys.executable, str(ROOT / "scripts" / "systems_table.py")]
    command += ["--systems", "systems.tsv", "--states", "states.csv", "--out", "page.md"]
    subprocess.run(command, cwd=tmp_path, check=True)
    page = (tmp_path / "page.md").read_text()
    assert "| 1 | A\\|B | face | later (face) | – | – | – (no figures) |" in page
    assert '| 2 | C" | tamper | later (tamper) | – | – | – |' in page
    assert "| 3 | D | video | later (video) | – | – | 0.9 AUC |" in page
    (tmp_path / "systems.tsv").write_text("\n".join("\t".join(line) for line in lines[:3]) + "\n")
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "'3'" in failed.stderr


def test_limits_page_has_the_limits_of_the_code():
    page = (ROOT / "docs" / "limits.md").read_text()
    assert f"| {Limits().bytes / 1e6:g} MB | `--max-bytes` |" in page
    assert f"| {Limits().pixels / 1e6:g} megapixels | `--max-pixels` |" in page
    assert f"| {TIME_LIMIT:g} s | `--time-limit` |" in page
    assert f"{MAX_JPEG_SEGMENTS:,} segments, {MAX_JPEG_HEADER / 1e6:g} MB" in page
    assert f"{MAX_SCANNED_PIXELS // 1_000_000:,} megapixels over all scans" in page
    assert f"| {MAX_PNG_CHUNKS:,} chunks |" in page
    assert f"| {MAX_FRAMES:,} |" in page
    named = re.search(r"their suffix \(`(.*?)`\)", page, re.DOTALL)
    assert named is not None
    assert set(named[1].split()) == SUFFIXES
