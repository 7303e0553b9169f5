"""What an index keeps of one picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from veriscope.container.dates import declared_moments
from veriscope.container.fields import fields
from veriscope.copies.descriptor import Descriptor
from veriscope.copies.pdq import Hash, pdq
from veriscope.picture import Picture

PREVIEW_SIDE = 512  # pixels of the longer side of what is kept to verify and show a match
PREVIEW_QUALITY = 85  # of its JPEG
TAKEN = ("exif_original", "xmp_original", "iptc_created", "exif_digitized", "xmp_created")  # the first that is declared


@dataclass(frozen=True, eq=False)
class Entry:
    """One picture as an index keeps it.

    Attributes:
        reference: its path, or what the user calls it.
        sha256: of its file, in hexadecimal.
        pdq: uint8 (32,), its hash.
        quality: of the hash, in 0..100.
        vectors: float32 (P, size) of length 1: its descriptor, the whole first and then its parts.
        width, height: upright, in pixels.
        added: when, ISO 8601 in UTC.
        meta: JSON values; "format", "bytes", and "taken" where the file declares when.
        preview: a small JPEG; None where none is wanted.
    """

    reference: str
    sha256: str
    pdq: NDArray[np.uint8] = field(repr=False)
    quality: int
    vectors: NDArray[np.float32] = field(repr=False)
    width: int
    height: int
    added: str
    meta: dict[str, Any] = field(default_factory=dict)
    preview: bytes | None = field(default=None, repr=False)


def entry(
    picture: Picture,
    descriptor: Descriptor,
    *,
    reference: str,
    meta: dict[str, Any] | None = None,
    preview: bool = True,
) -> Entry:
    """Describe a picture for an index.

    Args:
        picture: what is added.
        descriptor: the index's.
        reference: what matches will call it.
        meta: JSON values of the user, kept beside.
        preview: keep a small JPEG.
    """
    found = hashed(picture)
    taken = _taken(picture)
    return Entry(
        reference=reference,
        sha256=picture.sha256,
        pdq=found.bits,
        quality=found.quality,
        vectors=descriptor.of_reference(picture.rgb),
        width=picture.width,
        height=picture.height,
        added=datetime.now(UTC).isoformat(timespec="seconds"),
        meta={"format": picture.format, "bytes": len(picture.data)}
        | ({"taken": taken} if taken else {})
        | (meta or {}),
        preview=small_jpeg(picture.rgb) if preview else None,
    )


def hashed(picture: Picture) -> Hash:
    """The picture's hash, computed once."""
    return picture.once("pdq", lambda: pdq(picture.rgb))


def small_jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """``uint8 (H, W, 3) RGB`` as a JPEG of at most ``PREVIEW_SIDE`` px a side."""
    _, data = cv2.imencode(".jpg", reduced(rgb, PREVIEW_SIDE)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY])
    return data.tobytes()


def reduced(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture at most ``side`` px a side; itself where it is not larger."""
    scale = side / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _taken(picture: Picture) -> str:
    moments = declared_moments(fields(picture))
    return next((moments[name].shown() for name in TAKEN if name in moments), "")
