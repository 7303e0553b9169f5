"""Self-consistency: was every part of the picture saved, scaled and rendered alike?

A network learned from untouched pictures whether two windows went through the same processing, step by step. Every window
is compared with every other; windows that most others disagree with are the odd ones. A splice brings another history
with it. One that went through the same steps as its host does not show, nor does anything after strong saving or resizing.

Paper: Huh et al. 2018 (EXIF-SC: patch consistency, and its map).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from veriscope import models
from veriscope.picture import Picture
from veriscope.tampering.fingerprint import LEAST_WINDOWS, heard_windows, localised, windows_of
from veriscope.tampering.localisation import Localisation
from veriscope.tampering.trained import Trained

MOST_WINDOWS = 400  # that are compared with each other; of more, an even choice stands for all
PASSES = 3  # of the comparison, each with those alone that the last one found in agreement


def consistency(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log odds that each attribute is the same for each pair, ``float32 (N, M, 4)``, of vectors ``(N, D)`` and ``(M, D)``.

    Raises:
        ModelError: the model is missing or damaged.
    """
    session = models.open_session("consistency", "consistency.pairs.onnx")
    pairs = {
        "first": np.repeat(first, len(second), 0),
        "second": np.tile(second, (len(first), 1)),
    }
    found = np.asarray(session.run(["odds"], pairs)[0], np.float32)
    return found.reshape(len(first), len(second), -1)


def odd_ones(agreement: NDArray[np.float32], references: NDArray[np.int64]) -> tuple[NDArray[np.float32], float]:
    """How far each window disagrees with the picture's main group.

    Args:
        agreement: float32 (N, M) in [0, 1], of each window with each reference.
        references: int (M,), which of the windows these are.
    Returns:
        float32 (N,) in [0, 1], and how far the two groups are apart.
    """
    main = np.ones(agreement.shape[1], bool)
    for _ in range(PASSES):
        agreed = agreement[:, main].mean(1)
        middle = _threshold(agreed)
        if not (agreed[references] >= middle).any():
            break
        main = agreed[references] >= middle
    low, high = agreed[agreed < middle], agreed[agreed >= middle]
    apart = float(high.mean() - low.mean()) if len(low) and len(high) else 0.0
    odd = 1 / (1 + np.exp(np.clip(12 * (agreed - middle), -30, 30)))
    return odd.astype(np.float32), apart


def _threshold(values: NDArray[np.float32]) -> float:
    """Otsu's threshold: where the variance between the two sides is largest."""
    ordered = np.sort(values)
    if len(ordered) < 2:
        return float(ordered[0]) if len(ordered) else 0.5
    count = np.arange(1, len(ordered))
    total = np.cumsum(ordered)[:-1]
    left, right = total / count, (ordered.sum() - total) / (len(ordered) - count)
    between = count * (len(ordered) - count) * np.square(left - right)
    best = int(np.argmax(between))
    return float((ordered[best] + ordered[best + 1]) / 2)


class Consistency(Trained):
    """Was every part of the picture processed alike?"""

    name: ClassVar[str] = "consistency"

    def find(self, picture: Picture) -> Localisation | None:
        """All windows compared; those most others disagree with."""
        vectors = windows_of(picture, self.name)
        heard = heard_windows(picture, vectors.shape)
        chosen = vectors[heard]
        odd, apart = np.zeros(heard.shape, np.float32), 0.0
        if len(chosen) >= LEAST_WINDOWS:
            references = np.linspace(0, len(chosen) - 1, min(MOST_WINDOWS, len(chosen))).astype(np.int64)
            odds = np.concatenate(
                [consistency(chosen[at : at + 256], chosen[references]).mean(2) for at in range(0, len(chosen), 256)]
            )
            odd[heard], apart = odd_ones(1 / (1 + np.exp(-odds)), references)
        return localised(odd, apart, heard, picture, "The traces of saving, scaling and colour")
