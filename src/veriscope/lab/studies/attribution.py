"""Which generator made it: a linear head on the frozen backbone's readings tells generators apart, as is and after handling.

A head is fitted on the random histories of other groups' pictures and asked about each version of a group kept aside. Only
generators that the manifest names without doubt take part, with enough pictures for every fold. Where all pictures of a
generator have one source, the head may know the source (its subjects, sizes and savings) and not the generator; the table
counts the sources, and no figure here is evidence of attribution on pictures of a new source.

Paper: Boychev & Cholakov 2024 (ImagiNet: the track of model identification).
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.lab.benchmark.refitting import DEGRADED
from veriscope.lab.data.manifest import Row
from veriscope.lab.data.samples import Samples, readings
from veriscope.lab.recipes.recipe import Say
from veriscope.synthetic import depths

DOUBTED = re.compile(r"presumed|mixed|unknown|author|owner|says|[?/]", re.IGNORECASE)  # of a generator's name
TESTED = 0  # the turn of a sample that is trained on
STRENGTH = 0.01  # inverse of the L2 penalty on standardised features
ITERATIONS = 200
ROUNDS = 200  # of the bootstrap


def trusted(row: Row) -> str:
    """What made a picture, where its manifest names one generator without doubt; "" elsewhere.

    >>> from pathlib import Path
    >>> [trusted(Row(Path("a"), "generated", "s", "g", "train", name)) for name in ("sdxl", "grok(presumed)", "SD/SDXL")]
    ['sdxl', '', '']
    """
    return "" if row.label != "generated" or DOUBTED.search(row.generator) else row.generator.strip()


def folds_of(rows: Sequence[Row], names: Sequence[str], folds: int) -> NDArray[np.int64]:
    """The fold of each picture; a group lies in one, and each name's groups are dealt to all folds in turn."""
    fold: dict[str, int] = {}
    dealt: dict[str, list[int]] = defaultdict(lambda: [0] * folds)
    for row, name in sorted(
        zip(rows, names, strict=True), key=lambda pair: (zlib.crc32(pair[0].group.encode()), pair[0].key)
    ):
        if row.group not in fold:
            fold[row.group] = int(np.argmin(dealt[name]))
        dealt[name][fold[row.group]] += 1
    return np.array([fold[row.group] for row in rows], np.int64)


def enough(rows: Sequence[Row], least: int, folds: int) -> list[str]:
    """The generators with ``least`` pictures and as many groups as there are folds."""
    groups: dict[str, set[str]] = defaultdict(set)
    pictures: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if name := trusted(row):
            groups[name].add(row.group)
            pictures[name].add(row.key)
    return sorted(name for name, keys in pictures.items() if len(keys) >= least and len(groups[name]) >= folds)


def told_apart(
    samples: Samples, versions: Samples, *, folds: int, least: int, seed: int = 0, say: Say
) -> dict[str, Any]:
    """The figures of telling generators apart.

    Args:
        samples: to train on; their first turns are.
        versions: the same pictures as they are and after handling; the turns are places in ``DEGRADED``.
        folds: of whole groups.
        least: pictures that a generator needs.
        seed: of the bootstrap.
        say: called with lines of progress.
    Returns:
        ``reason``, why there are no figures, or "" and: ``classes``, rows with ``generator``, ``pictures``, ``sources`` and
        ``recall``; ``one_source``, those of one source; ``pictures``, ``chance``; ``versions``, rows with ``version``,
        ``balanced_accuracy`` and its ``interval``; ``confusion``, shares of each generator's pictures by what was said, of
        the version ``confused_on``.
    """
    names = enough(samples.rows, least, folds)
    if len(names) < 2:
        return {
            "reason": f"fewer than two generators are named without doubt and have {least} pictures in {folds} groups"
        }
    place = {name: number for number, name in enumerate(names)}
    train = samples.chosen(np.array([trusted(row) in place for row in samples.rows]) & (samples.turns == TESTED))
    test = versions.chosen(np.array([trusted(row) in place for row in versions.rows]))
    fold = folds_of(train.rows, [trusted(row) for row in train.rows], folds)
    of = {row.key: number for row, number in zip(train.rows, fold.tolist(), strict=True)}
    test = test.chosen(np.array([row.key in of for row in test.rows]))
    x, z = _features(train, say), _features(test, say)
    y, true = (np.array([place[trusted(row)] for row in part.rows]) for part in (train, test))
    there = np.array([of[row.key] for row in test.rows])
    said = np.zeros(len(test), np.int64)
    for number in range(folds):
        if (there == number).any():
            said[there == number] = _fitted(x[fold != number], y[fold != number], z[there == number])
            say(f"generators: fold {number + 1} of {folds}")
    as_is = test.turns == 0
    confusion = _confusion(true[as_is], said[as_is], len(names))
    sources = {name: {row.source for row in train.rows if trusted(row) == name} for name in names}
    generator = np.random.default_rng(seed)
    rows = [
        {"version": name, **_accuracy(true[test.turns == turn], said[test.turns == turn], generator)}
        for turn, name in enumerate(DEGRADED)
    ]
    return {
        "reason": "",
        "pictures": len(train),
        "chance": 1 / len(names),
        "one_source": [name for name in names if len(sources[name]) == 1],
        "versions": rows,
        "confused_on": DEGRADED[0],
        "classes": [
            {
                "generator": name,
                "pictures": int((y == number).sum()),
                "sources": len(sources[name]),
                "recall": float(confusion[number, number]),
            }
            for number, name in enumerate(names)
        ],
        "confusion": {
            name: dict(zip(names, confusion[number].tolist(), strict=True)) for number, name in enumerate(names)
        },
    }


def _features(samples: Samples, say: Say) -> NDArray[np.float32]:
    return np.stack([depths.features(reading.astype(np.float32)) for reading in readings(samples, say=say)])


def _fitted(x: NDArray[np.float32], y: NDArray[np.int64], asked: NDArray[np.float32]) -> NDArray[np.int64]:
    from sklearn.linear_model import LogisticRegression

    mean, spread = x.mean(0), x.std(0) + 1e-6
    head = LogisticRegression(C=STRENGTH, max_iter=ITERATIONS, class_weight="balanced").fit((x - mean) / spread, y)
    return np.asarray(head.predict((asked - mean) / spread), np.int64)


def _confusion(true: NDArray[np.int64], said: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    counts = np.zeros((classes, classes))
    np.add.at(counts, (true, said), 1)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def _accuracy(true: NDArray[np.int64], said: NDArray[np.int64], generator: np.random.Generator) -> dict[str, Any]:
    """The mean recall over generators, and a bootstrap interval that draws pictures within their generator."""
    right = [(said == true)[true == number].astype(float) for number in np.unique(true)]
    draws = [np.mean([generator.choice(each, len(each)).mean() for each in right]) for _ in range(ROUNDS)]
    low, high = np.quantile(draws, (0.025, 0.975))
    return {"balanced_accuracy": float(np.mean([each.mean() for each in right])), "interval": [float(low), float(high)]}
