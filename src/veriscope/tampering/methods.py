"""The localisers that are weighed together, in the order in which a report shows them; quick ones are asked in haste, too."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Container, Iterator
from contextlib import suppress
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.picture import Picture
from veriscope.tampering.consistency import Consistency
from veriscope.tampering.copy_move import CopyMove
from veriscope.tampering.copy_move_keypoints import CopyMoveKeypoints
from veriscope.tampering.demosaicing import Demosaicing
from veriscope.tampering.double_quantisation import DoubleQuantisation
from veriscope.tampering.fingerprint import Fingerprint
from veriscope.tampering.ghosts import Ghosts
from veriscope.tampering.grid import Grid
from veriscope.tampering.localisation import Localisation, Localiser, resized
from veriscope.tampering.localiser import MainLocaliser
from veriscope.tampering.noise_level import NoiseLevel
from veriscope.tampering.text_tampering import TextTampering
from veriscope.tampering.trained import Trained
from veriscope.tampering.warps import Warps
from veriscope.tampering.weak import Weak

SIDE_BY_SIDE = 2  # methods under way at a time: each holds arrays of the picture's size
METHODS: tuple[Localiser, ...] = (
    MainLocaliser(),
    DoubleQuantisation(),
    Grid(),
    Ghosts(),
    Fingerprint(),
    Consistency(),
    NoiseLevel(),
    Demosaicing(),
    CopyMove(),
    CopyMoveKeypoints(),
    Weak(),
    TextTampering(),
    Warps(),
)


@lru_cache(maxsize=1)
def usable() -> tuple[Localiser, ...]:
    """The methods whose weights are here, or that need none."""
    return tuple(method for method in METHODS if not isinstance(method, Trained) or method.name in models.registry())


def heard(
    picture: Picture, names: Container[str] | None = None, *, quick: bool = False
) -> Iterator[tuple[Localiser, Localisation]]:
    """Each usable method of these names that applies to the picture, with what it found; one that fails is passed over.

    Two are under way at a time where there is more than one thread, the slow ones first; each is asked once for a picture. One
    that hangs holds its caller, as in any examination until the time limit, and never the end of the process.
    """
    wanted = [method for method in usable() if method.quick or not quick]
    asked = [method for method in wanted if names is None or method.name in names]
    waiting, found = deque(sorted(asked, key=_pace)), dict[str, Localisation | None]()

    def work() -> None:
        while True:
            try:
                method = waiting.popleft()
            except IndexError:
                return
            with suppress(Exception):  # one that fails says so in its own evidence
                found[method.name] = method.locate(picture)

    beside = min(SIDE_BY_SIDE, models.THREADS or os.cpu_count() or 1) - 1  # this thread works, too
    threads = [threading.Thread(target=work, daemon=True) for _ in range(beside)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    for method in asked:
        if (localisation := found.get(method.name)) is not None:
            yield method, localisation


def _pace(method: Localiser) -> tuple[bool, bool]:
    return method.quick, not isinstance(method, Trained)


def values_at(found: Localisation, height: int, width: int) -> NDArray[np.float32]:
    """What a method says at ``(height, width)``: its map where it was judged, 0 elsewhere, weighted by its reliability."""
    return resized(found.map * (found.judged > 0), height, width) * np.float32(found.reliability)
