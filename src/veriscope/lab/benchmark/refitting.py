"""Train detectors again on parts of the data, and test them on the rest: the figures that say how far a method carries.

A training goes through the recipe's own ``refit``, on the samples that all recipes share. The scores of each are kept, so a run
that was stopped goes on. A training that fails is a row with its reason; the others go on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import (
    auc,
    bootstrap_interval,
    mean_source_pair_auc,
    per_source_auc,
    tpr_at_fpr,
)
from veriscope.lab.benchmark.perturbations import AS_IS, DFF, perturbed, pixels_of
from veriscope.lab.benchmark.protocols import Plan
from veriscope.lab.data.manifest import Row, load_pixels
from veriscope.lab.data.samples import SHARD, TURNS, Samples, Shards, held_in, keep, write_whole
from veriscope.lab.recipes.recipe import Settings
from veriscope.synthetic import views

Say = Callable[[str], None]
DEGRADED = (AS_IS, *DFF, "75 % + JPEG 70", "messenger")  # the versions of the DFF protocol; a multiple of TURNS
LEAST_TESTED = 4  # pictures of each class, below which a cell has no figure
ROUNDS = 200  # of the bootstrap, a cell


class Refit(Protocol):
    """What is trained again: a recipe, or a cheat."""

    @property
    def name(self) -> str:
        """As in tables."""
        ...

    def refit(
        self, samples: Samples, fitted: NDArray[np.bool_], work: Path, settings: Settings, say: Say
    ) -> NDArray[np.float64]:
        """Scores ``(N,)`` of all samples by a model fitted on those under ``fitted``."""
        ...


@dataclass(frozen=True)
class Cell:
    """One test after one training; figures are None where it failed or too few pictures were tested."""

    protocol: str
    detector: str
    trained_on: str
    tested_on: str
    variant: str
    real: int
    generated: int
    auc: float | None
    low: float | None
    high: float | None
    tpr_at_fpr_5: float | None
    seconds: float
    reason: str = ""


class Refits:
    """Trainings over one set of samples, each done once and kept in a folder."""

    def __init__(self, samples: Samples, folder: Path, settings: Settings, say: Say) -> None:
        self.samples, self.folder, self.settings, self.say = samples, folder, settings, say
        self._names = [f"{row.key}#{turn}" for row, turn in zip(samples.rows, samples.turns, strict=True)]
        folder.mkdir(parents=True, exist_ok=True)

    def scores(
        self, made: Refit, fitted: NDArray[np.bool_], tested: NDArray[np.bool_], more: Samples | None = None
    ) -> tuple[NDArray[np.float64], float]:
        """Scores of the samples under ``tested``, then of all of ``more``, and the seconds that the training took.

        Raises:
            Exception: whatever the recipe raises; nothing is kept then.
        """
        samples = self.samples.chosen(fitted | tested)
        extra = [] if more is None else [f"{row.key}#{turn}" for row, turn in zip(more.rows, more.turns, strict=True)]
        names = [name for name, used in zip(self._names, fitted | tested, strict=True) if used]
        inside = fitted[fitted | tested]
        what = [made.name, asdict(self.settings), names, np.flatnonzero(inside).tolist(), extra]
        key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:20]
        path = self.folder / f"{key}.npy"
        if path.exists():
            kept = np.load(path)
            return kept[1:], float(kept[0])
        if more is not None:
            samples = joined(samples, more)
            inside = np.r_[inside, np.zeros(len(more), bool)]
        started = time.monotonic()
        found = np.asarray(made.refit(samples, inside, self.folder / key, self.settings, self.say), np.float64)
        seconds = time.monotonic() - started
        wanted = np.r_[tested[fitted | tested], np.ones(len(extra), bool)]
        if found.shape != wanted.shape or not np.isfinite(found).all():
            raise VeriscopeError(f"{made.name}: its scores are not {len(wanted)} finite numbers")
        write_whole(path, np.r_[seconds, found[wanted]])
        return found[wanted], seconds


def cells(refits: Refits, made: Refit, plans: Sequence[Plan], degraded: Samples | None = None) -> list[Cell]:
    """The figures of a recipe under plans, one a test.

    Args:
        refits: does and keeps the trainings.
        made: what is trained.
        plans: of one protocol.
        degraded: perturbed versions of tested pictures, for the DFF protocol; its turns are places in ``DEGRADED``. The tests
            are then of these.
    """
    found = []
    for number, plan in enumerate(plans, 1):
        protocol = plan.protocol if degraded is None else "dff"
        try:
            scores, seconds = refits.scores(made, plan.fitted, plan.tested, degraded)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            refits.say(f"{protocol}: {made.name} trained on {plan.trained_on} failed: {reason}")
            found += [
                Cell(protocol, made.name, plan.trained_on, name, AS_IS, 0, 0, None, None, None, None, 0.0, reason)
                for name in plan.tests
            ]
            continue
        refits.say(
            f"{protocol}: {made.name}, training {number} of {len(plans)} ({plan.trained_on}) took {seconds:.0f} s"
        )
        places = np.flatnonzero(plan.tested)
        for name, which in plan.tests.items():
            if degraded is None:
                inside = which[places]
                those = refits.samples.chosen(which)
                found.append(_cell(plan, made.name, name, AS_IS, those, scores[: len(places)][inside], seconds))
                continue
            keys = {refits.samples.rows[place].key for place in np.flatnonzero(which)}
            mine = np.array([row.key in keys for row in degraded.rows])
            for turn, variant in enumerate(DEGRADED):
                here = mine & (degraded.turns == turn)
                cell = _cell(
                    plan, made.name, name, variant, degraded.chosen(here), scores[len(places) :][here], seconds
                )
                found.append(replace(cell, protocol="dff"))
    return found


def _cell(
    plan: Plan, name: str, tested_on: str, variant: str, those: Samples, scores: NDArray[np.float64], seconds: float
) -> Cell:
    labels = those.labels == 1
    counts = int((~labels).sum()), int(labels.sum())
    if min(counts) < LEAST_TESTED:
        reason = f"{counts[0]} real and {counts[1]} generated pictures are too few to test"
        return Cell(
            plan.protocol, name, plan.trained_on, tested_on, variant, *counts, None, None, None, None, seconds, reason
        )
    low, high = bootstrap_interval(scores, labels, rounds=ROUNDS)
    return Cell(
        plan.protocol,
        name,
        plan.trained_on,
        tested_on,
        variant,
        *counts,
        auc(scores, labels),
        low,
        high,
        tpr_at_fpr(scores, labels, 0.05),
        seconds,
    )


def left_out(refits: Refits, made: Refit, plans: Sequence[Plan]) -> dict[str, Any]:
    """Figures of leave-sources-out: each picture scored by a training without its source, all folds' scores together.

    Returns:
        ``detector``, ``auc`` with ``low`` and ``high`` over sources, ``mean_source_pair_auc``, TPRs, ``sources`` (each with its
        label, pictures and AUC against all of the other class) and ``seconds``; or ``detector`` and ``reason``.
    """
    places, scores, total = [], [], 0.0
    for number, plan in enumerate(plans, 1):
        try:
            values, seconds = refits.scores(made, plan.fitted, plan.tested)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            refits.say(f"loso: {made.name} trained on {plan.trained_on} failed: {reason}")
            return {"detector": made.name, "reason": reason}
        refits.say(f"loso: {made.name}, training {number} of {len(plans)} ({plan.trained_on}) took {seconds:.0f} s")
        places.append(np.flatnonzero(plan.tested))
        scores.append(values)
        total += seconds
    those = refits.samples.chosen(np.concatenate(places))
    x, y, sources = np.concatenate(scores), those.labels == 1, those.sources
    low, high = bootstrap_interval(x, y, sources=sources, rounds=ROUNDS)
    each = per_source_auc(x, y, sources)
    return {
        "detector": made.name,
        "auc": auc(x, y),
        "low": low,
        "high": high,
        "mean_source_pair_auc": mean_source_pair_auc(x, y, sources),
        **{f"tpr_at_fpr_{rate:g}": tpr_at_fpr(x, y, rate) for rate in (0.05, 0.01, 0.001)},
        "sources": [
            {
                "source": name,
                "label": "generated" if y[sources == name].mean() > 0.5 else "real",
                "pictures": int((sources == name).sum()),
                "auc": value,
            }
            for name, value in each.items()
        ],
        "pictures": {"real": int((~y).sum()), "generated": int(y.sum())},
        "seconds": total,
    }


def degraded_samples(rows: Sequence[Row], folder: Path, say: Say) -> Samples:
    """Each picture in the versions of ``DEGRADED``, as the squares that detectors look at; kept in ``folder`` and resumed.

    The turn of a sample is its version's place in ``DEGRADED``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups = [DEGRADED[at : at + TURNS] for at in range(0, len(DEGRADED), TURNS)]
    held = held_in(folder)
    todo = [row for row in rows if any(_name(row, group) not in held for group in groups)]
    for first in range(0, len(todo), SHARD // 2):
        names, whole, detail = [], [], []
        for row in todo[first : first + SHARD // 2]:
            try:
                rgb = load_pixels(row)
            except VeriscopeError as error:
                say(f"left out: {error}")
                continue
            for group in groups:
                files = [rgb if name == AS_IS else pixels_of(perturbed(rgb, name, row.key)) for name in group]
                names.append(_name(row, group))
                whole.append(np.stack([views.whole(pixels) for pixels in files]))
                parts = [views.details(pixels) for pixels in files]
                detail.append(np.stack([part[len(part) // 2] for part in parts]))
        if names:
            keep(folder, names, {"whole": np.stack(whole), "detail": np.stack(detail)})
        say(f"degraded versions: {min(first + SHARD // 2, len(todo))} of {len(todo)} pictures")
    held = held_in(folder)
    kept = [row for row in rows if all(_name(row, group) in held for group in groups)]
    stems = sorted({held[_name(row, group)][0] for row in kept for group in groups})
    number = {stem: count for count, stem in enumerate(stems)}
    places = []
    for row in kept:
        for group in groups:
            stem, place = held[_name(row, group)]
            places += [(number[stem], place * TURNS + turn) for turn in range(TURNS)]
    return Samples(
        [row for row in kept for _ in DEGRADED],
        np.tile(np.arange(len(DEGRADED)), len(kept)),
        *(
            Shards(tuple(folder / f"{stem}.{view}.npy" for stem in stems), tuple(places))
            for view in ("whole", "detail")
        ),
    )


def _name(row: Row, group: Sequence[str]) -> str:
    return f"{row.key}#{'+'.join(group)}"


def joined(one: Samples, other: Samples) -> Samples:
    """The samples of both; the other's turns are set to 0, so that no recipe takes them for histories of one picture."""
    return Samples(
        [*one.rows, *other.rows],
        np.r_[one.turns, np.zeros(len(other), np.int64)],
        _joined(one.whole, other.whole),
        _joined(one.detail, other.detail),
    )


def _joined(one: Shards, other: Shards) -> Shards:
    moved = tuple((file + len(one.files), row) for file, row in other.places)
    return Shards((*one.files, *other.files), (*one.places, *moved))
