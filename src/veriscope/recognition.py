"""What kind of file some bytes are, and a Pillow image of them that has decoded nothing yet.

Pillow's own ``Image.open`` is not used: its pixel limit is a global of the process, and it needs HEIC registered
globally too. The format is told by its first bytes and its reader is called by name, so that nothing but the nine
formats below is ever parsed. Headers that cost more to read than the picture (a million chunks, a thousand empty
scans) are refused first.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from pillow_heif import HeifImageFile

from veriscope.errors import PictureError

MAX_PNG_CHUNKS = 200_000  # a 200 MB file in the 1 KB chunks of the most timid writer
MAX_JPEG_SEGMENTS = 20_000  # 65 KB each
MAX_JPEG_HEADER = 64_000_000  # bytes before the first scan; portraits with depth maps reach 10 MB
MAX_SCANNED_PIXELS = 10_000_000_000  # scans x pixels: 40 passes over 250 megapixels, a few seconds
MAX_GIF_BLOCKS = 2_000_000  # a 200 MB file holds 800 000 full ones
MAX_FRAMES = 100_000
PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})

HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
READERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.jpeg_factory,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "HEIC": HeifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}
FOREIGN = (
    (rb"%PDF", "a PDF document, not a picture; save its pictures one by one"),
    (rb"PK(\x03\x04|\x05\x06)", "a ZIP archive (or an office document), not a picture; unpack it first"),
    (rb"\x1f\x8b|BZh|7z\xbc\xaf|Rar!|\xfd7zXZ|\x28\xb5\x2f\xfd", "an archive, not a picture; unpack it first"),
    (rb"\x1aE\xdf\xa3|OggS|FLV|\x00\x00\x01[\xb3\xba]|\x30\x26\xb2\x75|RIFF....AVI ", "a video, not a picture"),
    (rb"....ftypcrx ", "a camera raw file; develop it to JPEG or TIFF first"),
    (rb"....ftypjxl |\xff\x0a|....JXL ", "a JPEG XL file, which is not read here; convert it first"),
    (rb"....(ftyp|moov|mdat|wide|free)", "a video, not a picture"),
    (rb"....jP  |\xff\x4f\xff\x51", "a JPEG 2000 file, which is not read here; convert it first"),
    (rb"FUJIFILMCCD-RAW|IIRO|IIU\0", "a camera raw file; develop it to JPEG or TIFF first"),
    (rb"8BPS", "a Photoshop document; save it as PNG, TIFF or JPEG first"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document, not a picture"),
    (rb"\x00\x00[\x01\x02]\x00", "an icon file, which is not read here; convert it to PNG first"),
    (rb"ID3|fLaC|RIFF....WAVE", "a sound recording, not a picture"),
    (rb"MZ|\x7fELF", "a program, not a picture"),
)


def recognise(name: str, data: bytes) -> str:
    """The format of ``data``, a key of READERS (an MPO opens as JPEG).

    Raises:
        PictureError: it is none of them; the message says what it is instead, where that can be told.
    """
    head = data[:32]
    if not data:
        raise PictureError(name, "the file is empty")
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        if head[8:10] == b"CR":
            raise PictureError(name, "a camera raw file; develop it to JPEG or TIFF first")
        return "TIFF"
    if head[4:8] == b"ftyp":
        end = min(len(data), int.from_bytes(head[:4], "big"), 256)
        brands = {head[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & HEIC_BRANDS:
            return "HEIC"
    if head.startswith(b"BM") and len(data) > 18 and data[14] in (12, 16, 40, 52, 56, 64, 108, 124):
        return "BMP"
    raise PictureError(name, _what_else(data))


def open_lazily(name: str, data: bytes) -> tuple[str, ImageFile.ImageFile, tuple[str, ...]]:
    """The format, the Pillow image with no pixel decoded, and notes on what of the header was left unread.

    Raises:
        PictureError: the header is broken, or costs more to read than any honest one.
    """
    kind = recognise(name, data)
    notes: tuple[str, ...] = ()
    if kind == "PNG" and _count_png_chunks(data) > MAX_PNG_CHUNKS:
        raise PictureError(name, f"its PNG has more than {MAX_PNG_CHUNKS} chunks, which no honest file has")
    scans = _count_jpeg_scans(name, data) if kind == "JPEG" else 1
    try:
        image = READERS[kind](io.BytesIO(data))
    except Exception as error:
        if kind != "PNG":
            raise PictureError(name, _broken_header(kind, error)) from error
        try:
            image = READERS[kind](io.BytesIO(_only_pixels(data)))
        except Exception:
            raise PictureError(name, _broken_header(kind, error)) from error
        notes = ("The PNG's text and profile chunks are damaged or unpack to too much, and were not read.",)
    if kind == "JPEG":
        if scans * image.width * image.height > MAX_SCANNED_PIXELS and scans > 1:
            raise PictureError(name, f"its JPEG has {scans} scans, more than any honest file of its size")
        kind = "MPO" if image.format == "MPO" else "JPEG"
    if isinstance(image, TiffImagePlugin.TiffImageFile) and (image.tag_v2.get(50706) or image.tag_v2.get(254) == 1):
        raise PictureError(name, "a camera raw file (its first page is only a thumbnail); develop it first")
    return kind, image, notes


def count_frames(kind: str, image: Image.Image, data: bytes) -> int:
    """How many frames or pages the file holds, in bounded time (MAX_FRAMES at most)."""
    if kind == "GIF":
        return _count_gif_frames(data)
    if kind == "TIFF":
        return _count_tiff_pages(data)
    return max(1, int(getattr(image, "n_frames", 1)))


def _what_else(data: bytes) -> str:
    for pattern, says in FOREIGN:
        if re.match(pattern, data, re.DOTALL):
            return says
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "an SVG drawing, which has no pixels; export it to PNG first"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page, not a picture; save the picture itself"
    if not any(byte < 9 or 13 < byte < 32 for byte in data[:4096]):
        return "text, not a picture"
    return "not a picture this tool reads (JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF or BMP)"


def _broken_header(kind: str, error: Exception) -> str:
    says = " ".join(str(error).split())[:120]
    if isinstance(error, Image.DecompressionBombError):
        return f"it declares more pixels than the {kind} reader takes ({says})"
    if "not identified by this driver" in says:
        return f"its {kind} header is broken or declares a picture of no size"
    return f"its {kind} header is broken or ends early" + (f" ({says})" if says else "")


def _count_png_chunks(data: bytes) -> int:
    at, count = 8, 0
    while at + 8 <= len(data) and count <= MAX_PNG_CHUNKS:
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        count += 1
    return count


def _only_pixels(data: bytes) -> bytes:
    kept, at = [data[:8]], 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] in PIXEL_CHUNKS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


def _count_jpeg_scans(name: str, data: bytes) -> int:
    at, segments, scans = 2, 0, 0
    while segments <= MAX_JPEG_SEGMENTS and (scans or at <= MAX_JPEG_HEADER):
        found = _MARKER.search(data, at)
        if found is None or data[found.end() - 1] == 0xD9:
            return scans
        segments += 1
        scans += data[found.end() - 1] == 0xDA
        at = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2], "big"))
    raise PictureError(name, "its JPEG header is longer than any honest one")


def _count_gif_frames(data: bytes) -> int:
    at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 128 else 0)
    frames = blocks = 0
    while at < len(data) and frames < MAX_FRAMES:
        if data[at] == 0x2C and at + 10 <= len(data):
            frames += 1
            at += 11 + (3 << ((data[at + 9] & 7) + 1) if data[at + 9] & 128 else 0)
        elif data[at] == 0x21:
            at += 2
        else:
            break
        while at < len(data) and data[at] and blocks < MAX_GIF_BLOCKS:
            at += 1 + data[at]
            blocks += 1
        if blocks >= MAX_GIF_BLOCKS:
            break
        at += 1
    return max(1, frames)


def _count_tiff_pages(data: bytes) -> int:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    count, entry, link = ("Q", 20, "Q") if big else ("H", 12, "I")
    seen: set[int] = set()
    try:
        (at,) = struct.unpack_from(order + link, data, 8 if big else 4)
        while at and at not in seen and len(seen) < MAX_FRAMES:
            (entries,) = struct.unpack_from(order + count, data, at)
            seen.add(at)
            (at,) = struct.unpack_from(order + link, data, at + struct.calcsize("=" + count) + entry * entries)
    except (struct.error, OverflowError):
        pass  # the chain leads out of the file; what was seen counts
    return max(1, len(seen))
