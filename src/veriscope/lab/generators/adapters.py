"""A user's own big model from a folder of the ``diffusers`` layout: Stable Diffusion, FLUX and their kin.

Three things are asked of it: its autoencoder's reconstruction, a picture re-generated from partial noise, and a masked part
painted anew. Nothing is fetched: the folder is named by path, weights are safetensors only, and ``diffusers`` (with
``transformers`` and ``accelerate``), which the laboratory does not need otherwise, is imported on first use.

Papers: Rombach et al. 2022 (Stable Diffusion); Meng et al. 2022 (SDEdit); Lugmayr et al. 2022 (RePaint: inpainting by noise).
"""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from veriscope.errors import ModelError
from veriscope.lab.generators.small import picture, pixels

INDEX = "model_index.json"
INSTALL = "pip install diffusers transformers accelerate sentencepiece"
MULTIPLE = 16  # pixels; every known model's sizes are multiples of it
STEPS = 30


class DiffusersModel:
    """A generator in a folder that ``save_pretrained`` of diffusers wrote.

    Args:
        folder: holds ``model_index.json``.
        device: as torch names it; a GPU when there is one by default.
        prompt: words for re-generation and inpainting; none keep to the picture.

    Raises:
        ModelError: the folder is of another layout.
    """

    def __init__(self, folder: Path, *, device: str = "", prompt: str = "") -> None:
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            self._autoencoder = str(index.get("vae", ("", ""))[1])
        except (OSError, ValueError, AttributeError, LookupError, TypeError) as error:
            raise ModelError(f"{folder} is no model in the layout of diffusers: {INDEX}: {error}") from error
        self.folder = folder
        self.prompt = prompt
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._parts: dict[str, Any] = {}

    @torch.no_grad()
    def reconstruct(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture ``uint8 (H, W, 3) RGB`` passed through the model's autoencoder, same shape.

        Raises:
            ModelError: diffusers is not installed, or the model has no autoencoder of pictures or cannot be loaded.
        """
        if not self._autoencoder.startswith("Autoencoder"):
            raise ModelError(f"{self.folder}: its {INDEX} names no autoencoder")
        vae = self._part(self._autoencoder, subfolder="vae")
        given = (2 * pixels(rgb, MULTIPLE, torch.device(self.device)) - 1).to(vae.dtype)
        encoded = vae.encode(given)
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latent
        return picture((vae.decode(latents).sample.float() / 2 + 0.5).clamp(0, 1), rgb)

    def regenerate(
        self, rgb: NDArray[np.uint8], strength: float = 0.3, steps: int = STEPS, seed: int = 0
    ) -> NDArray[np.uint8]:
        """A picture ``uint8 (H, W, 3) RGB`` re-generated from partial noise, same shape.

        Args:
            rgb: the picture.
            strength: share in (0, 1] of the way to noise and back.
            steps: of the whole way.
            seed: of the noise.
        Raises:
            ModelError: diffusers is not installed, or the model cannot do this or cannot be loaded.
        """
        steps = max(steps, int(np.ceil(1 / strength)))  # at least one of them is taken
        return self._drawn("AutoPipelineForImage2Image", rgb, seed, strength=strength, num_inference_steps=steps)

    def inpaint(
        self, rgb: NDArray[np.uint8], mask: NDArray[np.bool_], steps: int = STEPS, seed: int = 0
    ) -> NDArray[np.uint8]:
        """A picture ``uint8 (H, W, 3) RGB`` with the part under ``mask``, ``bool (H, W)``, painted anew, same shape.

        The model passes all of the picture through its autoencoder; ``patches.patched`` keeps the original outside the mask.

        Raises:
            ModelError: diffusers is not installed, or the model cannot do this or cannot be loaded.
        """
        white = _padded(mask.astype(np.uint8) * np.uint8(255))
        given = {"mask_image": Image.fromarray(white), "strength": 1.0, "num_inference_steps": steps}
        return self._drawn("AutoPipelineForInpainting", rgb, seed, **given)

    def _drawn(self, kind: str, rgb: NDArray[np.uint8], seed: int, **given: Any) -> NDArray[np.uint8]:
        pipeline = self._part(kind)
        padded = _padded(rgb)
        asked = {
            "prompt": self.prompt,
            "image": Image.fromarray(padded),
            "generator": torch.Generator("cpu").manual_seed(seed),
            "height": padded.shape[0],
            "width": padded.shape[1],
            **given,
        }
        known = inspect.signature(pipeline.__call__).parameters  # some take their size from the picture
        made = np.asarray(pipeline(**{name: value for name, value in asked.items() if name in known}).images[0])
        if made.shape != padded.shape:
            raise ModelError(f"{self.folder}: gave {made.shape} for a picture of {padded.shape}")
        return np.asarray(made[: rgb.shape[0], : rgb.shape[1]], np.uint8)

    def _part(self, kind: str, **where: str) -> Any:
        if kind not in self._parts:
            try:
                found = getattr(import_module("diffusers"), kind)
            except ImportError as error:
                raise ModelError(f"{self.folder} needs diffusers: {INSTALL} ({error})") from error
            except AttributeError as error:
                raise ModelError(f"the installed diffusers has no {kind}: update it") from error
            half = torch.float32 if self.device == "cpu" else torch.bfloat16
            try:
                made = found.from_pretrained(
                    str(self.folder), local_files_only=True, use_safetensors=True, torch_dtype=half, **where
                )
            except (OSError, ValueError, ImportError) as error:
                raise ModelError(f"{self.folder}: {kind} cannot be loaded from it: {error}") from error
            self._parts[kind] = made.to(self.device)
        return self._parts[kind]


def _padded(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = array.shape[:2]
    beyond = ((0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0))[: array.ndim]
    return np.pad(array, beyond, mode="symmetric")
