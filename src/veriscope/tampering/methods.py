"""The localisers that are weighed together, in the order in which a report shows them; quick ones are asked in haste, too."""

from __future__ import annotations

from collections.abc import Iterator
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


def heard(picture: Picture, *, quick: bool = False) -> Iterator[tuple[Localiser, Localisation]]:
    """Each usable method that applies to the picture, with what it found; one that fails is passed over."""
    for method in usable():
        if quick and not method.quick:
            continue
        found = None
        with suppress(Exception):  # one that fails says so in its own evidence
            found = method.locate(picture)
        if found is not None:
            yield method, found


def values_at(found: Localisation, height: int, width: int) -> NDArray[np.float32]:
    """What a method says at ``(height, width)``: its map where it was judged, 0 elsewhere, weighted by its reliability."""
    return resized(found.map * (found.judged > 0), height, width) * np.float32(found.reliability)
