"""Detectors of other packages join by entry point; a broken one never stops an examination."""

import time
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from skimage import data

from veriscope import examination, plugins
from veriscope.errors import PluginError
from veriscope.evidence import Evidence, Question
from veriscope.picture import Picture


def picture():
    return Picture(name="cat", data=b"x", format="PNG", rgb=data.chelsea())


class Stranger:
    """Says how red a picture is."""

    name = "redness"
    version = "7"
    question = Question.EDITED

    def __call__(self, picture):
        red = float(picture.rgb[..., 0].mean() / 255)
        return Evidence(
            self.name, self.version, self.question, red, 0.0, 1.0, f"Red is {red:.2f}.", map=picture.luma / 255
        )


@pytest.fixture
def installed(monkeypatch):
    def install(**entries):
        found = [EntryPoint(name, value, plugins.GROUP) for name, value in entries.items()]
        monkeypatch.setattr(plugins, "entry_points", lambda group: found)
        monkeypatch.setattr(plugins, "BUNDLED", ())
        monkeypatch.setattr(plugins, "ON_REQUEST", ())
        plugins.detectors.cache_clear()
        return plugins.detectors()

    yield install
    monkeypatch.undo()
    plugins.detectors.cache_clear()


def test_a_plugin_speaks_in_the_report_and_is_not_weighed(installed):
    installed(redness=f"{__name__}:Stranger")
    report = examination.examine(picture())
    (row,) = report.evidence
    assert row.detector == "redness"
    assert 0.4 < row.score < 0.8
    assert row.map.startswith("data:image/png")
    assert report.pixels["edited"].state == "cannot tell"


def test_broken_plugins_say_so(installed):
    absent, lacking = installed(absent="no.such.module:X", lacking="builtins:dict")
    assert isinstance(absent, plugins.Broken)
    assert isinstance(lacking, plugins.Broken)
    rows = examination.examine(picture()).evidence
    assert [row.reliability for row in rows] == [0, 0]
    assert "no.such" in rows[0].reason or "No module" in rows[0].reason
    assert "name, version, question" in rows[1].reason


def test_a_name_is_taken_once(installed):
    first, second = installed(a=f"{__name__}:Stranger", b=f"{__name__}:Stranger")
    assert not isinstance(first, plugins.Broken)
    assert isinstance(second, plugins.Broken)


def test_unknown_name_is_an_error(installed):
    installed(redness=f"{__name__}:Stranger")
    with pytest.raises(PluginError, match="redness"):
        plugins.named(["blueness"])


def _detector(answer):
    class Odd(Stranger):
        def __call__(self, picture):
            return answer(picture)

    return Odd()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda picture: 1 / 0, "ZeroDivisionError"),
        (lambda picture: "generated", "not Evidence"),
        (lambda picture: Evidence("o", "1", Question.EDITED, float("nan"), 0, 1, ""), "finite"),
        (lambda picture: Evidence("o", "1", Question.EDITED, 1, 0, 7, ""), r"\[0, 1\]"),
        (lambda picture: Evidence("o", "1", Question.EDITED, 1, 0, 1, "", map=np.zeros(3, np.float32)), "shape"),
        (lambda picture: time.sleep(5), "did not answer within"),
    ],
)
def test_a_failing_detector_becomes_evidence_without_weight(answer, reason):
    import re

    ((evidence, _),) = examination.hear(picture(), [_detector(answer)], time_limit=0.5)
    assert evidence.reliability == 0
    assert evidence.log10_lr == 0
    assert re.search(reason, evidence.reason)


def test_a_detector_that_does_not_apply_is_silent():
    assert examination.hear(picture(), [_detector(lambda picture: None)]) == []
