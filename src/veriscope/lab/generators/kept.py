"""Trained generators on disk: tensors as safetensors, never a pickle, and beside them a JSON that says what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from veriscope.errors import ModelError, VeriscopeError
from veriscope.lab.recipes.recipe import write_json


def save(folder: Path, kind: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write ``KIND.safetensors`` and, last, ``KIND.json``.

    Raises:
        VeriscopeError: they cannot be written; an older pair stays as it was unless both could be.
    """
    from safetensors.torch import save_file

    weights = folder / f"{kind}.safetensors"
    partial = weights.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial)
        os.replace(partial, weights)
        write_json(folder / f"{kind}.json", dict(about))
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise VeriscopeError(f"{weights}: cannot be written: {error.strerror}") from error


def load(folder: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the description that ``save`` wrote.

    Raises:
        ModelError: the folder holds no such generator, or a file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights, about = folder / f"{kind}.safetensors", folder / f"{kind}.json"
    if not weights.is_file() or not about.is_file():
        raise ModelError(
            f"{folder} holds no {kind}.safetensors and {kind}.json; veriscope lab train-generator {kind} makes them"
        )
    try:
        return load_file(weights), dict(json.loads(about.read_text(encoding="utf-8")))
    except (SafetensorError, ValueError, TypeError) as error:
        raise ModelError(f"{folder}: {kind} is damaged ({error}); train it again or copy it again") from error
