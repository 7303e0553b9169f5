"""Named ways of saving a picture again, as files: what sharing does to it, one at a time and reproducibly."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from veriscope.lab.data.augmentation import resized


def _saved(rgb: NDArray[np.uint8], kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(out, kind, **options)
    return out.getvalue()


VARIANTS: dict[str, Callable[[NDArray[np.uint8]], bytes]] = {
    "75 % + JPEG 70": lambda rgb: _saved(resized(rgb, 0.75), "JPEG", quality=70),
    "JPEG 95": lambda rgb: _saved(rgb, "JPEG", quality=95),
    "JPEG 80": lambda rgb: _saved(rgb, "JPEG", quality=80),
    "JPEG 60": lambda rgb: _saved(rgb, "JPEG", quality=60),
    "half size": lambda rgb: _saved(resized(rgb, 0.5), "PNG", compress_level=1),
    "WebP 80": lambda rgb: _saved(rgb, "WEBP", quality=80),
    "PNG": lambda rgb: _saved(rgb, "PNG", compress_level=1),
    "JPEG 20": lambda rgb: _saved(rgb, "JPEG", quality=20),
    "JPEG 10": lambda rgb: _saved(rgb, "JPEG", quality=10),
    "short side 128": lambda rgb: _saved(resized(rgb, min(1.0, 128 / min(rgb.shape[:2]))), "PNG", compress_level=1),
    "short side 64": lambda rgb: _saved(resized(rgb, min(1.0, 64 / min(rgb.shape[:2]))), "PNG", compress_level=1),
}
REENCODINGS = ("JPEG 95", "JPEG 80", "JPEG 60", "half size", "WebP 80", "PNG")  # those of the flip rate
SWEEP = ("JPEG 20", "JPEG 10", "short side 128", "short side 64")  # those that set the reliability
