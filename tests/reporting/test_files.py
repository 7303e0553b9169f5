from __future__ import annotations

import os
from pathlib import Path

import pytest

from veriscope.errors import VeriscopeError
from veriscope.reporting import write_atomically


def test_replaces_the_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    write_atomically(target, b"new")
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_failure_names_the_path_and_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(VeriscopeError, match=r"report\.html: cannot be written \(No space left on device\)"):
        write_atomically(target, b"new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


@pytest.mark.parametrize("name", ["missing/report.html", "nul\0.html", "."])
def test_a_path_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(VeriscopeError, match="cannot be written"):
        write_atomically(tmp_path / name, b"x")
