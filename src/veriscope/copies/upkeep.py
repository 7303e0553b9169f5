"""Is an index whole, how large is it, and are the files it names still there?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies import pdq
from veriscope.copies.store import PREVIEWS, TABLE, Index

COLUMNS = ("reference", "sha256", "pdq", "quality", "vectors", "width", "height", "added", "meta")
HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Problem:
    """What is wrong with one picture of an index."""

    reference: str
    says: str


def stats(index: Index) -> dict[str, Any]:
    """Counts and sizes of an index, JSON types only; bytes are those on disk, old states that readers may hold included."""
    held = index.statistics()
    return {
        "folder": str(index.folder),
        **index.facts,
        **held,
        "table_bytes": _bytes(index.folder / f"{TABLE}.lance"),
        "preview_bytes": _bytes(index.folder / PREVIEWS),
        "hash_bytes_in_memory": held["pictures"] * (pdq.BITS // 8 + 8),
        "flat": sum(
            int((np.asarray(part["quality"]) < pdq.LEAST_QUALITY).sum()) for part in index.batches(["quality"])
        ),
    }


def problems(index: Index, *, files: bool = False) -> Iterator[Problem]:
    """Each row that cannot be read or contradicts itself; reads everything once.

    Args:
        index: to check.
        files: also check that the file each reference names is there, and of the size it had.
    Raises:
        VeriscopeError: the table cannot be read.
    """
    seen: set[bytes] = set()
    for part in index.batches(COLUMNS):
        columns = {name: part[name].to_pylist() for name in COLUMNS if name != "vectors"}
        for number, held in enumerate(part["vectors"]):
            row = {name: values[number] for name, values in columns.items()}
            vectors = np.asarray(held.values.flatten()).reshape(-1, index.descriptor.size)
            says = _says(index, row, np.linalg.norm(vectors, axis=1), files)
            sha256 = bytes.fromhex(row["sha256"]) if HASH.fullmatch(row["sha256"]) else b""
            if sha256 and sha256 in seen:
                says.append("stored twice")
            seen.add(sha256)
            if says:
                yield Problem(row["reference"], "; ".join(says))


def _says(index: Index, row: dict[str, Any], lengths: NDArray[np.float32], files: bool) -> list[str]:
    says = []
    if not HASH.fullmatch(row["sha256"]):
        says.append("its SHA-256 is damaged")
    if not lengths.size or not (np.abs(lengths - 1) < 1e-3).all():
        says.append("its vector is damaged")
    if row["width"] < 1 or row["height"] < 1:
        says.append("its size is damaged")
    kept = index.preview(row["sha256"])
    if kept is not None and cv2.imdecode(np.frombuffer(kept, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8) is None:
        says.append("its small copy cannot be read")
    try:
        meta = json.loads(row["meta"])
    except ValueError:
        return [*says, "its notes are damaged"]
    if files:
        says += _file(Path(row["reference"]), meta)
    return says


def _file(path: Path, meta: dict[str, Any]) -> list[str]:
    try:
        size = path.stat().st_size
    except OSError:
        return ["its file is not there"]
    return [] if size == meta.get("bytes", size) else ["its file has changed"]


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
