"""Named ways of saving a picture again, as files: what sharing does to it, one at a time and reproducibly.

``lab/benchmark/perturbations.py`` adds whole sweeps, random ones and chains of several sites.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from veriscope.lab.data.augmentation import resized


def saved(rgb: NDArray[np.uint8], kind: str, quality: int | None = None, **options: object) -> bytes:
    """``uint8 (H, W, 3)`` RGB as the bytes of a file.

    Args:
        rgb: the pixels.
        kind: "JPEG", "WEBP" or "PNG", which is without loss.
        quality: 1 to 100, of the first two.
        options: more that Pillow's writer takes, for example ``subsampling="4:2:0"``.
    """
    chosen = {"compress_level": 1} if kind == "PNG" else {"quality": quality}
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(out, kind, **chosen, **options)
    return out.getvalue()


VARIANTS: dict[str, Callable[[NDArray[np.uint8]], bytes]] = {
    "75 % + JPEG 70": lambda rgb: saved(resized(rgb, 0.75), "JPEG", 70),
    "JPEG 95": lambda rgb: saved(rgb, "JPEG", 95),
    "JPEG 80": lambda rgb: saved(rgb, "JPEG", 80),
    "JPEG 60": lambda rgb: saved(rgb, "JPEG", 60),
    "half size": lambda rgb: saved(resized(rgb, 0.5), "PNG"),
    "WebP 80": lambda rgb: saved(rgb, "WEBP", 80),
    "PNG": lambda rgb: saved(rgb, "PNG"),
    "JPEG 20": lambda rgb: saved(rgb, "JPEG", 20),
    "JPEG 10": lambda rgb: saved(rgb, "JPEG", 10),
    "short side 128": lambda rgb: saved(resized(rgb, min(1.0, 128 / min(rgb.shape[:2]))), "PNG"),
    "short side 64": lambda rgb: saved(resized(rgb, min(1.0, 64 / min(rgb.shape[:2]))), "PNG"),
}
REENCODINGS = ("JPEG 95", "JPEG 80", "JPEG 60", "half size", "WebP 80", "PNG")  # those of the flip rate
SWEEP = ("JPEG 20", "JPEG 10", "short side 128", "short side 64")  # those that set the reliability
