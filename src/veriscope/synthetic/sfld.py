"""Is it generated? The frozen backbone on a picture cut into patches and shuffled, so that content says less and texture more.

Trace: a detector on a backbone that knows meaning learns what generators like to show. Shuffled patches keep texture, colour
and light and lose the scene, the more the smaller they are; the mean over the whole picture and several sizes keeps both.
Patches hold whole tokens of the backbone and always go to the same places, so that saving a picture again changes nothing in
the shuffle. It costs one more pass of the backbone for each size, and fails where texture is gone: small or blurred pictures.

Paper: Gye et al. 2025 (SFLD: Reducing the Content Bias for AI-generated Image Detection).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veriscope.picture import Picture
from veriscope.synthetic import backbone, depths, scoring, views
from veriscope.synthetic.learned import Learned

PATCHES = (112, 32)  # pixels a side, whole tokens of 16 px in a square of 224: 4 and 49 patches


def shuffled(square: NDArray[np.uint8], patch: int) -> NDArray[np.uint8]:
    """A square ``uint8 (S, S, 3)`` with its patches of ``patch`` pixels a side in another order, always the same.

    Args:
        square: its side is a multiple of ``patch``.
        patch: pixels.
    """
    across = len(square) // patch
    pieces = square.reshape(across, patch, across, patch, 3).swapaxes(1, 2).reshape(-1, patch, patch, 3)
    order = np.random.default_rng(patch).permutation(len(pieces))
    mixed = pieces[order].reshape(across, across, patch, patch, 3).swapaxes(1, 2)
    return np.ascontiguousarray(mixed.reshape(square.shape))


def shuffled_readings(square: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The backbone's readings ``float32 (2, 8, 2, 768)`` of ``uint8 (224, 224, 3)`` shuffled at each size of patch."""
    return backbone.readings_of([shuffled(square, patch) for patch in PATCHES])


def features(whole: NDArray[np.float32], mixed: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture's features at all levels, ``float32 (3 * 7680,)``.

    Args:
        whole: (8, 2, 768) readings of the square as it is.
        mixed: (2, 8, 2, 768) of ``shuffled_readings``.
    """
    return np.concatenate([depths.features(readings) for readings in (whole, *mixed)])


class SFLD(Learned):
    """The frozen backbone on a picture and its shuffled patches of several sizes: was it generated?"""

    name = "sfld"
    traces = "Textures without their scene"
    sizes = depths.SIZES
    qualities = depths.QUALITIES

    def score(self, picture: Picture) -> float:
        """The mean log odds over the levels."""
        mixed = shuffled_readings(views.whole(picture.rgb))
        return float(scoring.run(self.name, features(backbone.readings(picture), mixed)[None])[0])
