"""Manifests: which pictures there are, what they are, where they came from, and which fold they belong to.

A manifest is a CSV or Parquet file with one row a picture and at least the columns ``path`` (relative to the manifest),
``label`` (``real``, ``generated``, ``edited`` or ``none``), ``source``, ``group`` and ``split``. Siblings (one scene, its
crops, its recompressions, its reconstructions) share a group, whatever their source, and a group lies in one split. What is
wrong is said of all rows at once, each by its line; ``checking`` also opens the pictures.
"""

from __future__ import annotations

import csv
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.picture import open_picture

COLUMNS = ("path", "label", "source", "group", "split")
OPTIONAL = ("face", "art", "generator", "mask", "origin", "method", "name")
LABELS = {"real": 0, "generated": 1}
ALL_LABELS = (*LABELS, "edited", "none")
PARQUET = (".parquet", ".pq")
MOST_NAMED = 20  # wrong rows that one error names
MARKED = {"tpdne_stylegan2": 0.04}  # source: share of the height at the bottom that carries a text or a colour bar
MARKED_GENERATORS = {"dall-e-2": 0.04}


@dataclass(frozen=True)
class Row:
    """One picture of a manifest.

    Attributes:
        path: the file.
        label: "real", "generated", "edited" or "none".
        source: where it came from.
        group: siblings share it.
        split: "train", "val", "test" or another.
        generator: what made it, as its source says.
        face, art: "1" for a face portrait; "1" for a real picture that is not a photograph.
        mask: the file of its mask, white where edited; empty where there is none.
        origin: the key of the picture that it was made from.
        method: how it was made from it.
        name: what it is called within its source; the file's name where empty.
    """

    path: Path
    label: str
    source: str
    group: str
    split: str
    generator: str = ""
    face: str = ""
    art: str = ""
    mask: str = ""
    origin: str = ""
    method: str = ""
    name: str = ""

    @property
    def generated(self) -> int:
        """1 where generated, 0 where real."""
        return LABELS[self.label]

    @property
    def key(self) -> str:
        """A name that is the same wherever the manifest lies."""
        return f"{self.source}/{self.name or self.path.name}"


@dataclass(frozen=True)
class Line:
    """A row of a manifest and where it stands; ``number`` counts the header, as an editor does."""

    manifest: Path
    number: int
    row: Row


@dataclass(frozen=True)
class Finding:
    """What is wrong with one row of a manifest; with the manifest as a whole where ``number`` is 0."""

    manifest: Path
    number: int
    reason: str

    def __str__(self) -> str:
        where = f"{self.manifest} line {self.number}" if self.number else str(self.manifest)
        return f"{where}: {self.reason}"


def refuse(findings: Sequence[Finding]) -> None:
    """Raise an error that names the rows, if there is any finding.

    Raises:
        VeriscopeError: there is.
    """
    if findings:
        told = [str(finding) for finding in findings[:MOST_NAMED]]
        if len(findings) > MOST_NAMED:
            told.append(f"and {len(findings) - MOST_NAMED} more")
        rows = "1 row is" if len(findings) == 1 else f"{len(findings)} rows are"
        raise VeriscopeError(f"{rows} wrong, nothing was started:\n" + "\n".join(told))


def read_lines(path: Path) -> list[Line]:
    """Every row of a manifest, whatever its label.

    Raises:
        VeriscopeError: the file cannot be read, is empty, or lacks columns.
    """
    table = _parquet(path) if path.suffix.lower() in PARQUET else _csv(path)
    missing = [column for column in COLUMNS if not table or column not in table[0][1]]
    if missing:
        raise VeriscopeError(f"{path}: the manifest is empty or lacks the columns {', '.join(missing)}")
    lines = []
    for number, values in table:
        extra = {column: values.get(column) or "" for column in OPTIONAL}
        if extra["mask"]:
            extra["mask"] = str(path.parent / extra["mask"])
        needed = {column: values[column] or "" for column in COLUMNS[1:]}
        lines.append(Line(path, number, Row(path=path.parent / (values["path"] or ""), **needed, **extra)))
    return lines


def _csv(path: Path) -> list[tuple[int, dict[str, str | None]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            table = []
            before = 1
            for values in reader:
                table.append((before + 1, dict(values)))  # a quoted value may hold line breaks
                before = reader.line_num
            return table
    except OSError as error:
        raise VeriscopeError(f"{path}: the manifest cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise VeriscopeError(f"{path}: the manifest is not a CSV file in UTF-8 ({error})") from error


def _parquet(path: Path) -> list[tuple[int, dict[str, str | None]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise VeriscopeError(f"{path}: Parquet needs pyarrow: pip install 'veriscope[parquet]'") from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except OSError as error:
        raise VeriscopeError(f"{path}: the manifest cannot be read: {error.strerror or error}") from error
    except ArrowException as error:
        raise VeriscopeError(f"{path}: the manifest is not a Parquet file ({error})") from error
    texts = [{name: None if value is None else str(value) for name, value in row.items()} for row in rows]
    return list(enumerate(texts, 2))


def faults(lines: Sequence[Line]) -> list[Finding]:
    """What is wrong with rows, as far as that is seen without opening pictures.

    Unknown labels, empty fields, missing files and masks, a group in two splits, two pictures of one source under one name.
    """
    found = []
    first_of_group: dict[str, Line] = {}
    first_of_key: dict[str, Line] = {}
    for line in lines:
        row = line.row
        reasons = []
        if row.label not in ALL_LABELS:
            reasons.append(f"unknown label {row.label!r}; there are: {', '.join(ALL_LABELS)}")
        reasons += [f"no {column}" for column in ("source", "group", "split") if not getattr(row, column)]
        if not row.path.is_file():
            reasons.append(f"{row.path}: no such file")
        if row.mask and not Path(row.mask).is_file():
            reasons.append(f"mask {row.mask}: no such file")
        other = first_of_group.setdefault(row.group, line)
        if row.group and other.row.split != row.split:
            reasons.append(
                f"group {row.group} is in two splits: {row.split} here, {other.row.split} in {_place(other, line)}"
            )
        other = first_of_key.setdefault(row.key, line)
        if other is not line:
            same = "is listed twice" if other.row.path == row.path else "has two pictures of this name"
            reasons.append(f"{row.key}: source {row.source} {same}, also in {_place(other, line)}")
        found += [Finding(line.manifest, line.number, reason) for reason in reasons]
    return found


def _place(other: Line, here: Line) -> str:
    return f"line {other.number}" if other.manifest == here.manifest else f"{other.manifest} line {other.number}"


def read_manifest(path: Path, splits: Iterable[str] | None = None) -> list[Row]:
    """The real and generated rows of a manifest, in its order.

    Args:
        path: the CSV or Parquet file.
        splits: keep only rows of these splits.
    Raises:
        VeriscopeError: the file cannot be read, or rows are wrong as ``faults`` says; the message names them.
    """
    return read_manifests([path], splits)


def read_manifests(
    paths: Sequence[Path], splits: Iterable[str] | None = None, labels: Iterable[str] = tuple(LABELS)
) -> list[Row]:
    """The rows of several manifests, one after the other: the real and generated ones unless other labels are asked for.

    Raises:
        VeriscopeError: as ``read_manifest``.
    """
    lines = [line for path in paths for line in read_lines(path)]
    refuse(faults(lines))
    wanted, told = None if splits is None else set(splits), set(labels)
    return [line.row for line in lines if line.row.label in told and (wanted is None or line.row.split in wanted)]


def write_manifest(path: Path, table: Sequence[Mapping[str, str]]) -> None:
    """Write rows as CSV, or as Parquet where the suffix says so; the file is whole or not there.

    Args:
        path: the manifest.
        table: one mapping of column to text a row; a row may lack columns that others have.
    Raises:
        VeriscopeError: it cannot be written.
    """
    columns = list(dict.fromkeys(column for row in table for column in row))
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in PARQUET:
            import pyarrow
            from pyarrow import parquet

            values = {column: [row.get(column, "") for row in table] for column in columns}
            parquet.write_table(pyarrow.table(values), partial)
        else:
            with partial.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
                writer.writeheader()
                writer.writerows(table)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise VeriscopeError(f"{path}: cannot be written: {error.strerror or error}") from error


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
    classes = np.array([row.generated for row in rows])
    weights = source_weights(rows)
    for label in (0, 1):
        weights[classes == label] /= max(weights[classes == label].sum(), 1e-12)
    return np.asarray(weights / weights.sum(), np.float64)


def source_weights(rows: Sequence[Row]) -> NDArray[np.float64]:
    """A weight for each row, so that a source counts by the square root of its size; they do not sum to 1."""
    _, inverse, counts = np.unique([row.source for row in rows], return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] ** -0.5, np.float64)


def spread(rows: Sequence[Row], most: int) -> list[Row]:
    """At most ``most`` of the rows, each once, taken from the sources in turn, so that no large one crowds out the others."""
    of: dict[str, list[Row]] = {}
    for row in sorted({row.key: row for row in rows}.values(), key=lambda row: (zlib.crc32(row.key.encode()), row.key)):
        of.setdefault(row.source, []).append(row)
    dealt = (row for turn in zip_longest(*(of[source] for source in sorted(of))) for row in turn if row is not None)
    return list(dealt)[:most]
