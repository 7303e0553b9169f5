"""The luma DCT coefficients of a JPEG picture, as they are stored, through jpeglib's native decoder.

The decoder is given a stream whose header was rebuilt from checked segments (``JpegStructure.stream``): it crashes the
process on a bad header, and only then; later damage it reports. Nothing larger than ``MAX_PIXELS`` is decoded.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from veriscope.container.jpeg_markers import JpegStructure, structure
from veriscope.picture import Picture

MAX_PIXELS = 130_000_000  # coefficients take 2 bytes a pixel
MAX_SCAN_PIXELS = 2_000_000_000  # scans x pixels: each scan of a progressive file visits every block
ANALYSED_BLOCKS = 65_536  # 4 MP: statistics gain nothing from more

Scalar = TypeVar("Scalar", bound=np.generic)
_FLIPS = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}  # EXIF orientation -> axes, after any transposition


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Quantised luma DCT coefficients, in the stored orientation.

    Attributes:
        luma: int16 (rows, columns, 64), row-major within a block; only blocks that hold some of the picture.
        table: the luma quantisation table, int32 (64,).
    """

    luma: NDArray[np.int16] = field(repr=False)
    table: NDArray[np.int32] = field(repr=False)

    @property
    def window(self) -> NDArray[np.int16]:
        """The central part of ``luma``, at most ``ANALYSED_BLOCKS`` blocks."""
        rows, columns = self.luma.shape[:2]
        share = min(1.0, (ANALYSED_BLOCKS / max(rows * columns, 1)) ** 0.5)
        high, wide = max(1, int(rows * share)), max(1, int(columns * share))
        top, left = (rows - high) // 2, (columns - wide) // 2
        return self.luma[top : top + high, left : left + wide]


def coefficients(picture: Picture) -> Coefficients | None:
    """The picture's luma coefficients, decoded once; None where it is no JPEG, or one that cannot be read safely."""
    return picture.once("jpeg coefficients", lambda: _read(picture))


def _read(picture: Picture) -> Coefficients | None:
    layout = structure(picture)
    if layout is None or picture.truncated:
        return None  # of a file that ends early the statistics would be of what is missing, too
    table, stream = layout.table(0), layout.stream(picture.data)
    pixels = layout.width * layout.height
    shape = (layout.height, layout.width)
    if table is None or stream is None or pixels > MAX_PIXELS or pixels * layout.scans > MAX_SCAN_PIXELS:
        return None
    if sorted(shape) != sorted(picture.rgb.shape[:2]):
        return None  # the opener saw another picture than the walker: trust neither
    luma = _decode(stream, layout)
    return None if luma is None else Coefficients(luma, table)


def _decode(stream: bytes, layout: JpegStructure) -> NDArray[np.int16] | None:
    import jpeglib  # loads the native library: only for JPEGs

    first, tallest = layout.components[0], max(each.vertical for each in layout.components)
    widest = max(each.horizontal for each in layout.components)
    rows = -(-layout.height * first.vertical // (8 * tallest))
    columns = -(-layout.width * first.horizontal // (8 * widest))
    luma = np.zeros((rows, columns, 64), np.int16)
    unused_tables, unused_numbers = np.zeros((4, 64), np.uint16), np.zeros(4, np.int16)
    # The C entry point, not jpeglib.read_dct: that decodes the pixels too, prints, and on errors leaves files behind.
    read = jpeglib.version._get_lib().read_jpeg_dct
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (luma, unused_tables, unused_numbers)]
    with _as_file(stream) as path:
        done = read(path.encode(), pointers[0], None, None, None, pointers[1], pointers[2])
    return luma if done else None


@contextlib.contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        handle = os.memfd_create("picture")
        try:
            with open(handle, "wb", closefd=False) as file:
                file.write(data)
            yield f"/proc/self/fd/{handle}"
        finally:
            os.close(handle)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "picture.jpg")
        with open(path, "wb") as file:
            file.write(data)
        yield path


def upright(stored: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """An array (H, W, ...) in the stored orientation, turned as EXIF orientation 1 to 8 says.

    >>> upright(np.array([[1, 2]]), 6).tolist()
    [[1], [2]]
    """
    turned = stored.swapaxes(0, 1) if orientation >= 5 else stored
    return np.flip(turned, _FLIPS.get(orientation, ()))


def as_stored(turned: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """The inverse of ``upright``: JPEG blocks start at (0, 0) only in the stored orientation."""
    stored = np.flip(turned, _FLIPS.get(orientation, ()))
    return stored.swapaxes(0, 1) if orientation >= 5 else stored
