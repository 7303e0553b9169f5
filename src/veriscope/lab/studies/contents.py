"""A detector by content: is it as good on faces and paintings as on photographs, and after a social network's handling?

Content is what the manifest says: a face (``face``), art (``art``), else a photograph; "uncategorised" where it does not say.
``art`` speaks of real pictures, so generated ones are "uncategorised" unless some generated row has it. Each picture is scored
by a training without its source. Real and generated pictures of one content seldom match in number or kind, so each side is
also set against all pictures of the other class.

Paper: Boychev & Cholakov 2024 (ImagiNet: content types, and the track of detection; ``attribution`` is its other track).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.lab.benchmark.metrics import auc, balanced_accuracy, bootstrap_interval
from veriscope.lab.benchmark.refitting import DEGRADED, LEAST_TESTED, ROUNDS, Refit, Refits
from veriscope.lab.data.manifest import Row
from veriscope.lab.data.samples import Samples
from veriscope.lab.recipes.recipe import Say, Settings
from veriscope.lab.studies.material import dealt, table

PHOTOGRAPH, ART, FACE, UNCATEGORISED = "photograph", "art", "face", "uncategorised"
ALL = "all"
CONTENTS = (ALL, PHOTOGRAPH, ART, FACE, UNCATEGORISED)


def content_of(rows: Sequence[Row]) -> list[str]:
    """The content of each picture, as its manifest's columns ``face`` and ``art`` say.

    >>> from pathlib import Path
    >>> content_of([Row(Path("a"), "real", "s", "g", "train", face=f, art=a) for f, a in (("1", "0"), ("0", "0"), ("", ""))])
    ['face', 'photograph', 'uncategorised']
    """
    told = any(row.label == "generated" and row.art == "1" for row in rows)
    return [_content(row, told) for row in rows]


def _content(row: Row, art_of_generated: bool) -> str:
    if row.face == "1":
        return FACE
    if row.art == "1":
        return ART
    known = row.face == "0" and row.art == "0" and (row.label == "real" or art_of_generated)
    return PHOTOGRAPH if known else UNCATEGORISED


def by_content(
    made: Refit, samples: Samples, versions: Samples, work: Path, settings: Settings, *, say: Say
) -> list[dict[str, Any]]:
    """The figures of a detector by version and content.

    Args:
        made: what is trained, once for every fold of whole sources.
        samples: to train on.
        versions: the same pictures as they are and after handling; the turns are places in ``DEGRADED``.
        work: where trainings are kept and resumed.
        settings: of each training.
        say: called with lines of progress.
    Returns:
        rows with ``version``, ``content``, ``real`` and ``generated`` (pictures), ``auc`` between the two with its bootstrap
        ``interval``, ``accuracy`` (balanced, at even odds), ``real_auc`` (the content's real pictures against all generated
        ones) and ``generated_auc`` (the other way about); None where fewer than four pictures are of a side.
    Raises:
        VeriscopeError: a class has too few sources.
    """
    fold_of = dealt(samples.rows, settings.folds)
    fold = np.array([fold_of[row.source] for row in samples.rows])
    there = np.array([fold_of[row.source] for row in versions.rows])
    refits = Refits(samples, work, settings, say)
    scores = np.zeros(len(versions))
    for number in range(settings.folds):
        mine = there == number
        nothing = np.zeros(len(samples), bool)
        scores[mine], seconds = refits.scores(made, fold != number, nothing, versions.chosen(mine))
        say(f"fold {number + 1} of {settings.folds}: {made.name}: {seconds:.0f} s")
    contents = np.array(content_of(versions.rows))
    return [
        {
            "version": version,
            "content": content,
            **_figures(scores, versions, versions.turns == turn, contents, content),
        }
        for turn, version in enumerate(DEGRADED)
        for content in CONTENTS
        if content == ALL or (contents == content).any()
    ]


def _figures(
    scores: NDArray[np.float64], versions: Samples, here: NDArray[np.bool_], contents: NDArray[np.str_], content: str
) -> dict[str, Any]:
    generated = versions.labels == 1
    own = here & ((contents == content) | (content == ALL))
    real_side, generated_side = own & ~generated, own & generated
    figures: dict[str, Any] = {"real": int(real_side.sum()), "generated": int(generated_side.sum())}
    figures |= {"auc": None, "interval": None, "accuracy": None}
    if min(figures["real"], figures["generated"]) >= LEAST_TESTED:
        figures["auc"] = auc(scores[own], generated[own])
        figures["interval"] = list(bootstrap_interval(scores[own], generated[own], rounds=ROUNDS))
        figures["accuracy"] = balanced_accuracy(scores[own], generated[own])
    for name, side, others in (
        ("real_auc", real_side, here & generated),
        ("generated_auc", generated_side, here & ~generated),
    ):
        enough = content != ALL and min(side.sum(), others.sum()) >= LEAST_TESTED
        figures[name] = auc(scores[side | others], generated[side | others]) if enough else None
    return figures


def page(figures: dict[str, Any]) -> str:
    """Both tracks as Markdown."""
    lines = [f"# By content: {figures['detector']}", ""]
    lines += [
        f"Detection over {figures['folds']} folds of whole sources, seed {figures['seed']}. `real_auc` sets the content's real "
        "pictures against all generated ones, `generated_auc` its generated ones against all real ones.",
        "",
        table(figures["contents"]),
    ]
    told = figures["generators"]
    lines += ["## Which generator", ""]
    if told["reason"]:
        return "\n".join([*lines, told["reason"], ""])
    lines += [
        f"{len(told['classes'])} generators, {told['pictures']} pictures, a linear head on the frozen backbone, folds of "
        f"whole groups. By chance {told['chance']:.3f}. {len(told['one_source'])} of them have one source each, so that "
        f"the head may tell the source instead: {', '.join(told['one_source']) or 'none'}.",
        "",
        table(told["versions"]),
        f"Recall and confusion, {told['confused_on']}:",
        "",
        table(told["classes"]),
        table([{"said, of": name, **row} for name, row in told["confusion"].items()]),
    ]
    return "\n".join(lines)
