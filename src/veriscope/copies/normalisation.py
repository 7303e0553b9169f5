"""How near is near? A similarity less the query's similarity to pictures that it is surely no copy of.

Some pictures (skies, screenshots, texts) are near to everything, so one threshold would let their false matches pass and lose
true ones of others. The mean similarity to the nearest pictures of a background, which are in no index, says how crowded the
query's surroundings are. The background comes with the network that made its vectors, eight bits a float.

Papers: Douze et al. 2021 (score normalisation in the Image Similarity Challenge); Pizzi et al. 2022 (SSCD).
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.errors import ModelError

FILE = "descriptor.background.npz"  # beside the network
NEAREST = 3  # of the background, whose mean similarity is the query's crowd
WEIGHT = 1.0  # of the crowd


def crowd(queries: NDArray[np.float32], background: NDArray[np.float32], nearest: int = NEAREST) -> NDArray[np.float32]:
    """How near each query is to pictures that it is no copy of.

    Args:
        queries: (Q, D) of length 1.
        background: (B, D) of length 1.
        nearest: so many of the background count; all where it is smaller.
    Returns:
        float32 (Q,), the mean cosine of the nearest; 0 where there is no background.

    >>> background = np.eye(3, dtype=np.float32)
    >>> crowd(background[:1], background, nearest=2).tolist()
    [0.5]
    """
    if not len(background):
        return np.zeros(len(queries), np.float32)
    near = queries @ background.T
    count = min(nearest, len(background))
    return np.asarray(np.partition(near, -count, axis=1)[:, -count:].mean(1), np.float32)


def normalised(
    similarities: NDArray[np.float32], crowds: NDArray[np.float32], weight: float = WEIGHT
) -> NDArray[np.float32]:
    """Similarities (Q, ...) less the crowd (Q,) of their query."""
    return similarities - np.float32(weight) * crowds.reshape(-1, *([1] * (similarities.ndim - 1)))


def packed(vectors: NDArray[np.float32]) -> bytes:
    """Vectors (B, D) in eight bits a float, as ``read_background`` reads them."""
    scale = np.abs(vectors).max(1, keepdims=True) / 127 + 1e-12
    data = io.BytesIO()
    np.savez_compressed(data, steps=np.rint(vectors / scale).astype(np.int8), scale=scale.astype(np.float32))
    return data.getvalue()


def read_background(path: Path) -> NDArray[np.float32]:
    """The vectors float32 (B, D), of length 1 again, of a file of ``packed``.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            vectors = held["steps"].astype(np.float32) * held["scale"].astype(np.float32)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: not the background of a descriptor ({error})") from error
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)


@lru_cache(maxsize=4)
def background(name: str = "descriptor", version: str = "") -> NDArray[np.float32]:  # noqa: ARG001 (part of the cache's key)
    """The background that comes with a model, float32 (B, D), read once.

    Raises:
        ModelError: the model is not installed, or its background is damaged.
    """
    models.verify(name)
    return read_background(models.model(name).path.with_name(FILE))
