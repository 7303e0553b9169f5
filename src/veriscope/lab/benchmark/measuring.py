"""Ask detectors about the files of a manifest, as they are and perturbed, and keep every answer.

A picture is opened once, each version of it is encoded and opened once, and all detectors share what is computed from it (the
backbone's pass, the JPEG's history). Answers are appended to a JSON-lines file as they come, so a run that was stopped goes on,
and each carries the mark of the weights that gave it: a detector that was trained again is asked again, the others are not.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from veriscope import models, plugins
from veriscope.batch import open_json_lines, read_json_lines
from veriscope.errors import PictureError, VeriscopeError
from veriscope.evidence import Evidence, Question
from veriscope.examination import hear
from veriscope.lab.benchmark.perturbations import AS_IS, perturbed
from veriscope.lab.data.manifest import Row, without_signature
from veriscope.picture import Picture, open_picture
from veriscope.plugins import Detector
from veriscope.synthetic import backbone
from veriscope.weighing import Panel, weigh

FAILED = "the detector "  # how the reason of a failure begins (examination.hear)
UNTRAINED = "untrained"
SILENT = "it does not apply to this picture"


@dataclass(frozen=True)
class Answer:
    """What one detector said of one version of a picture; ``score`` is None where it said nothing."""

    detector: str
    version: str
    mark: str
    score: float | None
    log10_lr: float
    reliability: float
    reason: str
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether the detector broke or took too long."""
        return self.reliability == 0 and self.reason.startswith(FAILED)


@dataclass(frozen=True)
class Entry:
    """All answers about one version of a picture."""

    key: str
    label: str
    source: str
    variant: str
    short_side: int
    answers: dict[str, Answer]


@dataclass(frozen=True)
class Weighed:
    """A fused score and the verdict on it; ``threshold`` is the score at which the calibration promises FPR 5 %."""

    score: float
    log10_lr: float
    reliability: float
    state: str
    fpr: float | None
    threshold: float


def installed() -> list[Detector]:
    """Every detector of "is it generated?" that can be asked here: those with weights, and those that need none."""
    return [
        detector
        for detector in plugins.detectors()
        if not isinstance(detector, plugins.Broken)
        and detector.question == Question.GENERATED
        and detector.version != UNTRAINED
    ]


def shipped() -> list[Detector]:
    """Those of ``installed`` that an examination asks unless told otherwise."""
    return [detector for detector in plugins.asked() if detector.question == Question.GENERATED]


def mark_of(detector: Detector) -> str:
    """Twelve hexadecimal digits that change when the detector's version, weights or calibration do."""
    files = [
        digest
        for entry in models.registry().values()
        if detector.name in entry.used_by or entry.name in (detector.name, backbone.MODEL)
        for digest in entry.files.values()
    ]
    return hashlib.sha256(" ".join([detector.name, str(detector.version), *sorted(files)]).encode()).hexdigest()[:12]


def join(held: dict[tuple[str, str], Entry], entry: Entry) -> None:
    """Add an entry to those that are held by key and variant; answers about the same version come together, the newest kept."""
    where = entry.key, entry.variant
    before = held[where].answers if where in held else {}
    held[where] = replace(entry, answers={**before, **entry.answers})


class Results:
    """The answers of all runs over one folder of work."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: dict[tuple[str, str], Entry] = {}
        for line in read_json_lines(path):
            try:
                answers = {item["detector"]: Answer(**item) for item in line.pop("answers")}
                self._take(Entry(**line, answers=answers))
            except (KeyError, TypeError, AttributeError):
                continue  # a line of an older version

    def _take(self, entry: Entry) -> None:
        join(self._held, entry)

    def missing(self, key: str, variant: str, marks: Mapping[str, str]) -> list[str]:
        """The detectors of ``marks`` (name to mark) that have not answered about a version of a picture."""
        held = self._held.get((key, variant))
        return [
            name
            for name, mark in marks.items()
            if held is None or name not in held.answers or held.answers[name].mark != mark
        ]

    def add(self, entry: Entry, out: Any) -> None:
        """Keep an entry, in the file first.

        Raises:
            VeriscopeError: it cannot be written; what was complete is kept.
        """
        try:
            out.write(json.dumps(asdict(entry) | {"answers": [asdict(item) for item in entry.answers.values()]}) + "\n")
            out.flush()
        except OSError as error:
            raise VeriscopeError(
                f"{self.path}: cannot be written: {error.strerror}; what was complete is kept"
            ) from error
        self._take(entry)

    def entries(self, jobs: Iterable[tuple[Row, Sequence[str]]], marks: Mapping[str, str]) -> list[Entry]:
        """What is known of these versions of these pictures, as detectors of ``marks`` said it."""
        found = []
        for row, variants in jobs:
            for variant in variants:
                held = self._held.get((row.key, variant))
                if held is None:
                    continue
                answers = {name: item for name, item in held.answers.items() if item.mark == marks.get(name)}
                if answers:
                    found.append(Entry(**{**vars(held), "label": row.label, "answers": answers}))
        return found


def measure(
    jobs: Sequence[tuple[Row, Sequence[str]]],
    detectors: Sequence[Detector],
    results: Results,
    *,
    say: Callable[[str], None] = print,
) -> tuple[list[Entry], list[str]]:
    """Ask the detectors about versions of pictures; what ``results`` holds is not asked again.

    Args:
        jobs: pictures and the names of the perturbations wanted of each, "as is" for the file itself.
        detectors: whom to ask.
        results: grows by what is new.
        say: called with each line of progress.
    Returns:
        an entry a picture and version, and a line for each picture that could not be opened.
    """
    marks = {detector.name: mark_of(detector) for detector in detectors}
    todo = [
        (row, {name: lacking for name in variants if (lacking := results.missing(row.key, name, marks))})
        for row, variants in jobs
    ]
    todo = [(row, wanted) for row, wanted in todo if wanted]
    left_out: list[str] = []
    started = time.monotonic()
    with open_json_lines(results.path) as out:
        for done, (row, wanted) in enumerate(todo, 1):
            try:
                for variant, picture in versions(row, list(wanted)):
                    those = [detector for detector in detectors if detector.name in wanted[variant]]
                    answers = _asked(picture, those, marks)
                    short_side = min(picture.width, picture.height)
                    results.add(Entry(row.key, row.label, row.source, variant, short_side, answers), out)
            except PictureError as error:
                left_out.append(str(error))
                say(f"left out: {error}")
            if done % 20 == 0 or done == len(todo):
                pace = (time.monotonic() - started) / done
                left = pace * (len(todo) - done) / 60
                say(f"asked about {done} of {len(todo)} pictures, {pace:.1f} s each, about {left:.0f} min left")
    return results.entries(jobs, marks), left_out


def versions(row: Row, names: Sequence[str]) -> Iterator[tuple[str, Picture]]:
    """A picture as it is and perturbed, without the strip in which its generator signs.

    Raises:
        PictureError: it cannot be opened.
    """
    picture = open_picture(row.path)
    rgb = without_signature(picture.rgb, row)
    for name in names:
        if name != AS_IS:
            yield name, open_picture(perturbed(rgb, name, row.key), name=row.path.name)
        elif rgb.shape == picture.rgb.shape:
            yield name, picture
        else:  # the file as it is would show the generator's name
            yield name, open_picture(perturbed(rgb, "PNG", row.key), name=row.path.name)


def _asked(picture: Picture, detectors: Sequence[Detector], marks: Mapping[str, str]) -> dict[str, Answer]:
    heard = {item.detector: (item, seconds) for item, seconds in hear(picture, detectors)}
    answers = {}
    for detector in detectors:
        name, version = detector.name, str(detector.version)
        if name not in heard:
            answers[name] = Answer(name, version, marks[name], None, 0.0, 0.0, SILENT, 0.0)
            continue
        item, seconds = heard[name]
        score = None if item.reliability == 0 and item.reason.startswith(FAILED) else item.score
        answers[name] = Answer(
            name, version, marks[name], score, item.log10_lr, item.reliability, item.reason, round(seconds, 4)
        )
    return answers


def weighed(answers: Sequence[Answer]) -> Weighed | None:
    """What the installed calibrations make of these answers together; None where none covers them."""
    heard = [
        Evidence(
            item.detector,
            item.version,
            Question.GENERATED,
            item.score,
            item.log10_lr,
            item.reliability,
            "",
            item.reason,
        )
        for item in answers
        if item.score is not None
    ]
    panel = panel_of(answers)
    if panel is None:
        return None
    fused = panel.fused({f"{item.detector}@{item.version}": item.score for item in heard})
    assert fused is not None  # the panel was chosen for it
    verdict = weigh(Question.GENERATED, heard, models.panels())
    return Weighed(fused, verdict.log10_lr, verdict.reliability, verdict.state, verdict.fpr, panel.threshold(0.05))


def panel_of(answers: Sequence[Answer]) -> Panel | None:
    """The calibration with the most members that these answers cover, as ``weigh`` chooses it; None where there is none."""
    scores = {f"{item.detector}@{item.version}": item.score for item in answers if item.score is not None}
    fitting = [
        panel
        for panel in models.panels()
        if panel.question == Question.GENERATED and panel.members.keys() <= scores.keys()
    ]
    return max(fitting, key=lambda panel: len(panel.members), default=None)
