"""The clock and the step of a diffusion model without chance, for NumPy and torch alike.

A latent at time t is ``cos(t pi / 2)`` parts picture and ``sin(t pi / 2)`` parts noise of the same variance, so that time runs
from 0 (picture) to 1 (noise) and a step is a turn of the pair (latent, velocity): the sampler is DDIM in its simplest form. The
velocity is what the denoiser gives, ``cos noise - sin picture``. Steps up and steps down evaluate the denoiser at the time they
start from, so going up and back returns nearly, and only nearly, to the same latent: what differs is DIRE's trace.

Papers: Song et al. 2021 (DDIM); Salimans & Ho 2022 (velocity and the angle as time); Wang et al. 2023 (DIRE).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import cos, pi, sin
from typing import Any, TypeVar

import numpy as np

LEAST = 0.02  # time at which a clean latent is handed to the denoiser; the noise there is 3 % of the spread
MOST = 0.98  # time of what counts as pure noise

Array = TypeVar("Array")  # numpy.ndarray or torch.Tensor, float32 (N, C, h, w)
Denoiser = Callable[[Array, float], Array]  # latents and a time to velocity


def times(start: float, end: float, steps: int) -> list[float]:
    """``steps + 1`` even times from ``start`` to ``end``.

    >>> times(0.0, 1.0, 2)
    [0.0, 0.5, 1.0]
    """
    return [float(time) for time in np.linspace(start, end, steps + 1)]


def moved(latents: Array, velocity: Array, start: float, end: float) -> Array:
    """Latents of time ``start`` taken to time ``end`` along one velocity; either way.

    >>> float(moved(1.0, 0.0, 0.0, 1.0)) < 1e-9
    True
    """
    found: Array = _turned(latents, velocity, end - start)
    return found


def noise(latents: Array, velocity: Array, time: float) -> Array:
    """The noise that a velocity says is in latents of a time (epsilon).

    >>> float(noise(0.0, 1.0, 0.0))
    1.0
    """
    found: Array = _turned(velocity, latents, time)
    return found


def noised(latents: Array, added: Array, time: float) -> Array:
    """Clean latents with noise of unit variance added up to a time."""
    found: Array = _turned(latents, added, time)
    return found


def run(latents: Array, denoise: Denoiser[Array], start: float, end: float, steps: int) -> Array:
    """Latents taken from one time to another in even steps: down to sample, up to invert.

    Args:
        latents: float32 (N, C, h, w) of time ``start``.
        denoise: their velocity at a time.
        start, end: times in [0, 1].
        steps: evaluations of the denoiser.
    """
    clock = times(start, end, steps)
    for here, there in pairwise(clock):
        latents = moved(latents, denoise(latents, here), here, there)
    return latents


def _turned(one: Any, other: Any, time: float) -> Any:
    return cos(time * pi / 2) * one + sin(time * pi / 2) * other
