"""The metadata blocks of a file, cut out of its bytes without decoding a pixel.

Question: where in this container do EXIF, XMP, IPTC-IIM and text chunks lie? Each keeps them elsewhere: JPEG in APP1,
APP13 and COM segments, PNG in eXIf, iTXt, zTXt and tEXt chunks, WebP in RIFF chunks, TIFF in tags, HEIC and AVIF
in items. Nothing is trusted: lengths are checked against the file, compressed text has a size limit, and a block that
is cut short is left out. Formats: ITU-T T.81 B.1.1, XMP specification part 3, PNG specification 11.3, RFC 9649.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from veriscope.picture import Picture

TEXT_LIMIT = 8_000_000  # bytes of one text chunk after inflating; the longest ComfyUI workflows are about 2 MB
XMP_LIMIT = 4_000_000  # bytes of one XMP packet, extended part included
SEGMENT_LIMIT = 4096  # JPEG segments or PNG chunks read before giving up on the rest

_EXIF = b"Exif\x00\x00"
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_XMP_MORE = b"http://ns.adobe.com/xmp/extension/\x00"
_PHOTOSHOP = b"Photoshop 3.0\x00"
_XMP_KEY = "XML:com.adobe.xmp"


@dataclass(frozen=True)
class Blocks:
    """The raw blocks of one file.

    Attributes:
        exif: the TIFF structure (without the "Exif" prefix), or None.
        xmp: XMP packets in file order; the second is JPEG's extended part.
        iptc: the IPTC-IIM records, or None.
        photoshop: whether Photoshop image resources are present.
        texts: (keyword, text) of PNG text chunks and JPEG comments (keyword "comment"), in file order.
        png_colour: the colour type of a PNG (6 is RGBA), or None.
    """

    exif: bytes | None = None
    xmp: tuple[bytes, ...] = ()
    iptc: bytes | None = None
    photoshop: bool = False
    texts: tuple[tuple[str, str], ...] = ()
    png_colour: int | None = None


@dataclass
class _Draft:
    exif: bytes | None = None
    xmp: list[bytes] = field(default_factory=list)
    iptc: bytes | None = None
    photoshop: bool = False
    texts: list[tuple[str, str]] = field(default_factory=list)
    png_colour: int | None = None

    def done(self) -> Blocks:
        return Blocks(self.exif, tuple(self.xmp), self.iptc, self.photoshop, tuple(self.texts), self.png_colour)


def blocks(picture: Picture) -> Blocks:
    """The metadata blocks of ``picture``, found once and shared."""
    return picture.once("container.blocks", lambda: _find(picture))


def _find(picture: Picture) -> Blocks:
    data = picture.data
    if data[:2] == b"\xff\xd8":
        return _from_jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _from_png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _from_webp(data)
    if data[:4] in (b"II*\x00", b"MM\x00*"):
        return _from_tiff(picture)
    return _from_pillow(picture)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The header segments of a JPEG up to its first scan, as (marker, start, end) of each payload."""
    at = 2
    for _ in range(SEGMENT_LIMIT):
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xDA, 0xD9):
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            return
        yield marker, at + 4, end
        at = end


def _from_jpeg(data: bytes) -> Blocks:
    draft = _Draft()
    more: dict[int, bytes] = {}
    irb = b""
    for marker, start, end in jpeg_segments(data):
        if marker == 0xE1:
            if draft.exif is None and data.startswith(_EXIF, start):
                draft.exif = data[start + len(_EXIF) : end]
            elif data.startswith(_XMP, start):
                draft.xmp.append(data[start + len(_XMP) : end])
            elif data.startswith(_XMP_MORE, start):
                head = start + len(_XMP_MORE) + 32  # a GUID of 32 digits, the full length, this part's offset
                more[int.from_bytes(data[head + 4 : head + 8], "big")] = data[head + 8 : end]
        elif marker == 0xED and data.startswith(_PHOTOSHOP, start):
            draft.photoshop = True
            irb += data[start + len(_PHOTOSHOP) : end]
        elif marker == 0xFE:
            draft.texts.append(("comment", decode_text(data[start:end])))
    if more and sum(map(len, more.values())) <= XMP_LIMIT:
        draft.xmp.append(b"".join(more[offset] for offset in sorted(more)))
    draft.iptc = _iptc_of_photoshop(irb)
    return draft.done()


def _iptc_of_photoshop(irb: bytes) -> bytes | None:
    at = 0
    while irb.startswith(b"8BIM", at) and at + 12 <= len(irb):
        identifier = int.from_bytes(irb[at + 4 : at + 6], "big")
        name = irb[at + 6] + 1
        size_at = at + 6 + name + name % 2
        size = int.from_bytes(irb[size_at : size_at + 4], "big")
        start = size_at + 4
        if start + size > len(irb):
            return None
        if identifier == 0x0404:
            return irb[start : start + size]
        at = start + size + size % 2
    return None


def _from_png(data: bytes) -> Blocks:
    draft = _Draft(png_colour=data[25] if len(data) > 25 else None)
    at = 8
    for _ in range(SEGMENT_LIMIT * 16):
        if at + 12 > len(data):
            break
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        start, end = at + 8, at + 8 + length
        if end > len(data) or kind == b"IEND":
            break
        if kind == b"eXIf" and draft.exif is None:
            draft.exif = data[start:end].removeprefix(_EXIF)
        elif kind in (b"tEXt", b"zTXt", b"iTXt") and (text := _png_text(kind, data[start:end])):
            if text[0] == _XMP_KEY:
                draft.xmp.append(text[1].encode())
            elif text[0].startswith("Raw profile type "):
                _take_raw_profile(draft, text[0][17:].strip().lower(), text[1])
            else:
                draft.texts.append(text)
        at = end + 4
    return draft.done()


def _png_text(kind: bytes, payload: bytes) -> tuple[str, str] | None:
    keyword, found, rest = payload.partition(b"\x00")
    if not found or not 0 < len(keyword) < 80:
        return None
    key = keyword.decode("latin-1")
    if kind == b"tEXt":
        return key, decode_text(rest)
    if kind == b"zTXt":
        inflated = inflate(rest[1:])
    else:
        packed = rest[:1] == b"\x01"
        _, _, rest = rest[2:].partition(b"\x00")
        _, _, rest = rest.partition(b"\x00")
        inflated = inflate(rest) if packed else rest
    return None if inflated is None else (key, decode_text(inflated))


def _take_raw_profile(draft: _Draft, name: str, text: str) -> None:
    """ImageMagick's way: a name, a length and hexadecimal digits in a text chunk."""
    lines = text.strip().split("\n", 2)
    if len(lines) < 3 or re.search(r"[^0-9a-fA-F\s]", lines[2]):
        return
    digits = "".join(lines[2].split())
    raw = bytes.fromhex(digits[: len(digits) // 2 * 2])
    if name in ("exif", "app1") and raw.startswith(_EXIF) and draft.exif is None:
        draft.exif = raw[len(_EXIF) :]
    elif name == "xmp" or (name == "app1" and raw.startswith(_XMP)):
        draft.xmp.append(raw.removeprefix(_XMP))
    elif name in ("iptc", "8bim"):
        draft.iptc = _iptc_of_photoshop(raw) or draft.iptc


def _from_webp(data: bytes) -> Blocks:
    draft = _Draft()
    at = 12
    for _ in range(SEGMENT_LIMIT):
        if at + 8 > len(data):
            break
        kind = data[at : at + 4]
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        start, end = at + 8, at + 8 + size
        if end > len(data):
            break
        if kind == b"EXIF" and draft.exif is None:
            draft.exif = data[start:end].removeprefix(_EXIF)
        elif kind == b"XMP ":
            draft.xmp.append(data[start:end])
        at = end + size % 2
    return draft.done()


def _from_tiff(picture: Picture) -> Blocks:
    draft = _Draft(exif=picture.data)
    with picture.pillow() as image:
        tags = getattr(image, "tag_v2", {})
        xmp, iptc = tags.get(700), tags.get(33723)
        draft.photoshop = 34377 in tags
    if isinstance(xmp, bytes):
        draft.xmp.append(xmp)
    elif isinstance(xmp, tuple):
        draft.xmp.append(bytes(value & 255 for value in xmp))
    draft.iptc = iptc if isinstance(iptc, bytes) else None
    return draft.done()


def _from_pillow(picture: Picture) -> Blocks:
    draft = _Draft()
    with picture.pillow() as image:
        exif, xmp, comment = image.info.get("exif"), image.info.get("xmp"), image.info.get("comment")
    if isinstance(exif, bytes) and exif:
        draft.exif = exif.removeprefix(_EXIF)
    if isinstance(xmp, bytes) and xmp:
        draft.xmp.append(xmp)
    if isinstance(comment, bytes) and comment:
        draft.texts.append(("comment", decode_text(comment)))
    return draft.done()


def inflate(packed: bytes, limit: int = TEXT_LIMIT, *, wbits: int = zlib.MAX_WBITS) -> bytes | None:
    """``packed`` inflated, or None where it is damaged or unpacks to more than ``limit`` bytes."""
    stream = zlib.decompressobj(wbits)
    try:
        out = stream.decompress(packed, limit)
    except zlib.error:
        return None
    return None if stream.unconsumed_tail else out


def decode_text(raw: bytes) -> str:
    """``raw`` as UTF-8 where it is that, as Latin-1 otherwise; without trailing zeros, at most ``TEXT_LIMIT`` long."""
    raw = raw[:TEXT_LIMIT].rstrip(b"\x00")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
