"""Files of edited pictures, their masks and their provenance: the factory behind ``veriscope lab make-edits``.

A real picture is saved as its camera did, edited in one place, and saved as editors and sites do; ``none`` is the same without
the edit, labelled real, so that neither size nor compression tells the classes apart. Half of the hosts are first made
smaller, which takes the grid of their old JPEG away; the others keep it, as parts are cut at its blocks. A donor comes from
the host's split and from another group. Training that draws edits as it goes needs no files: ``editing.edited`` and
``histories.history`` are what is called here.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from veriscope.errors import PictureError, VeriscopeError
from veriscope.lab.data.augmentation import random_resize
from veriscope.lab.data.checking import TRAINED
from veriscope.lab.data.histories import GRID, Pixels, history, unsaved
from veriscope.lab.data.manifest import Row, load_pixels, read_manifests, write_manifest
from veriscope.lab.data.pairs import EVERY, LARGEST, MANIFEST, MOST, SEED, SMALLER_SHARE, Outcome, mask_png, write_file
from veriscope.lab.generators.editing import KINDS, LEAST_SIDE, edited
from veriscope.lab.generators.methods import Method

UNTOUCHED = "none"
WHOLE = ("reconstruct", "regenerate")  # ways of a generator that give a whole part anew


@dataclass(frozen=True)
class _Wanted:
    """One picture to be made: its name in the manifest says of what, how, and for which time."""

    name: str
    kind: str
    host: Row
    chance: int


def hosts(paths: Sequence[Path], splits: Sequence[str] = TRAINED) -> list[Row]:
    """The real pictures of manifests that may be edited.

    Raises:
        VeriscopeError: a manifest cannot be read or rows are wrong (the message names them), a split is one for testing, or
            there is no real picture.
    """
    kept_aside = [split for split in splits if split not in TRAINED]
    if kept_aside:
        raise VeriscopeError(
            f"edits are made of the splits {' and '.join(TRAINED)} alone, not of {', '.join(kept_aside)}"
        )
    rows = [row for row in read_manifests(paths, splits) if row.label == "real"]
    if not rows:
        raise VeriscopeError(f"{', '.join(map(str, paths))}: no real picture is in the splits {', '.join(splits)}")
    return rows


def make_edits(
    rows: Sequence[Row],
    kinds: Sequence[str],
    methods: Sequence[Method],
    out: Path,
    *,
    count: int,
    seed: int = 0,
    most: int = MOST,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Write edited and untouched pictures and a manifest of them; run again it makes only what is missing.

    Source, group and split are the host's; ``origin`` and ``donor`` name the pictures that went in, ``settings`` every step.
    A larger count, or more kinds, adds to what is there. Pictures of a generator whose weights changed are made again.

    Args:
        rows: the hosts, from ``hosts``.
        kinds: of ``editing.KINDS``, each for as many pictures as the others.
        methods: generators for the kind "regenerate".
        out: the folder; ``manifest.csv``, ``KIND/`` and ``masks/KIND/`` are in it.
        count: pictures in all.
        seed: of every draw.
        most: pixels a side; of larger hosts a part is cut.
        say: called with lines of progress and of pictures that cannot be used, which are left out.
    Raises:
        VeriscopeError: the kinds and generators do not fit, a splice has no donor, the folder holds edits of another seed or
            size, or the disk is full; what was complete is kept.
        ModelError: a generator fails.
    """
    _require(kinds, methods)
    donors = _donors(rows, kinds)
    table = _held(out, seed, most)
    plan = _plan(rows, kinds, count, seed)
    outcome = Outcome()
    began = said = time.monotonic()
    try:
        for number, wanted in enumerate(plan, 1):
            if _there(out, table.get(wanted.name), methods):
                outcome.held += 1
                continue
            try:
                table[wanted.name] = _one(wanted, donors, methods, out, seed, most)
                outcome.made += 1
            except PictureError as error:
                outcome.left_out.append(str(error))
                say(f"left out: {error}")
            now = time.monotonic()
            if now - said > EVERY:
                said = now
                write_manifest(out / MANIFEST, list(table.values()))
                say(f"edits: {number} of {count}, {(now - began) / number:.2f} s each")
    finally:
        if table:
            write_manifest(out / MANIFEST, list(table.values()))
    return outcome


def _require(kinds: Sequence[str], methods: Sequence[Method]) -> None:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise VeriscopeError(f"no edit is called {', '.join(unknown) or 'nothing'}; there are: {', '.join(KINDS)}")
    if "regenerate" in kinds and not methods:
        raise VeriscopeError(
            "the edit regenerate needs a generator: --generators NAME=PLACE, or leave it out of --kinds"
        )
    partial = [method.name for method in methods if method.way not in WHOLE]
    if partial:
        raise VeriscopeError(
            f"{', '.join(partial)}: the edit regenerate needs a generator that can {' or '.join(WHOLE)}"
        )


def _donors(rows: Sequence[Row], kinds: Sequence[str]) -> dict[str, list[Row]]:
    """The pictures of each split, which donate to each other."""
    of: dict[str, list[Row]] = {}
    for row in rows:
        of.setdefault(row.split, []).append(row)
    alone = [split for split, there in of.items() if len({row.group for row in there}) < 2]
    if "splice" in kinds and alone:
        raise VeriscopeError(f"a splice needs pictures of two groups, and split {', '.join(alone)} has one")
    return of


def _plan(rows: Sequence[Row], kinds: Sequence[str], count: int, seed: int) -> list[_Wanted]:
    kinds = list(dict.fromkeys(kinds))
    orders = {
        kind: sorted(rows, key=lambda row: (zlib.crc32(f"{row.key}#{kind}#{seed}".encode()), row.key)) for kind in kinds
    }
    plan = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        again, place = divmod(number // len(kinds), len(rows))
        host = orders[kind][place]
        chance = zlib.crc32(f"{host.key}#{kind}#{again}#{seed}".encode())
        plan.append(_Wanted(f"{Path(host.name or host.path.name).stem}-{kind}-{chance:08x}", kind, host, chance))
    return plan


def _held(out: Path, seed: int, most: int) -> dict[str, dict[str, str]]:
    path = out / MANIFEST
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        table = {line.get("name", ""): line for line in csv.DictReader(file)}
    for name, line in table.items():
        settings = json.loads(line.get("settings") or "{}")
        if not name or (settings.get(SEED), settings.get(LARGEST)) != (seed, most):
            raise VeriscopeError(
                f"{out} holds pictures of another command, seed or size (seed {settings.get(SEED)}, at most "
                f"{settings.get(LARGEST)} px); name another folder"
            )
    return table


def _there(out: Path, line: dict[str, str] | None, methods: Sequence[Method]) -> bool:
    if line is None or not all((out / line[column]).is_file() for column in ("path", "mask") if line[column]):
        return False
    weights = json.loads(line["settings"]).get("weights")
    return weights is None or weights in [method.weights for method in methods]


def _one(
    wanted: _Wanted,
    donors: Mapping[str, Sequence[Row]],
    methods: Sequence[Method],
    out: Path,
    seed: int,
    most: int,
) -> dict[str, str]:
    generator = np.random.default_rng(wanted.chance)
    row, kind = wanted.host, wanted.kind
    settings: dict[str, Any] = {SEED: seed, LARGEST: most}
    host, drawn = _part(load_pixels(row), row, generator, most)
    host, _, before = history(host, np.zeros(host.shape[:2], bool), generator, "before")
    donor_row = _donor(row, donors[row.split], generator) if kind == "splice" else None
    donor = host if donor_row is None else load_pixels(donor_row)
    method = methods[int(generator.integers(len(methods)))] if kind == "regenerate" else None
    if method is not None:
        settings |= {"generator": method.name, "weights": method.weights}

    def regenerate(part: Pixels) -> Pixels:
        assert method is not None  # asked for by the one kind that has it
        return method.make(part, generator).picture

    picture, mask, facts = edited(host, donor, kind, generator, regenerate)
    picture, mask, after, saving = unsaved(picture, mask, generator)
    settings |= {**drawn, "before": before, "edit": facts, "after": [*after, str(saving)]}
    touched = kind != UNTOUCHED
    path, mask_path = f"{kind}/{wanted.name}{saving.suffix}", f"masks/{kind}/{wanted.name}.png" if touched else ""
    if touched:
        write_file(out / mask_path, mask_png(mask))
    write_file(out / path, saving.encoded(picture))
    return {
        "path": path,
        "label": "edited" if touched else "real",
        "face": row.face,
        "art": row.art,
        "generator": method.generator if method is not None else "",
        "source": row.source,
        "group": row.group,
        "split": row.split,
        "transform": "edit",
        "mask": mask_path,
        "width": str(picture.shape[1]),
        "height": str(picture.shape[0]),
        "jpeg_quality": str(saving.quality or ""),
        "label_trust": "A",
        "name": wanted.name,
        "origin": row.key,
        "origin_sha256": _sha256(row),
        "donor": donor_row.key if donor_row is not None else "",
        "donor_sha256": _sha256(donor_row) if donor_row is not None else "",
        "method": kind,
        "settings": json.dumps(settings),
    }


def _part(rgb: Pixels, row: Row, generator: np.random.Generator, most: int) -> tuple[Pixels, dict[str, Any]]:
    """A part of a host, cut at the blocks of its JPEG; half of the parts are made smaller."""
    if min(rgb.shape[:2]) < LEAST_SIDE:
        raise PictureError(str(row.path), f"smaller than {LEAST_SIDE} px a side")
    top, left = (int(generator.integers(0, max(0, size - most) // GRID + 1)) * GRID for size in rgb.shape[:2])
    rgb = rgb[top : top + most, left : left + most]
    cut = [left, top, rgb.shape[1], rgb.shape[0]]
    if generator.random() < SMALLER_SHARE:
        rgb = random_resize(rgb, generator)
    return np.ascontiguousarray(rgb), {"cut": cut, "size": [rgb.shape[1], rgb.shape[0]]}


def _donor(host: Row, rows: Sequence[Row], generator: np.random.Generator) -> Row:
    while True:  # ``_donors`` has seen that there are two groups
        donor = rows[int(generator.integers(len(rows)))]
        if donor.group != host.group:
            return donor


def _sha256(row: Row) -> str:
    return hashlib.sha256(row.path.read_bytes()).hexdigest()
