"""The evaluation resumes, never mixes the scores of two sets of weights, and counts flips as it says."""

import json

import numpy as np
import pytest
from PIL import Image

from veriscope.evidence import Evidence, Question
from veriscope.lab.benchmark import evaluate
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

    def hear(picture):
        seen.append(picture.name)
        score = float(picture.rgb.mean() / 255 * 12 - 6)
        return [(Evidence("depths", "1", Question.GENERATED, score, 0.0, 1.0, ""), 0.0)]

    monkeypatch.setattr(evaluate, "hear", hear)
    return seen


def run(rows, path):
    return evaluate.measure(rows, path, flips=5, sweep=0, say=lambda line: None)


def test_resumes_even_after_half_a_line(rows, asked, tmp_path):
    whole = run(rows, tmp_path / "e.jsonl")
    assert len(whole) == len(asked) == 2 * 12 + 6 * 5
    text = (tmp_path / "e.jsonl").read_text()
    (tmp_path / "e.jsonl").write_text(text[: len(text) - 40])
    assert json.dumps(run(rows, tmp_path / "e.jsonl")) == json.dumps(whole)
    assert len(asked) == 2 * 12 + 6 * 5 + 1


def test_scores_of_other_weights_are_measured_again(rows, asked, tmp_path, monkeypatch):
    run(rows, tmp_path / "e.jsonl")
    monkeypatch.setattr(evaluate.models, "fingerprint", lambda: "retrained")
    entries = run(rows, tmp_path / "e.jsonl")
    assert len(asked) == 2 * (2 * 12 + 6 * 5)
    assert {entry["weights"] for entry in entries} == {"retrained"}


def test_summary_of_a_detector_that_is_right(rows, asked, tmp_path):
    figures = evaluate.summary(run(rows, tmp_path / "e.jsonl"))
    assert figures["variants"]["as is"]["auc"] == 1.0
    assert figures["flips"] == {"pictures": 5, "threshold_5": 0.0, "yes_and_no": 0.0, "any_change_of_state": 0.0}
    assert json.loads(json.dumps(figures)) == figures


def test_flips_are_counted(rows, asked, tmp_path):
    entries = run(rows, tmp_path / "e.jsonl")
    turned = next(entry for entry in entries if entry["variant"] == REENCODINGS[2])
    turned["heard"] = [("depths", "1", -turned["heard"][0][2], 1.0, "")]
    flips = evaluate.summary(entries)["flips"]
    assert flips["threshold_5"] == flips["yes_and_no"] == pytest.approx(0.2)
