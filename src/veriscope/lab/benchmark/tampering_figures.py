"""From what localisers answered to tables: per method, per source of edits and overall, as is and after sharing.

Two conventions stand side by side: over edited pictures only, and over all, where a correct empty map on an authentic picture
scores 1 and any other 0. Intervals are over pictures. The picture's AUC sets edited against all authentic pictures; where
these come from other sources, it measures in part how the sources differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from veriscope import models
from veriscope.evidence import Evidence, Question
from veriscope.lab.benchmark.localisation import AT_FIXED, GRID, all_convention, mean_interval
from veriscope.lab.benchmark.metrics import auc, bootstrap_interval, wilson_interval
from veriscope.lab.benchmark.tampering_answers import Answer, Entry, Table
from veriscope.weighing import weigh

FUSED = "fused"
EDITED, AUTHENTIC = "edited", "real"  # labels of a manifest
EVERYWHERE = "all sources"
CALLED_SHARE = 0.005  # of the picture: a region of this size counts as called where no calibration decides
RATE = 0.01  # the operating point at which a verdict counts as calling an edit
ROUNDS = 300  # of the bootstrap of an AUC
BY_VERDICT = "the verdict at FPR 1 %"
BY_REGION = f"a region at or above 0.5 of at least {CALLED_SHARE:.1%} of the picture"


def called(entry: Entry, method: str) -> tuple[bool, str]:
    """Whether a method calls an edit in a picture at its operating point, and what that point is.

    The fused method decides by its calibrated verdict at a false-alarm rate of 1 % where a calibration covers it, any other by
    the largest region that it calls.
    """
    if method == FUSED and any(panel.question == Question.EDITED for panel in models.panels()):
        verdict = weigh(Question.EDITED, _evidence(entry), models.panels())
        return verdict.state == "yes" and verdict.fpr is not None and verdict.fpr <= RATE, BY_VERDICT
    return entry.answers[method].largest >= CALLED_SHARE, BY_REGION


def _evidence(entry: Entry) -> list[Evidence]:
    return [
        Evidence(one.method, one.version, Question.EDITED, one.score, 0.0, one.reliability, "", weighed=one.weighed)
        for one in entry.answers.values()
        if one.score is not None
    ]


def tables(entries: Sequence[Entry], *, seed: int = 0) -> Table:
    """A run's tables: ``figures``, a line a condition, source and method; ``alarms``, one a source of authentic pictures."""
    conditions = list(dict.fromkeys(entry.condition for entry in entries))
    methods = list(dict.fromkeys(name for entry in entries for name in entry.answers))
    figures: list[Table] = []
    alarms: list[Table] = []
    for condition in conditions:
        here = [entry for entry in entries if entry.condition == condition]
        edited, authentic = ([entry for entry in here if entry.label == label] for label in (EDITED, AUTHENTIC))
        for source in (EVERYWHERE, *sorted({entry.source for entry in edited})):
            chosen = [entry for entry in edited if source in (EVERYWHERE, entry.source)]
            for method in methods:
                line = figures_of(method, _with(chosen, method), _with(authentic, method), seed=seed)
                figures.append({"condition": condition, "source": source, **line})
        for source in sorted({entry.source for entry in authentic}):
            chosen = [entry for entry in authentic if entry.source == source]
            alarms += [
                {"condition": condition, "source": source, "method": method, **_alarms(method, those)}
                for method in methods
                if (those := _with(chosen, method))
            ]
    return {"figures": figures, "alarms": alarms, "conditions": conditions, "methods": methods}


def _with(entries: Sequence[Entry], method: str) -> list[Entry]:
    return [entry for entry in entries if method in entry.answers]


def figures_of(method: str, edited: Sequence[Entry], authentic: Sequence[Entry], *, seed: int = 0) -> Table:
    """One method's figures under one condition on edited pictures, set against authentic ones; None where there are none.

    Args:
        method: its name.
        edited, authentic: entries that hold its answers.
        seed: of the bootstrap.
    """
    said, plain = ([entry.answers[method] for entry in some] for some in (edited, authentic))
    silent = [answer for answer in (*said, *plain) if answer.score is None]
    failures = [answer for answer in silent if answer.failed]
    at = np.array([answer.f1_at for answer in said]).reshape(-1, len(GRID))
    pixel_aucs = [answer.auc for answer in said if answer.auc is not None]
    empty = [answer.empty for answer in plain]
    mean, low, high = mean_interval(at[:, AT_FIXED], seed=seed)
    common = at.mean(0) if len(at) else np.full(len(GRID), np.nan)
    found: Table = {
        "method": method,
        "pictures": len(said),
        "authentic": len(plain),
        "answered": len(said) + len(plain) - len(silent),
        "failed": len(failures),
        "reason": failures[0].reason if failures else "",
        "f1": mean,
        "f1_low": low,
        "f1_high": high,
        "best_f1": at.max(1).mean() if len(at) else None,
        "common_f1": common.max(),
        "common_threshold": GRID[common.argmax()] if len(at) else None,
        "iou": _mean([answer.iou for answer in said]),
        "pixel_auc": _mean(pixel_aucs),
        "f1_all": _mean(all_convention(at[:, AT_FIXED], empty)),
        "best_f1_all": _mean(all_convention(at.max(1, initial=0), [answer.f1_at[-1] == 1 for answer in plain])),
        "iou_all": _mean(all_convention([answer.iou for answer in said], empty)),
        "pixel_auc_all": _mean(all_convention(pixel_aucs, empty)),
        "caught": _mean([called(entry, method)[0] for entry in edited]),
        "judged": _mean([answer.judged for answer in (*said, *plain)]),
        "seconds": float(np.median([answer.seconds for answer in (*said, *plain)])) if said or plain else None,
        **_alarms(method, authentic),
        **_picture_auc(said, plain, seed),
    }
    return {name: _plain(value) for name, value in found.items()}


def _picture_auc(said: Sequence[Answer], plain: Sequence[Answer], seed: int) -> Table:
    if not said or not plain:
        return {"picture_auc": None, "picture_auc_low": None, "picture_auc_high": None}
    scores = [answer.score or 0.0 for answer in (*said, *plain)]
    labels = np.repeat([1, 0], [len(said), len(plain)])
    low, high = bootstrap_interval(scores, labels, rounds=ROUNDS, seed=seed)
    return {"picture_auc": auc(scores, labels), "picture_auc_low": low, "picture_auc_high": high}


def _alarms(method: str, authentic: Sequence[Entry]) -> Table:
    """The share of authentic pictures in which a method calls an edit, with its interval, and by what it does."""
    if not authentic:
        return {"alarms": None, "alarms_low": None, "alarms_high": None, "alarms_by": "", "untouched": 0}
    calls = [called(entry, method) for entry in authentic]
    hits = sum(hit for hit, _ in calls)
    low, high = wilson_interval(hits, len(calls))
    return {
        "alarms": hits / len(calls),
        "alarms_low": low,
        "alarms_high": high,
        "alarms_by": calls[0][1],
        "untouched": len(calls),
    }


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _plain(value: Any) -> Any:
    """A figure as JSON holds it: no NumPy type, and None where it is no number."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if value != value else round(value, 4)
    return value
