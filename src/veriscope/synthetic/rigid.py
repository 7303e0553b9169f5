"""Is it generated? How far a little noise moves a picture in a frozen backbone's space; nothing is trained.

Trace: the paper finds that a foundation model's embedding of a real picture changes less under faint noise than that of a
generated one. It was found on DINOv2, which learned from pictures alone; the bundled backbone is CLIP, which learned to forget
what a caption leaves out, and saving and resizing change a picture's smoothness, which noise meets first. Whether the premise
holds here is measured, not assumed: the calibration says how little a score means. The noise is drawn from the square's own
bytes, so that a picture always has one score.

Paper: He et al. 2024 (RIGID: A Training-free and Model-Agnostic Framework for Robust AI-Generated Image Detection).
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from veriscope.picture import Picture
from veriscope.synthetic import backbone, depths, views
from veriscope.synthetic.learned import Learned

NOISE = 0.05 * 255  # standard deviation in grey levels, the paper's 0.05 of pixels in [0, 1]
REPEATS = 3  # draws of the noise


def noisy(square: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """``REPEATS`` copies of ``uint8 (H, W, 3)`` with Gaussian noise that depends on its bytes alone."""
    generator = np.random.default_rng(zlib.crc32(square.tobytes()))
    drawn = generator.normal(0, NOISE, (REPEATS, *square.shape))
    return list(np.clip(np.rint(square + drawn), 0, 255).astype(np.uint8))


def embedding(readings: NDArray[np.float32]) -> NDArray[np.float32]:
    """The class token after the last block, ``float32 (..., 768)``, of readings ``float32 (..., 8, 2, 768)``."""
    return readings[..., -1, 0, :]


def dissimilarity(clean: NDArray[np.float32], disturbed: NDArray[np.float32]) -> float:
    """log10 of one less the mean cosine between an embedding ``(D,)`` and those of its noisy copies ``(K, D)``.

    >>> round(dissimilarity(np.array([1.0, 0.0]), np.array([[0.8, 0.6], [1.0, 0.0]])), 3)
    -1.0
    """
    products = disturbed.astype(np.float64) @ clean.astype(np.float64)
    cosines = products / (np.linalg.norm(disturbed, axis=1) * np.linalg.norm(clean))
    return float(np.log10(max(1 - cosines.mean(), 1e-9)))


class RIGID(Learned):
    """How far faint noise moves the picture in a frozen backbone's space, untrained: was it generated?"""

    name = "rigid"
    traces = "Reactions to faint noise"
    sizes = depths.SIZES
    qualities = depths.QUALITIES

    def score(self, picture: Picture) -> float:
        """The dissimilarity; higher speaks for "generated"."""
        disturbed = embedding(backbone.readings_of(noisy(views.whole(picture.rgb))))
        return dissimilarity(embedding(backbone.readings(picture)), disturbed)
