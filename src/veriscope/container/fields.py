"""The named values in a file's metadata blocks: EXIF tags, XMP properties, IPTC-IIM data sets.

Assumes nothing of the blocks: EXIF is read by Pillow with each directory on its own guard, XMP by a parser that refuses
entities and external references. A part that cannot be read leaves a sentence in ``problems`` and no values.
Formats: CIPA DC-008 (EXIF 3.0), ISO 16684-1 (XMP), IPTC-IIM 4.2.
"""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import defusedxml.ElementTree as SafeXml
from PIL import ExifTags, Image

from veriscope.container.blocks import XMP_LIMIT, Blocks, blocks, decode_text
from veriscope.picture import Picture

XMP_NODE_LIMIT = 50_000  # elements of one packet; Lightroom histories reach a few thousand

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_NAMESPACES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/mm/": "xmpMM",
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": "stEvt",
    "http://ns.adobe.com/xap/1.0/sType/ResourceRef#": "stRef",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://cipa.jp/exif/1.0/": "exifEX",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://purl.org/dc/terms/": "dcterms",
}


@dataclass(frozen=True)
class Fields:
    """The named values of one file.

    Attributes:
        exif: tags of the first directory, by number.
        photo: tags of the Exif sub-directory.
        gps: tags of the GPS sub-directory.
        thumbnail: the bytes of the embedded thumbnail (a JPEG), or None.
        xmp: property name ("dc:creator") to its texts, in document order; a property inside a structure stands under
            its own name.
        iptc: data set number of record 2 to its texts.
        texts: PNG text chunks and comments, (keyword, text).
        photoshop: whether Photoshop image resources are present.
        problems: sentences about parts that could not be read.
    """

    exif: Mapping[int, Any] = field(default_factory=dict)
    photo: Mapping[int, Any] = field(default_factory=dict)
    gps: Mapping[int, Any] = field(default_factory=dict)
    thumbnail: bytes | None = None
    xmp: Mapping[str, list[str]] = field(default_factory=dict)
    iptc: Mapping[int, list[str]] = field(default_factory=dict)
    texts: tuple[tuple[str, str], ...] = ()
    photoshop: bool = False
    problems: tuple[str, ...] = ()

    def exif_text(self, tag: int) -> str:
        """The tag of either directory as stripped text; empty where there is none."""
        return exif_text(self.photo.get(tag, self.exif.get(tag)))

    def xmp_text(self, *names: str) -> str:
        """The first text of the first of these properties that has one."""
        return next((value for name in names for value in self.xmp.get(name, ())), "")

    def iptc_text(self, number: int) -> str:
        """The first text of this data set of record 2."""
        return next(iter(self.iptc.get(number, ())), "")


def fields(picture: Picture) -> Fields:
    """The named values in ``picture``'s metadata, read once and shared."""
    return picture.once("container.fields", lambda: _read(blocks(picture)))


def _read(found: Blocks) -> Fields:
    problems: list[str] = []
    directories, thumbnail = _exif(found.exif, problems) if found.exif else ({}, None)
    xmp: dict[str, list[str]] = defaultdict(list)
    for packet in found.xmp:
        _xmp_into(xmp, packet, problems)
    return Fields(
        directories.get("exif", {}),
        directories.get("photo", {}),
        directories.get("gps", {}),
        thumbnail,
        dict(xmp),
        iptc_records(found.iptc or b""),
        found.texts,
        found.photoshop,
        tuple(problems),
    )


def _exif(raw: bytes, problems: list[str]) -> tuple[dict[str, dict[int, Any]], bytes | None]:
    exif = Image.Exif()
    read: dict[str, dict[int, Any]] = {}
    last: dict[int, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exif.load(raw)
            read["exif"] = dict(exif)
        except Exception as error:  # Pillow raises many kinds on damaged directories
            problems.append(f"The EXIF block cannot be read ({type(error).__name__}).")
            return {}, None
        for name, directory in (("photo", ExifTags.IFD.Exif), ("gps", ExifTags.IFD.GPSInfo)):
            try:
                read[name] = dict(exif.get_ifd(directory))
            except Exception as error:
                problems.append(f"The {name} directory of the EXIF block cannot be read ({type(error).__name__}).")
        try:
            last = dict(exif.get_ifd(ExifTags.IFD.IFD1))
        except Exception as error:
            problems.append(f"The thumbnail directory of the EXIF block cannot be read ({type(error).__name__}).")
    start, length = last.get(0x0201), last.get(0x0202)
    if isinstance(start, int) and isinstance(length, int) and 0 < start < start + length <= len(raw):
        return read, raw[start : start + length]
    return read, None


def exif_text(value: Any) -> str:
    """An EXIF value as stripped text: UserComment prefixes and UTF-16 of the XP tags resolved.

    >>> exif_text(b"UNICODE\\x00\\x00h\\x00i")
    'hi'
    """
    if isinstance(value, tuple) and value and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        value = bytes(value)
    if isinstance(value, str):
        raw = value
        if value[:7] in ("UNICODE", "ASCII\x00\x00"):
            return exif_text(value.encode("latin-1", "replace"))
    elif isinstance(value, bytes):
        raw = _comment_text(value)
    elif value is None or isinstance(value, tuple | dict):
        raw = ""
    else:
        raw = str(value)
    return raw.strip("\x00 \t\r\n")


def _comment_text(raw: bytes) -> str:
    if raw.startswith(b"UNICODE\x00"):
        return _utf16(raw[8:])
    if raw.startswith((b"ASCII\x00\x00\x00", b"\x00" * 8)):
        return decode_text(raw[8:])
    if len(raw) >= 4 and raw[1:8:2].count(0) == len(raw[1:8:2]):
        return _utf16(raw)
    return decode_text(raw)


def _utf16(raw: bytes) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", "replace")
    even, odd = raw[0:400:2].count(0), raw[1:400:2].count(0)
    if not even and not odd and raw.isascii():
        return raw.decode("ascii")  # writers exist that announce UTF-16 and store ASCII
    return raw.decode("utf-16-be" if even > odd else "utf-16-le", "replace")


@functools.lru_cache(maxsize=4096)
def _property(tag: str) -> str:
    namespace, found, name = tag[1:].partition("}")
    return f"{_NAMESPACES.get(namespace, namespace)}:{name}" if found else tag


def _xmp_into(found: dict[str, list[str]], packet: bytes, problems: list[str]) -> None:
    if len(packet) > XMP_LIMIT:
        problems.append(f"An XMP packet of {len(packet):,} bytes is over the limit and was not read.")
        return
    try:
        root = SafeXml.fromstring(packet.strip(b"\x00 \t\r\n\xef\xbb\xbf"), forbid_dtd=True)
    except Exception as error:
        problems.append(f"An XMP packet cannot be read ({type(error).__name__}).")
        return
    stack = [(root, "")]
    for _ in range(XMP_NODE_LIMIT):
        if not stack:
            return
        element, parent = stack.pop()
        name = parent if element.tag.startswith(_RDF) else _property(element.tag)
        for key, value in element.attrib.items():
            if key == f"{_RDF}resource" and name:
                found[name].append(value)
            elif not key.startswith((_RDF, "{http://www.w3.org/XML/")) and value.strip():
                found[_property(key)].append(value.strip())
        if name and element.text and element.text.strip():
            found[name].append(element.text.strip())
        stack.extend((child, name) for child in reversed(element))
    problems.append("An XMP packet has more elements than are read.")


def iptc_records(raw: bytes) -> dict[int, list[str]]:
    """The texts of record 2 of an IPTC-IIM block, by data set number.

    >>> iptc_records(b"\\x1c\\x02\\x50\\x00\\x03Ada")
    {80: ['Ada']}
    """
    records: dict[int, list[str]] = defaultdict(list)
    at = 0
    while at + 5 <= len(raw) and raw[at] == 0x1C:
        record, number = raw[at + 1], raw[at + 2]
        length = int.from_bytes(raw[at + 3 : at + 5], "big")
        end = at + 5 + length
        if length & 0x8000 or end > len(raw):
            break
        if record == 2 and (text := decode_text(raw[at + 5 : end]).strip()):
            records[number].append(text)
        at = end
    return dict(records)
