"""Attacks that draw a picture again: through an autoencoder, by diffusion purification, and as a visual paraphrase.

An invisible mark lives where a generator's idea of likely pictures has no place for it. An autoencoder keeps what its
latent can hold; purification adds noise up to a strength and takes it away, which provably brings marked and unmarked
pictures together as the strength grows; a paraphrase goes further and is held to the content by a caption, here a class
that the picture is put into or words for a user's own model.

Papers: Zhao et al. 2024 (regeneration attacks); Saberi et al. 2024 (purification and its trade-off); Barman et al. 2024
(visual paraphrase).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from veriscope.errors import ModelError, VeriscopeError
from veriscope.lab.attacks.attack import Attack, Pixels, alike
from veriscope.lab.generators import adapters
from veriscope.lab.generators.diffusion import KIND, Diffusion, load_diffusion
from veriscope.lab.generators.paraphrasing import load_paraphraser
from veriscope.lab.watermarks.coders import Coder
from veriscope.synthetic.diffusion import MODEL as BUNDLED

STRENGTHS = (0.1, 0.2, 0.3, 0.5)  # of purification
PARAPHRASES = (0.4, 0.6)  # strengths
PASSES = (1, 3)  # through an autoencoder


def regenerating(name: str, coder: Coder, passes: Sequence[int] = PASSES) -> list[Attack]:
    """Attacks that pass a picture so many times through an autoencoder.

    Args:
        name: of the autoencoder, in tables.
        coder: the autoencoder.
        passes: how many times.
    """

    def change(times: int) -> Any:
        def passed(rgb: Pixels, _: np.random.Generator) -> Pixels:
            for _turn in range(times):
                rgb = coder.reconstruct(rgb)
            return rgb

        return passed

    return [alike(f"autoencoder {name} x{times}", "regeneration", change(times)) for times in passes]


def purifying(name: str, model: Any, strengths: Sequence[float] = STRENGTHS) -> list[Attack]:
    """Attacks that noise a picture up to a strength and sample it back.

    Args:
        name: of the model, in tables.
        model: anything with ``regenerate(rgb, strength=, seed=)``: ``Diffusion`` or ``DiffusersModel``.
        strengths: shares in (0, 1] of the way to noise.
    """

    def change(strength: float) -> Any:
        return lambda rgb, generator: model.regenerate(rgb, strength=strength, seed=int(generator.integers(1 << 31)))

    return [alike(f"purify {name} {strength:g}", "purification", change(strength)) for strength in strengths]


def paraphrasing(name: str, model: Any, strengths: Sequence[float] = PARAPHRASES) -> list[Attack]:
    """Attacks that draw a picture again from much noise, held to what it shows.

    Args:
        name: of the model, in tables.
        model: anything with ``paraphrase(rgb, strength=, seed=)``.
        strengths: shares in (0, 1] of the way to noise.
    """

    def change(strength: float) -> Any:
        return lambda rgb, generator: model.paraphrase(rgb, strength=strength, seed=int(generator.integers(1 << 31)))

    return [alike(f"paraphrase {name} {strength:g}", "paraphrase", change(strength)) for strength in strengths]


def open_purifier(spec: str, device: str = "cpu") -> tuple[str, Any]:
    """A diffusion model by name or folder, and its short name.

    Raises:
        VeriscopeError: it is none.
    """
    if spec == BUNDLED:
        from veriscope.lab.generators.bundled import bundled_diffusion

        return "small", bundled_diffusion(device=device)
    folder = Path(spec)
    if (folder / f"{KIND}.json").is_file():
        made: Diffusion = load_diffusion(folder, device=device)
        return folder.name, made
    if (folder / adapters.INDEX).is_file():
        return folder.name, adapters.DiffusersModel(folder, device=device)
    raise VeriscopeError(
        f"{spec}: no diffusion model is there; name {BUNDLED}, a folder of veriscope lab train-generator diffusion, or one in "
        "the layout of diffusers"
    )


class Worded:
    """A user's model of diffusers that is told in words what a picture shows.

    Args:
        model: as ``DiffusersModel``.
        captioner: a picture ``uint8 (H, W, 3) RGB`` to words.
    """

    def __init__(self, model: adapters.DiffusersModel, captioner: Callable[[Pixels], str]) -> None:
        self.model = model
        self.captioner = captioner

    def paraphrase(self, rgb: Pixels, strength: float = 0.5, seed: int = 0) -> Pixels:
        """A picture ``uint8 (H, W, 3) RGB`` drawn again from noise up to ``strength`` with its caption, same shape."""
        self.model.prompt = self.captioner(rgb)
        return self.model.regenerate(rgb, strength=strength, seed=seed)


def open_paraphraser(spec: str, caption: str = "", captioner: str = "") -> tuple[str, Any]:
    """What paraphrases, and its short name.

    Args:
        spec: a folder of ``lab train-paraphraser``, or of a model of diffusers.
        caption: words for a model of diffusers.
        captioner: a folder of a captioner (BLIP) in the layout of transformers, instead of words.
    Raises:
        VeriscopeError: the folder holds neither, a model of diffusers is given no words, or a package is missing.
    """
    folder = Path(spec)
    if (folder / adapters.INDEX).is_file():
        if not caption and not captioner:
            raise VeriscopeError(
                f"{spec}: a model of diffusers paraphrases by words: --caption TEXT, or --captioner DIR"
            )
        told = open_captioner(Path(captioner)) if captioner else lambda _: caption
        return folder.name, Worded(adapters.DiffusersModel(folder), told)
    return folder.name, load_paraphraser(folder)


def open_captioner(folder: Path) -> Callable[[Pixels], str]:
    """A captioner of the BLIP kind in a folder that ``save_pretrained`` of transformers wrote.

    Raises:
        ModelError: transformers is not installed, or the folder holds no such model.
    """
    try:
        transformers = import_module("transformers")
    except ImportError as error:
        raise ModelError(f"{folder} needs transformers: {adapters.INSTALL} ({error})") from error
    try:
        processor = transformers.BlipProcessor.from_pretrained(str(folder), local_files_only=True)
        model = transformers.BlipForConditionalGeneration.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder}: no captioner can be loaded from it: {error}") from error

    def told(rgb: Pixels) -> str:
        given = processor(images=Image.fromarray(rgb), return_tensors="pt")
        words: str = processor.decode(model.generate(**given, max_new_tokens=30)[0], skip_special_tokens=True)
        return words

    return told
