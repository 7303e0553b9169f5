"""The evaluation resumes, never mixes the scores of two sets of weights, and counts flips as it says."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from veriscope import plugins
from veriscope.evidence import Evidence, Question
from veriscope.lab.benchmark import evaluate, measuring
from veriscope.lab.data.manifest import Row
from veriscope.lab.data.variants import REENCODINGS


@pytest.fixture
def rows(tmp_path):
    made = []
    for number in range(12):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((200, 220, 3), 40 + 170 * (number % 2), np.uint8)).save(path)
        made.append(Row(path, ("real", "generated")[number % 2], f"s{number % 4}", str(number), "test"))
    return made


@pytest.fixture
def asked(monkeypatch):
    """A stand-in for the detectors whose score is the brightness; the list grows with each picture it is asked about."""
    seen = []

    def hear(picture, detectors):
        (detector,) = detectors
        seen.append(picture.name)
        score = float(picture.rgb.mean() / 255 * 12 - 6)
        return [(Evidence("depths", detector.version, Question.GENERATED, score, 0.0, 1.0, ""), 0.0)]

    monkeypatch.setattr(measuring, "hear", hear)
    monkeypatch.setattr(measuring, "shipped", lambda: plugins.named(["depths"]))
    return seen


def run(rows, path):
    return evaluate.measure(rows, path, flips=5, sweep=0, say=lambda line: None)


def test_resumes_even_after_half_a_line(rows, asked, tmp_path):
    whole = run(rows, tmp_path / "e.jsonl")
    assert len(whole) == len(asked) == 2 * 12 + 6 * 5
    text = (tmp_path / "e.jsonl").read_text()
    (tmp_path / "e.jsonl").write_text(text[: len(text) - 40])
    again = run(rows, tmp_path / "e.jsonl")
    assert [asdict(entry) for entry in again] == [asdict(entry) for entry in whole]
    assert len(asked) == 2 * 12 + 6 * 5 + 1


def test_scores_of_other_weights_are_measured_again(rows, asked, tmp_path, monkeypatch):
    run(rows, tmp_path / "e.jsonl")
    monkeypatch.setattr(measuring, "mark_of", lambda detector: "retrained")
    entries = run(rows, tmp_path / "e.jsonl")
    assert len(asked) == 2 * (2 * 12 + 6 * 5)
    assert {answer.mark for entry in entries for answer in entry.answers.values()} == {"retrained"}


def test_an_unreadable_picture_is_left_out_and_the_others_are_measured(rows, asked, tmp_path):
    rows[3].path.write_bytes(b"no picture")
    entries, left_out = measuring.measure(
        [(row, ("as is", "PNG")) for row in rows],
        measuring.shipped(),
        measuring.Results(tmp_path / "e.jsonl"),
        say=lambda line: None,
    )
    assert len(entries) == 2 * 11
    assert len(left_out) == 1
    assert "3.png" in left_out[0]


def test_summary_of_a_detector_that_is_right(rows, asked, tmp_path):
    figures = evaluate.summary(run(rows, tmp_path / "e.jsonl"))
    assert figures["variants"]["as is"]["auc"] == 1.0
    assert figures["flips"] == {"pictures": 5, "threshold_5": 0.0, "yes_and_no": 0.0, "any_change_of_state": 0.0}
    assert json.loads(json.dumps(figures)) == figures


def test_flips_are_counted(rows, asked, tmp_path):
    entries = run(rows, tmp_path / "e.jsonl")
    place = next(place for place, entry in enumerate(entries) if entry.variant == REENCODINGS[2])
    answer = entries[place].answers["depths"]
    entries[place] = replace(entries[place], answers={"depths": replace(answer, score=-answer.score)})
    flips = evaluate.summary(entries)["flips"]
    assert flips["threshold_5"] == flips["yes_and_no"] == pytest.approx(0.2)
