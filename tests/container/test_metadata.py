from __future__ import annotations

import io
import json
import struct
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import piexif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

import veriscope.container as container
from veriscope.container import declarations
from veriscope.container.blocks import blocks, inflate
from veriscope.container.dates import contradictions, declared_dates, parse_moment
from veriscope.container.fields import exif_text, fields, iptc_records
from veriscope.container.metadata import declared_camera, declared_caption, declared_gps, declared_software
from veriscope.container.thumbnail import declared_thumbnail
from veriscope.container.wording import plain, quoted
from veriscope.evidence import Declaration
from veriscope.picture import Picture, open_picture

EXAMPLES = Path(__file__).parents[2] / "examples"


def texture(height: int = 240, width: int = 320, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (height // 16 + 2, width // 16 + 2, 3)).astype(np.float32)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def encoded(rgb: np.ndarray | None = None, kind: str = "JPEG", **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(texture() if rgb is None else rgb).save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes) -> Picture:
    return open_picture(data, name="t")


def with_exif(rgb: np.ndarray | None = None, kind: str = "JPEG", **directories) -> Picture:
    return opened(encoded(rgb, kind, exif=piexif.dump(directories)))


def only(found: list[Declaration], state: str = "declared") -> Declaration:
    assert len(found) == 1
    assert found[0].state == state
    return found[0]


def test_camera_and_lens() -> None:
    picture = with_exif(
        **{
            "0th": {piexif.ImageIFD.Make: b"Canon", piexif.ImageIFD.Model: b"Canon EOS R5"},
            "Exif": {
                piexif.ExifIFD.LensModel: b"RF50mm F1.2",
                piexif.ExifIFD.FNumber: (12, 10),
                piexif.ExifIFD.ExposureTime: (1, 200),
                piexif.ExifIFD.ISOSpeedRatings: 400,
                piexif.ExifIFD.MakerNote: b"x" * 40,
            },
        }
    )
    found = only(declared_camera(picture))
    assert '"Canon EOS R5"' in found.says
    assert found.details["f_number"] == pytest.approx(1.2)
    assert found.details["iso"] == 400
    assert found.details["maker_note_bytes"] == 40


def test_camera_from_xmp_alone_and_none() -> None:
    xmp = rdf('<tiff:Model xmlns:tiff="http://ns.adobe.com/tiff/1.0/">X100</tiff:Model>')
    assert only(declared_camera(opened(encoded(xmp=xmp)))).details["model"] == "X100"
    assert declared_camera(opened(encoded())) == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_gps_in_decimal_degrees(kind: str) -> None:
    gps = {
        piexif.GPSIFD.GPSLatitudeRef: b"S",
        piexif.GPSIFD.GPSLatitude: ((33, 1), (51, 1), (3150, 100)),
        piexif.GPSIFD.GPSLongitudeRef: b"E",
        piexif.GPSIFD.GPSLongitude: ((151, 1), (12, 1), (36, 1)),
        piexif.GPSIFD.GPSAltitudeRef: 1,
        piexif.GPSIFD.GPSAltitude: (5, 1),
    }
    exif = Image.Exif()
    exif.load(piexif.dump({"GPS": gps}))
    found = only(declared_gps(opened(encoded(kind=kind, exif=exif))))
    assert found.details["latitude"] == pytest.approx(-33.858750)
    assert found.details["longitude"] == pytest.approx(151.21)
    assert found.details["altitude_m"] == -5


def test_gps_that_is_no_place() -> None:
    def place(degrees: tuple) -> Picture:
        return with_exif(GPS={piexif.GPSIFD.GPSLatitude: degrees, piexif.GPSIFD.GPSLongitude: degrees})

    only(declared_gps(place(((0, 1), (0, 1), (0, 1)))), "noted")
    only(declared_gps(place(((400, 1), (0, 1), (0, 1)))), "noted")
    only(declared_gps(place(((1, 0), (0, 1), (0, 1)))), "noted")


def rdf(inner: str) -> bytes:
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="">{inner}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


HISTORY = (
    '<xmpMM:History xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" '
    'xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"><rdf:Seq>'
    '<rdf:li stEvt:action="created" stEvt:softwareAgent="Adobe Photoshop 25.0" stEvt:when="2024-01-02T03:04:05Z"/>'
    '<rdf:li stEvt:action="saved" stEvt:softwareAgent="Adobe Photoshop 25.0" stEvt:when="2024-01-02T04:04:05Z"/>'
    "</rdf:Seq></xmpMM:History>"
)
WORDS = (
    '<dc:description xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Alt><rdf:li xml:lang="x-default">A bridge'
    "</rdf:li></rdf:Alt></dc:description>"
    '<dc:creator xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Seq><rdf:li>Ada</rdf:li></rdf:Seq></dc:creator>'
)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_xmp_history_and_words(kind: str) -> None:
    xmp = rdf(HISTORY + WORDS)
    options: dict = {"xmp": xmp}
    if kind == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[700] = xmp
        options = {"tiffinfo": tags}
    if kind == "PNG":
        data = encoded(kind="PNG")
        payload = b"XML:com.adobe.xmp\x00\x01\x00\x00\x00" + zlib.compress(xmp)
        chunk = struct.pack(">I", len(payload)) + b"iTXt" + payload
        chunk += struct.pack(">I", zlib.crc32(b"iTXt" + payload))
        picture = opened(data[:33] + chunk + data[33:])
    else:
        picture = opened(encoded(kind=kind, **options))
    software = only(declared_software(picture))
    assert "Adobe Photoshop 25.0" in software.says
    assert [step["action"] for step in software.details["history"]] == ["created", "saved"]
    assert software.details["history"][1]["when"] == "2024-01-02T04:04:05Z"
    caption = only(declared_caption(picture))
    assert caption.details["caption"] == "A bridge"
    assert caption.details["author"] == "Ada"


def test_extended_xmp_is_read_in_order_of_offset() -> None:
    packet = rdf('<dc:title xmlns:dc="http://purl.org/dc/elements/1.1/">Part two</dc:title>')
    head = b"http://ns.adobe.com/xmp/extension/\x00" + b"0" * 32 + struct.pack(">I", len(packet))
    parts = [(60, packet[60:]), (0, packet[:60])]
    segments = b""
    for offset, part in parts:
        body = head + struct.pack(">I", offset) + part
        segments += b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    data = encoded()
    assert fields(opened(data[:2] + segments + data[2:])).xmp_text("dc:title") == "Part two"


def test_hostile_xml_is_refused() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'
    picture = opened(encoded(xmp=bomb))
    assert fields(picture).xmp == {}
    assert any("XMP" in found.says for found in declarations(picture) if found.kind == "file")


def test_a_compressed_text_cannot_explode() -> None:
    assert inflate(zlib.compress(b"x" * 50_000_000), limit=1_000_000) is None
    assert inflate(b"junk") is None


def photoshop(records: dict[int, bytes]) -> bytes:
    iptc = b"".join(b"\x1c\x02" + bytes([n]) + struct.pack(">H", len(v)) + v for n, v in records.items())
    body = (
        b"Photoshop 3.0\x00" + b"8BIM\x04\x04\x00\x00" + struct.pack(">I", len(iptc)) + iptc + b"\x00" * (len(iptc) % 2)
    )
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def test_iptc_words_and_facebooks_mark() -> None:
    data = encoded()
    segment = photoshop({120: "Caf\u00e9".encode(), 80: b"Ada", 110: b"Agency", 40: b"FBMD0100"})
    picture = opened(data[:2] + segment + data[2:])
    found = only(declared_caption(picture))
    assert (found.details["caption"], found.details["author"], found.details["credit"]) == (
        "Caf\u00e9",
        "Ada",
        "Agency",
    )
    assert any("Facebook" in d.says for d in declarations(picture) if d.kind == "vendor_tag")
    assert only(declared_software(picture), "noted").details == {"photoshop_resources": True}


def test_no_direction_marks_or_line_breaks_reach_a_sentence() -> None:
    assert quoted("a\u202eb\nc\x1b[31m" + "d" * 500, 20) == '"ab c[31mddddddddddd…"'
    picture = with_exif(**{"0th": {piexif.ImageIFD.Software: b"a\r\nb\x1b"}})
    assert "\n" not in only(declared_software(picture)).says


def test_exif_text_encodings() -> None:
    assert exif_text(b"UNICODE\x00" + "h\u00e9".encode("utf-16-be")) == "h\u00e9"
    assert exif_text(b"UNICODE\x00" + "hé there".encode("utf-16-le")) == "hé there"
    assert exif_text(b"ASCII\x00\x00\x00hi\x00") == "hi"
    assert exif_text(tuple("hi".encode("utf-16-le"))) == "hi"
    assert exif_text(None) == ""


def dated(original: str, modified: str = "", **more) -> Picture:
    directories: dict = {"Exif": {piexif.ExifIFD.DateTimeOriginal: original.encode()}, **more}
    if modified:
        directories["0th"] = {piexif.ImageIFD.DateTime: modified.encode()}
    return with_exif(**directories)


def test_dates_that_agree() -> None:
    found = only(declared_dates(dated("2020:01:02 03:04:05", "2020:02:02 03:04:05")))
    assert "2020-01-02 03:04:05" in found.says
    assert "2020-02-02" in found.says


def gps_day(day: bytes) -> dict:
    return {"GPS": {piexif.GPSIFD.GPSDateStamp: day, piexif.GPSIFD.GPSTimeStamp: ((1, 1), (2, 1), (3, 1))}}


@pytest.mark.parametrize(
    ("picture", "word"),
    [
        (dated("2020:01:02 03:04:05", "2019:12:31 00:00:00"), "before it was taken"),
        (dated("2020:01:02 03:04:05", **gps_day(b"2020:01:09")), "GPS"),
        (dated("2190:01:02 03:04:05"), "future"),
    ],
)
def test_dates_that_contradict(picture: Picture, word: str) -> None:
    found = only(declared_dates(picture), "contradiction")
    assert word in found.says


def test_gps_time_within_a_time_zone_is_no_contradiction() -> None:
    only(declared_dates(dated("2020:01:02 14:00:00", **gps_day(b"2020:01:02"))))


def test_time_zones_are_honoured() -> None:
    moments = {
        "exif_original": parse_moment("2020:01:02 12:00:00", "+02:00"),
        "exif_modified": parse_moment("2020:01:02 11:00:00", "+00:00"),
    }
    assert contradictions(moments, datetime.now(UTC)) == []
    moments["exif_modified"] = parse_moment("2020:01:02 09:00:00", "+00:00")
    assert contradictions(moments, datetime.now(UTC))


@pytest.mark.parametrize("text", ["0000:00:00 00:00:00", "2020:13:40 00:00:00", "    :  :     :  :  ", "x"])
def test_empty_clocks_are_no_dates(text: str) -> None:
    assert parse_moment(text) is None


def thumbnailed(
    rgb: np.ndarray, shown: np.ndarray, size: tuple[int, int] = (160, 120), orientation: int = 1
) -> Picture:
    small = encoded(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), quality=80)
    directories = {"0th": {piexif.ImageIFD.Orientation: orientation}, "1st": {}, "thumbnail": small}
    return with_exif(rgb, **directories)


def test_own_thumbnail() -> None:
    found = only(declared_thumbnail(thumbnailed(texture(), texture())))
    assert found.details["verdict"] == "same"
    assert found.details["correlation"] > 0.97


@pytest.mark.parametrize("orientation", range(1, 9))
def test_own_thumbnail_at_every_orientation(orientation: int) -> None:
    found = only(declared_thumbnail(thumbnailed(texture(), texture(), orientation=orientation)))
    assert found.details["verdict"] == "same"


def test_letterboxed_thumbnail() -> None:
    rgb = texture(200, 300)
    boxed = np.zeros((120, 160, 3), np.uint8)
    boxed[6:113] = cv2.resize(rgb, (160, 107), interpolation=cv2.INTER_AREA)
    assert only(declared_thumbnail(thumbnailed(rgb, boxed))).details["verdict"] == "same"


def test_thumbnail_of_another_picture() -> None:
    found = only(declared_thumbnail(thumbnailed(texture(), texture(seed=9))), "contradiction")
    assert "another picture" in found.says


def test_cropped_picture_keeps_the_whole_thumbnail() -> None:
    whole = texture(480, 640)
    found = only(declared_thumbnail(thumbnailed(whole[60:330, 100:460], whole)), "contradiction")
    assert found.details["verdict"] == "crop"
    found = only(declared_thumbnail(thumbnailed(np.ascontiguousarray(whole[20:460, 300:]), whole)), "contradiction")
    assert found.details["verdict"] in ("crop", "aspect")


def test_large_paste_changes_the_thumbnail() -> None:
    edited = texture()
    edited[60:180, 80:240] = texture(seed=3)[60:180, 80:240]
    assert only(declared_thumbnail(thumbnailed(edited, texture())), "contradiction").details["verdict"] == "changed"


def test_flat_and_damaged_thumbnails_are_noted() -> None:
    flat = np.full((240, 320, 3), 128, np.uint8)
    only(declared_thumbnail(thumbnailed(flat, flat)), "noted")
    data = bytearray(thumbnailed(texture(), texture()).data)
    at = data.find(b"\xff\xd8", 2)
    data[at + 2 : at + 40] = bytes(38)
    assert "cannot be decoded" in only(declared_thumbnail(opened(bytes(data))), "noted").says


def test_examples_of_a_phone() -> None:
    kinds = {found.kind: found for found in declarations(open_picture(EXAMPLES / "phone.jpg"))}
    assert kinds["gps"].details["latitude"] == pytest.approx(51.47781, abs=1e-4)
    assert kinds["thumbnail"].state == kinds["dates"].state == "declared"
    cropped = declarations(open_picture(EXAMPLES / "phone_cropped.jpg"))
    assert next(found for found in cropped if found.kind == "thumbnail").state == "contradiction"


def test_credentials_come_first_and_a_failing_reader_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Picture) -> list[Declaration]:
        raise ValueError("broken\nblock")

    readers = tuple((kind, fail if kind == "gps" else read) for kind, read in container._READERS)
    monkeypatch.setattr(container, "_READERS", readers)
    found = declarations(open_picture(EXAMPLES / "phone.jpg"))
    assert found[0].kind == "c2pa"
    gps = next(one for one in found if one.kind == "gps")
    assert gps.state == "noted"
    assert "broken block" in gps.says


def test_values_become_json() -> None:
    deep: dict = {}
    inner = deep
    for _ in range(50):
        inner["a"] = {}
        inner = inner["a"]
    value = plain({"x": float("nan"), "y": b"\xff", "z": 10**400, "s": "\ud800", "deep": deep, "l": list(range(999))})
    json.dumps(value, allow_nan=False).encode()


BASES = {
    "JPEG": (EXAMPLES / "phone.jpg").read_bytes(),
    "PNG": (EXAMPLES / "tag_comfyui.png").read_bytes(),
    "WEBP": encoded(kind="WEBP", exif=piexif.dump({"0th": {piexif.ImageIFD.Make: b"A"}}), xmp=rdf(HISTORY)),
    "TIFF": encoded(texture(32, 32), "TIFF", description="hello"),
}


@settings(max_examples=120, deadline=5000, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(BASES)),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=12),
    st.integers(12, 1 << 17),
)
def test_mutated_files_never_raise(kind: str, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(BASES[kind])
    for at, value in changes:
        data[at % len(data)] = value
    picture = Picture(name="t", data=bytes(data[:cut]), format=kind, rgb=texture(48, 64))
    for found in declarations(picture):
        json.dumps(found.model_dump(), allow_nan=False)
        assert "\n" not in found.says


@settings(max_examples=200, deadline=2000)
@given(st.binary(max_size=400))
def test_any_bytes_as_iptc_and_jpeg(raw: bytes) -> None:
    iptc_records(b"\x1c" + raw)
    blocks(Picture(name="t", data=b"\xff\xd8" + raw, format="JPEG", rgb=texture(16, 16)))
    blocks(Picture(name="t", data=b"\x89PNG\r\n\x1a\n" + raw, format="PNG", rgb=texture(16, 16)))


def test_one_declared_thing_costs_little() -> None:
    picture = open_picture(EXAMPLES / "phone.jpg")
    declarations(picture)
    readers = [read for kind, read in container._READERS if kind != "jpeg"]
    best = min(timed(readers, Picture(name="t", data=picture.data, format="JPEG", rgb=picture.rgb)) for _ in range(5))
    assert best < 0.05  # seconds; 2 ms here, the margin is for loaded machines


def timed(readers: list, picture: Picture) -> float:
    start = time.perf_counter()
    for read in readers:
        read(picture)
    return time.perf_counter() - start
