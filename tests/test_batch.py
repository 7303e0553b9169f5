"""A folder run loses nothing: it resumes, survives a crash of its worker, and names what it cannot read."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image
from skimage import data

from veriscope import batch, processes
from veriscope.batch import Settings, examine_many, find_pictures, read_results
from veriscope.errors import PictureError

QUICK = Settings(declared_only=True)


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "in"
    (pictures / "deep").mkdir(parents=True)
    cat = Image.fromarray(data.chelsea()).resize((120, 90))
    for number in range(4):
        cat.save(pictures / f"cat{number}.jpg", quality=60 + number)
    cat.save(pictures / "deep" / "cat.PNG")
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (pictures / "notes.txt").write_text("not a picture")
    (pictures / ".hidden.jpg").write_bytes(b"x")
    return pictures


def test_finds_pictures_in_folders_files_and_patterns(folder):
    names = [path.name for path in find_pictures([folder])]
    assert names == ["broken.jpg", "cat0.jpg", "cat1.jpg", "cat2.jpg", "cat3.jpg", "cat.PNG"]
    assert [path.name for path in find_pictures([str(folder / "cat[01].jpg")])] == ["cat0.jpg", "cat1.jpg"]
    assert find_pictures([folder / "notes.txt", folder / "notes.txt"]) == [folder / "notes.txt"]
    with pytest.raises(PictureError, match="nothing"):
        find_pictures([folder / "nothing*.jpg"])


def test_every_picture_gets_a_row_and_errors_do_not_stop_the_run(folder, tmp_path):
    out = tmp_path / "results.jsonl"
    results = list(examine_many(find_pictures([folder]), out, QUICK, jobs=2))
    assert len(results) == 6
    (failed,) = [result for result in results if result.error]
    assert "broken.jpg" in failed.path
    assert "broken.jpg" in failed.error
    assert read_results(out) == {result.path: result for result in results}


def test_second_run_does_only_what_is_missing_or_changed(folder, tmp_path):
    out = tmp_path / "results.jsonl"
    list(examine_many(find_pictures([folder]), out, QUICK, jobs=1))
    out.write_bytes(out.read_bytes()[:-30])  # killed while it wrote its last line
    Image.fromarray(data.coffee()).resize((90, 60)).save(folder / "cat1.jpg")
    made = []
    results = list(examine_many(find_pictures([folder]), out, QUICK, jobs=1, on_result=made.append))
    assert len(results) == 6
    again = {os.path.basename(result.path) for result in made}
    assert "cat1.jpg" in again
    assert len(again) == 2
    assert len(read_results(out)) == 6
    other = Settings(declared_only=True, time_limit=1.0)
    made.clear()
    list(examine_many(find_pictures([folder]), out, other, jobs=1, on_result=made.append))
    assert len(made) == 6


def test_a_crashing_picture_is_a_row_and_the_others_are_done(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "_one", _crash_on_cat2)
    results = list(examine_many(find_pictures([folder]), tmp_path / "r.jsonl", QUICK, jobs=2))
    errors = {os.path.basename(result.path): result.error for result in results if result.error}
    assert set(errors) == {"broken.jpg", "cat2.jpg"}
    assert "process" in errors["cat2.jpg"]
    assert len(results) == 6


def _crash_on_cat2(path, settings, _one=batch._one):
    if path.name == "cat2.jpg":
        os._exit(11)
    return _one(path, settings)


def test_a_worker_that_hangs_does_not_hold_up_the_end(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "_one", _hang_on_cat2)
    monkeypatch.setattr(processes, "GRACE", 1.0)
    run = examine_many(find_pictures([folder]), tmp_path / "r.jsonl", QUICK, jobs=2)
    next(run)
    started = time.monotonic()
    run.close()
    assert time.monotonic() - started < 20


def _hang_on_cat2(path, settings, _one=batch._one):
    if path.name == "cat2.jpg":
        time.sleep(300)
    return _one(path, settings)


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    pictures = tmp_path / "in"
    pictures.mkdir()
    for number in range(400):
        Image.fromarray(data.chelsea()).resize((300, 200)).save(pictures / f"{number:03}.jpg", quality=50 + number % 50)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "veriscope.cli", "examine", str(pictures), "--declared-only", "--out", str(out)]
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background shell has it ignored
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=heard)
    file = out / "results.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (file.exists() and file.read_bytes().count(b"\n") > 5):
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(30) == 130
    lines = file.read_text().splitlines()
    assert 5 < len(lines) < 400
    assert all(json.loads(line)["report"] for line in lines)
    assert (out / "index.html").exists()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=200)
    assert len(read_results(file)) == 400
    assert len(file.read_text().splitlines()) == 400
