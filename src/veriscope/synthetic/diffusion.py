"""A small diffusion model run backwards and forwards: what the detectors of reconstruction read.

The model is the laboratory's own (``lab/generators/diffusion.py``): an encoder, a denoiser and a decoder as ONNX, the clock of
``ddim`` between them. A square is taken to noise and back without chance; what comes back differs from it by what the
model would not have drawn. The noise that the denoiser sees in the clean square is the first step of that way.

Papers: Wang et al. 2023 (DIRE); Song et al. 2021 (DDIM); Lim et al. 2024 (DistilDIRE: the first step's noise).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.errors import ModelError
from veriscope.synthetic import ddim, views

MODEL = "small-diffusion"
PARTS = ("encoder", "denoiser", "decoder")  # each is the start of the last word of one file's name
SIDE = 128  # pixels; the model was trained at this size
STEPS = 8  # of the denoiser, each way
NOISE_STEPS = 32  # of a byte, to one unit of noise

Floats = NDArray[np.float32]
Squares = NDArray[np.uint8]


@dataclass(frozen=True)
class Generator:
    """A latent diffusion model, pixels in [0, 1] and latents of mean 0 and spread 1.

    Attributes:
        encode: pixels ``(N, 3, H, W)`` to latents ``(N, C, h, w)``.
        velocity: latents and a time in [0, 1] to the denoiser's velocity, same shape.
        decode: latents to pixels.
    """

    encode: Callable[[Floats], Floats]
    velocity: Callable[[Floats, float], Floats]
    decode: Callable[[Floats], Floats]


def installed() -> Generator:
    """The model of the registry.

    Raises:
        ModelError: it is missing or damaged.
    """
    files = {part: next((name for name in models.model(MODEL).files if part in name), "") for part in PARTS}
    missing = [part for part, name in files.items() if not name]
    if missing:
        raise ModelError(f"model {MODEL}: its entry names no file of the {' and the '.join(missing)}")
    return of_sessions(*(models.open_session(MODEL, files[part]) for part in PARTS))


def of_sessions(encoder: Any, denoiser: Any, decoder: Any) -> Generator:
    """The model in three ONNX Runtime sessions."""

    def velocity(latents: Floats, time: float) -> Floats:
        clock = np.full(len(latents), time, np.float32)
        return np.asarray(denoiser.run(None, {"latents": latents, "time": clock})[0], np.float32)

    return Generator(
        lambda pixels: np.asarray(encoder.run(None, {"pixels": pixels})[0], np.float32),
        velocity,
        lambda latents: np.asarray(decoder.run(None, {"latents": latents})[0], np.float32),
    )


def middle(squares: Squares) -> Squares:
    """The middle of squares ``uint8 (N, S, S, 3)``, S at least 128: ``uint8 (N, 128, 128, 3)``."""
    edge = (squares.shape[1] - SIDE) // 2
    return np.ascontiguousarray(squares[:, edge : edge + SIDE, edge : edge + SIDE])


def looked_at(rgb: NDArray[np.uint8]) -> Squares:
    """The parts of a picture ``uint8 (H, W, 3)`` RGB that are reconstructed, at native resolution: up to three."""
    return middle(views.details(rgb))


def reconstructed(squares: Squares, generator: Generator, steps: int = STEPS) -> Squares:
    """Squares ``uint8 (N, S, S, 3)`` taken to noise and back in ``steps`` each way, same shape."""
    latents = generator.encode(_pixels(squares))
    noise = ddim.run(latents, generator.velocity, ddim.LEAST, ddim.MOST, steps)
    back = ddim.run(noise, generator.velocity, ddim.MOST, ddim.LEAST, steps)
    return np.rint(np.clip(generator.decode(back), 0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)


def error_maps(squares: Squares, generator: Generator, steps: int = STEPS) -> Squares:
    """How far each pixel of squares ``uint8 (N, S, S, 3)`` is from its reconstruction, same shape: DIRE."""
    there = reconstructed(squares, generator, steps)
    return np.where(squares > there, squares - there, there - squares)


def first_noise(squares: Squares, generator: Generator) -> Squares:
    """The noise that one pass of the denoiser sees in clean squares ``uint8 (N, S, S, 3)``, as bytes ``(N, h, w, C)``.

    One unit of noise is ``NOISE_STEPS`` above or below 128; h and w are those of the latents.
    """
    latents = generator.encode(_pixels(squares))
    noise = ddim.noise(latents, generator.velocity(latents, ddim.LEAST), ddim.LEAST)
    stored: Squares = np.clip(np.rint(128 + NOISE_STEPS * noise), 0, 255).astype(np.uint8)
    return stored.transpose(0, 2, 3, 1)


def laid_beside(squares: Squares, noise: Squares) -> Squares:
    """Squares ``uint8 (N, S, S, 3)`` and ``first_noise`` at their size after the colours: ``uint8 (N, S, S, 3 + C)``."""
    larger = squares.shape[1] // noise.shape[1]
    return np.concatenate([squares, noise.repeat(larger, 1).repeat(larger, 2)], -1)


def _pixels(squares: Squares) -> Floats:
    return np.ascontiguousarray(squares.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
