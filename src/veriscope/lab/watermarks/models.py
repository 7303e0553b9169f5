"""Latent diffusion models that marks are put into: our small one, bundled or trained, and a user's Stable Diffusion by path.

All speak the same: pixels to latents and back, and a velocity at a time in [0, 1] (``synthetic/ddim.py``), so that one
sampler and one inversion serve all. Stable Diffusion is asked without words, as an inversion needs none; its noise levels
are found on the clock by the share of the picture that is left.

Papers: Rombach et al. 2022 (Stable Diffusion); Song et al. 2021 (DDIM); Salimans & Ho 2022 (velocity).
"""

from __future__ import annotations

import json
from importlib import import_module
from itertools import pairwise
from math import acos, cos, pi, sin, sqrt
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from veriscope.errors import ModelError
from veriscope.lab.generators import adapters
from veriscope.lab.generators.bundled import bundled_diffusion
from veriscope.lab.generators.diffusion import KIND, Diffusion, load_diffusion
from veriscope.synthetic import ddim
from veriscope.synthetic.diffusion import MODEL as BUNDLED

PARTS = ("vae", "unet", "scheduler", "text_encoder", "tokenizer")  # of a Stable Diffusion that is asked here


class LatentModel(Protocol):
    """A latent diffusion model.

    Attributes:
        side: pixels a side of the squares that it is asked about.
        channels, size: of their latents, ``(channels, size, size)``.
        most: the time of its noisiest latents.
    """

    side: int
    channels: int
    size: int
    most: float

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, side, side) in [0, 1]`` to clean latents."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Clean latents to pixels, about [0, 1]."""
        ...

    def velocity(self, latents: Tensor, time: float) -> Tensor:
        """The denoiser's velocity at a time in [0, 1], as ``synthetic/ddim.py`` defines it."""
        ...


class SmallModel:
    """Our small diffusion model; attributes and methods as in ``LatentModel``."""

    def __init__(self, model: Diffusion, side: int = 256) -> None:
        self.model = model
        self.side = side
        self.channels = model.autoencoder.latent
        self.size = side // model.autoencoder.factor
        self.most = ddim.MOST
        self.encode = model.encode
        self.velocity = model.velocity

    def decode(self, latents: Tensor) -> Tensor:
        """As in ``LatentModel``."""
        return self.model.autoencoder.raw(latents * self.model.spread[:, None, None] + self.model.mean[:, None, None])


class StableDiffusion:
    """A user's Stable Diffusion in the layout of diffusers; attributes and methods as in ``LatentModel``.

    Args:
        pipeline: with a vae, a unet of 2-D latents, a tokenizer and one text encoder.
        side: pixels a side of its squares.
    """

    def __init__(self, pipeline: Any, side: int = 512) -> None:
        self.pipeline = pipeline
        self.side = side
        self.size = side // int(pipeline.vae_scale_factor)
        self.channels = int(pipeline.unet.config.in_channels)
        self._kept = pipeline.scheduler.alphas_cumprod.double().cpu().numpy()  # share of the picture's variance by step
        self._predicts = str(pipeline.scheduler.config.prediction_type)
        if self._predicts not in ("epsilon", "v_prediction"):
            raise ModelError(f"a model that predicts {self._predicts!r} is not known here: epsilon or v_prediction")
        self.most = 2 / pi * acos(sqrt(float(self._kept[-1])))
        tokens = pipeline.tokenizer(
            "",
            padding="max_length",
            max_length=pipeline.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        with torch.no_grad():
            self._words = pipeline.text_encoder(tokens.input_ids)[0]

    def encode(self, pixels: Tensor) -> Tensor:
        """As in ``LatentModel``."""
        vae = self.pipeline.vae
        latents: Tensor = vae.encode(2 * pixels - 1).latent_dist.mode() * vae.config.scaling_factor
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """As in ``LatentModel``."""
        vae = self.pipeline.vae
        pixels: Tensor = vae.decode(latents / vae.config.scaling_factor).sample / 2 + 0.5
        return pixels

    def velocity(self, latents: Tensor, time: float) -> Tensor:
        """As in ``LatentModel``."""
        angle = time * pi / 2
        step = float(np.interp(-(cos(angle) ** 2), -self._kept, np.arange(len(self._kept))))
        words = self._words.expand(len(latents), -1, -1)
        said: Tensor = self.pipeline.unet(latents, torch.tensor(step), encoder_hidden_states=words).sample
        if self._predicts == "v_prediction":
            return said
        return (said - sin(angle) * latents) / max(cos(angle), 1e-3)


def open_model(spec: str, side: int = 0) -> LatentModel:
    """The model that a name or a folder names, frozen.

    Args:
        spec: ``small-diffusion`` (bundled), a folder of ``lab train-generator diffusion``, or one in the layout of diffusers.
        side: pixels a side of its squares; 0 for its usual one.
    Raises:
        ModelError: it is none of these, is damaged, or needs diffusers, which is not installed.
    """
    if spec == BUNDLED:
        return SmallModel(bundled_diffusion(), side or 256)
    folder = Path(spec)
    if (folder / f"{KIND}.json").is_file():
        return SmallModel(load_diffusion(folder), side or 256)
    if not (folder / adapters.INDEX).is_file():
        raise ModelError(
            f"{spec}: no diffusion model is there; name {BUNDLED}, a folder of veriscope lab train-generator diffusion, or one "
            f"with {adapters.INDEX}"
        )
    try:
        index = json.loads((folder / adapters.INDEX).read_text(encoding="utf-8"))
        missing = [part for part in PARTS if not index.get(part)]
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder}: {adapters.INDEX} is damaged ({error})") from error
    if missing or index.get("text_encoder_2"):
        why = f"it has no {', '.join(missing)}" if missing else "it reads words with two encoders"
        raise ModelError(f"{folder}: {why}; marks in latents are for Stable Diffusion 1 and 2 and their kin")
    try:
        found = import_module("diffusers").StableDiffusionPipeline
    except ImportError as error:
        raise ModelError(f"{folder} needs diffusers: {adapters.INSTALL} ({error})") from error
    try:
        pipeline = found.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, torch_dtype=torch.float32, safety_checker=None
        )
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"{folder}: cannot be loaded: {error}") from error
    for part in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        part.eval().requires_grad_(False)
    return StableDiffusion(pipeline, side or 512)


def run(model: LatentModel, latents: Tensor, start: float, end: float, steps: int) -> Tensor:
    """As ``ddim.run``; where gradients are asked for, each step is computed twice so that memory holds one step only."""
    clock = ddim.times(start, end, steps)
    for here, there in pairwise(clock):

        def moved(x: Tensor, here: float = here, there: float = there) -> Tensor:
            return ddim.moved(x, model.velocity(x, here), here, there)

        latents = checkpoint(moved, latents, use_reentrant=False) if latents.requires_grad else moved(latents)
    return latents


@torch.no_grad()
def inverted(model: LatentModel, pixels: Tensor, steps: int) -> Tensor:
    """The noise ``(N, channels, size, size)`` that the model would have made pixels ``(N, 3, side, side) in [0, 1]`` of."""
    return run(model, model.encode(pixels), ddim.LEAST, model.most, steps)


def square(rgb: NDArray[np.uint8], side: int) -> Tensor:
    """A picture ``uint8 (H, W, 3) RGB`` as the square that a model sees, ``float32 (1, 3, side, side) in [0, 1]``."""
    made = Image.fromarray(rgb).resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(made, np.float32).transpose(2, 0, 1)[None].copy()) / 255
