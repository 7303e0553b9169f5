"""Marked pixels to a file of the format that its suffix names, with all that the original carried beside its pixels."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from veriscope.errors import PictureError, VeriscopeError
from veriscope.watermarks.original import ORIENTATION_TAG, PROFILE_TAG, XMP_TAG, Original

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".avif": "AVIF",
}
OPAQUE = ("JPEG", "BMP")  # formats without transparency
DEEP = ("PNG", "TIFF")  # formats that keep 16 bits
QUALITY = 95  # of JPEG, WebP and AVIF
FAST = 1  # zlib level: 12 megapixels in half a second
MOST_EXIF = 65_500  # bytes that fit into a JPEG's segment
PNG_HEAD = 33  # bytes: signature and IHDR


def format_of(path: Path) -> str:
    """The format that a file's suffix names.

    Raises:
        VeriscopeError: it names none that can be written.
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise VeriscopeError(
            f"{path}: a marked picture cannot be written as {path.suffix or 'a file without a suffix'}; name it "
            f"{', '.join(FORMATS)}"
        ) from None


def require_fitting(source: Original, name: str, kind: str) -> None:
    """Refuse a format that would lose what must be kept.

    Raises:
        PictureError: the picture has transparency and the format has none.
    """
    if source.alpha is not None and kind in OPAQUE:
        raise PictureError(name, f"it has transparency, which {kind} cannot keep; write .png, .webp or .tiff")


def encoded(pixels: NDArray[Any], source: Original, kind: str) -> bytes:
    """The bytes of a file.

    Args:
        pixels: as ``source.pixels``, marked.
        source: what else goes into the file.
        kind: one of ``FORMATS``' values.
    """
    if source.most > 255 and kind == "PNG":
        return _deep_png(pixels, source)
    if kind == "TIFF":
        return _tiff(pixels, source)
    alpha = source.alpha
    if source.most > 255:
        pixels = _eight(pixels)
        alpha = None if alpha is None else _eight(alpha)
    image = Image.fromarray(pixels if alpha is None else np.dstack([pixels, alpha]))
    options: dict[str, Any] = {}
    exif = source.exif if kind != "JPEG" or len(source.exif) <= MOST_EXIF else b""
    if exif and kind != "BMP":
        options["exif"] = b"Exif\0\0" + exif
    if source.profile and kind != "BMP":
        options["icc_profile"] = source.profile
    if source.dpi and kind in ("PNG", "JPEG", "BMP"):
        options["dpi"] = source.dpi
    if kind == "JPEG":
        options |= {"quality": QUALITY, "subsampling": 0}
        if image.mode not in ("L", "RGB"):
            image = image.convert("RGB")
    elif kind == "PNG":
        options["compress_level"] = FAST
    elif kind in ("WEBP", "AVIF"):
        options["quality"] = QUALITY
        if image.mode in ("L", "LA"):
            image = image.convert("RGB" if alpha is None else "RGBA")
    if source.xmp and kind == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", source.xmp.decode("utf-8", "replace"))
    elif source.xmp and kind in ("JPEG", "WEBP", "AVIF"):
        options["xmp"] = source.xmp
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def lost(source: Original, kind: str) -> list[str]:
    """Plain sentences on what a format cannot keep of the original."""
    found = list(source.notes)
    if source.most > 255 and kind not in DEEP:
        found.append(f"{kind} keeps 8 bits a channel of the picture's 16; write .png or .tiff to keep them.")
    if kind == "BMP" and (source.exif or source.profile):
        found.append("BMP keeps neither EXIF nor a colour profile.")
    if kind == "JPEG" and len(source.exif) > MOST_EXIF:
        found.append("The EXIF block is too large for a JPEG and is left out.")
    return found


def _eight(values: NDArray[Any]) -> NDArray[np.uint8]:
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _with_alpha(pixels: NDArray[Any], source: Original) -> NDArray[Any]:
    if source.alpha is None:
        return pixels
    colours = pixels if pixels.ndim == 3 else np.dstack([pixels] * 3)
    return np.dstack([colours, source.alpha])


def _deep_png(pixels: NDArray[Any], source: Original) -> bytes:
    """A PNG of 16 bits: OpenCV writes the pixels, and the chunks that it leaves out are put behind the header."""
    array = _with_alpha(pixels, source)
    if array.ndim == 3:
        array = np.ascontiguousarray(array[..., [2, 1, 0, *range(3, array.shape[2])]])
    done, data = cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, FAST])
    if not done:
        raise VeriscopeError("the picture could not be encoded as a PNG of 16 bits")
    chunks = b""
    if source.profile:
        chunks += _chunk(b"iCCP", b"icc\0\0" + zlib.compress(source.profile))
    if source.dpi:
        across, down = (round(float(value) / 0.0254) for value in source.dpi)
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if source.exif:
        chunks += _chunk(b"eXIf", source.exif)
    if source.xmp:
        chunks += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + source.xmp)
    written = data.tobytes()
    return written[:PNG_HEAD] + chunks + written[PNG_HEAD:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _tiff(pixels: NDArray[Any], source: Original) -> bytes:
    """A TIFF in one strip: Pillow writes tags, but neither pixels of 16 bits nor the EXIF of a photograph with them."""
    deep = source.most > 255
    array = _with_alpha(pixels, source).astype("<u2" if deep else "u1")
    height, width = array.shape[:2]
    channels = 1 if array.ndim == 2 else array.shape[2]
    strip = array.tobytes()
    tags = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    if source.exif:
        kept = Image.Exif()
        kept.load(b"Exif\0\0" + source.exif)
        for tag, value in kept.items():
            tags[tag] = kept.get_ifd(tag) if tag in (0x8769, 0x8825) else value
    else:
        tags[ORIENTATION_TAG] = source.orientation
    structure = {256: width, 257: height, 258: (16 if deep else 8,) * channels, 259: 1, 262: 1 if channels == 1 else 2}
    structure |= {273: 0, 277: channels, 278: height, 279: len(strip), 284: 1, 339: (1,) * channels}
    if source.alpha is not None:
        structure[338] = 2
    for tag, value in structure.items():
        tags[tag] = value
    if source.profile:
        tags.tagtype[PROFILE_TAG] = 7
        tags[PROFILE_TAG] = source.profile
    if source.xmp:
        tags.tagtype[XMP_TAG] = 1
        tags[XMP_TAG] = source.xmp
    if source.dpi:
        tags[282], tags[283], tags[296] = float(source.dpi[0]), float(source.dpi[1]), 2
    # Pillow moves the strip's offset behind what it writes here.
    return b"II*\0\x08\0\0\0" + tags.tobytes(8) + strip
