"""Is it generated? Whether poor texture and rich texture of one picture are made alike.

Trace: a camera writes its noise over sky and grass alike; a generator's smooth areas are smoother, and its busy ones busier,
than the same residuals of a sensor. The patches of a square at native resolution are sorted by how much neighbouring pixels
differ; the richest are put together to one picture and the poorest to another, which breaks the subject and keeps the texture,
and a network judges what high-pass filters leave of the two. It fails once resizing or saving has evened out noise, on flat
graphics, and on pictures too small to hold both kinds.

Paper: Zhong et al. 2023 (PatchCraft: Exploring Texture Patch for Efficient AI-generated Image Detection).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veriscope.picture import Picture
from veriscope.synthetic import scoring, views
from veriscope.synthetic.learned import OnDetails

PATCH = 32  # pixels a side, as in the paper
ACROSS = 4  # patches of a side of each of the two pictures
SIDE = ACROSS * PATCH  # pixels
EACH = ACROSS * ACROSS  # patches of each of the two


class PatchCraft(OnDetails):
    """The contrast of rich and poor texture: was the picture generated?"""

    name = "patchcraft"
    traces = "Contrasts of rich and poor texture"

    def score(self, picture: Picture) -> float:
        """The mean score of up to three parts."""
        return scoring.mean_score(self.name, np.stack([rich_and_poor(square) for square in views.details(picture.rgb)]))


def rich_and_poor(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A square's richest and poorest patches, each kind as one picture, the most extreme patch first in reading order.

    Args:
        square: uint8 (S, S, 3) RGB, S at least 192.
    Returns:
        uint8 (128, 128, 6), the rich picture's three channels and then the poor one's.
    """
    rich, poor = sorted_by_texture(square)
    patches = patches_of(square)
    return np.concatenate([_together(patches[rich]), _together(patches[poor])], 2)


def sorted_by_texture(square: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which patches of ``patches_of(square)`` are the 16 richest, richest first, and the 16 poorest, poorest first.

    Raises:
        ValueError: the square has too few patches for both.
    """
    degrees = texture(patches_of(square))
    if len(degrees) < 2 * EACH:
        raise ValueError(
            f"a square of {square.shape[0]} x {square.shape[1]} px has no {2 * EACH} patches of {PATCH} px"
        )
    order = np.argsort(degrees, kind="stable")
    return order[::-1][:EACH], order[:EACH]


def texture(patches: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How much neighbouring pixels of patches ``uint8 (N, P, P, 3)`` differ: sums ``(N,)`` of absolute differences.

    Neighbours lie across, below, and on both diagonals, as the paper counts them.
    """
    x = patches.astype(np.int16)
    pairs = (
        (x[:, :, 1:], x[:, :, :-1]),
        (x[:, 1:], x[:, :-1]),
        (x[:, 1:, 1:], x[:, :-1, :-1]),
        (x[:, 1:, :-1], x[:, :-1, 1:]),
    )
    return np.asarray(sum(np.abs(here - there).sum((1, 2, 3), dtype=np.int64) for here, there in pairs), np.int64)


def patches_of(square: NDArray[Any]) -> NDArray[Any]:
    """The whole patches of a square ``(S, S, C)`` in reading order, ``(N, 32, 32, C)``; a rest is left out."""
    down, across = square.shape[0] // PATCH, square.shape[1] // PATCH
    cut = square[: down * PATCH, : across * PATCH].reshape(down, PATCH, across, PATCH, -1)
    return np.ascontiguousarray(cut.swapaxes(1, 2).reshape(down * across, PATCH, PATCH, -1))


def _together(patches: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return patches.reshape(ACROSS, ACROSS, PATCH, PATCH, -1).swapaxes(1, 2).reshape(SIDE, SIDE, -1)
