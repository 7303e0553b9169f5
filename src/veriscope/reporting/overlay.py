"""Maps made visible: a greyscale map becomes a heat picture that is clear where the map is low.

The heat picture keeps the map's bytes and adds a palette with transparency, so it costs no more than the map. A map
comes from a report that may have been read from a file, so it is decoded under limits and never passed on as it is.
"""

from __future__ import annotations

import base64
import binascii
import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAP_BYTES: Final = 16_000_000
"""Longest data URI that is decoded."""
MAP_PIXELS: Final = 4_000_000
PREVIEW_PIXELS: Final = 1600 * 1600 * 4

HEAT: Final = (
    (0.0, (44, 17, 95)),
    (0.3, (129, 37, 129)),
    (0.55, (222, 60, 92)),
    (0.78, (254, 150, 60)),
    (1.0, (255, 236, 110)),
)
"""Map value and sRGB colour: rising lightness, so that it reads in greyscale print and with any colour vision."""

_PREFIX = "data:image/png;base64,"


def _heat_table() -> NDArray[np.uint8]:
    """uint8 (256, 4) RGBA for each map value."""
    values = np.linspace(0, 1, 256)
    ends = [end for end, _ in HEAT]
    channels = [np.interp(values, ends, [colour[channel] for _, colour in HEAT]) for channel in range(3)]
    alpha = 255 * np.clip((values - 0.06) / 0.5, 0, 1) ** 0.8
    return np.stack([*channels, alpha], axis=1).round().astype(np.uint8)


_TABLE = _heat_table()


def read_map(data_uri: str) -> NDArray[np.uint8] | None:
    """The map in a data URI as uint8 (H, W), or None where it is not a PNG within the limits."""
    if not data_uri.startswith(_PREFIX) or len(data_uri) > MAP_BYTES:
        return None
    try:
        data = base64.b64decode(data_uri[len(_PREFIX) :], validate=True)
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.width * image.height > MAP_PIXELS:
                return None
            return np.asarray(image.convert("L"), np.uint8)
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def read_preview(preview: bytes | None) -> Image.Image | None:
    """The preview decoded, or None where there is none or it is not a JPEG within the limits."""
    if not preview:
        return None
    try:
        with Image.open(io.BytesIO(preview), formats=("JPEG",)) as image:
            if image.width * image.height > PREVIEW_PIXELS:
                return None
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def heat_png(values: NDArray[np.uint8]) -> bytes:
    """A map ``uint8 (H, W)`` as a PNG in heat colours, transparent where it is low."""
    image = Image.fromarray(values)
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(_TABLE[:, :3].tobytes())
    return _png(image, transparency=_TABLE[:, 3].tobytes())


def over_picture(values: NDArray[np.uint8], picture: Image.Image | None, size: tuple[int, int], side: int) -> bytes:
    """A map laid over the greyed, darkened picture, as a JPEG of at most ``side`` px.

    Args:
        values: the map, uint8 (H, W).
        picture: what it is laid over; None lays it over black.
        size: width and height that give the shape, in pixels.
        side: the longer side of the result, in pixels.
    """
    scale = side / max(*size, 1)
    shape = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    if picture is None:
        ground = Image.new("RGB", shape)
    else:
        ground = (
            picture.resize(shape, Image.Resampling.LANCZOS).convert("L").point([round(0.72 * i) for i in range(256)])
        )
        ground = ground.convert("RGB")
    enlarged = np.asarray(Image.fromarray(values).resize(shape, Image.Resampling.BILINEAR))
    heat = _TABLE[enlarged]
    alpha = heat[..., 3:].astype(np.float32) / 255 * 0.9
    blended = np.asarray(ground, np.float32) * (1 - alpha) + heat[..., :3] * alpha
    return jpeg(Image.fromarray(blended.round().astype(np.uint8)))


def jpeg(image: Image.Image, quality: int = 82) -> bytes:
    """A picture as JPEG bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def data_uri(data: bytes, media: str) -> str:
    """Bytes as a data URI of the given media type."""
    return f"data:{media};base64,{base64.b64encode(data).decode('ascii')}"


def _png(image: Image.Image, **options: bytes) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, **options)
    return buffer.getvalue()
