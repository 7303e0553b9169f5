"""Train the detector ``cnndetection``: a plain network on pixels that are blurred and saved as JPEG by chance.

Both classes are changed alike, with the paper's chances ("Blur+JPEG (0.5)"), after the history that every sample has.

Paper: Wang et al. 2020 (CNN-generated images are surprisingly easy to spot... for now).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.lab.data.augmentation import jpeg
from veriscope.lab.networks.cnndetection import CNNDetection
from veriscope.lab.recipes.networks import NetworkRecipe

CHANCE = 0.5  # of each of the two
SIGMA = (0.0, 3.0)  # pixels
QUALITY = (30, 100)


def blur_and_jpeg(square: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """``uint8 (H, W, 3)`` RGB, by chance blurred, and then by chance saved as JPEG."""
    if generator.random() < CHANCE:
        sigma = generator.uniform(*SIGMA)
        square = np.asarray(cv2.GaussianBlur(square, (0, 0), max(sigma, 1e-3)), np.uint8)
    if generator.random() < CHANCE:
        square = jpeg(square, int(generator.integers(QUALITY[0], QUALITY[1] + 1)))
    return square


RECIPE = NetworkRecipe(
    name="cnndetection",
    about="Is it generated? A plain residual network on pixels, trained with blur and JPEG on both classes.",
    papers=("Wang et al. 2020 (CNNDetection)",),
    network=CNNDetection,
    augment=blur_and_jpeg,
)
