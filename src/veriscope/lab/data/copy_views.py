"""Views for a descriptor to learn from: pictures, each beside copies of it by the tamper patterns of the training.

Copies are made and their points found once, in parallel, and kept as fixed numbers of bytes, since that costs more than the
training; a run resumes. What a batch shows of them varies: parts of the picture, and some of the points. Some copies are made
of what an autoencoder makes of the picture: re-generation, as one more pattern.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.copies.describing import reduced
from veriscope.copies.learned import KEPT_SIDE, MOST_POINTS, Look, look
from veriscope.copies.parts import Window
from veriscope.errors import PictureError, VeriscopeError
from veriscope.lab.data.augmentation import jpeg
from veriscope.lab.data.copy_patterns import TRAINING, chained
from veriscope.lab.data.manifest import Row, load_pixels
from veriscope.lab.data.samples import kept
from veriscope.lab.generators.methods import Method
from veriscope.processes import in_processes

Pixels = NDArray[np.uint8]
Say = Callable[[str], None]
VERSION = 2  # of what is kept
COPIES = 8  # of a picture that are kept, beside itself
MADE_FROM = 512  # pixels of the longer side that pictures are copied at
REGENERATED_SIDE = 160  # pixels at which a picture is re-generated
REGENERATED = 0.3  # chance that a copy of a picture that has been re-generated is made from that
PIECE = 16  # pictures in a file
POINT_BYTES = 128 + 4  # descriptor, place, size, 1 where there is a point
BYTES = MOST_POINTS * POINT_BYTES + KEPT_SIDE * KEPT_SIDE * 3
SIZES = 400.0  # steps to 1, the longer side, in which a point's size is kept
Task = tuple[tuple[Row, ...], tuple[Row, ...], tuple[Pixels | None, ...], int]  # pictures, others, re-generated, seed


def packed(seen: Look) -> NDArray[np.uint8]:
    """A look as ``uint8 (BYTES,)``."""
    points = np.zeros((MOST_POINTS, POINT_BYTES), np.uint8)
    count = min(len(seen.sizes), MOST_POINTS)
    points[:count, :128] = seen.descriptors[:count]
    points[:count, 128:130] = np.clip(np.rint(255 * seen.places[:count]), 0, 255)
    points[:count, 130] = np.clip(np.rint(SIZES * seen.sizes[:count]), 1, 255)
    points[:count, 131] = 1
    return np.concatenate([points.ravel(), seen.square.ravel()])


def unpacked(held: NDArray[np.uint8]) -> Look:
    """The look of ``packed``, places and sizes to the precision that was kept."""
    points = held[: MOST_POINTS * POINT_BYTES].reshape(MOST_POINTS, POINT_BYTES)
    points = points[points[:, 131] > 0]
    places = points[:, 128:130].astype(np.float32) / 255
    square = held[MOST_POINTS * POINT_BYTES :].reshape(KEPT_SIDE, KEPT_SIDE, 3)
    return Look(points[:, :128], places, points[:, 130].astype(np.float32) / np.float32(SIZES), square)


def regenerated(rows: Sequence[Row], by: Sequence[Method], most: int, folder: Path, say: Say) -> dict[str, Pixels]:
    """What autoencoders, which take turns, make of the first ``most`` pictures, by their key; resumed."""
    count = min(most, len(rows)) if by else 0
    methods = [by[place % len(by)] for place in range(count)]
    names = [f"{row.key}#{method.label}" for row, method in zip(rows, methods, strict=False)]

    def make(place: int) -> Pixels:
        generator = np.random.default_rng(zlib.crc32(names[place].encode()))
        rgb = cv2.resize(load_pixels(rows[place]), (REGENERATED_SIDE,) * 2, interpolation=cv2.INTER_AREA)
        return methods[place].make(np.asarray(rgb, np.uint8), generator).picture

    places, made = kept(names, make, folder, "re-generated", say)
    return {rows[int(place)].key: made[number] for number, place in enumerate(places)}


def make_views(
    rows: Sequence[Row], made: dict[str, Pixels], folder: Path, seed: int, processes: int, say: Say
) -> list[NDArray[np.uint8]]:
    """Looks at each picture and its copies, packed, ``uint8 (1 + COPIES, BYTES)`` for each picture that can be opened.

    Args:
        rows: the pictures.
        made: what autoencoders made of some, by key.
        folder: where they are kept; what is there is not made again.
        seed: of the copies.
        processes: that make them.
        say: called with lines of progress.
    Raises:
        VeriscopeError: a piece brought its process down, or the disk is full; what is complete stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks: list[Task] = []
    for start in range(0, len(rows), PIECE):
        some = tuple(rows[start : start + PIECE])
        others = tuple(rows[(start + len(rows) // 2 + number) % len(rows)] for number in range(len(some)))
        tasks.append((some, others, tuple(made.get(row.key) for row in some), seed))
    todo = [task for task in tasks if not _path(folder, task).exists()]
    began = time.monotonic()
    for number, error in enumerate(in_processes(todo, partial(_piece, folder), processes, _crashed), 1):
        if error:
            raise VeriscopeError(error)
        if number % 10 == 0 or number == len(todo):
            rest = (time.monotonic() - began) / number * (len(todo) - number)
            say(f"copies: {number} of {len(todo)} pieces, about {rest / 60:.1f} minutes left")
    opened = [np.load(_path(folder, task), mmap_mode="r") for task in tasks]
    return [views for piece in opened for views in piece if views[0].any()]


def _piece(folder: Path, task: Task) -> str:
    found = np.zeros((len(task[0]), 1 + COPIES, BYTES), np.uint8)
    for number, (row, other, again) in enumerate(zip(*task[:3], strict=True)):
        try:
            rgb, beside = (reduced(load_pixels(one), MADE_FROM) for one in (row, other))
        except PictureError:
            continue  # stays zero, and is left out
        generator = np.random.default_rng(zlib.crc32(f"{row.key}#{task[3]}".encode()))
        found[number, 0] = packed(look(jpeg(rgb, int(generator.integers(70, 96))) if generator.random() < 0.3 else rgb))
        for copy in range(1, 1 + COPIES):
            of = rgb
            if again is not None and generator.random() < REGENERATED:
                of = np.asarray(cv2.resize(again, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
            found[number, copy] = packed(look(chained(of, beside, generator, TRAINING)[0]))
    try:
        path = _path(folder, task)
        half = path.with_suffix(".partial.npy")
        np.save(half, found, allow_pickle=False)
        half.replace(path)
    except OSError as error:
        return f"{folder}: copies cannot be written ({error.strerror}); run it again, it goes on"
    return ""


def _crashed(task: Task) -> str:
    return f"copying pictures from {task[0][0].path} on brought its process down twice"


def _path(folder: Path, task: Task) -> Path:
    keys = [row.key for rows in task[:2] for row in rows]
    again = [one is not None for one in task[2]]
    said = f"{VERSION} {keys} {again} {task[3]} {MOST_POINTS} {KEPT_SIDE} {COPIES} {MADE_FROM} {TRAINING}"
    return folder / f"views-{hashlib.sha256(said.encode()).hexdigest()[:16]}.npy"


def some_points(seen: Look, generator: np.random.Generator, least: float) -> Look:
    """A look that misses points by chance: at least the share ``least`` of them stays."""
    held = generator.random(len(seen.sizes)) < generator.uniform(least, 1.0)
    return Look(seen.descriptors[held], seen.places[held], seen.sizes[held], seen.square)


def random_window(generator: np.random.Generator, least: float) -> Window:
    """A part of a picture, each side of which is at least ``least`` of the picture's."""
    height, width = generator.uniform(least, 1.0, 2)
    top, left = generator.uniform(0, 1 - height), generator.uniform(0, 1 - width)
    return float(top), float(top + height), float(left), float(left + width)
