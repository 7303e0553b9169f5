"""Latent autoencoders whose decoder can be marked: ours, the tiny one of FLUX.2, and a user's in the layout of diffusers.

Each is opened from a name or a path and written again as it was, so that what opened the original opens the marked one.

Papers: Rombach et al. 2022 (latent diffusion); O. B. Bohan 2023 (TAESD).
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veriscope.errors import ModelError, VeriscopeError
from veriscope.lab.generators import adapters, kept, small
from veriscope.lab.generators.autoencoder import SHRINK, Autoencoder, load_autoencoder
from veriscope.lab.generators.bundled import bundled_diffusion
from veriscope.lab.generators.diffusion import KIND as DIFFUSION
from veriscope.lab.generators.diffusion import Diffusion, load_diffusion
from veriscope.lab.generators.small import SmallAutoencoder
from veriscope.synthetic.diffusion import MODEL as BUNDLED

TINY = "tiny-autoencoder"


class Coder(nn.Module):
    """An encoder of pixels and a decoder of latents.

    Attributes:
        words: what it is.
        multiple: pixels that height and width must be multiples of.
    """

    words = ""
    multiple = 8

    @property
    def decoder(self) -> nn.Module:
        """The part that is marked: all convolutions from latents to pixels."""
        raise NotImplementedError

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels ``(N, 3, H, W) in [0, 1]`` to latents ``(N, C, h, w)``."""
        raise NotImplementedError

    def decode(self, latents: Tensor) -> Tensor:
        """Latents ``(N, C, h, w)`` to pixels ``(N, 3, H, W)``, about [0, 1] but not clipped."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write it as what it was opened from.

        Raises:
            VeriscopeError: it cannot be written.
        """
        raise NotImplementedError

    @torch.no_grad()
    def reconstruct(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture ``uint8 (H, W, 3) RGB`` of any size passed through it, same shape: as its generator would have drawn it."""
        device = next(self.parameters()).device
        return small.picture(self.decode(self.encode(small.pixels(rgb, self.multiple, device))).clamp(0, 1), rgb)


class SmallCoder(Coder):
    """One of our small autoencoders, alone or below a diffusion model.

    Args:
        model: the autoencoder.
        diffusion: the model that draws its latents, where there is one.
    """

    def __init__(self, model: SmallAutoencoder, diffusion: Diffusion | None = None) -> None:
        super().__init__()
        self.model = model
        self.diffusion = diffusion
        self.words = f"small autoencoder ({model.shape.upsampler}, factor {model.factor})"
        self.multiple = model.factor

    @property
    def decoder(self) -> nn.Module:
        """As in ``Coder``."""
        return self.model.decoder

    def encode(self, pixels: Tensor) -> Tensor:
        """As in ``Coder``."""
        return self.model.encode(pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """As in ``Coder``."""
        return self.model.raw(latents)

    def save(self, folder: Path) -> None:
        """As in ``Coder``."""
        self.model.save(folder)
        if self.diffusion is not None:
            self.diffusion.autoencoder = self.model
            self.diffusion.save(folder)


class TinyCoder(Coder):
    """The tiny autoencoder of FLUX.2's latents."""

    words = "tiny autoencoder (TAEF2)"
    multiple = SHRINK

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    @property
    def decoder(self) -> nn.Module:
        """As in ``Coder``."""
        return self.model.decoder

    def encode(self, pixels: Tensor) -> Tensor:
        """As in ``Coder``."""
        return self.model.encode(pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """As in ``Coder``."""
        pixels: Tensor = self.model.decoder(latents)
        return pixels

    def save(self, folder: Path) -> None:
        """Write encoder and decoder as one file of tensors, which ``open_coder`` opens by its folder."""
        kept.save(folder, TINY, self.model.state_dict(), {"words": self.words})


class DiffusersCoder(Coder):
    """A user's autoencoder in the layout of diffusers.

    Args:
        vae: as ``from_pretrained`` gave it.
        words: what it is.
    """

    multiple = adapters.MULTIPLE

    def __init__(self, vae: nn.Module, words: str) -> None:
        super().__init__()
        self.vae: Any = vae
        self.words = words

    @property
    def decoder(self) -> nn.Module:
        """As in ``Coder``; the convolution before the decoder stays as it is."""
        found: nn.Module = self.vae.decoder
        return found

    def encode(self, pixels: Tensor) -> Tensor:
        """As in ``Coder``; the mean of the latents' distribution."""
        encoded = self.vae.encode(2 * pixels - 1)
        latents: Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latent
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """As in ``Coder``."""
        pixels: Tensor = self.vae.decode(latents).sample / 2 + 0.5
        return pixels

    def save(self, folder: Path) -> None:
        """Write a folder ``vae`` that takes the place of the pipeline's own."""
        try:
            self.vae.save_pretrained(str(folder / "vae"), safe_serialization=True)
        except OSError as error:
            raise VeriscopeError(f"{folder / 'vae'}: cannot be written: {error}") from error


def open_coder(spec: str, *, device: str = "cpu") -> Coder:
    """The autoencoder that a name or a path names, frozen and in evaluation mode.

    Args:
        spec: ``small-diffusion`` (bundled), ``ENCODER,DECODER`` (the tiny autoencoder's two files), or a folder: of ``lab
            train-generator``, of a marked decoder, or of a diffusers model or autoencoder.
        device: as torch names it.
    Raises:
        ModelError: it is none of these, or damaged.
    """
    if spec == BUNDLED:
        model = bundled_diffusion(device=device)
        return _still(SmallCoder(model.autoencoder, model))
    files = [Path(part) for part in spec.split(",") if part]
    if len(files) == 2:
        return _still(TinyCoder(load_autoencoder(*files, device=device)))
    folder = Path(spec)
    if (folder / f"{TINY}.json").is_file():
        tensors, _ = kept.load(folder, TINY)
        tiny = Autoencoder()
        try:
            tiny.load_state_dict(tensors)
        except RuntimeError as error:
            raise ModelError(f"{folder}: {TINY} holds weights of another architecture") from error
        return _still(TinyCoder(tiny.to(device)))
    if (folder / f"{DIFFUSION}.json").is_file():
        model = load_diffusion(folder, device=device)
        return _still(SmallCoder(model.autoencoder, model))
    if (folder / f"{small.KIND}.json").is_file():
        return _still(SmallCoder(small.load_small(folder, device=device)))
    if (folder / adapters.INDEX).is_file() or (folder / "vae").is_dir() or (folder / "config.json").is_file():
        return _still(_of_diffusers(folder, device))
    raise ModelError(
        f"{spec}: no decoder is there; name {BUNDLED}, two files ENCODER,DECODER, or a folder of veriscope lab train-generator "
        "or of the layout of diffusers"
    )


def _still(coder: Coder) -> Coder:
    return coder.eval().requires_grad_(False)


def _of_diffusers(folder: Path, device: str) -> Coder:
    place = folder / "vae" if (folder / "vae").is_dir() else folder
    try:
        kind = str(json.loads((place / "config.json").read_text(encoding="utf-8"))["_class_name"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{place}: its config.json names no autoencoder of diffusers ({error!r})") from error
    if not kind.startswith("Autoencoder"):
        raise ModelError(f"{place}: a {kind} is no autoencoder; name the pipeline's folder, or its vae")
    try:
        found = getattr(import_module("diffusers"), kind)
    except ImportError as error:
        raise ModelError(f"{folder} needs diffusers: {adapters.INSTALL} ({error})") from error
    except AttributeError as error:
        raise ModelError(f"the installed diffusers has no {kind}: update it") from error
    try:
        vae = found.from_pretrained(str(place), local_files_only=True, use_safetensors=True, torch_dtype=torch.float32)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"{place}: {kind} cannot be loaded from it: {error}") from error
    return DiffusersCoder(vae.to(device), f"{kind} (diffusers)")
