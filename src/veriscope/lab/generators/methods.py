"""From a name on the command line to a way of making a fake from a real picture, with the same content and size.

A method is written ``[HOW:]NAME[=PLACE]``. PLACE says which generator it is: two weight files (the tiny autoencoder of
``autoencoder.py``), a folder of ``veriscope lab train-generator``, or one in the layout of diffusers; ``esrgan`` needs none.
HOW is one of ``reconstruct``, ``regenerate``, ``patches`` (a random part of either is set into the original) and ``inpaint``
(a random part is painted anew); left out, a generator does what it is for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import VeriscopeError
from veriscope.lab.generators import adapters, diffusion, patches, small
from veriscope.lab.generators.autoencoder import load_autoencoder
from veriscope.lab.generators.upscaling import MODELS, Upscaler, packaged

WAYS = ("reconstruct", "regenerate", "patches", "inpaint")
STRENGTH = (0.1, 0.5)  # of a re-generation, drawn evenly: from texture alone to small objects
UPSCALER = "esrgan"
HASHED = 1 << 28  # bytes: of larger files the size stands for the content


@dataclass(frozen=True)
class Made:
    """A fake ``uint8 (H, W, 3) RGB``, how it was drawn, and where it is not the original, ``bool (H, W)``, if only there."""

    picture: NDArray[np.uint8]
    settings: dict[str, float | str]
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Method:
    """One way of making fakes.

    Attributes:
        name: tells it from the others; in file names.
        way: one of ``WAYS``.
        generator: what it is, in words, for the manifest.
        weights: a hash of its files.
        model: does the work.
    """

    name: str
    way: str
    generator: str
    weights: str
    model: Any

    @property
    def label(self) -> str:
        """Of its pictures in a manifest: "generated", or "edited" where only a part is."""
        return "edited" if self.way in ("patches", "inpaint") else "generated"

    def make(self, rgb: NDArray[np.uint8], generator: np.random.Generator) -> Made:
        """A fake of ``uint8 (H, W, 3) RGB``, the same for a state of the source of chance.

        Raises:
            ModelError: the generator fails.
        """
        if self.way == "inpaint":
            mask, settings = patches.random_mask(rgb.shape[0], rgb.shape[1], generator)
            seed = int(generator.integers(1 << 31))
            painted = self.model.inpaint(rgb, mask, seed=seed)
            picture, mask = patches.patched(rgb, painted, mask, 0.0)
            return Made(picture, {**settings, "noise": seed}, mask)
        way = _usual(self.model) if self.way == "patches" else self.way
        settings = {}
        if way == "regenerate":
            settings = {
                "strength": round(float(generator.uniform(*STRENGTH)), 3),
                "noise": int(generator.integers(1 << 31)),
            }
            made = self.model.regenerate(rgb, strength=settings["strength"], seed=settings["noise"])
        else:
            made = self.model.reconstruct(rgb)
        if self.way != "patches":
            return Made(made, settings)
        picture, mask, more = patches.random_patch(rgb, made, generator)
        return Made(picture, {**settings, **more}, mask)


def methods(specs: Sequence[str], device: str = "cpu") -> list[Method]:
    """The methods that the specifications name, their generators opened.

    Raises:
        VeriscopeError: one of them is misspelt, two have one name, or a generator cannot be opened.
    """
    opened: dict[tuple[str, str], tuple[Any, str, str]] = {}
    found: dict[str, Method] = {}
    for spec in specs:
        how, _, rest = spec.partition(":") if spec.partition(":")[0] in WAYS else ("", "", spec)
        name, _, place = rest.partition("=")
        if not name.replace("-", "").replace("_", "").isalnum():
            raise VeriscopeError(
                f"{spec!r}: a generator is given as [HOW:]NAME=PLACE, where HOW is one of {', '.join(WAYS)}"
            )
        if (name, place) not in opened:
            opened[name, place] = _open(name, place, device)
        model, words, weights = opened[name, place]
        way = how or _usual(model)
        if way != "patches" and not hasattr(model, way):
            raise VeriscopeError(f"{spec!r}: a {words} cannot {way}")
        full = name if way == _usual(model) else f"{way}_{name}"
        if full in found:
            raise VeriscopeError(f"{spec!r}: two generators are called {full}")
        found[full] = Method(full, way, words, weights, model)
    return list(found.values())


def _usual(model: Any) -> str:
    return "regenerate" if isinstance(model, diffusion.Diffusion) else "reconstruct"


def _open(name: str, place: str, device: str) -> tuple[Any, str, str]:
    """The generator, what it is in words, and a hash of its files."""
    if name == UPSCALER:
        model = place if place in MODELS else "photo"
        folder = packaged() if place in ("", *MODELS) else Path(place)
        files = [folder / f"{MODELS[model]}.{kind}" for kind in ("param", "bin")]
        return Upscaler(model, folder), f"Real-ESRGAN ({model})", _hash(files)
    parts = [Path(part) for part in place.split(",") if part]
    if len(parts) == 2:
        return load_autoencoder(*parts, device=device), "tiny autoencoder (TAEF2)", _hash(parts)
    if len(parts) != 1 or not parts[0].is_dir():
        raise VeriscopeError(
            f"{name}={place}: name a folder of a generator, or the two files of an encoder and a decoder"
        )
    folder = parts[0]
    if (folder / adapters.INDEX).is_file():
        kind = str(json.loads((folder / adapters.INDEX).read_text(encoding="utf-8")).get("_class_name", "diffusers"))
        return adapters.DiffusersModel(folder, device=device), kind, _hash(sorted(folder.rglob("*.safetensors")))
    if (folder / f"{diffusion.KIND}.json").is_file():
        files = [folder / f"{diffusion.KIND}.safetensors"]
        return diffusion.load_diffusion(folder, device=device), "small latent diffusion", _hash(files)
    loaded = small.load_small(folder, device=device)
    words = f"small autoencoder ({loaded.shape.upsampler}, factor {loaded.factor})"
    return loaded, words, _hash([folder / f"{small.KIND}.safetensors"])


def _hash(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size if path.is_file() else 0
        digest.update(path.read_bytes() if 0 < size < HASHED else f"{path.name} {size}".encode())
    return digest.hexdigest()[:16]
