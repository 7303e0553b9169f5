"""Was a face or body pushed into shape, where, and by how much?

Liquify brushes move content by a smooth local flow. Interpolation at the moved places softens or sharpens them against the
rest, breaks the rhythm of earlier resizing and saving there, and bends what is straight. A small network reads both and gives
for each place whether it was moved and whence, so that the picture can be moved back. It fails on pictures made much smaller
or saved at low quality after the warp, on smooth skin, which shows no movement along itself, and it may take a lens's or an
artist's bends, and local blur, for warps.

Paper: Wang et al. 2019 (Detecting Photoshopped Faces by Scripting Photoshop).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.picture import Picture
from veriscope.tampering.dense import chance, limited, tiled
from veriscope.tampering.flow import Flow, lengths
from veriscope.tampering.localisation import Localisation, carries_traces, resized
from veriscope.tampering.regions import regions, where
from veriscope.tampering.trained import Trained

NAME = "warps"
OUTPUTS = ("flow", "logits")  # of the network
CELL = 4  # pixels between neighbours in what it gives
MOST_PIXELS = 1_000_000  # read; a larger picture is made smaller, as retouched pictures are before they are shared
TYPICAL_SHARE = 0.1  # of a warped picture that is moved: of so large a part, the score is that of its own places
FALSE_ALARM_RATE = 0.01  # at which a picture is called warped
FAINT = 0.45  # the most that a map shows of a picture that is not called warped
DOUBTED = 0.3  # probability of having been moved up to which a place is left where it is
TRUSTED = 0.7  # from which it follows the whole flow
SHORT = 192  # pixels a side of the squares that the network learned from: it is trusted less on smaller pictures

Run = Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class Reading:
    """What the network sees in a picture.

    Attributes:
        flow: float32 (h, w, 2), from each place to where its content stood, in pixels of the picture.
        moved: float32 (h, w) in [0, 1], the probability that a place was moved.
        score: log odds of the picture's having been warped, had half of all been; not calibrated.
        called: whether so high a score is rarer than ``FALSE_ALARM_RATE`` in untouched pictures.
    """

    flow: Flow = field(repr=False)
    moved: NDArray[np.float32] = field(repr=False)
    score: float
    called: bool

    @property
    def believed(self) -> Flow:
        """The flow where places were probably moved, fading to exactly zero elsewhere; zero where nothing is called."""
        if not self.called:
            return np.zeros_like(self.flow)
        weight = np.clip((self.moved - DOUBTED) / (TRUSTED - DOUBTED), 0, 1)
        return self.flow * np.asarray(cv2.GaussianBlur(weight, (5, 5), 1.0), np.float32)[..., None]


def seen(rgb: NDArray[np.uint8], run: Run) -> tuple[Flow, NDArray[np.float32]]:
    """What a network gives for a picture.

    Args:
        rgb: uint8 (H, W, 3); more than ``MOST_PIXELS`` are made fewer.
        run: the network, ``float32 (1, 3, H', W')`` in [0, 1] to flow ``(1, 2, H'/4, W'/4)``, logits ``(1, 1, H'/4, W'/4)``.
    Returns:
        float32 (h, w, 2), the flow in pixels of ``rgb``, and float32 (h, w), the log odds of each place's having been moved.
    """
    pixels = limited(rgb, MOST_PIXELS)
    flow, logits = tiled(pixels, lambda part, _: [given[0] for given in run(part)], CELL)
    scale = np.array([rgb.shape[axis] / pixels.shape[axis] for axis in (1, 0)], np.float32)
    return np.ascontiguousarray(flow.transpose(1, 2, 0) * scale), logits[0]


def pooled(logits: NDArray[np.float32]) -> float:
    """The picture's score of the log odds ``(h, w)`` of its places: of their mean odds, in units of ``TYPICAL_SHARE``."""
    highest = float(logits.max())
    return highest + float(np.log(np.exp(logits.astype(np.float64) - highest).mean() / TYPICAL_SHARE))


def reading(picture: Picture) -> Reading:
    """What the installed network sees in a picture, computed once for it.

    Raises:
        ModelError: the weights or their calibration are missing or damaged.
    """
    return picture.once("warps", lambda: _read(picture))


def flow(picture: Picture) -> Flow:
    """From each place to where its content stood before a warp: float32 (h, w, 2), in pixels of the picture.

    Zero where no warp is believed, and everywhere where the picture as a whole is not called warped.

    Raises:
        ModelError: as ``reading``.
    """
    return reading(picture).believed


def _read(picture: Picture) -> Reading:
    session = models.open_session(NAME)
    threshold = models.calibration(NAME).threshold(FALSE_ALARM_RATE)
    found, logits = seen(picture.rgb, lambda pixels: session.run(list(OUTPUTS), {"pixels": pixels}))
    score = pooled(logits)
    return Reading(found, chance(logits), score, score > threshold)


class Warps(Trained):
    """Local warps, as liquify brushes make to faces and bodies: which part was moved, and how far?"""

    name: ClassVar[str] = NAME

    def find(self, picture: Picture) -> Localisation:
        """Where places were moved and a sentence on how far.

        Raises:
            ModelError: as ``reading``.
        """
        found = reading(picture)
        judged = np.ceil(resized(carries_traces(picture), *found.moved.shape))
        odds = float(np.clip(found.score, -30, 30))
        short = min(picture.height, picture.width)
        return Localisation(
            map=found.moved * judged * np.float32(1 if found.called else FAINT),
            judged=judged,
            score=1 / (1 + float(np.exp(-odds))),
            says=sentence(found),
            reliability=0.5 * min(1.0, short / SHORT),
            reason="It learned from scripted warps, knows no other, and misses those that were later made small.",
        )


def extent(found: Reading) -> tuple[float, float]:
    """The share of the picture in [0, 1] that is believed to have been moved, and how far on average there, in pixels."""
    moved = (found.moved >= 0.5) & found.called
    return float(moved.mean()), float(lengths(found.flow)[moved].mean()) if moved.any() else 0.0


def sentence(found: Reading) -> str:
    """What was found, for the reader."""
    if not found.called:
        return "No part of the picture shows the traces of a local warp, as liquify tools leave them."
    share, distance = extent(found)
    places = regions(found.moved, np.ones_like(found.moved))
    lies = f", the largest part of it {where(places[0].place)}," if places else ""
    return (
        f"About {max(share, 0.01):.0%} of the picture{lies} shows the traces of a local warp, as liquify tools leave them "
        f"when they reshape a face or a body; content there appears to have been moved by {distance:.1f} pixels on average."
    )
