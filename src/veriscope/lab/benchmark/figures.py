"""From answers to tables: what ``measuring`` and ``refitting`` found, as plain values that Parquet, JSON and the page hold.

A detector that says nothing of a picture, or fails on it, is measured on the others, and the table says on how many. Intervals
are over sources, for the next source is what a reader asks about; where a class has one source they are over pictures.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.lab.benchmark import measuring
from veriscope.lab.benchmark.cheats import PREFIX
from veriscope.lab.benchmark.measuring import Answer, Entry
from veriscope.lab.benchmark.metrics import (
    auc,
    average_precision,
    balanced_accuracy,
    bootstrap_interval,
    expected_calibration_error,
    flip_rates,
    mean_source_pair_auc,
    per_source_auc,
    rate_above,
    reliability_diagram,
    roc_curve,
    tpr_at_fpr,
)
from veriscope.lab.benchmark.perturbations import AS_IS, PERTURBATIONS, UNITS
from veriscope.lab.data.variants import REENCODINGS

ENSEMBLE = "veriscope"
RATES = (0.05, 0.01, 0.001)
ROUNDS = 300  # of the bootstrap
CHANCE = 0.5
ROC_POINTS = 160

Table = dict[str, Any]


@dataclass(frozen=True)
class Series:
    """What one detector said of one version of many pictures.

    Attributes:
        keys, labels, sources: (N,), of the pictures that it spoke of; labels 1 or 0.
        scores, log10_lrs: (N,).
        states: (N,) the verdicts that its calibration gives.
        threshold: the score at which its calibration promises FPR 5 %; None where it has none.
        asked, failed: how many pictures it was asked about, and on how many it failed.
        reason: of its failures.
        seconds: the median it took.
    """

    keys: NDArray[np.str_]
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    scores: NDArray[np.float64]
    log10_lrs: NDArray[np.float64]
    states: NDArray[np.str_]
    threshold: float | None
    asked: int
    failed: int
    reason: str
    seconds: float

    @property
    def two_classes(self) -> bool:
        """Whether there is anything to tell apart."""
        return 0 < int(self.labels.sum()) < len(self.labels)

    def chosen(self, which: NDArray[np.bool_]) -> Series:
        """Of some of the pictures."""
        return replace(
            self,
            keys=self.keys[which],
            labels=self.labels[which],
            sources=self.sources[which],
            scores=self.scores[which],
            log10_lrs=self.log10_lrs[which],
            states=self.states[which],
            asked=int(which.sum()),
        )


@dataclass(frozen=True)
class _Said:
    entry: Entry
    score: float | None
    log10_lr: float = 0.0
    state: str = "cannot tell"
    threshold: float | None = None
    failure: str = ""
    seconds: float = math.nan


def series(entries: Iterable[Entry], ensemble: Sequence[str] = ()) -> dict[tuple[str, str], Series]:
    """Answers by detector and version.

    Args:
        entries: as measured.
        ensemble: the detectors that the shipped examination asks; what it makes of them together is a detector of its own.
    """
    held: dict[tuple[str, str], list[_Said]] = defaultdict(list)
    for entry in entries:
        if entry.label not in ("real", "generated"):
            continue
        for name, answer in entry.answers.items():
            held[name, entry.variant].append(_alone(entry, answer))
        members = [entry.answers[name] for name in ensemble if name in entry.answers]
        if members:
            fused = measuring.weighed(members)
            held[ENSEMBLE, entry.variant].append(
                _Said(entry, None)
                if fused is None
                else _Said(entry, fused.score, fused.log10_lr, fused.state, fused.threshold)
            )
    return {where: _series(items) for where, items in held.items()}


def scores_of(entry: Entry, ensemble: Sequence[str] = ()) -> dict[str, float]:
    """The score of each detector that spoke of one version of a picture, the shipped ensemble's among them."""
    found = {name: answer.score for name, answer in entry.answers.items() if answer.score is not None}
    fused = measuring.weighed([entry.answers[name] for name in ensemble if name in entry.answers])
    return found if fused is None else {ENSEMBLE: fused.score, **found}


def _alone(entry: Entry, answer: Answer) -> _Said:
    if answer.score is None:
        return _Said(entry, None, failure=answer.reason if answer.failed else "")
    fused = None if answer.detector.startswith(PREFIX) else measuring.weighed([answer])
    if fused is None:
        return _Said(entry, answer.score, answer.log10_lr, seconds=answer.seconds)
    return _Said(entry, answer.score, fused.log10_lr, fused.state, fused.threshold, seconds=answer.seconds)


def _series(items: Sequence[_Said]) -> Series:
    spoken = [(item, item.score) for item in items if item.score is not None]
    failures = [item.failure for item in items if item.failure]
    seconds = [item.seconds for item, _ in spoken if not math.isnan(item.seconds)]
    return Series(
        np.array([item.entry.key for item, _ in spoken], str),
        np.array([item.entry.label == "generated" for item, _ in spoken], np.int64),
        np.array([item.entry.source for item, _ in spoken], str),
        np.array([score for _, score in spoken], np.float64),
        np.array([item.log10_lr for item, _ in spoken], np.float64),
        np.array([item.state for item, _ in spoken], str),
        next((item.threshold for item, _ in spoken if item.threshold is not None), None),
        len(items),
        len(failures),
        failures[0] if failures else "",
        float(np.median(seconds)) if seconds else math.nan,
    )


def interval(one: Series) -> tuple[float, float, str]:
    """A 95 % interval of the AUC and what it is over: "sources", or "pictures" where a class has one source."""
    low, high = bootstrap_interval(one.scores, one.labels, sources=one.sources, rounds=ROUNDS)
    if not math.isnan(low):
        return low, high, "sources"
    return *bootstrap_interval(one.scores, one.labels, rounds=ROUNDS), "pictures"


def row(name: str, one: Series) -> Table:
    """The line of a detector in a table; figures are missing where it did not speak of both classes."""
    found: Table = {
        "detector": name,
        "kind": "cheat" if name.startswith(PREFIX) else "ensemble" if name == ENSEMBLE else "detector",
        "asked": one.asked,
        "answered": len(one.keys),
        "failed": one.failed,
        "reason": one.reason,
        "real": int((one.labels == 0).sum()),
        "generated": int((one.labels == 1).sum()),
    }
    if not one.two_classes:
        found["reason"] = one.reason or "it did not speak of pictures of both classes"
        return found
    x, y = one.scores, one.labels == 1
    low, high, over = interval(one)
    found |= {
        "auc": auc(x, y),
        "low": low,
        "high": high,
        "over": over,
        "mean_source_pair_auc": mean_source_pair_auc(x, y, one.sources),
        **{f"tpr_at_fpr_{rate:g}": tpr_at_fpr(x, y, rate) for rate in RATES},
        "average_precision": average_precision(x, y),
        "seconds": _or_none(one.seconds),
    }
    found |= dict(zip(("tpr_low", "tpr_high"), _tpr_interval(one), strict=True))
    if found["kind"] != "cheat":
        found |= {
            "balanced_accuracy": balanced_accuracy(one.log10_lrs, y),
            "ece": expected_calibration_error(one.log10_lrs, y),
            "cannot_tell": float((one.states == "cannot tell").mean()),
        }
    if one.threshold is not None:
        found |= {"own_tpr": rate_above(x[y], one.threshold), "own_fpr": rate_above(x[~y], one.threshold)}
    return found


def _tpr_interval(one: Series) -> tuple[float, float]:
    def at_five(x: NDArray[np.float64], y: NDArray[np.bool_]) -> float:
        return tpr_at_fpr(x, y, 0.05)

    low, high = bootstrap_interval(one.scores, one.labels, sources=one.sources, measure=at_five, rounds=ROUNDS)
    if math.isnan(low):
        low, high = bootstrap_interval(one.scores, one.labels, measure=at_five, rounds=ROUNDS)
    return low, high


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def table(found: dict[tuple[str, str], Series], variant: str) -> list[Table]:
    """A line for each detector that was asked about a version, the best AUC first, those without one last."""
    lines = [row(name, one) for (name, version), one in found.items() if version == variant]
    return sorted(lines, key=lambda line: (-line.get("auc", -1.0), line["detector"]))


def roc(one: Series) -> Table:
    """A detector's ROC curve, thinned: false- and true-positive rates."""
    false, true = roc_curve(one.scores, one.labels)
    kept = np.unique(np.r_[0, np.linspace(0, len(false) - 1, min(len(false), ROC_POINTS)).astype(int)])
    return {"false": false[kept].round(5).tolist(), "true": true[kept].round(5).tolist()}


def reliability(one: Series) -> Table:
    """A detector's reliability diagram."""
    said, true, weights = reliability_diagram(one.log10_lrs, one.labels)
    return {"said": said.round(4).tolist(), "true": true.round(4).tolist(), "weights": weights.round(4).tolist()}


def robustness(found: dict[tuple[str, str], Series]) -> list[Table]:
    """AUC of each detector after each perturbation, and as is on the same pictures."""
    lines = []
    for (name, variant), one in found.items():
        untouched = found.get((name, AS_IS))
        if variant == AS_IS or untouched is None or not one.two_classes:
            continue
        same = untouched.chosen(np.isin(untouched.keys, one.keys))
        known = PERTURBATIONS.get(variant)
        low, high = bootstrap_interval(one.scores, one.labels, rounds=ROUNDS)
        lines.append(
            {
                "detector": name,
                "variant": variant,
                "family": known.family if known else "",
                "unit": UNITS.get(known.family, "") if known else "",
                "amount": known.amount if known else 0.0,
                "pictures": len(one.keys),
                "auc": auc(one.scores, one.labels),
                "low": low,
                "high": high,
                "tpr_at_fpr_0.05": tpr_at_fpr(one.scores, one.labels, 0.05),
                "auc_as_is": auc(same.scores, same.labels) if same.two_classes else None,
            }
        )
    return lines


def flips(found: dict[tuple[str, str], Series]) -> list[Table]:
    """How often each detector's verdict changes over the six re-encodings of one picture.

    The operating point is the one that the detector's calibration promises; of a cheat, the score that 5 % of the real pictures
    pass.
    """
    lines = []
    for name in dict.fromkeys(name for name, _ in found):
        versions = [found.get((name, variant)) for variant in REENCODINGS]
        kept = [one for one in versions if one is not None]
        keys = sorted(set.intersection(*(set(one.keys.tolist()) for one in kept))) if kept else []
        if len(kept) < len(REENCODINGS) or not keys:
            continue
        order = [{key: place for place, key in enumerate(one.keys)} for one in kept]
        places = [[of[key] for key in keys] for of in order]
        scores = np.stack([one.scores[place] for one, place in zip(kept, places, strict=True)], 1)
        states = np.stack([one.states[place] for one, place in zip(kept, places, strict=True)], 1)
        untouched = found.get((name, AS_IS), kept[0])
        threshold = untouched.threshold
        if threshold is None:
            threshold = float(np.quantile(untouched.scores[untouched.labels == 0], 0.95))
        lines.append({"detector": name, "pictures": len(keys), **flip_rates(scores, states, threshold)})
    return lines


def sources(found: dict[tuple[str, str], Series], variant: str = AS_IS) -> list[Table]:
    """AUC of each detector on each source, against all pictures of the other class."""
    lines = []
    for (name, version), one in found.items():
        if version != variant or not one.two_classes:
            continue
        for source, value in per_source_auc(one.scores, one.labels, one.sources).items():
            here = one.sources == source
            label = "generated" if one.labels[here].mean() > 0.5 else "real"
            lines.append(
                {"detector": name, "source": source, "label": label, "pictures": int(here.sum()), "auc": value}
            )
    return lines


def remark(line: Table, cheats: Sequence[Table]) -> str:
    """What must be said of a detector beside its figure; empty where its figure speaks for itself."""
    if "auc" not in line or line["kind"] == "cheat":
        return f"No figure: {line['reason']}." if "auc" not in line else ""
    value, low, high = line["auc"], line["low"], line["high"]
    said = []
    if high < CHANCE:
        said.append(
            f"It points the wrong way here: AUC {value:.2f} ({low:.2f} to {high:.2f}). On these pictures its premise fails."
        )
    elif low <= CHANCE:
        said.append(
            f"On these pictures its premise fails: AUC {value:.2f} ({low:.2f} to {high:.2f}) cannot be told from chance."
        )
    better = [cheat for cheat in cheats if cheat.get("auc", 0.0) >= value]
    if better:
        name = better[0]["detector"].removeprefix(PREFIX)
        said.append(
            f"A cheat that sees no pixel ({name}) does as well or better on these files: AUC {better[0]['auc']:.2f}."
        )
    if line["answered"] < line["asked"]:
        why = f", and failed on {line['failed']}: {line['reason']}" if line["failed"] else ""
        said.append(f"It spoke of {line['answered']} of {line['asked']} pictures{why}.")
    return " ".join(said)
