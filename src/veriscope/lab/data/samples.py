"""Training samples: every picture after several histories, as the squares that detectors look at, kept on disk and resumed.

All recipes draw from one set of samples, so that they are compared on the same pixels, and a picture is decoded once for all
of them. A picture's turns are its histories: a random crop, resize and save (turn 0); saved as it is (turn 1); resized and
saved from the same pixels (turn 2). Turns 1 and 2 show one content twice, so what differs between them should not matter.

Paper: Wang et al. 2020 (CNNDetection: augmentation by blur and JPEG, for both classes alike).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.data.augmentation import random_history, random_resize, random_save
from veriscope.lab.data.manifest import Row, load_pixels
from veriscope.synthetic import backbone, views

TURNS = 3
SHARD = 64  # pictures a file; an interruption loses at most so many
BATCH = 12  # squares in one pass of the backbone
VIEWS = ("whole", "detail")


@dataclass(frozen=True)
class Samples:
    """Pictures after their histories; sample i is ``rows[i]`` after turn ``turns[i]``.

    Attributes:
        rows: (N,) the picture behind each sample.
        turns: int (N,) which of its histories.
        whole: N squares ``uint8 (224, 224, 3)``, the whole picture made small (``views.whole``).
        detail: N squares ``uint8 (256, 256, 3)``, a part at native resolution.
    """

    rows: list[Row]
    turns: NDArray[np.int64]
    whole: Shards
    detail: Shards

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> NDArray[np.float32]:
        """1 where generated, 0 where real, ``float32 (N,)``."""
        return np.array([row.generated for row in self.rows], np.float32)

    @property
    def sources(self) -> NDArray[np.str_]:
        """Where each sample came from, ``(N,)``."""
        return np.array([row.source for row in self.rows])

    def chosen(self, which: NDArray[Any]) -> Samples:
        """The samples at the places, or under the mask, ``which``."""
        places = np.arange(len(self))[which]
        return replace(
            self,
            rows=[self.rows[place] for place in places],
            turns=self.turns[places],
            whole=self.whole.chosen(places),
            detail=self.detail.chosen(places),
        )


@dataclass(frozen=True)
class Shards:
    """Many arrays of one shape, lying in several files and read when they are asked for."""

    files: tuple[Path, ...]
    places: tuple[tuple[int, int], ...]  # (file, row in it) of each

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> NDArray[Any]:
        file, row = self.places[index]
        return np.array(np.load(self.files[file], mmap_mode="r")[row])

    def chosen(self, places: NDArray[Any]) -> Shards:
        """Those at ``places``."""
        return replace(self, places=tuple(self.places[place] for place in places))

    def stacked(self) -> NDArray[Any]:
        """All of them as one array in memory."""
        opened = [np.load(file, mmap_mode="r") for file in self.files]
        return np.stack([opened[file][row] for file, row in self.places])


def histories(row: Row, seed: int = 0) -> list[NDArray[np.uint8]]:
    """A picture's turns, each ``uint8 (H, W, 3)`` RGB; the same for a row and a seed always.

    Raises:
        PictureError: the picture cannot be opened.
    """
    rgb = load_pixels(row)
    drawn = [np.random.default_rng(zlib.crc32(f"{row.key}#{turn}#{seed}".encode())) for turn in range(TURNS)]
    return [
        random_history(rgb, drawn[0]),
        random_save(rgb, drawn[1]),
        random_save(random_resize(rgb, drawn[2]), drawn[2]),
    ]


def prepare(
    rows: Sequence[Row], folder: Path, *, seed: int = 0, say: Callable[[str], None] = print
) -> tuple[Samples, list[str]]:
    """The samples of ``rows``, kept in ``folder``; what it already holds is not made again.

    Args:
        rows: the pictures; each gives ``TURNS`` samples.
        folder: where shards are kept. Several manifests and recipes may share it.
        seed: of the random histories.
        say: called with each line of progress.
    Returns:
        the samples, and a line for each picture that could not be opened.
    Raises:
        VeriscopeError: the disk is full; complete shards stay good.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = held_in(folder)
    todo = [row for row in rows if f"{row.key}#{seed}" not in held]
    skipped: list[str] = []
    started = time.monotonic()
    for first in range(0, len(todo), SHARD):
        names, whole, detail = [], [], []
        for row in todo[first : first + SHARD]:
            try:
                turns = histories(row, seed)
            except VeriscopeError as error:
                skipped.append(str(error))
                say(f"left out: {error}")
                continue
            generator = np.random.default_rng(zlib.crc32(f"{row.key}#detail#{seed}".encode()))
            names.append(f"{row.key}#{seed}")
            whole.append(np.stack([views.whole(turn) for turn in turns]))
            detail.append(np.stack([views.random_detail(turn, generator) for turn in turns]))
        if names:
            keep(folder, names, {"whole": np.stack(whole), "detail": np.stack(detail)})
        done = min(first + SHARD, len(todo))
        say(f"samples: {done} of {len(todo)}, {(time.monotonic() - started) / done:.2f} s a picture")
    held = held_in(folder)
    kept = [row for row in rows if f"{row.key}#{seed}" in held]
    stems = sorted({held[f"{row.key}#{seed}"][0] for row in kept})
    number = {stem: count for count, stem in enumerate(stems)}
    places = []
    for row in kept:
        stem, place = held[f"{row.key}#{seed}"]
        places += [(number[stem], place * TURNS + turn) for turn in range(TURNS)]
    return Samples(
        [row for row in kept for _ in range(TURNS)],
        np.tile(np.arange(TURNS), len(kept)),
        *(Shards(tuple(folder / f"{stem}.{view}.npy" for stem in stems), tuple(places)) for view in VIEWS),
    ), skipped


def readings(samples: Samples, *, view: str = "whole", say: Callable[[str], None] = print) -> NDArray[np.float16]:
    """The frozen backbone's readings of every sample, ``float16 (N, 8, 2, 768)``; kept beside the samples and resumed.

    Args:
        samples: only their turns are read.
        view: which square, "whole" or "detail"; of a detail its middle, as ``views.closeup`` takes it.
        say: called with each line of progress.
    """
    shards: Shards = getattr(samples, view)
    needed = sorted({(file, place % TURNS) for file, place in shards.places})
    started = time.monotonic()
    for done, (file, turn) in enumerate(needed, 1):
        path = _beside(shards.files[file], f"{view}{turn}.readings")
        if path.exists():
            continue
        squares = views.closeup_of(np.load(shards.files[file], mmap_mode="r")[turn::TURNS])
        read = [backbone.readings_of(list(squares[at : at + BATCH])) for at in range(0, len(squares), BATCH)]
        write_whole(path, np.concatenate(read).astype(np.float16))
        say(f"readings: {done} of {len(needed)} files, {(time.monotonic() - started) / done:.0f} s each")
    number = {pair: count for count, pair in enumerate(needed)}
    files = tuple(_beside(shards.files[file], f"{view}{turn}.readings") for file, turn in needed)
    places = tuple((number[file, place % TURNS], place // TURNS) for file, place in shards.places)
    return np.asarray(Shards(files, places).stacked(), np.float16)


def derived(
    samples: Samples,
    name: str,
    make: Callable[[NDArray[np.uint8]], NDArray[Any]],
    *,
    view: str = "whole",
    say: Callable[[str], None] = print,
) -> Shards:
    """What a slow function makes of one square of each sample, kept in the folder ``name`` beside the samples and resumed.

    Args:
        samples: N of them; those that other calls made are not made again.
        name: of the folder; a function that changes takes another name.
        make: a square ``uint8 (S, S, 3)`` to an array, always of the same shape.
        view: which square, "whole" or "detail".
        say: called with each line of progress.
    Returns:
        N arrays.
    Raises:
        VeriscopeError: an array could not be made, or the disk is full; complete shards stay good.
    """
    squares: Shards = getattr(samples, view)
    names = [f"{squares.files[file].name.split('.')[0]}#{place}" for file, place in squares.places]
    _, made = kept(names, lambda place: make(squares[place]), squares.files[0].parent / name, name, say)
    if len(made) < len(names):
        raise VeriscopeError(
            f"{name}: {len(names) - len(made)} of {len(names)} samples could not be made, as said above"
        )
    return made


def keep(folder: Path, names: Sequence[str], arrays: dict[str, NDArray[Any]]) -> None:
    """Write one shard, its pictures' turns laid end to end; its list of names is written last and makes it valid."""
    stem = hashlib.sha256("".join(names).encode()).hexdigest()[:16]
    for view, array in arrays.items():
        write_whole(folder / f"{stem}.{view}.npy", array.reshape(-1, *array.shape[2:]))
    partial = folder / f"{stem}.partial"
    partial.write_text(json.dumps(list(names)), encoding="utf-8")
    os.replace(partial, folder / f"{stem}.json")


def write_whole(path: Path, array: NDArray[Any]) -> None:
    """Write an array so that the file is whole or not there.

    Raises:
        VeriscopeError: it cannot be written, for example because the disk is full.
    """
    partial = path.with_suffix(".partial.npy")
    try:
        np.save(partial, array)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise VeriscopeError(f"{path}: cannot be written: {error.strerror}; what was complete is kept") from error


def kept(
    names: Sequence[str], make: Callable[[int], NDArray[Any]], folder: Path, what: str, say: Callable[[str], None]
) -> tuple[NDArray[np.int64], Shards]:
    """Arrays of one shape by name, kept in ``folder``; what it already holds is not made again.

    Args:
        names: of the arrays.
        make: the array of the name at a place; where it raises a VeriscopeError the name is left out.
        folder: where shards are kept.
        what: they are, for the lines of progress.
        say: called with each line.
    Returns:
        the places in ``names`` of those that there are, and these.
    Raises:
        VeriscopeError: the disk is full; complete shards stay good.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = held_in(folder)
    todo = [place for place, name in enumerate(names) if name not in held]
    started = time.monotonic()
    for first in range(0, len(todo), SHARD):
        made: dict[str, NDArray[Any]] = {}
        for place in todo[first : first + SHARD]:
            try:
                made[names[place]] = make(place)
            except VeriscopeError as error:
                say(f"left out: {error}")
        if made:
            keep(folder, list(made), {"made": np.stack(list(made.values()))[:, None]})
        done = min(first + SHARD, len(todo))
        say(f"{what}: {done} of {len(todo)}, {(time.monotonic() - started) / done:.2f} s each")
    held = held_in(folder)
    there = [place for place, name in enumerate(names) if name in held]
    stems = sorted({held[names[place]][0] for place in there})
    number = {stem: count for count, stem in enumerate(stems)}
    places = [held[names[place]] for place in there]
    return np.array(there, np.int64), Shards(
        tuple(folder / f"{stem}.made.npy" for stem in stems),
        tuple((number[stem], row) for stem, row in places),
    )


def held_in(folder: Path) -> dict[str, tuple[str, int]]:
    """The pictures of a folder's complete shards: name to the shard's stem and the place in it."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        for place, name in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            found[name] = (path.stem, place)
    return found


def _beside(path: Path, view: str) -> Path:
    return path.with_name(f"{path.name.split('.')[0]}.{view}.npy")
