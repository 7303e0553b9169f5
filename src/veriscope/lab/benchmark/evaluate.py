"""Measure "is it generated?" as a user meets it: real files through the whole examination, as they are and saved again.

Every figure is of the shipped pipeline: the file is opened, the detectors speak, ``weigh`` decides. Beside it stand two cheats
that know nothing of the picture's content, for a set on which they do well proves little. ``veriscope lab bench`` measures all
detectors of the field like this, and more.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from veriscope.lab.benchmark import measuring
from veriscope.lab.benchmark.measuring import Entry, Results, Weighed
from veriscope.lab.benchmark.metrics import (
    auc,
    bootstrap_interval,
    expected_calibration_error,
    flip_rates,
    rate_above,
)
from veriscope.lab.benchmark.perturbations import AS_IS
from veriscope.lab.data.manifest import Row
from veriscope.lab.data.variants import REENCODINGS, SWEEP

SHARED = "75 % + JPEG 70"


def measure(
    rows: Sequence[Row], results: Path, *, flips: int, sweep: int, say: Callable[[str], None] = print
) -> list[Entry]:
    """Examine every row as it is and after 75 % + JPEG 70; ``flips`` and ``sweep`` of them in more variants.

    Args:
        rows: the pictures.
        results: JSON lines; what it already holds of the installed weights is not done again.
        flips: how many pictures, spread over all, to save again in the six ways of the flip rate.
        sweep: how many pictures to measure at low quality and small size.
        say: called with each line of progress.
    """
    spread = sorted(rows, key=lambda row: zlib.crc32(row.key.encode()))
    saved, swept = ({row.key for row in spread[:count]} for count in (flips, sweep))
    jobs = [
        (row, (AS_IS, SHARED, *(REENCODINGS if row.key in saved else ()), *(SWEEP if row.key in swept else ())))
        for row in rows
    ]
    return measuring.measure(jobs, measuring.shipped(), Results(results), say=say)[0]


def summary(entries: Sequence[Entry]) -> dict[str, Any]:
    """The figures of ``measure``: per variant AUC with its interval, rates at the operating points, abstention; flips."""
    by_variant: dict[str, list[tuple[Entry, Weighed]]] = defaultdict(list)
    for entry in entries:
        fused = measuring.weighed(list(entry.answers.values()))
        if fused is not None:
            by_variant[entry.variant].append((entry, fused))
    figures: dict[str, Any] = {}
    for variant, group in by_variant.items():
        y = np.array([entry.label == "generated" for entry, _ in group])
        if y.all() or not y.any():
            continue
        x = np.array([fused.score for _, fused in group])
        states = np.array([fused.state for _, fused in group])
        at_one = np.array([fused.fpr == 0.01 for _, fused in group])
        threshold = group[0][1].threshold
        low, high = bootstrap_interval(x, y)
        figures[variant] = {
            "pictures": len(group),
            "auc": auc(x, y),
            "auc_interval": [low, high],
            "threshold_5": {"tpr": rate_above(x[y], threshold), "fpr": rate_above(x[~y], threshold)},
            "yes": {"generated": float((states[y] == "yes").mean()), "real": float((states[~y] == "yes").mean())},
            "yes_at_1": {"generated": float(at_one[y].mean()), "real": float(at_one[~y].mean())},
            "no": {"generated": float((states[y] == "no").mean()), "real": float((states[~y] == "no").mean())},
            "cannot_tell": float((states == "cannot tell").mean()),
            "ece": expected_calibration_error([fused.log10_lr for _, fused in group], y),
        }
    return {"variants": figures, "flips": flips(by_variant), "sources": _sources(by_variant[AS_IS])}


def flips(by_variant: dict[str, list[tuple[Entry, Weighed]]]) -> dict[str, Any] | None:
    """``metrics.flip_rates`` over the pictures that were saved again in all six ways; None where there is none."""
    seen: dict[str, list[Weighed]] = defaultdict(list)
    for variant in REENCODINGS:
        for entry, fused in by_variant.get(variant, []):
            seen[entry.key].append(fused)
    whole = [group for group in seen.values() if len(group) == len(REENCODINGS)]
    if not whole:
        return None
    scores = [[item.score for item in group] for group in whole]
    states = [[item.state for item in group] for group in whole]
    return {"pictures": len(whole), **flip_rates(scores, states, whole[0][0].threshold)}


def _sources(group: Sequence[tuple[Entry, Weighed]]) -> dict[str, dict[str, Any]]:
    sources: dict[str, list[tuple[Entry, Weighed]]] = defaultdict(list)
    for entry, fused in group:
        sources[entry.source].append((entry, fused))
    return {
        source: {
            "label": those[0][0].label,
            "pictures": len(those),
            **{
                state: float(np.mean([fused.state == state for _, fused in those]))
                for state in ("yes", "cannot tell", "no")
            },
        }
        for source, those in sorted(sources.items(), key=lambda item: (item[1][0][0].label, item[0]))
    }
