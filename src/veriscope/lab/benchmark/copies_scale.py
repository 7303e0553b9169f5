"""``veriscope lab scale-copies``: what an index of many pictures would cost, from constants measured here and assumed ones.

Nothing of that size is built. Times per operation are measured on this machine at the moment; bytes follow from the formats;
how the vectors would be divided and what a machine holds is assumed, and each row of the table says which. Waiting for
networks and disks, replicas and the growth of candidates with the index's size are left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from veriscope.copies import pdq
from veriscope.copies.describing import small_jpeg
from veriscope.copies.descriptor import default, make
from veriscope.copies.verification import points, verify_points
from veriscope.lab.data.procedural import telling

SCANNED = 1_000_000  # hashes that the scan is timed on
CODE_BYTES = 64  # assumed: of a vector's product code, one byte for every four floats
IDENTIFIER_BYTES = 8 + 32  # a row's number and its file's SHA-256
PROBED = 32  # assumed: lists of the inverted file that a query reads
LISTS_PER_ROOT = 4  # assumed: lists for each square root of the number of vectors
CANDIDATES = 40  # verified for a query
MACHINE_MEMORY, MACHINE_CORES = 256e9, 32  # assumed: of one machine
ADDED_PER_DAY = 0.001  # assumed: share of the index


@dataclass(frozen=True)
class Cost:
    """One row: what, how much, its unit, and whether it is "measured", "assumed", or "computed" from the others."""

    what: str
    amount: float
    unit: str
    origin: str


@dataclass(frozen=True)
class Rates:
    """Seconds of one core, measured: to describe a picture, compare one hash with its variants, verify one pair.

    A picture has ``vectors`` of so many ``floats``: of the whole and of its parts.
    """

    describing: float
    hash_compared: float
    verifying: float
    preview_bytes: float
    floats: int
    vectors: int = 1


def measured_rates(seed: int = 0) -> Rates:
    """What this machine does at the moment, on rendered pictures of 512 px and random hashes."""
    pictures = [telling(np.random.default_rng((seed, number)), 512).picture(512) for number in range(2)]
    descriptor = make(default())

    def describe() -> None:
        pdq.pdq(pictures[0])
        descriptor.of_reference(pictures[0])

    hashes = pdq.packed(np.random.default_rng(seed).integers(0, 256, (SCANNED, pdq.BITS // 8), dtype=np.uint8))
    variants = pdq.pdq(pictures[0]).variants
    first, second = (points(picture) for picture in pictures)
    return Rates(
        describing=_seconds(describe),
        hash_compared=_seconds(lambda: pdq.nearest_variants(variants, hashes), 1) / SCANNED,
        verifying=_seconds(lambda: verify_points(first, second)),
        preview_bytes=float(np.mean([len(small_jpeg(picture)) for picture in pictures])),
        floats=descriptor.size,
        vectors=len(descriptor.of_reference(pictures[0])),
    )


def _seconds(work: Callable[[], object], times: int = 3) -> float:
    """The least processor time of a few runs after one for warming up."""
    work()
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def costs(pictures: float, rates: Rates) -> list[Cost]:
    """What an index of so many pictures takes.

    >>> rates = Rates(describing=0.02, hash_compared=1e-8, verifying=0.03, preview_bytes=3e4, floats=256)
    >>> {cost.what: cost.amount for cost in costs(1e9, rates)}["hashes"]
    32.0
    """
    vectors = pictures * rates.vectors
    lists = LISTS_PER_ROOT * math.sqrt(vectors)
    read = vectors * min(1.0, PROBED / lists)
    in_memory = pictures * (pdq.BITS / 8 + IDENTIFIER_BYTES) + vectors * CODE_BYTES
    scan = pictures * rates.hash_compared
    verification = CANDIDATES * rates.verifying
    machines = math.ceil(in_memory / MACHINE_MEMORY)
    return [
        Cost("describing a picture", 1e3 * rates.describing, "ms of a core", "measured"),
        Cost("comparing a million hashes in 8 positions", 1e9 * rates.hash_compared, "ms of a core", "measured"),
        Cost("verifying a pair", 1e3 * rates.verifying, "ms of a core", "measured"),
        Cost("small copy of a picture", rates.preview_bytes / 1e3, "kB", "measured"),
        Cost("vectors of a picture", rates.vectors, "vectors", "measured"),
        Cost("code of a vector", CODE_BYTES, "bytes", "assumed"),
        Cost("lists of vectors", lists, "lists", "assumed"),
        Cost("lists read for a view of a query", PROBED, "lists", "assumed"),
        Cost("candidates verified for a query", CANDIDATES, "pairs", "assumed"),
        Cost("hashes", pictures * pdq.BITS / 8 / 1e9, "GB", "computed"),
        Cost("vectors whole", vectors * rates.floats * 4 / 1e9, "GB", "computed"),
        Cost("vectors as codes", vectors * CODE_BYTES / 1e9, "GB", "computed"),
        Cost("numbers and digests", pictures * IDENTIFIER_BYTES / 1e9, "GB", "computed"),
        Cost("small copies", pictures * rates.preview_bytes / 1e12, "TB", "computed"),
        Cost("machines that hold hashes, codes and digests", machines, f"of {MACHINE_MEMORY / 1e9:.0f} GB", "computed"),
        Cost("codes read for a view of a query", read / 1e6, "million", "computed"),
        Cost("scan of all hashes for a query", scan, "s of a core", "computed"),
        Cost(
            "the same on all cores",
            1e3 * scan / (machines * MACHINE_CORES),
            f"ms, {MACHINE_CORES} a machine",
            "computed",
        ),
        Cost("verification for a query", verification, "s of a core", "computed"),
        Cost(
            "describing all once", pictures * rates.describing / 86_400 / MACHINE_CORES, "days of a machine", "computed"
        ),
        Cost("pictures added a day", pictures * ADDED_PER_DAY / 1e6, "million", "assumed"),
        Cost(
            "describing these",
            pictures * ADDED_PER_DAY * rates.describing / 3600 / MACHINE_CORES,
            "hours of a machine",
            "computed",
        ),
    ]


def as_markdown(rows: list[Cost]) -> str:
    """The rows as a table of Markdown."""
    lines = ["| what | amount | unit | origin |", "| --- | ---: | --- | --- |"]
    lines += [f"| {row.what} | {row.amount:,.4g} | {row.unit} | {row.origin} |" for row in rows]
    return "\n".join(lines)
