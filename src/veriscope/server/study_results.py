"""The results of a study as one JSON object, and its answers as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from veriscope.server.study_statistics import Estimate, Machine, machine, people
from veriscope.server.study_store import Answer, Stimulus, Study

SCHEMA: Final = 1
FEWEST: Final = 8  # answers of a group that is listed by itself
PUBLISHED: Final = (
    {
        "study": "Lu et al., Seeing is not always believing (HPBench), 2023",
        "people_error": 0.387,
        "machine_error": 0.13,
        "note": "photographs; the best of their models",
    },
    {
        "study": "Cooke et al., As Good As A Coin Toss, 2024",
        "people_error": None,
        "machine_error": None,
        "note": "1276 people on a feed-like page: right about as often as a coin toss, over pictures, videos and sound",
    },
    {
        "study": "Silva et al., ArtBrain, 2024",
        "people_error": 0.42,
        "machine_error": 0.01,
        "note": "art; about 58 % of 50 people's answers were right, about 99 % of the model's on its own data",
    },
)
"""What others measured on their pictures, as they state it; never on these."""

GROUPS: Final[dict[str, Callable[[Stimulus], str]]] = {
    "generator": lambda one: one.generator or ("unknown generator" if one.label == "generated" else "real"),
    "source": lambda one: one.source,
    "subject": lambda one: "face" if one.face else ("art" if one.art else "other"),
}


def results(study: Study, *, finished: bool = False) -> dict[str, Any]:
    """What a study has found so far.

    Args:
        study: which.
        finished: count only people who answered every picture.
    """
    facts, stimuli, answers = study.facts, study.stimuli(), study.answers(finished=finished)
    began, done = study.counts()
    said = study.machine_answers()
    detectors = sorted({answer.detector for answer in said}, key=lambda name: (name != "veriscope", name))
    found = {
        "schema": SCHEMA,
        "study": asdict(facts),
        "pictures": {label: sum(one.label == label for one in stimuli) for label in ("generated", "real")},
        "participants": {"began": began, "finished": done, "counted": len({answer.participant for answer in answers})},
        "people": asdict(people(answers, stimuli)) if answers else None,
        "detectors": [_shown(machine(name, said, answers, stimuli)) for name in detectors],
        "groups": {name: _groups(study, answers, stimuli, of) for name, of in GROUPS.items()},
        "published": list(PUBLISHED),
        "interval": "95 %: for people by drawing people and pictures anew, for detectors alone by Wilson",
    }
    return _plain(found)  # type: ignore[no-any-return]


def _shown(one: Machine) -> dict[str, Any]:
    return asdict(one)


def _groups(
    study: Study, answers: list[Answer], stimuli: list[Stimulus], of: Callable[[Stimulus], str]
) -> list[dict[str, Any]]:
    rows = []
    said = study.machine_answers()
    for name in sorted({of(one) for one in stimuli}):
        some = [one for one in stimuli if of(one) == name]
        kept = {one.id for one in some}
        given = [answer for answer in answers if answer.stimulus in kept]
        if len(given) < FEWEST:
            continue
        whole = machine("veriscope", said, given, some)
        error = people(given, some).error
        rows.append({"name": name, "pictures": len(some), "people": asdict(error), "veriscope": asdict(whole.forced)})
    return rows


def _plain(value: Any) -> Any:
    """JSON has no number for what is not a number."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value


def as_csv(study: Study) -> str:
    """Every answer as a row: who (a number), which picture, what it is, what was said, and the detectors' ratios."""
    stimuli = {one.id: one for one in study.stimuli()}
    ratios: dict[str, dict[str, float]] = {}
    for answer in study.machine_answers():
        ratios.setdefault(answer.stimulus, {})[answer.detector] = answer.log10_lr
    detectors = sorted({name for row in ratios.values() for name in row})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["participant", "place", "picture", "sha256", "label", "source", "generator", "face", "art"]
    writer.writerow([*head, "answer", "right", "sure", "milliseconds", *(f"log10_lr_{name}" for name in detectors)])
    for given in study.answers():
        one = stimuli[given.stimulus]
        row = [given.participant, given.place, one.id, one.sha256, one.label, one.source, one.generator]
        row += [
            int(one.face),
            int(one.art),
            given.answer,
            int(given.answer == one.label),
            given.sure,
            given.milliseconds,
        ]
        writer.writerow([*map(_cell, row), *(ratios.get(one.id, {}).get(name, "") for name in detectors)])
    return text.getvalue()


def _cell(value: object) -> object:
    """A spreadsheet runs what begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" else value


def percent(estimate: dict[str, Any] | Estimate | None) -> str:
    """An estimate for people: ``38.7 % (31.2 to 46.0)``."""
    if estimate is None:
        return "–"
    values = asdict(estimate) if isinstance(estimate, Estimate) else estimate
    if values["value"] is None or not values["answers"]:
        return "–"
    said = f"{100 * values['value']:.1f}\u00a0%".replace("-", "−")
    if values["low"] is None:
        return f"{said} (too few for an interval)"
    return f"{said} ({100 * values['low']:.1f} to {100 * values['high']:.1f})".replace("-", "−")
