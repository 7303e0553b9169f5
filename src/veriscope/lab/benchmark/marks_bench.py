"""``veriscope lab bench-marks``: how surely marks are found on pages, by manipulation, at a fixed false-alarm rate.

Logos and pages are drawn from a seed. A page that shows a manipulated mark of the list is scored by that mark; one that shows
another logo, by the best mark of the whole list, so that the rate is that of a page, and holds for lists of that length. Half
of the other pages set the thresholds; on the second half the rate of the shipped threshold is measured.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.copies.mark_search import Place
from veriscope.copies.marks import THRESHOLD, limit, scored
from veriscope.copies.writing import write
from veriscope.lab.generators.marks import MANIPULATIONS, logo, page
from veriscope.processes import in_processes

Pixels = NDArray[np.uint8]
RATES = 0.01, 0.05  # false alarms a page
NOT_FOUND = -1.0


@dataclass(frozen=True)
class Page:
    """One page to draw and score: of mark ``mark`` under a manipulation, or of another logo where that is empty."""

    mark: int
    manipulation: str
    seed: int


def bench(
    *, marks: int, pages: int, seed: int, jobs: int = 0, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Draw, score and count.

    Args:
        marks: on the list.
        pages: of other logos, at least 4.
        seed: of all that is drawn.
        jobs: processes; 0 for one a core.
        say: told of progress.
    Returns:
        counts, thresholds, and for each manipulation the share found at each false-alarm rate and at the shipped threshold.
    """
    shown = [Page(mark, name, seed) for mark in range(marks) for name in MANIPULATIONS]
    others = [Page(number, "", seed) for number in range(pages)]
    work = partial(score, marks=marks)
    found: list[float] = []
    for value in in_processes([*shown, *others], work, jobs or os.cpu_count() or 1, _crashed):
        found.append(value)
        if len(found) % 20 == 0:
            say(f"{len(found)} of {len(shown) + len(others)} pages")
    own, strange = np.array(found[: len(shown)]), np.array(found[len(shown) :])
    setting, testing = strange[::2], strange[1::2]
    thresholds = {rate: float(np.quantile(setting, 1 - rate, method="higher")) for rate in RATES}
    table = []
    for name in [*MANIPULATIONS, "all"]:
        scores = own[[name in (one.manipulation, "all") for one in shown]]
        caught = {
            f"tpr_at_fpr_{rate:g}": round(float((scores > limit).mean()), 4) for rate, limit in thresholds.items()
        }
        shipped = {"tpr_shipped": round(float((scores >= THRESHOLD).mean()), 4)}
        table.append(
            {
                "manipulation": name,
                "pages": len(scores),
                **caught,
                **shipped,
                "median": round(float(np.median(scores)), 4),
            }
        )
    return {
        "marks": marks,
        "other_pages": pages,
        "seed": seed,
        "thresholds": {f"{rate:g}": round(limit, 4) for rate, limit in thresholds.items()},
        "shipped_threshold": THRESHOLD,
        "fpr_shipped": round(float((testing >= THRESHOLD).mean()), 4),
        "others_median": round(float(np.median(strange)), 4),
        "table": table,
    }


def score(one: Page, *, marks: int) -> float:
    """The score of a page: of its own mark, or of the best mark of the list where it shows another logo."""
    listed = _marks(marks, one.seed)
    if not one.manipulation:
        drawn = page(np.random.default_rng((one.seed, 2, one.mark)), None)
        return max((_comparable(place) for _, place in scored(drawn, listed)), default=NOT_FOUND)
    number = list(MANIPULATIONS).index(one.manipulation)
    generator = np.random.default_rng((one.seed, 1, one.mark, number))
    drawn = page(generator, MANIPULATIONS[one.manipulation](listed[one.mark], generator))
    return max((_comparable(place) for _, place in scored(drawn, [listed[one.mark]])), default=NOT_FOUND)


def _comparable(place: Place) -> float:
    """A place's score, less what the limit lies higher for marks of its size."""
    return place.score - (limit(place.side) - THRESHOLD)


@lru_cache(maxsize=2)
def _marks(count: int, seed: int) -> tuple[Pixels, ...]:
    return tuple(logo(np.random.default_rng((seed, 0, number))) for number in range(count))


def _crashed(_: Page) -> float:
    return NOT_FOUND


def save(found: dict[str, Any], path: Path) -> None:
    """Write the figures as JSON."""
    write(path, json.dumps(found, indent=1).encode())
