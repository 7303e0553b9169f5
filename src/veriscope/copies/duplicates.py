"""Which pictures of an index are nearly the same? Groups, joined wherever two hashes differ in few bits.

All pairs within the threshold are found, not by comparing all: of 16 parts of a hash, two that differ in at most 31 bits have
one part that differs in at most one bit, and only pictures that agree so far are compared. Flat pictures, whose hashes are
noise, are left out. A chain of small steps joins its ends: groups are candidates for a person, not for deletion. After: Norouzi
et al., "Fast Search in Hamming Space with Multi-Index Hashing", 2012; Webster et al., "On the De-duplication of LAION-2B".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.copies import pdq
from veriscope.copies.store import Index
from veriscope.errors import VeriscopeError

PARTS, PART_BITS = 16, 16
PAIRS_AT_ONCE = 2_000_000
COLUMNS = ("reference", "sha256", "pdq", "quality", "width", "height", "added")


@dataclass(frozen=True)
class Duplicates:
    """What was found.

    Attributes:
        groups: rows of each group of two and more, the largest picture first; the largest groups first.
        distances: how many pairs differ in so many bits, within the threshold.
        pictures: that were compared.
        flat: that were left out.
    """

    groups: list[list[dict[str, Any]]] = field(repr=False)
    distances: dict[int, int]
    pictures: int
    flat: int

    @property
    def sizes(self) -> dict[int, int]:
        """How many groups have so many pictures."""
        values, counts = np.unique([len(group) for group in self.groups], return_counts=True)
        return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def duplicates(index: Index, *, threshold: int = pdq.NEAR) -> Duplicates:
    """The groups of pictures whose hashes are joined by steps of at most ``threshold`` bits.

    Raises:
        VeriscopeError: the threshold is not in 0..31, or the index cannot be read.
    """
    if not 0 <= threshold <= pdq.NEAR:
        raise VeriscopeError(f"the threshold must be 0 to {pdq.NEAR} bits, not {threshold}")
    import pyarrow as pa

    table = pa.Table.from_batches(list(index.batches(COLUMNS)), schema=None) if len(index) else None
    if table is None:
        return Duplicates([], {}, 0, 0)
    judged = table.filter(np.asarray(table["quality"]) >= pdq.LEAST_QUALITY)
    hashes = np.frombuffer(b"".join(judged["pdq"].to_pylist()), np.uint8).reshape(-1, pdq.BITS // 8)
    labels, distances = grouped(hashes, threshold)
    order = np.argsort(labels, kind="stable")
    together = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    found = [
        sorted(judged.take(places).to_pylist(), key=lambda row: (-row["width"] * row["height"], row["added"]))
        for places in together
        if len(places) > 1
    ]
    found.sort(key=lambda group: (-len(group), group[0]["reference"]))
    return Duplicates(found, distances, len(judged), len(table) - len(judged))


def grouped(hashes: NDArray[np.uint8], threshold: int) -> tuple[NDArray[np.int64], dict[int, int]]:
    """A group's number for each of ``hashes``, uint8 (N, 32), and how many pairs lie at each distance."""
    if not len(hashes):
        return np.zeros(0, np.int64), {}
    whole = np.ascontiguousarray(hashes).view(f"V{pdq.BITS // 8}").ravel()
    _, first, back, counts = np.unique(whole, return_index=True, return_inverse=True, return_counts=True)
    distinct = hashes[first]
    parents = np.arange(len(distinct))
    distances = np.zeros(threshold + 1, np.int64)
    distances[0] = int((counts * (counts - 1) // 2).sum())
    for start, end, apart in pairs(distinct, threshold):
        np.add.at(distances, apart, counts[start] * counts[end])
        for one, other in zip(start.tolist(), end.tolist(), strict=True):
            parents[_root(parents, one)] = _root(parents, other)
    labels = np.array([_root(parents, number) for number in range(len(distinct))])
    return labels[back.ravel()], {int(n): int(distances[n]) for n in np.flatnonzero(distances)}


def pairs(
    hashes: NDArray[np.uint8], threshold: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """All pairs of distinct ``hashes``, uint8 (N, 32), within ``threshold`` bits, each once: indices and distances."""
    parts = np.ascontiguousarray(hashes).view(np.uint16)
    words = np.ascontiguousarray(hashes).view(np.uint64)
    changes = [0] + ([1 << bit for bit in range(PART_BITS)] if threshold >= PARTS else [])
    for number in range(PARTS):
        keys = parts[:, number].astype(np.int64)
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange((1 << PART_BITS) + 1))
        for change in changes:
            for start, end in _meetings(keys, order, starts, change):
                apart = np.bitwise_count(words[start] ^ words[end]).sum(1, dtype=np.int64)
                near = apart <= threshold
                start, end, apart = start[near], end[near], apart[near]
                new = ~_met_before(parts[start], parts[end], number, len(changes) > 1)
                yield start[new], end[new], apart[new]


def _meetings(
    keys: NDArray[np.int64], order: NDArray[np.int64], starts: NDArray[np.int64], change: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs whose keys differ by ``change`` alone, each once, some at a time."""
    wanted = keys[order] ^ change
    low = np.arange(1, len(order) + 1) if change == 0 else starts[wanted]
    high = starts[wanted + 1]
    if change:
        high = np.where(wanted > keys[order], high, low)
    lengths = np.maximum(high - low, 0)
    total = np.concatenate([[0], np.cumsum(lengths)])
    begin = 0
    while begin < len(order):
        stop = max(begin + 1, int(np.searchsorted(total, total[begin] + PAIRS_AT_ONCE, "right")) - 1)
        here = lengths[begin:stop]
        one = np.repeat(np.arange(begin, stop), here)
        offset = np.arange(len(one)) - np.repeat(total[begin:stop] - total[begin], here)
        other = np.repeat(low[begin:stop], here) + offset
        yield order[one], order[other]
        begin = stop


def _met_before(first: NDArray[np.uint16], second: NDArray[np.uint16], number: int, by_one: bool) -> NDArray[np.bool_]:
    """Whether an earlier part has brought the pair already."""
    apart = np.bitwise_count(first[:, :number] ^ second[:, :number])
    return np.asarray((apart <= int(by_one)).any(1), np.bool_)


def _root(parents: NDArray[np.int64], number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = int(parents[number])
    return number


def save(found: Duplicates, path: Path) -> None:
    """Write a Parquet file: group, its size, reference, sha256, pixels, and the bits from the group's first picture.

    Raises:
        VeriscopeError: it cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    rows = []
    for number, group in enumerate(found.groups):
        head = np.frombuffer(group[0]["pdq"], np.uint8)
        for row in group:
            apart = int(np.bitwise_count(head ^ np.frombuffer(row["pdq"], np.uint8)).sum())
            kept = {name: row[name] for name in COLUMNS if name not in ("pdq", "quality")}
            rows.append({"group": number, "size": len(group), **kept, "distance": apart})
    kinds = {"group": pa.int64(), "size": pa.int64(), "reference": pa.string(), "sha256": pa.string()}
    kinds |= {"width": pa.int32(), "height": pa.int32(), "added": pa.string(), "distance": pa.int32()}
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items()))), partial)
        os.replace(partial, path)
    except OSError as error:
        raise VeriscopeError(f"{path}: cannot be written ({error.strerror or error})") from error
