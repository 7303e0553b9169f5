"""People's errors against the detectors' on the same pictures, with intervals that hold for other people and other pictures.

Answers of one person are alike, and so are answers to one picture; an interval that counts them as independent is too narrow.
People and pictures are therefore both drawn anew (the pigeonhole bootstrap: Owen, "The pigeonhole bootstrap", Annals of Applied
Statistics 2007). Fails where there are fewer than two people or two pictures of a class: the interval is then missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veriscope.lab.benchmark.metrics import wilson_interval
from veriscope.server.study_store import Answer, MachineAnswer, Stimulus

ROUNDS: Final = 2000  # draws of the bootstrap
LEVEL: Final = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A share with its 95 % interval and the answers it is of; ``low`` and ``high`` are None where there is no interval."""

    value: float
    low: float | None
    high: float | None
    answers: int


@dataclass(frozen=True)
class People:
    """How people did: shares of their answers.

    Attributes:
        error: wrong, of all answers.
        false_alarms: real pictures called generated.
        misses: generated pictures called real.
        sensitivity: d', how well the two are told apart (0: not at all), by signal detection theory.
        bias: the criterion c; positive: "real" is said too readily.
        seconds: median that an answer took.
        by_sureness: error by how sure they were.
    """

    error: Estimate
    false_alarms: Estimate
    misses: Estimate
    sensitivity: float
    bias: float
    seconds: float
    by_sureness: dict[int, Estimate]


@dataclass(frozen=True)
class Machine:
    """How a detector did on the pictures that people answered.

    Attributes:
        detector: its name.
        forced: error where it must choose, as people must: "generated" where its likelihood ratio is above 1.
        decided: error where it decides, at the operating points that it ships with; None for a part of the whole.
        undecided: share of pictures on which it says "cannot tell"; None for a part of the whole.
        fewer: people's error less its forced error, on the same pictures.
    """

    detector: str
    forced: Estimate
    decided: Estimate | None
    undecided: Estimate | None
    fewer: Estimate


def people(answers: Sequence[Answer], stimuli: Sequence[Stimulus], *, rounds: int = ROUNDS, seed: int = 0) -> People:
    """How people did.

    Args:
        answers: at least one.
        stimuli: the pictures they were given to.
        rounds: of the bootstrap.
        seed: of its draws.
    Raises:
        ValueError: no answers.
    """
    if not answers:
        raise ValueError("nobody has answered yet")
    wrong, given, generated = _table(answers, stimuli)
    error = _estimate(wrong, given, rounds, seed)
    alarms = _estimate(wrong * ~generated, given * ~generated, rounds, seed)
    misses = _estimate(wrong * generated, given * generated, rounds, seed)
    levels = {}
    for sure in sorted({answer.sure for answer in answers}):
        some = [answer for answer in answers if answer.sure == sure]
        part, of, _ = _table(some, stimuli)
        levels[sure] = _estimate(part, of, rounds, seed)
    sensitivity, bias = _signal(1 - misses.value, alarms.value, misses.answers, alarms.answers)
    seconds = float(np.median([answer.milliseconds for answer in answers])) / 1000
    return People(error, alarms, misses, sensitivity, bias, seconds, levels)


def machine(
    detector: str,
    machine_answers: Sequence[MachineAnswer],
    answers: Sequence[Answer],
    stimuli: Sequence[Stimulus],
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Machine:
    """How a detector did, on the pictures that people answered (all of them before anybody has)."""
    said = {answer.stimulus: answer for answer in machine_answers if answer.detector == detector}
    shown = {answer.stimulus for answer in answers} or {stimulus.id for stimulus in stimuli}
    asked = [stimulus for stimulus in stimuli if stimulus.id in said and stimulus.id in shown]
    wrong = [(said[one.id].log10_lr > 0) != (one.label == "generated") for one in asked]
    decided = [one for one in asked if said[one.id].state in ("yes", "no")]
    decides = any(said[one.id].state for one in asked)
    errors = sum((said[one.id].state == "yes") != (one.label == "generated") for one in decided)
    by_stimulus = {one.id: float(flag) for one, flag in zip(asked, wrong, strict=True)}
    return Machine(
        detector,
        _counted(sum(wrong), len(asked)),
        _counted(errors, len(decided)) if decides else None,
        _counted(len(asked) - len(decided), len(asked)) if decides else None,
        _difference(answers, asked, by_stimulus, rounds, seed),
    )


def _counted(hits: int, tries: int) -> Estimate:
    if not tries:
        return Estimate(float("nan"), None, None, 0)
    low, high = wilson_interval(hits, tries)
    return Estimate(hits / tries, low, high, tries)


def _table(answers: Sequence[Answer], stimuli: Sequence[Stimulus]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """(people, pictures): 1 where wrong, 1 where answered; (pictures,) whether generated."""
    persons = {number: place for place, number in enumerate(sorted({answer.participant for answer in answers}))}
    places = {stimulus.id: place for place, stimulus in enumerate(stimuli)}
    generated = np.array([stimulus.label == "generated" for stimulus in stimuli], bool)
    wrong = np.zeros((len(persons), len(stimuli)))
    given = np.zeros_like(wrong)
    for answer in answers:
        if answer.stimulus in places:
            at = persons[answer.participant], places[answer.stimulus]
            given[at] = 1
            wrong[at] = (answer.answer == "generated") != generated[at[1]]
    return wrong, given, generated


def _estimate(wrong: Floats, given: Floats, rounds: int, seed: int) -> Estimate:
    count = int(given.sum())
    if not count:
        return Estimate(float("nan"), None, None, 0)
    low, high = _interval(wrong, given, lambda wrongs, all_given: wrongs / all_given, rounds, seed)
    return Estimate(float(wrong.sum() / count), low, high, count)


def _interval(
    wrong: Floats, given: Floats, measure: Callable[[Floats, Floats], Floats], rounds: int, seed: int
) -> tuple[float | None, float | None]:
    """People and pictures drawn anew; ``measure`` takes the weighted sums of each round."""
    rows, columns = given.any(axis=1), given.any(axis=0)
    wrong, given = wrong[rows][:, columns], given[rows][:, columns]
    if min(given.shape) < 2:
        return None, None
    draw = np.random.default_rng(seed)
    many, pictures = given.shape
    of_people = draw.multinomial(many, np.full(many, 1 / many), rounds).astype(np.float64)
    of_pictures = draw.multinomial(pictures, np.full(pictures, 1 / pictures), rounds).astype(np.float64)
    wrongs = np.einsum("rp,ps,rs->r", of_people, wrong, of_pictures, optimize=True)
    total = np.einsum("rp,ps,rs->r", of_people, given, of_pictures, optimize=True)
    kept = total > 0
    values = measure(wrongs[kept], total[kept])
    tail = (1 - LEVEL) / 2
    return float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail))


def _difference(
    answers: Sequence[Answer], stimuli: Sequence[Stimulus], by_stimulus: dict[str, float], rounds: int, seed: int
) -> Estimate:
    """People's error less the detector's, answer by answer on the same pictures."""
    known = [answer for answer in answers if answer.stimulus in by_stimulus]
    if not known:
        return Estimate(float("nan"), None, None, 0)
    wrong, given, _ = _table(known, stimuli)
    less = wrong - given * np.array([by_stimulus[stimulus.id] for stimulus in stimuli])
    low, high = _interval(less, given, lambda differences, total: differences / total, rounds, seed)
    return Estimate(float(less.sum() / given.sum()), low, high, int(given.sum()))


def _signal(hit_rate: float, alarm_rate: float, generated: int, real: int) -> tuple[float, float]:
    """d' and c of signal detection theory, with the log-linear correction of rates that are 0 or 1 (Hautus 1995)."""
    from statistics import NormalDist

    if not generated or not real:
        return float("nan"), float("nan")
    hits = NormalDist().inv_cdf((hit_rate * generated + 0.5) / (generated + 1))
    alarms = NormalDist().inv_cdf((alarm_rate * real + 0.5) / (real + 1))
    return hits - alarms, -(hits + alarms) / 2
