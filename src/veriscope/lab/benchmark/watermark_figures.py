"""The tables of ``bench-watermarks``: bit accuracy and TPR by attack, fidelity and time by scheme, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.lab.benchmark.metrics import wilson_interval
from veriscope.lab.benchmark.watermark_answers import Answer

FPR = 1e-6  # at which true positives are counted
UNMARKED = "unmarked"
NONE = "none"
ROUNDS = 500  # of the bootstrap
Table = dict[str, Any]


def mean_interval(values: Sequence[float], seed: int = 0, level: float = 0.95) -> tuple[float, float, float]:
    """The mean of values and its percentile bootstrap interval.

    >>> mean_interval([1.0, 1.0, 1.0])
    (1.0, 1.0, 1.0)
    """
    x = np.asarray(values, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(x), (ROUNDS, len(x)))
    means: NDArray[np.float64] = x[drawn].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(x.mean()), float(low), float(high)


def by_attack(answers: Sequence[Answer], attacks: Sequence[str], seed: int = 0) -> list[Table]:
    """One line a payload length, scheme and attack that pictures were asked about, ``UNMARKED`` last."""
    lines = []
    for bits, scheme in _kinds(answers):
        for attack in (*attacks, UNMARKED):
            here = [one for one in answers if (one.bits, one.scheme, one.attack) == (bits, scheme, attack)]
            if not here:
                continue
            accuracy, low, high = mean_interval([one.matched / bits for one in here], seed)
            hits = sum(one.p_value <= FPR for one in here)
            caught = wilson_interval(hits, len(here))
            own = [one.own_p <= FPR for one in here if one.own_p is not None]
            lines.append(
                {
                    "bits": bits,
                    "scheme": scheme,
                    "attack": attack,
                    "pictures": len(here),
                    "bit_accuracy": round(accuracy, 4),
                    "bit_accuracy_low": round(low, 4),
                    "bit_accuracy_high": round(high, 4),
                    "tpr_at_fpr_1e-6": round(hits / len(here), 4),
                    "tpr_low": round(caught[0], 4),
                    "tpr_high": round(caught[1], 4),
                    "own_tpr_at_fpr_1e-6": round(float(np.mean(own)), 4) if own else None,
                    "failed": sum(bool(one.failed) for one in here),
                }
            )
    return lines


def by_scheme(answers: Sequence[Answer], speeds: Sequence[Table]) -> list[Table]:
    """One line a payload length and scheme: how near marked pictures are to the originals, and seconds a megapixel."""
    lines = []
    for bits, scheme in _kinds(answers):
        here = [one for one in answers if (one.bits, one.scheme, one.attack) == (bits, scheme, NONE)]
        speed: Table = next((line for line in speeds if (line["bits"], line["scheme"]) == (bits, scheme)), {})
        lines.append(
            {
                "bits": bits,
                "scheme": scheme,
                "pictures": len(here),
                "psnr": _mean([one.psnr for one in here]),
                "ssim": _mean([one.ssim for one in here], 4),
                "embed_seconds_per_megapixel": speed.get("embed"),
                "detect_seconds_per_megapixel": speed.get("detect"),
            }
        )
    return lines


def _kinds(answers: Sequence[Answer]) -> list[tuple[int, str]]:
    return list(dict.fromkeys((one.bits, one.scheme) for one in answers))


def _mean(values: Sequence[float | None], digits: int = 2) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), digits) if known else None
