"""Picture: the bytes of one file and everything that is read off them, decoded once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from veriscope.errors import PictureError

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What may be opened; both are checked before any pixel is decoded."""

    bytes: int = 200_000_000
    pixels: int = 250_000_000


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded picture.

    Attributes:
        name: the file as the user named it.
        data: the file's bytes.
        format: "JPEG", "PNG", "WEBP", "AVIF", "HEIC", "TIFF", "GIF", "BMP" or "MPO".
        rgb: uint8 (H, W, 3), sRGB, turned upright, alpha composited on white.
        mode: the stored colour mode, as Pillow names it ("RGB", "CMYK", "P", "I;16", ...).
        frames: how many frames the file holds; only the first is decoded.
        orientation: the EXIF orientation that was applied, 1 to 8 (1 where none is stored).
        truncated: the file ends early; the missing part of ``rgb`` is grey.
        notes: plain sentences about what opening had to do (first frame, truncation, colour conversion, depth).
    """

    name: str
    data: bytes = field(repr=False)
    format: str
    rgb: NDArray[np.uint8] = field(repr=False)
    mode: str = "RGB"
    frames: int = 1
    orientation: int = 1
    truncated: bool = False
    notes: tuple[str, ...] = ()
    _views: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def width(self) -> int:
        """Pixels across, upright."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """Pixels down, upright."""
        return int(self.rgb.shape[0])

    @cached_property
    def sha256(self) -> str:
        """The file's SHA-256 in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def luma(self) -> NDArray[np.float32]:
        """Rec. 601 luma, float32 (H, W) in [0, 255]."""
        weights = np.array([0.299, 0.587, 0.114], np.float32)
        return np.asarray(self.rgb @ weights, np.float32)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The view under ``key``, computed at the first call and shared by all later ones."""
        with self._lock:
            if key not in self._views:
                self._views[key] = compute()
            value: T = self._views[key]
            return value


def open_picture(source: str | Path | bytes | BinaryIO, *, name: str | None = None, limits: Limits | None = None) -> Picture:
    """Open one picture.

    Args:
        source: a path, the bytes of a file, or a binary stream.
        name: what to call it in reports; the path's name by default.
        limits: how large a file and how many pixels may be opened.
    Raises:
        PictureError: it is not a picture this tool reads, or is over a limit; the message says which.
    """
    raise PictureError(name or str(source), "opening is not built yet")
