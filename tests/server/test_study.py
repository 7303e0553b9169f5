"""Studies: drawn evenly, the same files for people and detectors, no personal data, intervals that hold what they say."""

import csv
import io
import json
import sqlite3

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra: server")

from PIL import Image

from tests.server.conftest import running
from veriscope.cli import main
from veriscope.errors import VeriscopeError
from veriscope.server import study_statistics
from veriscope.server.study_making import draw
from veriscope.server.study_results import as_csv, results
from veriscope.server.study_store import Answer, Facts, MachineAnswer, Stimulus, Study, open_study, studies


def manifest(folder, each=8, side=80):
    """A manifest of smooth "real" and striped "generated" pictures, two sources a class."""
    generator = np.random.default_rng(0)
    rows = ["path,label,source,group,split,generator,face,art"]
    for number in range(2 * each):
        label = "generated" if number % 2 else "real"
        pixels = generator.integers(60, 200, (side, side + 10, 3), dtype=np.uint8)
        if label == "generated":
            pixels[::2] = 30
        Image.fromarray(pixels).save(folder / f"{number}.png")
        source = f"{label}-{number // 2 % 2}"
        rows.append(
            f"{number}.png,{label},{source},g{number},test,{'model-x' if number % 2 else ''},{number % 3 == 0:d},0"
        )
    path = folder / "pictures.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def study(tmp_path):
    """A study of eight pictures whose detectors' answers are given: "veriscope" errs on two of them."""
    folder = tmp_path / "data" / "studies" / "abcdefghij"
    (folder / "pictures").mkdir(parents=True)
    stimuli, answers = [], []
    for number in range(8):
        label = "generated" if number % 2 else "real"
        name = f"{number:016x}"
        Image.new("RGB", (64, 48), (20 * number, 90, 120)).save(folder / "pictures" / f"{name}.jpg")
        stimuli.append(Stimulus(name, label, f"{label}-source", "model-x", number > 3, False, 64, 48, "0" * 64))
        ratio = (1.5 if label == "generated" else -1.5) * (-1 if number in (2, 5) else 1)
        state = "cannot tell" if number in (0, 5) else ("yes" if ratio > 0 else "no")
        answers += [MachineAnswer(name, "veriscope", ratio, state), MachineAnswer(name, "clip_mlp", ratio / 3, "")]
    facts = Facts("abcdefghij", "Real or generated?", "2026-11-24", 8, 0, "", "pictures.csv", 0, {"veriscope": "0.1.0"})
    return Study.make(folder, facts, stimuli, answers)


def take_part(study, wrong=lambda number: False, finish=True):
    person = study.participant(study.begin())
    labels = {stimulus.id: stimulus.label for stimulus in study.stimuli()}
    for place, stimulus in enumerate(person.shown if finish else person.shown[:3]):
        truth = labels[stimulus]
        other = {"real": "generated", "generated": "real"}[truth]
        study.answer(person, stimulus, other if wrong(int(stimulus, 16)) else truth, 2, 1000 * (place + 1))
    return person


def test_the_command_makes_a_study_of_the_very_files_that_detectors_saw(tmp_path, capsys):
    source = manifest(tmp_path)
    data = tmp_path / "data"
    words = [
        "study",
        "create",
        "--data",
        str(data),
        "--manifest",
        str(source),
        "--pictures",
        "4",
        "--each",
        "4",
        "--quick",
    ]
    assert main([*words, "--side", "64"]) == 0
    made = studies(data)[0]
    stimuli = made.stimuli()
    assert sorted(one.label for one in stimuli) == ["generated", "generated", "real", "real"]
    assert len({one.source for one in stimuli}) == 4
    for one in stimuli:
        picture = Image.open(made.picture(one.id))
        assert picture.format == "JPEG"
        assert max(picture.size) == 64
        assert not picture.getexif()
        said = [answer for answer in made.machine_answers() if answer.stimulus == one.id]
        assert {"veriscope"} < {answer.detector for answer in said}
    assert made.facts.key in capsys.readouterr().out
    assert not [path for path in (data / "studies").iterdir() if path.name.startswith(".")]
    assert main(["study", "results", "--data", str(data), made.facts.key]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["people"] is None
    assert told["detectors"][0]["detector"] == "veriscope"
    assert told["detectors"][0]["forced"]["answers"] == 4
    assert main(["study", "delete", "--data", str(data), made.facts.key]) == 0
    assert studies(data) == []


def test_too_few_pictures_and_odd_numbers_are_refused_and_leave_nothing(tmp_path, capsys):
    source = manifest(tmp_path, each=2)
    data = tmp_path / "data"
    words = ["study", "create", "--data", str(data), "--manifest", str(source), "--each", "2"]
    assert main([*words, "--pictures", "40"]) == 2
    assert "has 2 generated pictures" in capsys.readouterr().err
    assert main([*words, "--pictures", "3"]) == 2
    assert "even" in capsys.readouterr().err
    assert studies(data) == []


def test_drawing_is_even_over_sources_and_takes_one_of_a_group(tmp_path):
    from veriscope.lab.data.manifest import read_manifest

    rows = read_manifest(manifest(tmp_path, each=8))
    chosen = draw(rows, 8, seed=3)
    assert chosen == draw(rows, 8, seed=3)
    assert chosen != draw(rows, 8, seed=4)
    counts = {}
    for row in chosen:
        counts[row.source] = counts.get(row.source, 0) + 1
    assert set(counts.values()) == {2}
    same = [type(row)(**{**vars(row), "group": "one"}) for row in rows]
    with pytest.raises(VeriscopeError, match="different groups"):
        draw(same, 4, seed=0)


def test_nothing_of_a_person_is_kept_but_answers_times_and_the_day(study):
    secret = study.begin()
    take_part(study)
    with sqlite3.connect(study.folder / "study.sqlite3") as database:
        columns = {
            row[1] for table in ("participant", "answer") for row in database.execute(f"PRAGMA table_info({table})")
        }
        rows = str(database.execute("SELECT * FROM participant").fetchall())
    assert columns == {
        *("number", "secret", "day", "shown", "finished"),
        *("participant", "stimulus", "answer", "sure", "milliseconds", "place"),
    }
    assert secret not in rows
    assert ":" not in rows.replace('": ', "")


def test_pictures_are_balanced_and_first_answers_count(study):
    person = study.participant(study.begin())
    labels = {stimulus.id: stimulus.label for stimulus in study.stimuli()}
    assert sorted(labels[one] for one in person.shown) == ["generated"] * 4 + ["real"] * 4
    study.answer(person, person.shown[0], "real", 1, 900)
    study.answer(person, person.shown[0], "generated", 3, 100)
    (kept,) = study.answers(person.number)
    assert (kept.answer, kept.sure, kept.milliseconds, kept.place) == ("real", 1, 900, 1)
    for bad in [("0" * 15 + "f", "real", 1), (person.shown[1], "maybe", 1), (person.shown[1], "real", 7)]:
        with pytest.raises(VeriscopeError):
            study.answer(person, *bad, 10)
    study.withdraw(person)
    assert study.answers() == []
    study.close()
    with pytest.raises(VeriscopeError, match="closed"):
        study.begin()


def test_errors_of_people_and_detectors_on_the_same_pictures(study):
    for number in range(6):
        take_part(study, wrong=lambda stimulus, number=number: stimulus == 1 or (stimulus + number) % 8 == 0)
    take_part(study, finish=False)
    found = results(study)
    assert found["participants"] == {"began": 7, "finished": 6, "counted": 7}
    people = found["people"]
    answers = study.answers()
    labels = {stimulus.id: stimulus.label for stimulus in study.stimuli()}
    share = np.mean([answer.answer != labels[answer.stimulus] for answer in answers])
    assert people["error"]["value"] == pytest.approx(share, abs=1e-4)
    assert people["error"]["low"] < share < people["error"]["high"]
    assert people["error"]["answers"] == 6 * 8 + 3
    assert people["sensitivity"] > 1
    whole = found["detectors"][0]
    assert whole["detector"] == "veriscope"
    assert whole["forced"]["value"] == 0.25
    assert whole["decided"] == pytest.approx({"value": 1 / 6, "low": 0.0301, "high": 0.5635, "answers": 6}, abs=1e-3)
    assert whole["undecided"]["value"] == 0.25
    assert whole["fewer"]["value"] == pytest.approx(
        share - np.mean([answer.stimulus[-1] in "25" for answer in answers]), abs=1e-4
    )
    assert found["detectors"][1]["decided"] is None
    assert results(study, finished=True)["people"]["error"]["answers"] == 48
    assert {row["name"] for row in found["groups"]["subject"]} == {"face", "other"}
    assert any(one["people_error"] == 0.387 for one in found["published"])
    table = list(csv.DictReader(io.StringIO(as_csv(study))))
    assert len(table) == 51
    assert sum(row["right"] == "0" for row in table) == round(share * 51)
    assert {row["log10_lr_veriscope"] for row in table} == {"1.5", "-1.5"}


def test_the_interval_covers_other_people_and_other_pictures():
    stimuli = [Stimulus(str(n), "generated" if n % 2 else "real", "s", "", False, False, 1, 1, "") for n in range(30)]
    covered = naive = 0
    rounds = 60
    for seed in range(rounds):
        draw_of = np.random.default_rng(seed)
        hard, weak = draw_of.normal(0, 1, 30), draw_of.normal(0, 1, 20)
        chance = 1 / (1 + np.exp(-(hard + weak[:, None])))
        wrong = draw_of.random((20, 30)) < chance
        answers = [
            Answer(p, str(s), "real" if (s % 2 == 0) != wrong[p, s] else "generated", 2, 1, 1)
            for p in range(20)
            for s in range(30)
        ]
        error = study_statistics.people(answers, stimuli, rounds=300, seed=seed).error
        assert error.value == pytest.approx(wrong.mean())
        covered += error.low <= 0.5 <= error.high
        reach = 1.96 * np.sqrt(error.value * (1 - error.value) / 600)
        naive += abs(error.value - 0.5) <= reach
    assert covered >= 0.9 * rounds
    assert naive < 0.6 * rounds


def test_one_person_alone_has_no_interval(study):
    take_part(study)
    error = results(study)["people"]["error"]
    assert error == {"value": 0.0, "low": None, "high": None, "answers": 8}


def test_the_pages_need_consent_then_show_the_feed_and_the_end(settings, study):
    settings = settings.__class__(**{**vars(settings), "data": study.folder.parent.parent})
    with running(settings, work=False) as client:
        page = client.get("/study/abcdefghij")
        assert "I have read this and agree" in page.text
        assert client.post("/study/abcdefghij/begin", data={"agree": "no"}).status_code == 422
        assert client.get(f"/study/abcdefghij/pictures/{study.stimuli()[0].id}.jpg").status_code == 403
        begun = client.post("/study/abcdefghij/begin", data={"agree": "yes"})
        assert begun.status_code == 303
        cookie = begun.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        for left in range(8, 0, -1):
            feed = client.get("/study/abcdefghij/feed")
            stimulus = feed.text.split('name="picture" value="')[1].split('"')[0]
            shown = feed.text.split('name="shown_at" value="')[1].split('"')[0]
            assert "source" not in feed.text.split("<main")[1]
            assert client.get(f"/study/abcdefghij/pictures/{stimulus}.jpg").headers["content-type"] == "image/jpeg"
            sent = {"picture": stimulus, "answer": "real", "sure": "1", "shown_at": shown}
            assert client.post("/study/abcdefghij/answers", data=sent).status_code == 303, left
        assert client.get("/study/abcdefghij/feed").headers["location"] == "/study/abcdefghij/end"
        assert "right about 4 of 8" in client.get("/study/abcdefghij/end").text
        assert "6" in client.get("/study/abcdefghij/end").text
        assert client.get("/study/abcdefghij/results").status_code == 200
        assert client.get("/study/abcdefghij/results.json").json()["people"]["error"]["value"] == 0.5
        assert client.get("/study/abcdefghij/answers.csv").text.startswith("participant,place,picture")
        assert "Your answers are deleted" in client.post("/study/abcdefghij/withdraw", data={"x": "1"}).text
        assert open_study(settings.data, "abcdefghij").answers() == []
        assert client.get("/study/../../etc", headers={"accept": "text/html"}).status_code == 404
        assert client.get("/study/zzzzzzzzzz").status_code == 404
