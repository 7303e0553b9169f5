"""What the studies share: few pictures of each source, where pairs came from, and how a study's figures are written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import Row, spread
from veriscope.lab.recipes.recipe import checked, write_json

TRAINING = ("train", "val")  # the splits that trainings read; tests are of sources kept aside within them


def few(rows: Sequence[Row], per_source: int) -> list[Row]:
    """At most ``per_source`` pictures of each source and label, the same ones always."""
    of: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        of.setdefault((row.label, row.source), []).append(row)
    return [row for kind in sorted(of) for row in spread(of[kind], per_source)]


def dealt(rows: Sequence[Row], folds: int) -> dict[str, int]:
    """The fold of each source.

    Raises:
        VeriscopeError: a class has too few sources to be in every fold.
    """
    return dict(zip((row.source for row in rows), checked(rows, folds).tolist(), strict=True))


def origins(pairs: Sequence[Row]) -> list[str]:
    """The source of the real picture behind each picture of a manifest that ``make-pairs`` wrote.

    Raises:
        VeriscopeError: it is another kind of manifest, or one of its classes is missing.
    """
    real = {row.origin: row.source for row in pairs if row.label == "real" and row.origin}
    lost = [row for row in pairs if row.origin not in real]
    if lost:
        raise VeriscopeError(
            f"{lost[0].path}: no real side of its pair is listed ({len(lost)} pictures); "
            "veriscope lab make-pairs writes such manifests"
        )
    if {row.label for row in pairs} != {"real", "generated"}:
        raise VeriscopeError("the pairs need both sides, real and generated; veriscope lab make-pairs makes them")
    return [real[row.origin] for row in pairs]


def whole_pairs(pairs: Sequence[Row], most: int) -> list[Row]:
    """The pairs of at most ``most`` origins, from all sources alike, each with all that was made of it."""
    taken = {row.origin for row in spread([row for row in pairs if row.label == "real"], most)}
    return [row for row in pairs if row.origin in taken]


def apart(pairs: Sequence[Row], others: Sequence[Row]) -> set[str]:
    """The keys of the pairs that share neither their origin's source nor a group with any of the ``others``."""
    sources, groups = {row.source for row in others}, {row.group for row in others}
    return {
        row.key
        for row, source in zip(pairs, origins(pairs), strict=True)
        if source not in sources and row.group not in groups
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same columns as a Markdown table; "" of none."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(rows[0]) + " |", "| " + " | ".join("---" for _ in rows[0]) + " |"]
    lines += ["| " + " | ".join(cell(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def cell(value: Any) -> str:
    """A value as tables show it: three decimals, "a to b" for an interval, nothing for what there is not.

    >>> cell(0.12345), cell([0.5, 1.0]), cell(None)
    ('0.123', '0.500 to 1.000', '')
    """
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, (list, tuple)):
        return " to ".join(cell(part) for part in value) if all(part is not None for part in value) else ""
    return str(value).replace("|", "/").replace("\n", " ")


def write(out: Path, name: str, figures: Mapping[str, Any], page: str) -> None:
    """Write ``NAME.json`` and ``NAME.md`` into a folder, each whole or not at all.

    Raises:
        VeriscopeError: they cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / f"{name}.json", _plain(figures))
        partial = out / f"{name}.md.partial"
        partial.write_text(page, encoding="utf-8")
        os.replace(partial, out / f"{name}.md")
    except OSError as error:
        raise VeriscopeError(f"{out}: cannot be written: {error.strerror}") from error


def _plain(value: Any) -> Any:
    """With what is not a number as null, which JSON has and NaN it has not."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
