"""``veriscope lab bench-watermarks --unmarked N``: is a stated p-value as rare among unmarked pictures as it says?

Each crop of an unmarked picture is read under a key of its own, as detection reads it, with all alignments that it tries. Of
the p-values that came out, the share at or under each level must not be larger than that level. Crops are small, since the test
sees nothing of a picture's size: what is random is the key. Each answer is kept, so a run that was stopped goes on.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.batch import open_json_lines, read_json_lines
from veriscope.errors import VeriscopeError
from veriscope.lab.benchmark.metrics import wilson_interval
from veriscope.lab.data.manifest import Row, load_pixels, read_manifests
from veriscope.lab.recipes.recipe import write_json
from veriscope.watermarks import SCHEMES

SIDE = 256  # pixels of a crop
LEVELS = (0.5, 0.2, 0.1, 0.05, 0.01, 0.001, 0.0001)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What a run is asked for.

    Attributes:
        data: the manifests; real and generated pictures without a mark.
        out: the folder of results and of what is kept to resume.
        count: crops.
        split: whose pictures.
        names: of our schemes; all where empty.
        processes: that read side by side.
        command: that prints these figures again.
    """

    data: tuple[Path, ...]
    out: Path
    count: int
    split: str = "test"
    names: tuple[str, ...] = ()
    processes: int = 2
    command: str = ""


def false_alarms(order: Order, say: Say) -> dict[str, Any]:
    """Read what was not read yet, write ``false_alarms.json``, and return what it holds.

    Raises:
        VeriscopeError: there are no pictures, a scheme is unknown, or a file cannot be written.
    """
    names = order.names or tuple(SCHEMES)
    unknown = [name for name in names if name not in SCHEMES]
    if unknown:
        raise VeriscopeError(f"--unmarked measures our own schemes, {', '.join(SCHEMES)}, not {unknown[0]!r}")
    rows = [row for row in read_manifests(order.data, (order.split,)) if row.label == "real"]
    if not rows:
        raise VeriscopeError(f"no real picture is in split {order.split!r}; --split names another")
    path = order.out / "unmarked.jsonl"
    weights = models.fingerprint()
    kept = {line["crop"]: line for line in read_json_lines(path) if line.get("weights") == weights}
    # A picture's crops follow each other, so that it is decoded once.
    shares = [list(range(at, order.count, len(rows))) for at in range(min(len(rows), order.count))]
    waiting = [
        (row, todo, names)
        for row, crops in zip(rows, shares, strict=False)
        if (todo := [crop for crop in crops if not set(names) <= kept.get(crop, {}).keys()])
    ]
    with open_json_lines(path) as out:
        for done, lines in enumerate(_read(waiting, order.processes), 1):
            for line in lines:
                out.write(json.dumps(line | {"weights": weights}) + "\n")
                kept[line["crop"]] = line
            if done % 20 == 0:
                say(f"{done} of {len(waiting)} pictures")
    tables = {
        "crops": min((len(_values(kept, name, order.count)) for name in names), default=0),
        "side": SIDE,
        "schemes": {name: levels(_values(kept, name, order.count)) for name in names},
        "about": {"split": order.split, "pictures": len(rows), "weights": weights, "command": order.command},
    }
    write_json(order.out / "false_alarms.json", tables)
    return tables


def levels(p_values: Sequence[float]) -> list[dict[str, Any]]:
    """One line a level: how often p-values are at or under it, with its interval, and whether that agrees.

    >>> levels([0.01, 0.6, 0.7, 0.8])[0]["share"]
    0.25
    """
    lines = []
    for level in LEVELS:
        hits = sum(value <= level for value in p_values)
        low, high = wilson_interval(hits, len(p_values))
        lines.append(
            {
                "p": level,
                "hits": hits,
                "share": round(hits / max(1, len(p_values)), 6),
                "low": round(low, 6),
                "high": round(high, 6),
                "agrees": bool(low <= level),
            }
        )
    return lines


def _values(kept: dict[int, dict[str, Any]], name: str, count: int) -> list[float]:
    return [line[name] for crop, line in kept.items() if crop < count and name in line]


Task = tuple[Row, list[int], tuple[str, ...]]


def _read(waiting: Sequence[Task], processes: int) -> Iterator[list[dict[str, Any]]]:
    if processes <= 1 or len(waiting) < 2:
        yield from map(_one, waiting)
        return
    before = os.environ.get("VERISCOPE_THREADS")
    os.environ["VERISCOPE_THREADS"] = "1"  # the processes inherit it: one core each
    try:
        with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_single) as pool:
            yield from pool.map(_one, waiting)
    finally:
        if before is None:
            del os.environ["VERISCOPE_THREADS"]
        else:
            os.environ["VERISCOPE_THREADS"] = before


def _single() -> None:
    import cv2

    cv2.setNumThreads(1)


def _one(task: Task) -> list[dict[str, Any]]:
    """The p-values of one picture's crops."""
    row, crops, names = task
    try:
        rgb = load_pixels(row)
    except VeriscopeError:
        return []
    if min(rgb.shape[:2]) < SIDE:
        return []
    lines: list[dict[str, Any]] = []
    for crop in crops:
        part = _crop(rgb, np.random.default_rng(zlib.crc32(f"{row.key}#{crop}".encode())))
        lines.append({"crop": crop, **{name: float(SCHEMES[name].read_data(part, f"key {crop}")[1]) for name in names}})
    return lines


def _crop(rgb: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    top, left = (int(generator.integers(0, side - SIDE + 1)) for side in rgb.shape[:2])
    return np.ascontiguousarray(rgb[top : top + SIDE, left : left + SIDE])
