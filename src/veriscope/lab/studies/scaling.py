"""How a detector's error falls with more generated pictures to learn from, and with more generators at the same count.

Each draw keeps one fold of whole sources aside, shuffles the generated training pictures, and trains on longer and longer
beginnings of them, against the same real ones. The error is 1 - AUC on the sources aside. A power law error = a n^-b is fitted
to each draw; b has an interval over draws (Student's t), which holds the change of folds and of pictures.

Limits: a power law over a decade or two is a description, and neither where it ends nor whether it goes on.
Paper: Fan et al. 2024 (Scaling Laws of Synthetic Images for Model Training ... for Now).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import LEVEL, auc
from veriscope.lab.benchmark.protocols import TESTED
from veriscope.lab.benchmark.refitting import LEAST_TESTED, Refit, Refits
from veriscope.lab.data.manifest import Row, spread
from veriscope.lab.data.samples import Samples
from veriscope.lab.recipes.recipe import Say, Settings
from veriscope.lab.studies.material import dealt, table

LEAST_PICTURES, LEAST_SOURCES = 8, 2  # of the first point of a curve
PICTURES, SOURCES = "pictures", "sources"  # the two curves
MARKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # of the plot's axis of errors


def steps(least: int, most: int, points: int) -> list[int]:
    """At most ``points`` whole numbers from ``least`` to ``most``, each about the same factor from the last.

    >>> steps(8, 64, 4)
    [8, 16, 32, 64]
    """
    return sorted(set(np.rint(np.geomspace(min(least, most), most, points)).astype(int).tolist()))


def power_law(counts: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """The factor a and the exponent b of error = a n^-b, by least squares of the logarithms.

    >>> [round(value, 6) for value in power_law([1, 10, 100], [0.4, 0.04, 0.004])]
    [0.4, 1.0]
    """
    slope, offset = np.polyfit(np.log(counts), np.log(errors), 1)
    return float(np.exp(offset)), float(-slope)


def interval(values: Sequence[float]) -> list[float | None]:
    """The mean's interval by Student's t; of nothing where there are fewer than two values."""
    if len(values) < 2:
        return [None, None]
    reach = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return [float(np.mean(values) - reach), float(np.mean(values) + reach)]


def scaling(
    made: Refit,
    samples: Samples,
    work: Path,
    settings: Settings,
    *,
    draws: int,
    points: int,
    say: Say,
) -> dict[str, Any]:
    """Both curves of a detector.

    Args:
        made: what is trained.
        samples: of the pictures; every class needs ``settings.folds`` sources.
        work: where trainings are kept and resumed.
        settings: of each training; the seed is that of the first draw.
        draws: trainings at each point; draw d keeps the fold d aside, and begins again after the last fold.
        points: of each curve.
        say: called with lines of progress.
    Returns:
        ``detector``, ``tested_sources``, and by curve, "pictures" and "sources": ``points``, rows with ``count``, ``pictures``
        (the mean number of generated pictures trained on), ``auc`` and ``interval`` over draws, ``error``; ``factor`` and
        ``exponent`` of the power law of the mean errors, and ``exponent_interval`` over the draws' own exponents.
    Raises:
        VeriscopeError: there are too few sources, or no draw could be tested.
    """
    folds = dealt(samples.rows, settings.folds)
    fold = np.array([folds[row.source] for row in samples.rows])
    return {
        "detector": made.name,
        "draws": draws,
        "folds": settings.folds,
        "seed": settings.seed,
        **{
            curve: _curve(made, samples, fold, curve, work, settings, draws, points, say)
            for curve in (PICTURES, SOURCES)
        },
    }


def _curve(
    made: Refit,
    samples: Samples,
    fold: NDArray[np.int64],
    curve: str,
    work: Path,
    settings: Settings,
    draws: int,
    points: int,
    say: Say,
) -> dict[str, Any]:
    counts, each = _counts(samples, fold, curve, points)
    found: dict[int, list[tuple[float, float, int]]] = {count: [] for count in counts}  # AUC, error, pictures
    for draw in range(draws):
        aside = fold == draw % settings.folds
        tested = aside & (samples.turns == TESTED)
        labels = samples.labels[tested] == 1
        sides = int(labels.sum()), int((~labels).sum())
        if min(sides) < LEAST_TESTED:
            say(f"{curve}: draw {draw + 1} is left out: {sides[1]} real and {sides[0]} generated pictures are aside")
            continue
        refits = Refits(samples, work, replace(settings, seed=settings.seed + draw), say)
        generator = np.random.default_rng((settings.seed, draw))
        rows = {row.key: row for row, out in zip(samples.rows, aside, strict=True) if row.generated and not out}
        order = _order(list(rows.values()), curve, generator)
        for count in counts:
            chosen = _chosen(order, curve, count, each)
            fitted = ~aside & ((samples.labels == 0) | np.array([row.key in chosen for row in samples.rows]))
            scores, seconds = refits.scores(made, fitted, tested)
            value = auc(scores, labels)
            found[count].append((value, max(1 - value, 0.5 / (sides[0] * sides[1])), len(chosen)))
            say(f"{curve}: {made.name}, draw {draw + 1} of {draws}, {count} {curve}: AUC {value:.3f}, {seconds:.0f} s")
    if not found[counts[0]]:
        raise VeriscopeError("no draw had enough pictures aside to test; ask for fewer folds, or add sources")
    return _figures(found)


def _counts(samples: Samples, fold: NDArray[np.int64], curve: str, points: int) -> tuple[list[int], int]:
    """The counts of a curve, which every draw can reach, and the pictures that each point of the curve of sources has."""
    held: dict[int, dict[str, set[str]]] = {number: {} for number in np.unique(fold).tolist()}
    for row, own in zip(samples.rows, fold.tolist(), strict=True):
        for number, sources in held.items():
            if row.generated and own != number:
                sources.setdefault(row.source, set()).add(row.key)
    sizes = [[len(keys) for keys in sources.values()] for sources in held.values()]
    if curve == PICTURES:
        most, least = min(map(sum, sizes)), LEAST_PICTURES
    else:
        most, least = min(map(len, sizes)), LEAST_SOURCES
    if most <= least:
        raise VeriscopeError(
            f"{most} generated {curve} are left where a fold is kept aside, and a curve begins at {least}: add some"
        )
    middle = int(np.median([size for own in sizes for size in own]))
    return steps(least, most, points), LEAST_SOURCES * middle


def _order(rows: Sequence[Row], curve: str, generator: np.random.Generator) -> list[list[Row]]:
    """The generated pictures in the draw's order: alone, or by source."""
    if curve == PICTURES:
        ordered = sorted(rows, key=lambda row: row.key)
        return [[ordered[place]] for place in generator.permutation(len(ordered))]
    names = sorted({row.source for row in rows})
    return [[row for row in rows if row.source == names[place]] for place in generator.permutation(len(names))]


def _chosen(order: Sequence[list[Row]], curve: str, count: int, each: int) -> set[str]:
    rows = [row for part in order[:count] for row in part]
    return {row.key for row in (rows if curve == PICTURES else spread(rows, each))}


def _figures(found: dict[int, list[tuple[float, float, int]]]) -> dict[str, Any]:
    counts = list(found)
    errors = [float(np.mean([error for _, error, _ in found[count]])) for count in counts]
    factor, exponent = power_law(counts, errors)
    by_draw = zip(*([error for _, error, _ in found[count]] for count in counts), strict=True)
    each = [power_law(counts, row) for row in by_draw]
    return {
        "points": [
            {
                "count": count,
                "pictures": round(float(np.mean([pictures for *_, pictures in found[count]])), 1),
                "auc": float(np.mean([value for value, *_ in found[count]])),
                "interval": _shares(interval([value for value, *_ in found[count]])),
                "error": error,
            }
            for count, error in zip(counts, errors, strict=True)
        ],
        "factor": factor,
        "exponent": exponent,
        "exponent_interval": interval([own for _, own in each]),
        "exponents": [own for _, own in each],
    }


def _shares(ends: list[float | None]) -> list[float | None]:
    """The ends of an interval, none beyond 0 and 1."""
    return [None if end is None else min(max(end, 0.0), 1.0) for end in ends]


def page(figures: dict[str, Any]) -> str:
    """The curves as Markdown."""
    lines = [f"# Scaling of {figures['detector']}", ""]
    lines += [
        f"{figures['draws']} draws over {figures['folds']} folds of whole sources, seed {figures['seed']}. Error is 1 - AUC on "
        "sources kept aside. Intervals are Student's t over draws (95 %).",
        "",
    ]
    for curve, what in (
        (PICTURES, "generated pictures"),
        (SOURCES, "generators' sources, pictures held near constant"),
    ):
        lines += [f"## Against {what}", "", law(figures[curve]), "", table(figures[curve]["points"])]
    return "\n".join(lines)


def law(curve: dict[str, Any]) -> str:
    """The power law of a curve in one line."""
    low, high = curve["exponent_interval"]
    within = "" if low is None else f" ({low:.3f} to {high:.3f})"
    return f"error = {curve['factor']:.3g} n^{-curve['exponent']:.3f}, exponent {curve['exponent']:.3f}{within}"


def draw(figures: dict[str, Any], path: Path) -> None:
    """Write both curves, with their power laws, as PNG."""
    from matplotlib.figure import Figure

    from veriscope.lab.analysis.drawing import save

    figure = Figure(figsize=(9, 3.8), dpi=120, layout="constrained")
    figure.suptitle(f"{figures['detector']}: error on sources kept aside", x=0.012, ha="left", fontsize=11)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, curve in zip(axes, (PICTURES, SOURCES), strict=True):
        points = figures[curve]["points"]
        counts = np.array([point["count"] for point in points], float)
        axis.loglog(counts, [point["error"] for point in points], "o", color="#1f4e79", label="mean over draws")
        for point in points:
            low, high = point["interval"]
            if low is not None:
                ends = [max(1 - high, point["error"] / 10), min(1 - low, 1.0)]
                axis.plot([point["count"]] * 2, ends, "-", color="#1f4e79", lw=1)
        fitted = figures[curve]["factor"] * counts ** -figures[curve]["exponent"]
        axis.loglog(counts, fitted, "--", color="0.4", label=f"n^{-figures[curve]['exponent']:.2f}")
        axis.set_xlabel(f"generated {curve}")
        axis.set_xticks(counts, [f"{count:g}" for count in counts])
        axis.minorticks_off()
        axis.legend(frameon=False, fontsize=8, loc="lower left")
    low, high = axes[0].get_ylim()
    marks = [mark for mark in MARKS if low <= mark <= high]
    axes[0].set_yticks(marks, [f"{mark:g}" for mark in marks])
    axes[0].set_ylabel("1 - AUC")
    save(figure, path)
