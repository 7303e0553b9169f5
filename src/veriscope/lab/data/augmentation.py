"""One random history of resizing, cropping and saving, drawn the same way for real and generated pictures.

Real and generated collections differ in size, format and compression, and a detector learns that difference first. Both
classes pass through this chain in training, so that what is left to learn is in the pixels.

Paper: Wang et al. 2020 (CNNDetection: blur and JPEG augmentation); Grommelt et al. 2024 (JPEG and size bias of datasets).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

INTERPOLATIONS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
SHORTEST = 160  # pixels: the chain never makes a side shorter than this
CROP_SHARE = 0.5  # of the pictures
RESIZE_SHARE = 0.6
JPEG_SHARE = 0.65
WEBP_SHARE = 0.15
QUALITY = (45, 98)


def jpeg(rgb: NDArray[np.uint8], quality: int, *, subsample: bool = True) -> NDArray[np.uint8]:
    """``uint8 (H, W, 3)`` RGB saved as JPEG at ``quality`` (1 to 100) and read again."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if subsample else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    return _saved(rgb, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])


def webp(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """``uint8 (H, W, 3)`` RGB saved as lossy WebP at ``quality`` (1 to 100) and read again."""
    return _saved(rgb, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality])


def _saved(rgb: NDArray[np.uint8], suffix: str, options: list[int]) -> NDArray[np.uint8]:
    done, data = cv2.imencode(suffix, np.ascontiguousarray(rgb[:, :, ::-1]), options)
    if not done:
        raise ValueError(f"a picture of {rgb.shape} could not be saved as {suffix}")
    read = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert read is not None  # it was encoded a line above
    return np.asarray(read[:, :, ::-1], np.uint8)


def resized(rgb: NDArray[np.uint8], scale: float, interpolation: int = cv2.INTER_AREA) -> NDArray[np.uint8]:
    """``uint8 (H, W, 3)`` RGB at ``scale`` times its size, at least one pixel a side."""
    height, width = rgb.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=interpolation), np.uint8)


def random_crop(rgb: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """A part of ``uint8 (H, W, 3)`` RGB, 40 to 100 % of its area."""
    height, width = rgb.shape[:2]
    share = np.sqrt(generator.uniform(0.4, 1.0))
    tall, wide = max(min(SHORTEST, height), int(height * share)), max(min(SHORTEST, width), int(width * share))
    top, left = generator.integers(0, height - tall + 1), generator.integers(0, width - wide + 1)
    return rgb[top : top + tall, left : left + wide]


def random_resize(rgb: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """``uint8 (H, W, 3)`` RGB at 35 to 100 % of its size, by a random filter."""
    least = min(1.0, max(0.35, SHORTEST / min(rgb.shape[:2])))
    return resized(rgb, generator.uniform(least, 1.0), int(generator.choice(INTERPOLATIONS)))


def random_save(rgb: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """``uint8 (H, W, 3)`` RGB saved once, as JPEG, as WebP or without loss."""
    draw = generator.random()
    quality = int(generator.integers(QUALITY[0], QUALITY[1] + 1))
    if draw < JPEG_SHARE:
        return jpeg(rgb, quality, subsample=bool(generator.random() < 0.7))
    if draw < JPEG_SHARE + WEBP_SHARE:
        return webp(rgb, quality)
    return rgb


def random_history(rgb: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """A random crop, a random resize and a random save of ``uint8 (H, W, 3)`` RGB; each may be left out."""
    if generator.random() < CROP_SHARE:
        rgb = random_crop(rgb, generator)
    if generator.random() < RESIZE_SHARE:
        rgb = random_resize(rgb, generator)
    return random_save(rgb, generator)
