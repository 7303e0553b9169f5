"""Picture: the bytes of one file and everything that is read off them, decoded once."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from veriscope.decoding import decode
from veriscope.errors import PictureError
from veriscope.recognition import open_lazily

T = TypeVar("T")
READ_AT_ONCE = 32_000_000  # bytes


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
        rgb: uint8 (H, W, 3), sRGB, turned upright, alpha composited on white; read-only.
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
    # One a view: whoever asks for another need not wait.
    _locks: dict[Hashable, threading.RLock] = field(default_factory=dict, repr=False)

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

    def pillow(self) -> Image.Image:
        """A fresh Pillow image of the raw bytes with no pixel decoded, for metadata readers; not turned upright.

        Raises:
            PictureError: ``data`` is not a file that ``open_picture`` would open.
        """
        return open_lazily(self.name, self.data)[1]

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The view under ``key``, computed at the first call and shared by all later ones, which wait for it."""
        with self._locks.setdefault(key, threading.RLock()):
            if key not in self._views:
                self._views[key] = compute()
            value: T = self._views[key]
            return value


def open_picture(
    source: str | Path | bytes | BinaryIO, *, name: str | None = None, limits: Limits | None = None
) -> Picture:
    """Open one picture.

    Args:
        source: a path, the bytes of a file, or a binary stream.
        name: what to call it in reports; the path's name by default.
        limits: how large a file and how many pixels may be opened.
    Raises:
        PictureError: it is not a picture this tool reads, or is over a limit; the message says which.
    """
    limits = limits or Limits()
    if isinstance(source, (str, os.PathLike)):
        name = name or Path(source).name or str(source)
        data = _read_path(name, source, limits.bytes)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name = name or "bytes"
        data = bytes(source)
    else:
        called = getattr(source, "name", None)
        name = name or (Path(called).name if isinstance(called, str) and called else "stream")
        data = _read_stream(name, source, limits.bytes)
    if len(data) > limits.bytes:
        raise _too_large(name, len(data), limits.bytes)
    return Picture(name=name, data=data, **vars(decode(name, data, max_pixels=limits.pixels)))


def _read_path(name: str, path: str | os.PathLike[str], most: int) -> bytes:
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise PictureError(name, "a folder, not a picture")
        if not stat.S_ISREG(found.st_mode):
            raise PictureError(name, "a pipe, socket or device, not a file; pass its bytes or a stream instead")
        if found.st_size > most:
            raise _too_large(name, found.st_size, most)
        with open(path, "rb") as stream:
            return _read_stream(name, stream, most)
    except FileNotFoundError as error:
        raise PictureError(name, "no such file") from error
    except PermissionError as error:
        raise PictureError(name, "no permission to read it") from error
    except (OSError, ValueError) as error:
        raise PictureError(name, f"cannot be read ({getattr(error, 'strerror', None) or error})") from error


def _read_stream(name: str, stream: BinaryIO, most: int) -> bytes:
    """The stream's bytes; at most one more than may be opened, so that the caller sees it is over the limit."""
    parts: list[bytes] = []
    left = most + 1
    try:
        while left > 0 and (part := stream.read(min(left, READ_AT_ONCE))):
            if not isinstance(part, bytes):
                raise PictureError(name, "a stream of text; open it in binary mode")
            parts.append(part)
            left -= len(part)
    except (OSError, ValueError, AttributeError) as error:
        raise PictureError(name, f"cannot be read ({error})") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(name: str, size: int, most: int) -> PictureError:
    return PictureError(name, f"its {size / 1e6:,.1f} MB are over the limit of {most / 1e6:,g} MB")
