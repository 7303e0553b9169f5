"""From a picture's features to evidence: what the linear detectors of "is it generated?" share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.container.jpeg import history
from veriscope.evidence import Evidence, Question
from veriscope.picture import Picture
from veriscope.weighing import strength

Table = tuple[tuple[int, float], ...]  # (size in pixels or JPEG quality, reliability), increasing
BARELY = 0.95  # a reliability above it needs no reason


def reliability(short_side: int, quality: int | None, sizes: Table, qualities: Table) -> tuple[float, str]:
    """How far a detector can be trusted at a short side in pixels and a JPEG quality, and why.

    >>> reliability(300, 30, ((64, 0.5), (128, 1.0)), ((10, 0.2), (50, 1.0)))
    (0.6, 'it was saved as JPEG at quality 30')
    """
    by_size = _read(sizes, short_side)
    by_quality = 1.0 if quality is None else _read(qualities, quality)
    reasons = []
    if by_size < BARELY:
        reasons.append(f"the picture is only {short_side} px on its short side")
    if by_quality < BARELY:
        reasons.append(f"it was saved as JPEG at quality {quality}")
    return round(by_size * by_quality, 3), " and ".join(reasons)


def _read(table: Table, value: int) -> float:
    places, values = zip(*table, strict=True)
    return float(np.interp(value, list(places), list(values)))


def run(model: str, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a model gives for inputs ``float32 (N, ...)``, scores ``(N,)``.

    Raises:
        ModelError: the model is missing or damaged.
    """
    session = models.open_session(model)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: features})[0], np.float64).reshape(-1)


def mean_score(model: str, squares: NDArray[np.uint8]) -> float:
    """The mean of a model's scores of squares ``uint8 (N, H, W, 3)``, which it takes as ``(N, 3, H, W)`` in [0, 1]."""
    return float(outputs(model, squares).mean())


def outputs(model: str, squares: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What a model gives for squares ``uint8 (N, H, W, C)``, which it takes as ``(N, C, H, W)`` in [0, 1]: ``(N, ...)``.

    Raises:
        ModelError: the model is missing or damaged.
    """
    session = models.open_session(model)
    pixels = np.ascontiguousarray(squares.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: pixels})[0], np.float64)


def state(model: str, score: float, picture: Picture, *, sizes: Table, qualities: Table, traces: str) -> Evidence:
    """The evidence of one learned detector.

    Args:
        model: its name in the registry, which is also the detector's.
        score: the raw score.
        picture: what was examined; its size and JPEG past set the reliability.
        sizes, qualities: the detector's tables of reliability.
        traces: what it looks at, as the subject of a sentence in the plural ("Texture and lighting").
    Raises:
        ModelError: the calibration is missing.
    """
    past = history(picture)
    known = [quality for quality in (past.current_quality, past.previous_quality) if quality is not None]
    short_side = min(picture.width, picture.height)
    trusted, reason = reliability(short_side, min(known, default=None), sizes, qualities)
    log10_lr = models.calibration(model).log10_lr(score) * trusted
    here, there = ("generated", "real") if log10_lr > 0 else ("real", "generated")
    says = (
        f"{traces} look no more like those of generated pictures than of real ones."
        if strength(log10_lr) == "no"
        else f"{traces} like these are about {10 ** abs(log10_lr):.0f} times as common in {here} pictures as in {there} ones."
    )
    version = models.model(model).version
    return Evidence(model, version, Question.GENERATED, score, log10_lr, trusted, says, reason)
