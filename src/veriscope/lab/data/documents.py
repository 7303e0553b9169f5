"""A folder of rendered documents, half of them tampered with, with masks and a manifest: to measure detectors of tampered text.

A document depends on the seed and its number alone. One in ten is in faces and layouts that no training sees, and in the split
"val". Untouched ones are labelled ``real``, though no camera took them: their text is as it was first written. Files are PNG,
so that what a document's own history left is kept; that history has mostly a JPEG save as its last step.

Paper: Luo et al. 2024 (Toward Real Text Manipulation Detection: tampered documents, and untouched ones for stability).
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from itertools import count as numbers
from pathlib import Path

import numpy as np

from veriscope.errors import VeriscopeError
from veriscope.lab.data.manifest import write_manifest
from veriscope.lab.data.pairs import mask_png, write_file
from veriscope.lab.data.variants import saved
from veriscope.lab.generators.text_tampering import Tampered, make
from veriscope.lab.generators.typesetting import ASIDE, TRAIN

MANIFEST = "manifest.csv"
SIDES = (320, 1024)  # pixels, of height and width
EVERY_ASIDE = 10  # one document in so many
EVERY = 10.0  # seconds between two writings of the manifest and two lines of progress


def make_documents(count: int, out: Path, *, seed: int = 0, say: Callable[[str], None] = print) -> int:
    """Write documents, masks and their manifest; run again it makes only what is missing. Returns how many it made.

    Args:
        count: documents in all.
        out: the folder; ``manifest.csv``, ``pictures/`` and ``masks/`` are in it.
        seed: of the documents.
        say: called with lines of progress.
    Raises:
        VeriscopeError: the folder holds documents of another seed, or cannot be written; what was complete is kept.
    """
    source = f"documents-seed{seed}"
    table = _held(out, source)
    todo = [number for number in range(count) if not _there(out, table.get(_name(number)))]
    began = said = time.monotonic()
    try:
        for done, number in enumerate(todo, 1):
            table[_name(number)] = _one(number, out, source, seed)
            if time.monotonic() - said > EVERY:
                said = time.monotonic()
                write_manifest(out / MANIFEST, list(table.values()))
                say(f"documents: {done} of {len(todo)}, {(said - began) / done:.2f} s each")
    finally:
        if table:
            write_manifest(out / MANIFEST, [table[name] for name in sorted(table)])
    return len(todo)


def drawn(number: int, seed: int) -> Tampered:
    """The document of a number: untouched where that is even, else tampered with."""
    part = ASIDE if _aside(number) else TRAIN
    for attempt in numbers():
        generator = np.random.default_rng((seed, number, attempt))
        height, width = (int(side) for side in generator.integers(SIDES[0], SIDES[1] + 1, 2))
        found = make(generator, height, width, part=part, tampering=number % 2 == 1)
        if number % 2 == 0 or found.mask.any():
            break
    return found


def _one(number: int, out: Path, source: str, seed: int) -> dict[str, str]:
    found = drawn(number, seed)
    edited = bool(found.mask.any())
    mask = f"masks/{number:06}.png" if edited else ""
    if mask:
        write_file(out / mask, mask_png(found.mask))
    write_file(out / _name(number), saved(found.pixels, "PNG"))
    height, width = str(found.pixels.shape[0]), str(found.pixels.shape[1])
    return {
        "path": _name(number),
        "label": "edited" if edited else "real",
        "face": "0",
        "art": "1",
        "generator": "text " + "+".join(sorted(set(found.methods))) if edited else "",
        "source": source,
        "group": f"{source}-{number}",
        "split": "val" if _aside(number) else "train",
        "transform": "",
        "mask": mask,
        "width": width,
        "height": height,
        "original_width": width,
        "original_height": height,
        "original_format": "PNG",
        "jpeg_quality": "",
        "camera": "",
        "label_trust": "A",
        "licence": "Apache-2.0",
        "note": found.layout,
    }


def _aside(number: int) -> bool:
    return number // 2 % EVERY_ASIDE == 0  # both of a pair of numbers, the untouched and the tampered one


def _name(number: int) -> str:
    return f"pictures/{number:06}.png"


def _there(out: Path, line: dict[str, str] | None) -> bool:
    return line is not None and all((out / line[column]).is_file() for column in ("path", "mask") if line[column])


def _held(out: Path, source: str) -> dict[str, dict[str, str]]:
    path = out / MANIFEST
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        table = {line.get("path", ""): line for line in csv.DictReader(file)}
    strange = next((line.get("source") for line in table.values() if line.get("source") != source), None)
    if strange is not None:
        raise VeriscopeError(f"{path}: holds pictures of {strange}, not of {source}; name another folder")
    return table
