"""The columns of an index's table, and entries as its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from veriscope.copies import pdq
from veriscope.copies.describing import Entry

SHOWN = ("reference", "sha256", "width", "height", "added", "meta", "quality")  # what a reader of matches needs


def schema(size: int) -> Any:
    """The table's Arrow schema, for vectors of ``size`` floats."""
    import pyarrow as pa

    columns = {
        "reference": pa.string(),
        "sha256": pa.string(),
        "pdq": pa.binary(pdq.BITS // 8),
        "quality": pa.uint8(),
        "vectors": pa.list_(pa.field("item", pa.list_(pa.float32(), size))),
        "width": pa.int32(),
        "height": pa.int32(),
        "added": pa.string(),
        "meta": pa.string(),
    }
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


def table(entries: Sequence[Entry], size: int) -> Any:
    """The entries as an Arrow table of ``schema(size)``.

    Raises:
        ValueError: a vector is of another size, or not finite.
    """
    import pyarrow as pa

    for entry in entries:
        shape = entry.vectors.shape
        if len(shape) != 2 or not shape[0] or shape[1] != size or not np.isfinite(entry.vectors).all():
            raise ValueError(f"vectors must be finite and of {size} floats")
    ends = np.cumsum([0, *(len(entry.vectors) for entry in entries)]).astype(np.int32)
    flat = pa.array(np.concatenate([entry.vectors for entry in entries]).ravel(), pa.float32())
    columns = {
        "reference": [entry.reference for entry in entries],
        "sha256": [entry.sha256 for entry in entries],
        "pdq": [entry.pdq.tobytes() for entry in entries],
        "quality": [entry.quality for entry in entries],
        "vectors": pa.ListArray.from_arrays(ends, pa.FixedSizeListArray.from_arrays(flat, size)),
        "width": [entry.width for entry in entries],
        "height": [entry.height for entry in entries],
        "added": [entry.added for entry in entries],
        "meta": [json.dumps(entry.meta, ensure_ascii=False, sort_keys=True) for entry in entries],
    }
    return pa.table(columns, schema=schema(size))


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """The keys of ``SHOWN`` of a row as the store gives it, with ``meta`` read."""
    return {name: json.loads(row[name]) if name == "meta" else row[name] for name in SHOWN}


def among(column: str, values: Sequence[str]) -> str:
    """The filter for rows whose ``column`` is one of ``values``.

    >>> among("reference", ["a.jpg", "it's"])
    "reference IN ('a.jpg', 'it''s')"
    """
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})"
