"""Aligned pairs: a real picture and fakes of it with the same content, size, format and quality, with their provenance.

What differs between the two sides of a pair is the generator's trace alone, so a detector cannot learn subject, size or format
in its place. All pictures of one origin are saved in one drawn way. Half of the origins are first made smaller, which takes
the grid of their old JPEG away from both sides; the real side would otherwise be known by it.

Papers: Rajan et al. 2025 (aligned datasets); Grommelt et al. 2024 (format and size as a bias of datasets).
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.errors import PictureError, VeriscopeError
from veriscope.lab.data.augmentation import JPEG_SHARE, WEBP_SHARE, random_resize
from veriscope.lab.data.manifest import Row, load_pixels, write_manifest
from veriscope.lab.generators.methods import Method

MANIFEST = "manifest.csv"
SMALLER_SHARE = 0.5  # of the origins
QUALITY = (55, 97)
MOST = 1024  # pixels a side; larger pictures give a part of that size
EVERY = 10.0  # seconds between two writings of the manifest and two lines of progress
SEED, LARGEST = "seed", "most"  # settings that all pictures of a folder share


@dataclass
class Outcome:
    """What a run did: pictures made, pictures that were there already, and a line for each that was left out."""

    made: int = 0
    held: int = 0
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Saving:
    suffix: str
    quality: int  # 0 where nothing is lost
    subsampled: bool

    def encode(self, rgb: NDArray[np.uint8]) -> bytes:
        sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if self.subsampled else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        options = {
            ".jpg": [cv2.IMWRITE_JPEG_QUALITY, self.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling],
            ".webp": [cv2.IMWRITE_WEBP_QUALITY, self.quality],
            ".png": [],
        }[self.suffix]
        _, data = cv2.imencode(self.suffix, np.ascontiguousarray(rgb[:, :, ::-1]), options)
        return data.tobytes()


def make_pairs(
    rows: Sequence[Row],
    methods: Sequence[Method],
    out: Path,
    *,
    limit: int = 0,
    seed: int = 0,
    most: int = MOST,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Write the pairs of real pictures and a manifest of them; run again it makes only what is missing.

    A real side keeps its origin's source, so that whoever keeps a source aside keeps both aside; a fake's source is
    ``pairs_METHOD``. Group and split are the origin's. A method whose weights changed is made again.

    Args:
        rows: the real pictures.
        methods: how fakes are made of them.
        out: the folder; ``manifest.csv``, ``real/``, ``METHOD/`` and ``masks/METHOD/`` are in it.
        limit: 0, or how many origins to take; which ones is drawn by the seed.
        seed: of every draw.
        most: pixels a side; larger pictures are cut.
        say: called with lines of progress and of pictures that cannot be opened, which are left out.
    Raises:
        VeriscopeError: the folder holds pairs of another seed or size, or the disk is full; what was complete is kept.
        ModelError: a generator fails.
    """
    table = _held(out, seed, most)
    order = sorted(rows, key=lambda row: (zlib.crc32(f"{row.key}#order#{seed}".encode()), row.key))
    outcome = Outcome()
    began = said = time.monotonic()
    try:
        for number, row in enumerate(order[: limit or None], 1):
            try:
                _one(row, methods, out, table, seed, most, outcome)
            except PictureError as error:
                outcome.left_out.append(str(error))
                say(f"left out: {error}")
            now = time.monotonic()
            if now - said > EVERY:
                said = now
                write_manifest(out / MANIFEST, list(table.values()))
                say(
                    f"pairs: {number} of {min(len(order), limit or len(order))} origins, {(now - began) / number:.1f} s each"
                )
    finally:
        if table:
            write_manifest(out / MANIFEST, list(table.values()))
    return outcome


def _held(out: Path, seed: int, most: int) -> dict[str, dict[str, str]]:
    path = out / MANIFEST
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        table = {line["path"]: line for line in csv.DictReader(file)}
    for line in table.values():
        settings = json.loads(line["settings"])
        if (settings[SEED], settings[LARGEST]) != (seed, most):
            raise VeriscopeError(
                f"{out} holds pairs of seed {settings[SEED]} and at most {settings[LARGEST]} px; name another folder"
            )
    return table


def _one(
    row: Row,
    methods: Sequence[Method],
    out: Path,
    table: dict[str, dict[str, str]],
    seed: int,
    most: int,
    outcome: Outcome,
) -> None:
    generator = np.random.default_rng(zlib.crc32(f"{row.key}#pair#{seed}".encode()))
    saving = _drawn(generator)
    stem = f"{Path(row.name or row.path.name).stem}-{zlib.crc32(row.key.encode()):08x}"
    wanted: dict[str, Method | None] = {f"real/{stem}{saving.suffix}": None}
    wanted |= {f"{method.name}/{stem}{saving.suffix}": method for method in methods}
    missing = {path: method for path, method in wanted.items() if not _there(out, table.get(path), method)}
    outcome.held += len(wanted) - len(missing)
    if not missing:
        return
    rgb, drawn = _side(load_pixels(row), generator, most)
    shared: dict[str, Any] = {
        SEED: seed,
        LARGEST: most,
        **drawn,
        "format": saving.suffix[1:],
        "subsampled": saving.subsampled,
    }
    sha256 = hashlib.sha256(row.path.read_bytes()).hexdigest()
    for path, method in missing.items():
        line = {
            "path": path,
            "label": "real",
            "face": row.face,
            "art": row.art,
            "generator": "",
            "source": row.source,
            "group": row.group,
            "split": row.split,
            "transform": "pair",
            "mask": "",
            "width": str(rgb.shape[1]),
            "height": str(rgb.shape[0]),
            "jpeg_quality": str(saving.quality) if saving.suffix == ".jpg" else "",
            "label_trust": "A",
            "origin": row.key,
            "origin_sha256": sha256,
            "method": "real",
            "settings": json.dumps({**shared, "quality": saving.quality}),
        }
        picture = rgb
        if method is not None:
            made = method.make(rgb, np.random.default_rng(zlib.crc32(f"{row.key}#{method.name}#{seed}".encode())))
            picture = made.picture
            settings = {**shared, "quality": saving.quality, "weights": method.weights, **made.settings}
            line |= {"label": method.label, "generator": method.generator, "source": f"pairs_{method.name}"}
            line |= {"method": method.name, "settings": json.dumps(settings)}
            if made.mask is not None:
                line["mask"] = f"masks/{method.name}/{stem}.png"
                write_file(out / line["mask"], mask_png(made.mask))
        write_file(out / path, saving.encode(picture))
        table[path] = line
        outcome.made += 1


def _there(out: Path, line: dict[str, str] | None, method: Method | None) -> bool:
    if line is None or not all((out / line[column]).is_file() for column in ("path", "mask") if line[column]):
        return False
    return method is None or json.loads(line["settings"])["weights"] == method.weights


def _drawn(generator: np.random.Generator) -> _Saving:
    draw, quality = generator.random(), int(generator.integers(QUALITY[0], QUALITY[1] + 1))
    subsampled = bool(generator.random() < 0.7)
    if draw < JPEG_SHARE:
        return _Saving(".jpg", quality, subsampled)
    return _Saving(".webp", quality, True) if draw < JPEG_SHARE + WEBP_SHARE else _Saving(".png", 0, False)


def _side(
    rgb: NDArray[np.uint8], generator: np.random.Generator, most: int
) -> tuple[NDArray[np.uint8], dict[str, list[int]]]:
    height, width = rgb.shape[:2]
    top, left = (int(generator.integers(0, max(0, size - most) + 1)) for size in (height, width))
    rgb = rgb[top : top + most, left : left + most]
    cut = [left, top, rgb.shape[1], rgb.shape[0]]
    if generator.random() < SMALLER_SHARE:
        rgb = random_resize(rgb, generator)
    return np.ascontiguousarray(rgb), {"cut": cut, "size": [rgb.shape[1], rgb.shape[0]]}


def mask_png(mask: NDArray[np.bool_]) -> bytes:
    """A mask ``bool (H, W)`` as a PNG, white where true."""
    _, data = cv2.imencode(".png", mask.astype(np.uint8) * np.uint8(255))
    return data.tobytes()


def write_file(path: Path, data: bytes) -> None:
    """Write a file, and its folder, so that it is whole or not there.

    Raises:
        VeriscopeError: it cannot be written, for example because the disk is full.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise VeriscopeError(f"{path}: cannot be written: {error.strerror}; what was complete is kept") from error
