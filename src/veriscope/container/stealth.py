"""Settings hidden in the lowest bits of the pixels ("stealth pnginfo").

NovelAI and extensions of the AUTOMATIC1111 web UI write the generation settings a second time into the lowest bit of
the alpha channel, or of red, green and blue, column by column: a signature of 15 characters, a length in bits (32
bits), and the text, plain or gzipped. It survives the removal of all metadata and not one lossy re-encoding.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from veriscope.container.blocks import TEXT_LIMIT, decode_text, inflate
from veriscope.picture import Picture

_SIGNATURE_BITS = 15 * 8
_ALPHA = {b"stealth_pnginfo": False, b"stealth_pngcomp": True}
_COLOUR = {b"stealth_rgbinfo": False, b"stealth_rgbcomp": True}


def hidden_text(picture: Picture, png_colour: int | None) -> str | None:
    """The hidden text of a PNG, or None.

    Args:
        picture: the picture; only PNG is looked at, the one format in which the bits survive and are written.
        png_colour: the colour type of the PNG.
    """
    if picture.format != "PNG" or picture.orientation != 1:
        return None
    if png_colour == 2:
        return read_bits(picture.rgb & np.uint8(1), _COLOUR)
    if png_colour == 6 and picture.mode == "RGBA":
        with picture.pillow() as image:
            alpha = np.asarray(image.getchannel("A"), np.uint8)
        return read_bits(alpha[:, :, None] & np.uint8(1), _ALPHA)
    return None


def read_bits(bits: NDArray[np.uint8], signatures: dict[bytes, bool]) -> str | None:
    """The text in bits ``uint8 (H, W, C)``, read column by column, after one of ``signatures`` (gzipped or not)."""
    height, _, channels = bits.shape
    columns = -(-(_SIGNATURE_BITS + 32) // (height * channels))
    head = np.packbits(bits[:, :columns].transpose(1, 0, 2).ravel()[: _SIGNATURE_BITS + 32]).tobytes()
    packed = signatures.get(head[:15])
    if packed is None or len(head) < 19:
        return None
    length = int.from_bytes(head[15:19], "big")
    start = _SIGNATURE_BITS + 32
    if not 0 < length <= min(TEXT_LIMIT * 8, bits.size - start):
        return None
    columns = -(-(start + length) // (height * channels))
    body = np.packbits(bits[:, :columns].transpose(1, 0, 2).ravel()[start : start + length]).tobytes()
    raw = inflate(body, wbits=zlib.MAX_WBITS | 16) if packed else body
    return None if raw is None else decode_text(raw)
