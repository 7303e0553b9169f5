"""How a JPEG file is laid out: its markers, tables, scans and what follows its end.

A walk over the segments (ITU-T T.81, annex B) that never raises: it stops where the data stop making sense and says
so in ``complete``. Segments are skipped by their length, so a thumbnail inside EXIF is never taken for the picture.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veriscope.picture import Picture

# The standard allows 12-bit and 16-bit relatives, arithmetic coding and lossless modes; all share the marker syntax.
PROCESSES = {
    0xC0: "baseline",
    0xC1: "extended sequential",
    0xC2: "progressive",
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "hierarchical",
    0xC9: "arithmetic sequential",
    0xCA: "arithmetic progressive",
    0xCB: "arithmetic lossless",
}
MAX_SEGMENTS = 20_000  # real files hold tens; ICC and EXIF splits a few hundred
MAX_SCANS = 256  # libjpeg's own progressive script has 10
MAX_COMMENT = 500  # characters kept of a comment

_ZIGZAG_ROWS_COLUMNS = sorted(
    ((row, column) for row in range(8) for column in range(8)),
    key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]),
)
ZIGZAG = np.array([row * 8 + column for row, column in _ZIGZAG_ROWS_COLUMNS])  # zigzag index -> row-major index

_NEXT_MARKER = re.compile(rb"\xff(?=[\x01-\xcf\xd8-\xfe])")


@dataclass(frozen=True)
class Component:
    """One colour component: its identifier, sampling factors and the number of its quantisation table."""

    identifier: int
    horizontal: int
    vertical: int
    table: int


@dataclass(frozen=True, eq=False)
class JpegStructure:
    """What the markers say.

    Attributes:
        process: one of ``PROCESSES``' values, or "" where no frame header was found.
        precision: bits a sample.
        width: pixels across, as stored (before any EXIF orientation).
        height: pixels down, as stored.
        components: in file order.
        scans: how many scans the file holds.
        tables: quantisation tables by number, int32 (64,) row-major; the first definition of each.
        restart_interval: in MCUs, 0 where none.
        applications: the APPn and their identifiers, such as ("APP0 JFIF", "APP1 Exif"), in file order.
        comments: the text of the comment segments.
        end: the offset after the end-of-image marker; the file's size where there is none.
        trailing_bytes: how many bytes follow the end.
        trailing: what they look like; "" where there are none.
        complete: the walk reached an end-of-image marker and met nothing out of place.
    """

    process: str = ""
    precision: int = 8
    width: int = 0
    height: int = 0
    components: tuple[Component, ...] = ()
    scans: int = 0
    tables: dict[int, NDArray[np.int32]] = field(default_factory=dict)
    restart_interval: int = 0
    applications: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    end: int = 0
    trailing_bytes: int = 0
    trailing: str = ""
    complete: bool = False
    _header: bytes = field(default=b"", repr=False)
    _first_scan: int = 0

    @property
    def progressive(self) -> bool:
        """Whether the picture is stored in successive refinements."""
        return "progressive" in self.process

    @property
    def subsampling(self) -> str:
        """Chroma subsampling as "4:4:4", "4:2:2", "4:2:0", ...; "grey" for one component; "HxV,..." for the unusual."""
        if len(self.components) == 1:
            return "grey"
        factors = [(each.horizontal, each.vertical) for each in self.components]
        if len(set(factors)) == 1:
            return "4:4:4"
        names = {(2, 1): "4:2:2", (2, 2): "4:2:0", (4, 1): "4:1:1", (1, 2): "4:4:0", (4, 2): "4:1:0"}
        if set(factors[1:3]) == {(1, 1)} and factors[0] in names:
            return names[factors[0]]
        return ",".join(f"{horizontal}x{vertical}" for horizontal, vertical in factors)

    def table(self, component: int) -> NDArray[np.int32] | None:
        """The quantisation table of a component, int32 (64,) row-major, or None where the file lacks it."""
        if component >= len(self.components):
            return None
        return self.tables.get(self.components[component].table)

    def stream(self, data: bytes) -> bytes | None:
        """A JPEG stream with a header rebuilt from checked segments only, for native decoders; None where not possible.

        Only Huffman-coded 8-bit sequential and progressive pictures are rebuilt.
        """
        if not self._header or not self._first_scan:
            return None
        return self._header + data[self._first_scan : self.end] + (b"" if self.complete else b"\xff\xd9")


class _Walk:
    """The state of one walk over the segments."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.frame: tuple[int, int, int, int] | None = None  # marker, precision, height, width
        self.components: tuple[Component, ...] = ()
        self.scans = 0
        self.tables: dict[int, NDArray[np.int32]] = {}
        self.restart_interval = 0
        self.applications: list[str] = []
        self.comments: list[str] = []
        self.header: list[bytes] = []
        self.first_scan = 0
        self.sound = True

    def run(self) -> tuple[int, bool]:
        """Walk; returns the end offset and whether an end-of-image marker was met."""
        data, position = self.data, 2
        for _ in range(MAX_SEGMENTS):
            while position < len(data) and data[position] == 0xFF and data[position + 1 : position + 2] == b"\xff":
                position += 1
            if position + 2 > len(data) or data[position] != 0xFF:
                return len(data), False
            marker = data[position + 1]
            if marker == 0xD9:
                return position + 2, True
            if marker == 0x01 or 0xD0 <= marker <= 0xD8:
                position += 2
                continue
            if position + 4 > len(data):
                return len(data), False
            length = int.from_bytes(data[position + 2 : position + 4], "big")
            body = data[position + 4 : position + 2 + length]
            if length < 2 or len(body) != length - 2:
                return len(data), False
            start, position = position, position + 2 + length
            self.segment(marker, body, start)
            if marker == 0xDA:
                if self.scans >= MAX_SCANS:
                    return len(data), False
                found = _NEXT_MARKER.search(data, position)
                if found is None:
                    return len(data), False
                position = found.start()
        return len(data), False

    def segment(self, marker: int, body: bytes, start: int) -> None:
        before_scan = self.first_scan == 0
        if marker in PROCESSES:
            self.sound &= self.read_frame(marker, body)
        elif marker == 0xDB:
            self.sound &= self.read_tables(body)
        elif marker == 0xC4 and before_scan:
            self.sound &= _huffman_tables_are_sound(body)
        elif marker == 0xDD and len(body) == 2:
            self.restart_interval = int.from_bytes(body, "big")
        elif marker == 0xDA:
            self.scans += 1
            if before_scan:
                self.first_scan = start
                self.sound &= self.scan_is_sound(body)
        elif 0xE0 <= marker <= 0xEF:
            self.applications.append(_application(marker, body))
        elif marker == 0xFE:
            self.comments.append(body[:MAX_COMMENT].decode("utf-8", "replace").strip("\x00 \r\n"))
        elif marker not in (0xC4, 0xDD):
            self.sound &= marker in (0xCC, 0xDC)
        if before_scan and (marker in PROCESSES or marker in (0xDB, 0xC4) or (marker == 0xDD and len(body) == 2)):
            self.header.append(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)

    def read_frame(self, marker: int, body: bytes) -> bool:
        if self.frame is not None or len(body) < 6 or len(body) != 6 + 3 * body[5]:
            return False
        precision, height, width, count = struct.unpack(">BHHB", body[:6])
        components = tuple(
            Component(body[at], body[at + 1] >> 4, body[at + 1] & 15, body[at + 2]) for at in range(6, 6 + 3 * count, 3)
        )
        self.frame, self.components = (marker, precision, height, width), components
        return (
            1 <= count <= 4
            and 0 < height <= 65_500
            and 0 < width <= 65_500
            and all(1 <= each.horizontal <= 4 and 1 <= each.vertical <= 4 and each.table < 4 for each in components)
            and len({each.identifier for each in components}) == count
        )

    def read_tables(self, body: bytes) -> bool:
        position = 0
        while position < len(body):
            wide, number = body[position] >> 4, body[position] & 15
            size = 128 if wide else 64
            values = body[position + 1 : position + 1 + size]
            if wide > 1 or number > 3 or len(values) != size:
                return False
            table = np.zeros(64, np.int32)
            table[ZIGZAG] = np.frombuffer(values, ">u2" if wide else "u1")
            self.tables.setdefault(number, table)
            position += 1 + size
            if not table.all():
                return False
        return True

    def scan_is_sound(self, body: bytes) -> bool:
        count = body[0] if body else 0
        known = {each.identifier for each in self.components}
        return 1 <= count <= 4 and len(body) == 4 + 2 * count and all(body[1 + 2 * at] in known for at in range(count))


def _huffman_tables_are_sound(body: bytes) -> bool:
    position = 0
    while position < len(body):
        lengths = body[position + 1 : position + 17]
        if len(lengths) != 16 or body[position] & 15 > 3 or body[position] >> 4 > 1:
            return False
        count = sum(lengths)
        position += 17 + count
        if count > 256 or position > len(body):
            return False
    return True


def _application(marker: int, body: bytes) -> str:
    identifier = body[:32].split(b"\x00", 1)[0].decode("ascii", "replace")
    if identifier.startswith("http://ns.adobe.com/xap/1.0"):
        identifier = "XMP"
    elif identifier.startswith("http://ns.adobe.com/xmp/ext"):
        identifier = "XMP extension"
    identifier = "".join(
        character for character in identifier[:20] if character.isprintable() and character != "\ufffd"
    )
    return f"APP{marker - 0xE0} {identifier}".strip()


def trailing_kind(tail: bytes, applications: tuple[str, ...] = ()) -> str:
    """What the bytes after a JPEG's end look like, in a few words; "" for none."""
    if not tail:
        return ""
    if not tail.strip(b"\x00\xff \r\n"):
        return "padding"
    video = tail.find(b"ftyp", 0, 1 << 20)
    if video >= 4 and 8 <= int.from_bytes(tail[video - 4 : video], "big") <= 1024:
        return "a motion-photo video (MP4)"
    if tail.endswith(b"SEFT"):
        return "a Samsung trailer"
    if tail.startswith(b"\xff\xd8\xff"):
        return (
            "further pictures (MPO)" if any(name.endswith(" MPF") for name in applications) else "another JPEG picture"
        )
    if tail.startswith(b"PK\x03\x04") or b"PK\x05\x06" in tail[-65_600:]:
        return "a ZIP archive"
    return "unknown data"


def read_structure(data: bytes) -> JpegStructure:
    """Walk the markers of a JPEG file; never raises, whatever the bytes.

    >>> read_structure(b"not a JPEG").process
    ''
    """
    if data[:2] != b"\xff\xd8":
        return JpegStructure(end=len(data))
    walk = _Walk(data)
    end, closed = walk.run()
    marker, precision, height, width = walk.frame or (0, 8, 0, 0)
    applications = tuple(walk.applications)
    decodable = walk.sound and walk.scans > 0 and precision == 8 and marker in (0xC0, 0xC1, 0xC2)
    return JpegStructure(
        process=PROCESSES.get(marker, ""),
        precision=precision,
        width=width,
        height=height,
        components=walk.components,
        scans=walk.scans,
        tables=walk.tables,
        restart_interval=walk.restart_interval,
        applications=applications,
        comments=tuple(walk.comments),
        end=end,
        trailing_bytes=len(data) - end,
        trailing=trailing_kind(data[end:], applications),
        complete=closed and walk.sound and walk.scans > 0,
        _header=b"\xff\xd8" + b"".join(walk.header) if decodable else b"",
        _first_scan=walk.first_scan,
    )


def structure(picture: Picture) -> JpegStructure | None:
    """The marker structure of a JPEG or MPO picture, walked once; None for other formats."""
    if picture.format not in ("JPEG", "MPO"):
        return None
    return picture.once("jpeg structure", lambda: read_structure(picture.data))
