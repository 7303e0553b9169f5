"""``veriscope lab scale-copies --measure N``: an index of many vectors, built and asked: milliseconds, memory, bytes, recall.

The vectors are made, not described: pictures of the background that comes with the network, mixed in pairs and displaced, so
that they crowd as vectors of pictures do; a query is a stored vector displaced. What is measured is the store: adding, the
compressed form, asking it warm in a process of its own, whose memory is all it takes, and how many of the exact nearest ten it
gives. Run again, it goes on where it was.

Paper: Jégou et al. 2011 (product quantisation: recall@R).
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veriscope.copies import pdq
from veriscope.copies.asking import background
from veriscope.copies.describing import Entry
from veriscope.copies.descriptor import Descriptor
from veriscope.copies.store import TABLE, Index

BATCH = 20_000  # vectors of a commit
SPREAD = 0.5  # length of what displaces a stored vector from the pictures it is mixed of
ASKED = 0.6  # the same of a query from a stored vector: a cosine of 0.86
QUERIES, WARMING = 200, 50
NEAREST = 10
MODELLED = 2000  # pictures of a made-up background, where the descriptor comes without one

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What the asking process found: row references of each query, seconds of each, and its peak memory in bytes."""

    found: list[list[str]]
    seconds: list[float]
    memory: int


def measure(count: int, work: Path, say: Callable[[str], None], *, seed: int = 0) -> dict[str, float | int]:
    """Build an index of ``count`` vectors in ``work``, ask it, and give what was measured.

    Raises:
        VeriscopeError: the folder holds another index, or the disk is full; what was added stays.
    """
    folder = work / f"index-{count}-{seed}"
    index = Index.create(folder)
    began, held = time.monotonic(), len(index)
    for start in range(held - held % BATCH, count, BATCH):
        some = stored(index.descriptor, start, count, seed)
        index.add([_entry(vector, start + place) for place, vector in enumerate(some)])
        say(f"added: {min(start + BATCH, count)} of {count}, {time.monotonic() - began:.0f} s")
    added = time.monotonic() - began
    queries = asked(count, seed, index.descriptor)
    truth = exact(queries, index.descriptor, count, seed)
    say("exact neighbours: found")
    began = time.monotonic()
    made = index.compress(least=1)
    compressed = time.monotonic() - began
    say(f"compressed form: {'made' if made else 'there'}, {compressed:.0f} s")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        answer = pool.submit(answered, folder, queries).result()
    hits = [
        len(set(found) & {_name(place) for place in right}) for found, right in zip(answer.found, truth, strict=True)
    ]
    seconds = np.array(answer.seconds)
    table = _bytes(folder / f"{TABLE}.lance")
    codes = _bytes(folder / f"{TABLE}.lance" / "_indices")
    return {
        "vectors": count,
        "floats": index.descriptor.size,
        "vectors_added_a_second": round((count - held) / added) if count > held else 0,
        "compressing_seconds": round(compressed, 1),
        "query_median_ms": round(1e3 * float(np.median(seconds)), 2),
        "query_95_percent_ms": round(1e3 * float(np.quantile(seconds, 0.95)), 2),
        "recall_at_10": round(float(np.mean(hits)) / NEAREST, 4),
        "peak_memory_mb": round(answer.memory / 1e6),
        "table_mb": round((table - codes) / 1e6),
        "compressed_form_mb": round(codes / 1e6),
        "cores": os.cpu_count() or 1,
    }


def answered(folder: Path, queries: Vectors) -> Answer:
    """Ask the index for the nearest ten of each query, after some for warming up; run in a process of its own."""
    index = Index.open(folder)
    for query in queries[:WARMING]:
        index.nearest(query, NEAREST)
    rows, seconds = [], []
    for query in queries:
        began = time.perf_counter()
        rows.append([row for row, _ in index.nearest(query, NEAREST)])
        seconds.append(time.perf_counter() - began)
    peak = _peak_memory()
    names = index.rows(sorted({row for found in rows for row in found}))
    return Answer([[str(names[row]["reference"]) for row in found] for found in rows], seconds, peak)


def _peak_memory() -> int:
    """Bytes that this process held at most; on Linux ``getrusage`` would count what its parent held when it was begun."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def stored(descriptor: Descriptor, start: int, count: int, seed: int) -> Vectors:
    """The vectors from ``start`` on of one commit, ``float32 (n, size)`` of length 1."""
    generator = np.random.default_rng((seed, start))
    pictures = _pictures(descriptor, seed)
    number = min(BATCH, count - start)
    one, other = (pictures[generator.integers(0, len(pictures), number)] for _ in range(2))
    share = generator.random((number, 1)).astype(np.float32)
    return _displaced(_unit(share * one + (1 - share) * other), SPREAD, generator)


def asked(count: int, seed: int, descriptor: Descriptor) -> Vectors:
    """The queries, ``float32 (200, size)``: stored vectors displaced."""
    generator = np.random.default_rng((seed, count, 1))
    starts = np.unique(generator.integers(0, -(-count // BATCH), 8)) * BATCH
    some = np.concatenate([stored(descriptor, int(start), count, seed) for start in starts])
    return _displaced(some[generator.integers(0, len(some), QUERIES)], ASKED, generator)


def exact(queries: Vectors, descriptor: Descriptor, count: int, seed: int) -> NDArray[np.int64]:
    """The numbers of the nearest ten stored vectors of each query by comparing all, ``(Q, 10)``."""
    best, places = np.full((len(queries), NEAREST), -np.inf, np.float32), np.zeros((len(queries), NEAREST), np.int64)
    for start in range(0, count, BATCH):
        near = queries @ stored(descriptor, start, count, seed).T
        both = np.concatenate([best, near], 1)
        numbers = np.concatenate([places, np.broadcast_to(start + np.arange(near.shape[1]), near.shape)], 1)
        kept = np.argpartition(-both, NEAREST - 1, axis=1)[:, :NEAREST]
        best, places = np.take_along_axis(both, kept, 1), np.take_along_axis(numbers, kept, 1)
    return places


def _pictures(descriptor: Descriptor, seed: int) -> Vectors:
    held = background(descriptor)
    if len(held):
        return held
    drawn = np.random.default_rng(seed).normal(size=(MODELLED, descriptor.size))
    return _unit((drawn * np.linspace(2, 0.2, descriptor.size)).astype(np.float32))


def _displaced(vectors: Vectors, length: float, generator: np.random.Generator) -> Vectors:
    noise = generator.normal(size=vectors.shape).astype(np.float32) * np.float32(length / vectors.shape[1] ** 0.5)
    return _unit(vectors + noise)


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _name(number: int) -> str:
    return f"vector/{number}"


def _entry(vector: Vectors, number: int) -> Entry:
    name = _name(number)
    digest = hashlib.sha256(name.encode())
    return Entry(
        reference=name,
        sha256=digest.hexdigest(),
        pdq=np.frombuffer(digest.digest()[: pdq.BITS // 8], np.uint8),
        quality=100,
        vectors=vector[None],
        width=1,
        height=1,
        added=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
