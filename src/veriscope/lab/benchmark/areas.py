"""How much of a picture must be edited before a detector of generated pictures sees it? Recall by edited area and by method.

Paper: Pal et al. 2024 (Semi-Truths: locally augmented pictures with the size of the change).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import rate_above, wilson_interval
from veriscope.lab.data.manifest import Row, faults, read_lines, refuse

BINS = (  # (name, upper end in shares of the picture)
    ("under 1 %", 0.01),
    ("1 to 5 %", 0.05),
    ("5 to 15 %", 0.15),
    ("15 to 40 %", 0.40),
    ("over 40 %", 1.0 + 1e-9),
)
UNKNOWN = "no mask"
RATE = 0.05  # of real pictures that pass the threshold


@dataclass(frozen=True)
class Recall:
    """The share of edited pictures of one kind that score above the 5 % threshold.

    Attributes:
        by: "area" or "method".
        name: of the bin or the method.
        pictures: how many there are.
        recall, low, high: the share and its 95 % interval.
    """

    detector: str
    by: str
    name: str
    pictures: int
    recall: float
    low: float
    high: float


def edited_rows(paths: Sequence[Path], splits: Sequence[str] | None) -> list[Row]:
    """The rows of manifests that are labelled "edited", of these splits or of all.

    Raises:
        VeriscopeError: a manifest cannot be read or a row of an edited picture is wrong.
    """
    lines = [line for path in paths for line in read_lines(path) if line.row.label == "edited"]
    refuse(faults(lines))
    return [line.row for line in lines if splits is None or line.row.split in splits]


def edited_share(row: Row) -> float | None:
    """The share of the picture that its mask says is edited; None where it has no mask.

    Raises:
        VeriscopeError: the mask is not a picture.
    """
    if not row.mask:
        return None
    try:
        with Image.open(row.mask) as mask:
            return float((np.asarray(mask.convert("L")) >= 128).mean())
    except OSError as error:
        raise VeriscopeError(f"{row.mask}: the mask of {row.key} cannot be read ({error})") from error


def bin_of(share: float | None) -> str:
    """The name of the bin of an edited share.

    >>> bin_of(0.004), bin_of(0.05), bin_of(1.0), bin_of(None)
    ('under 1 %', '5 to 15 %', 'over 40 %', 'no mask')
    """
    return UNKNOWN if share is None else next(name for name, end in BINS if share < end)


def recalls(
    rows: Sequence[Row],
    scores: Mapping[str, Mapping[str, float]],
    real: Mapping[str, Sequence[float]],
    share_of: Callable[[Row], float | None] = edited_share,
) -> list[Recall]:
    """Recall of each detector at the score that 5 % of real pictures pass, by edited area and by method.

    Args:
        rows: edited pictures.
        scores: detector to picture's key to score.
        real: detector to the scores of real pictures.
        share_of: the edited share of a row.
    """
    bins = {row.key: bin_of(share_of(row)) for row in rows}
    kinds = [("area", name, [row for row in rows if bins[row.key] == name]) for name in [*dict(BINS), UNKNOWN]]
    methods = sorted({method_of(row) for row in rows})
    kinds += [("method", name, [row for row in rows if method_of(row) == name]) for name in methods]
    found = []
    for detector, values in scores.items():
        if not len(real.get(detector, ())):
            continue
        threshold = float(np.quantile(np.asarray(real[detector]), 1 - RATE))
        for by, name, those in kinds:
            reached = [values[row.key] for row in those if row.key in values]
            if reached:
                recall = rate_above(reached, threshold)
                ends = wilson_interval(round(recall * len(reached)), len(reached))
                found.append(Recall(detector, by, name, len(reached), recall, *ends))
    return found


def method_of(row: Row) -> str:
    """How a picture was edited, as its manifest says: the method, the generator, or else the source."""
    return row.method or row.generator or row.source
