"""Manifests: which pictures there are, what they are, where they came from, and which fold they belong to.

A manifest is a CSV file with one row a picture and at least the columns ``path`` (relative to the manifest), ``label``
(``real``, ``generated``; rows with other labels are passed over), ``source``, ``group`` and ``split``.
"""

from __future__ import annotations

import csv
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.picture import open_picture

COLUMNS = ("path", "label", "source", "group", "split")
LABELS = {"real": 0, "generated": 1}
MARKED = {"tpdne_stylegan2": 0.04}  # source: share of the height at the bottom that carries a text or a colour bar
MARKED_GENERATORS = {"dall-e-2": 0.04}


@dataclass(frozen=True)
class Row:
    """One picture of a manifest."""

    path: Path
    label: str
    source: str
    group: str
    split: str
    generator: str = ""

    @property
    def generated(self) -> int:
        """1 where generated, 0 where real."""
        return LABELS[self.label]

    @property
    def key(self) -> str:
        """A name that is the same wherever the manifest lies."""
        return f"{self.source}/{self.path.name}"


def read_manifest(path: Path, splits: Iterable[str] | None = None) -> list[Row]:
    """The real and generated rows of a manifest, in its order.

    Args:
        path: the CSV file.
        splits: keep only rows of these splits.
    Raises:
        VeriscopeError: columns or files are missing, or one group straddles splits; the message names the rows.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = list(csv.DictReader(file))
    except OSError as error:
        raise VeriscopeError(f"{path}: the manifest cannot be read: {error.strerror}") from error
    missing = [column for column in COLUMNS if not table or column not in table[0]]
    if missing:
        raise VeriscopeError(f"{path}: the manifest is empty or lacks the columns {', '.join(missing)}")
    wanted = None if splits is None else set(splits)
    rows = [
        Row(
            path.parent / line["path"],
            line["label"],
            line["source"],
            line["group"],
            line["split"],
            line.get("generator", ""),
        )
        for line in table
        if line["label"] in LABELS and (wanted is None or line["split"] in wanted)
    ]
    absent = [str(row.path) for row in rows if not row.path.exists()]
    if absent:
        raise VeriscopeError(f"{path}: {len(absent)} pictures are missing, first: {', '.join(absent[:5])}")
    split_of: dict[tuple[str, str], str] = {}
    for row in rows:
        if split_of.setdefault((row.source, row.group), row.split) != row.split:
            raise VeriscopeError(f"{path}: group {row.group} of source {row.source} is in two splits: {row.path.name}")
    return rows


def read_manifests(paths: Sequence[Path], splits: Iterable[str] | None = None) -> list[Row]:
    """The rows of several manifests, one after the other.

    Raises:
        VeriscopeError: as ``read_manifest``, or two rows have one source and one file name.
    """
    rows = [row for path in paths for row in read_manifest(path, splits)]
    seen: dict[str, Path] = {}
    for row in rows:
        if seen.setdefault(row.key, row.path) != row.path:
            raise VeriscopeError(
                f"source {row.source} has two pictures called {row.path.name}: {seen[row.key]}, {row.path}"
            )
    return rows


def load_pixels(row: Row) -> NDArray[np.uint8]:
    """The picture of a row as ``uint8 (H, W, 3)`` RGB, without the strip in which its generator signs.

    Raises:
        PictureError: it cannot be opened.
    """
    return without_signature(open_picture(row.path).rgb, row)


def without_signature(rgb: NDArray[np.uint8], row: Row) -> NDArray[np.uint8]:
    """``uint8 (H, W, 3)`` RGB of a row without the strip at its bottom in which its generator signs, if it does."""
    strip = MARKED.get(
        row.source,
        max((share for name, share in MARKED_GENERATORS.items() if name in row.generator.lower()), default=0.0),
    )
    return rgb[: max(16, round(rgb.shape[0] * (1 - strip)))] if strip else rgb


def deal(rows: Sequence[Row], folds: int) -> NDArray[np.int64]:
    """The fold of each row; a whole source lies in one fold, and each class is spread as evenly as its sources allow.

    The sources of a class are dealt in an order that depends on their names alone, each to the fold that has fewest pictures.
    """
    pictures: dict[str, Counter[str]] = {}
    for row in rows:
        pictures.setdefault(row.source, Counter())[row.label] += 1
    fold: dict[str, int] = {}
    held = {label: [0] * folds for label in LABELS}
    for source in sorted(pictures, key=lambda name: (-len(pictures[name]), zlib.crc32(name.encode()), name)):
        label = max(pictures[source], key=lambda name: (pictures[source][name], name))
        fold[source] = min(range(folds), key=lambda number: (held[label][number], number))
        for name, count in pictures[source].items():
            held[name][fold[source]] += count
    return np.array([fold[row.source] for row in rows], np.int64)


def balanced_weights(rows: Sequence[Row]) -> NDArray[np.float64]:
    """A weight for each row: both classes alike in sum, a source within its class by the square root of its size."""
    sources = np.array([row.source for row in rows])
    classes = np.array([row.generated for row in rows])
    _, inverse, counts = np.unique(sources, return_inverse=True, return_counts=True)
    weights = counts[inverse] ** -0.5
    for label in (0, 1):
        weights[classes == label] /= max(weights[classes == label].sum(), 1e-12)
    return np.asarray(weights / weights.sum(), np.float64)
