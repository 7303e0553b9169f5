"""Opening pictures: every format, every way a file can be odd, and nothing but PictureError for the rest."""

import io
import os
import struct
import threading
import time
import zlib

import numpy as np
import piexif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, PngImagePlugin
from pillow_heif import from_pillow
from skimage import data as pictures

from veriscope.errors import PictureError
from veriscope.picture import Limits, open_picture

ASTRONAUT = Image.fromarray(pictures.astronaut()).resize((192, 160))
CAT = Image.fromarray(pictures.chelsea()).resize((192, 128))


def saved(image, kind, **options):
    stream = io.BytesIO()
    if kind == "HEIC":
        from_pillow(image).save(stream, format="HEIF", **options)
    else:
        image.save(stream, kind, **options)
    return stream.getvalue()


def heic(image=ASTRONAUT, **options):
    return saved(image, "HEIC", **options)


def difference(picture, image):
    """Mean absolute difference of RGB levels."""
    return float(np.abs(picture.rgb.astype(int) - np.asarray(image.convert("RGB"), int)).mean())


def png(width, height, depth, colour, rows, *, before=b"", interlace=0):
    """A PNG of raw rows, with chunks of our own before the pixels."""

    def chunk(tag, body):
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", body) + chunk(b"IEND", b"")


FILES = {
    "JPEG": lambda: saved(ASTRONAUT, "JPEG", quality=92),
    "MPO": lambda: saved(ASTRONAUT, "MPO", save_all=True, append_images=[CAT], quality=92),
    "PNG": lambda: saved(ASTRONAUT, "PNG"),
    "WEBP": lambda: saved(ASTRONAUT, "WEBP", quality=90),
    "AVIF": lambda: saved(ASTRONAUT, "AVIF", quality=85),
    "HEIC": lambda: heic(quality=90),
    "TIFF": lambda: saved(ASTRONAUT, "TIFF"),
    "GIF": lambda: saved(ASTRONAUT.quantize(128), "GIF"),
    "BMP": lambda: saved(ASTRONAUT, "BMP"),
}


@pytest.mark.parametrize("kind", FILES)
def test_each_format_reads_as_the_picture_it_was_made_from(kind):
    data = FILES[kind]()
    picture = open_picture(data)
    assert picture.format == kind
    assert picture.data == data
    assert (picture.width, picture.height) == (192, 160)
    assert picture.rgb.dtype == np.uint8
    assert picture.rgb.shape == (160, 192, 3)
    assert not picture.rgb.flags.writeable
    assert difference(picture, ASTRONAUT) < (8 if kind == "GIF" else 4)
    assert not picture.truncated
    assert picture.orientation == 1
    if kind != "MPO":
        assert picture.notes == ()
    lazy = picture.pillow()
    assert lazy.size == (192, 160)
    assert lazy is not picture.pillow()


@pytest.mark.parametrize(
    ("image", "kind", "options"),
    [
        (ASTRONAUT, "JPEG", {"progressive": True, "quality": 92}),
        (ASTRONAUT, "JPEG", {"subsampling": 0, "quality": 92}),
        (ASTRONAUT.convert("L"), "JPEG", {"quality": 92}),
        (ASTRONAUT.convert("L"), "PNG", {}),
        (ASTRONAUT.convert("1"), "PNG", {}),
        (ASTRONAUT.quantize(16), "PNG", {}),
        (ASTRONAUT.quantize(256), "BMP", {}),
        (ASTRONAUT, "WEBP", {"lossless": True}),
        (ASTRONAUT, "TIFF", {"compression": "tiff_lzw"}),
        (ASTRONAUT, "TIFF", {"compression": "jpeg", "quality": 92}),
        (ASTRONAUT, "TIFF", {"big_tiff": True}),
        (ASTRONAUT.convert("CMYK"), "TIFF", {}),
        (ASTRONAUT.convert("L"), "AVIF", {"quality": 90}),
        (ASTRONAUT.convert("L"), "HEIC", {"quality": 90}),
    ],
    ids=lambda value: getattr(value, "mode", None) or str(value),
)
def test_each_kind_of_a_format(image, kind, options):
    assert difference(open_picture(saved(image, kind, **options)), image) < 4


def test_lab_tiff_has_its_colours():
    lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    assert difference(open_picture(saved(ImageCms.applyTransform(ASTRONAUT, lab), "TIFF")), ASTRONAUT) < 3


@pytest.mark.parametrize("adobe", [True, False], ids=["adobe", "unmarked"])
def test_cmyk_jpeg_is_close_to_its_rgb(adobe):
    data = saved(ASTRONAUT.convert("CMYK"), "JPEG", quality=95)
    at = data.index(b"\xff\xee")  # the Adobe segment, which says that the inks are stored inverted
    assert data[at + 4 : at + 9] == b"Adobe"
    if not adobe:
        data = data[:at] + data[at + 16 :]
    picture = open_picture(data)
    assert picture.mode == "CMYK"
    assert difference(picture, ASTRONAUT) < 4


# Depth


def test_16_bit_grey_png_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 256 * 4).astype(np.uint16).reshape(4, 256)
    picture = open_picture(saved(Image.fromarray(ramp), "PNG"))
    assert picture.mode in ("I;16", "I")
    assert np.array_equal(picture.rgb[..., 0], np.rint(ramp / 257).astype(np.uint8))
    assert np.ptp(picture.rgb, axis=2).max() == 0
    assert any("16 bits" in note for note in picture.notes)


def test_16_bit_rgb_png_is_scaled():
    values = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    picture = open_picture(png(30, 20, 16, 2, [row.astype(">u2").tobytes() for row in values]))
    assert np.abs(picture.rgb.astype(int) - values / 257).max() <= 1
    assert any("16 bits" in note for note in picture.notes)


def test_transparent_level_of_a_16_bit_grey_png():
    body = struct.pack(">H", 300)
    chunk = struct.pack(">I", 2) + b"tRNS" + body + struct.pack(">I", zlib.crc32(b"tRNS" + body))
    picture = open_picture(png(2, 1, 16, 0, [struct.pack(">HH", 300, 256)], before=chunk))
    assert picture.rgb[0, :, 0].tolist() == [255, 1]


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_tiff(order):
    ramp = np.linspace(0, 65535, 1024).astype(order).reshape(8, 128)
    picture = open_picture(saved(Image.fromarray(ramp), "TIFF"))
    assert np.array_equal(picture.rgb[..., 1], np.rint(ramp / 257).astype(np.uint8))


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0, 9e9])
def test_float_tiff_shows_its_whole_range(top):
    values = np.linspace(0, top, 512, dtype=np.float32).reshape(16, 32)
    values[0, 0] = np.nan
    picture = open_picture(saved(Image.fromarray(values), "TIFF"))
    assert picture.rgb[0, 0].tolist() == [0, 0, 0]
    assert np.abs(picture.rgb[..., 0].ravel()[1:] - np.linspace(0, 255, 512)[1:]).max() <= 0.51


def test_32_bit_integer_tiff():
    values = np.linspace(0, 2_000_000_000, 512).astype(np.int32).reshape(16, 32)
    picture = open_picture(saved(Image.fromarray(values), "TIFF"))
    assert np.abs(picture.rgb[..., 0].ravel() - np.linspace(0, 255, 512)).max() <= 0.51


# Alpha, frames, orientation


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
def test_alpha_is_laid_on_white(kind):
    alpha = Image.new("L", CAT.size, 255)
    alpha.paste(0, (0, 0, 96, 128))
    image = CAT.copy()
    image.putalpha(alpha)
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = open_picture(saved(image, kind, **options))
    assert picture.rgb[:, :90].min() >= 250
    assert np.abs(picture.rgb[:, 100:].astype(int) - np.asarray(CAT, int)[:, 100:]).mean() < 5
    assert any("white" in note for note in picture.notes)


def test_half_alpha_grey_alpha_and_palette_transparency():
    half = open_picture(saved(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"))
    assert half.rgb[0, 0].tolist() == [127, 127, 127]
    grey = open_picture(saved(Image.new("LA", (4, 4), (10, 0)), "PNG"))
    assert grey.rgb[0, 0].tolist() == [255, 255, 255]
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([9, 9, 9, 200, 0, 0])
    for kind in ("PNG", "GIF"):
        assert open_picture(saved(palette, kind, transparency=1)).rgb[0, 0].tolist() == [255, 255, 255]
        assert open_picture(saved(palette, kind)).rgb[0, 0].tolist() == [200, 0, 0]
    opaque = open_picture(saved(ASTRONAUT.convert("RGBA"), "PNG"))
    assert opaque.notes == ()
    assert difference(opaque, ASTRONAUT) == 0


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF", "HEIC", "MPO"])
def test_of_many_frames_the_first_is_read_and_the_number_told(kind):
    first, others = (
        Image.new("RGB", (64, 48), (200, 30, 30)),
        [Image.new("RGB", (64, 48), (0, 0, n)) for n in (90, 240)],
    )
    if kind == "HEIC":
        file = from_pillow(first)
        for other in others:
            file.add_from_pillow(other)
        stream = io.BytesIO()
        file.save(stream, format="HEIF")
        data = stream.getvalue()
    else:
        data = saved(first, kind, save_all=True, append_images=others)
    picture = open_picture(data)
    assert picture.frames == 3
    assert np.abs(picture.rgb.astype(int) - (200, 30, 30)).max() < 12
    assert any("3 frames" in note or "3 pages" in note for note in picture.notes)


STORED_AS = {  # how a camera held that way would have stored the upright picture
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_reads_the_same_upright_picture(kind, orientation):
    upright = np.asarray(CAT)
    image = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation](upright)))
    exif = piexif.dump({"0th": {piexif.ImageIFD.Orientation: orientation}})
    if kind == "TIFF":
        data = saved(image, kind, tiffinfo={274: orientation})
    else:
        data = saved(image, kind, exif=exif, **({"quality": 92} if kind != "PNG" else {}))
    picture = open_picture(data)
    assert picture.orientation == orientation
    assert picture.rgb.shape == upright.shape
    assert difference(picture, CAT) < 5


def test_orientation_9_is_no_orientation():
    data = saved(CAT, "PNG", exif=piexif.dump({"0th": {piexif.ImageIFD.Orientation: 9}}))
    assert open_picture(data).orientation == 1


# Colour profiles


def icc(primaries, gamma=1.0):
    """A matrix profile (ICC v2): XYZ of three primaries, D50 white, one gamma."""

    def s15(value):
        return struct.pack(">i", round(value * 65536))

    tags = {b"desc": b"desc\0\0\0\0\0\0\0\x05test\0" + bytes(4 + 4 + 2 + 1 + 67)}
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + b"".join(map(s15, (0.9642, 1.0, 0.8249)))
    for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
        tags[name] = b"XYZ \0\0\0\0" + b"".join(map(s15, xyz))
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        tags[name] = b"curv\0\0\0\0\0\0\0\x01" + struct.pack(">H", round(gamma * 256))
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", at + len(body), len(value))
        body += value
    head = b"lcms\x02\x20\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += b"".join(map(s15, (0.9642, 1.0, 0.8249))) + bytes(48)
    assert len(head) == 124
    return struct.pack(">I", at + len(body)) + head + struct.pack(">I", len(tags)) + table + body


SRGB_D50 = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
ADOBE_D50 = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
def test_swapped_primaries_swap_the_channels(kind):
    red, green, blue = SRGB_D50
    image = Image.fromarray(np.asarray(ASTRONAUT)[..., [1, 0, 2]])
    options = {"quality": 95} if kind not in ("PNG", "TIFF") else {}
    picture = open_picture(saved(image, kind, icc_profile=icc((green, red, blue), 2.2), **options))
    assert difference(picture, ASTRONAUT) < 6
    assert any("'test' to sRGB" in note for note in picture.notes)


def test_adobe_rgb_like_profile_widens_the_colours():
    profile = icc(ADOBE_D50, 2.2)
    picture = open_picture(saved(Image.new("RGB", (8, 8), (120, 180, 100)), "PNG", icc_profile=profile))
    # Adobe RGB (120, 180, 100) is sRGB (80, 181, 94), by the two matrices
    assert np.abs(picture.rgb[0, 0].astype(int) - (80, 181, 94)).max() <= 2
    grey = open_picture(saved(Image.new("RGB", (8, 8), (128, 128, 128)), "PNG", icc_profile=profile))
    assert np.abs(grey.rgb[0, 0].astype(int) - 128).max() <= 2


def test_srgb_profile_leaves_the_stored_pixels_alone():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = open_picture(saved(ASTRONAUT, "PNG", icc_profile=profile))
    assert difference(picture, ASTRONAUT) == 0
    assert picture.notes == ()


@pytest.mark.parametrize("profile", [b"not a profile", icc(SRGB_D50)[:200], b"\0" * 400])
def test_bad_profile_is_a_note(profile):
    picture = open_picture(saved(ASTRONAUT, "PNG", icc_profile=profile))
    assert difference(picture, ASTRONAUT) == 0
    assert any("profile" in note and "ignored" in note for note in picture.notes)


def test_profile_of_another_colour_space_is_a_note():
    picture = open_picture(saved(ASTRONAUT.convert("CMYK"), "TIFF", icc_profile=icc(ADOBE_D50, 2.2)))
    grey = open_picture(saved(ASTRONAUT.convert("L"), "PNG", icc_profile=icc(SRGB_D50, 1.0)))
    assert picture.rgb.shape == (160, 192, 3)
    assert grey.rgb.mean() > np.asarray(ASTRONAUT.convert("L")).mean() + 20  # linear light read as such is brighter


# Limits


def test_file_limit_is_checked_before_reading(tmp_path):
    path = tmp_path / "sparse.jpg"
    with open(path, "wb") as stream:
        stream.truncate(5_000_000_000)
    started = time.perf_counter()
    with pytest.raises(PictureError, match=r"sparse\.jpg: .*over the limit of 200 MB"):
        open_picture(path)
    assert time.perf_counter() - started < 1
    for source in (bytes(1001), io.BytesIO(bytes(1001))):
        with pytest.raises(PictureError, match="over the limit"):
            open_picture(source, limits=Limits(bytes=1000))


def test_an_endless_stream_is_over_the_limit():
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            return bytes(min(size, 65536))

    with pytest.raises(PictureError, match="over the limit"):
        open_picture(Endless(), limits=Limits(bytes=1_000_000))


@pytest.mark.parametrize("kind", FILES)
def test_pixel_limit_is_checked_before_decoding(kind):
    data = FILES[kind]()
    assert open_picture(data, limits=Limits(pixels=192 * 160)).width == 192
    with pytest.raises(PictureError, match="192 x 160 pixels are over the limit"):
        open_picture(data, limits=Limits(pixels=192 * 160 - 1))


def test_bomb_is_refused_by_its_header():
    with pytest.raises(PictureError, match="over the limit of 250 megapixels"):
        open_picture(png(60000, 60000, 8, 2, [b""]))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "HEIC", "AVIF"])
def test_pillows_own_limit_neither_counts_nor_changes(kind, monkeypatch):
    data = FILES[kind]()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert open_picture(data).width == 192
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_text_bomb_does_not_keep_the_pixels_from_being_read():
    info = PngImagePlugin.PngInfo()
    info.add_text("bomb", "a" * 20_000_000, zip=True)
    picture = open_picture(saved(ASTRONAUT, "PNG", pnginfo=info))
    assert difference(picture, ASTRONAUT) == 0
    assert any("text" in note for note in picture.notes)
    assert picture.pillow().size == (192, 160)


def test_text_bomb_after_the_pixels():
    body = b"bomb\0\0" + zlib.compress(b"a" * 20_000_000)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    data = saved(ASTRONAUT, "PNG")
    picture = open_picture(data[:-12] + chunk + data[-12:])
    assert difference(picture, ASTRONAUT) == 0
    assert not picture.truncated
    assert any("not read" in note for note in picture.notes)


def test_costly_headers_are_refused_quickly():
    empty_chunk = struct.pack(">I", 0) + b"tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))
    many_chunks = png(4, 4, 8, 0, [bytes(4)] * 4, before=empty_chunk * 300_000)
    jpeg = saved(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    scan = jpeg.rindex(b"\xff\xda")
    many_scans = jpeg[:scan] + jpeg[scan:-2] * 3000 + b"\xff\xd9"
    many_segments = b"\xff\xd8" + b"\xff\xfe\0\x02" * 1_000_000 + jpeg[2:]
    for data in (many_chunks, many_scans, many_segments):
        started = time.perf_counter()
        with pytest.raises(PictureError, match="honest"):
            open_picture(data)
        assert time.perf_counter() - started < 2


def test_costly_gif_and_looped_tiff_are_counted_in_bounded_time():
    gif = saved(Image.new("P", (4, 4)), "GIF")
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\0"
    started = time.perf_counter()
    assert open_picture(gif[:-1] + frame * 300_000 + b";").frames == 100_000
    assert time.perf_counter() - started < 3
    tiff = bytearray(saved(CAT, "TIFF"))
    (first,) = struct.unpack_from("<I", tiff, 4)
    (entries,) = struct.unpack_from("<H", tiff, first)
    struct.pack_into("<I", tiff, first + 2 + 12 * entries, first)
    assert open_picture(bytes(tiff)).frames == 1


# Files that end early


def check_upper_part(picture, image, share):
    assert picture.truncated
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    rows = int(image.height * share)
    assert np.abs(picture.rgb[:rows].astype(int) - np.asarray(image, int)[:rows]).mean() < 5
    assert (picture.rgb[-8:] == 128).all()
    assert any("ends early" in note and "%" in note for note in picture.notes)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 92}),
        ("MPO", {"quality": 92}),
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw", "strip_size": 4000}),
    ],
)
def test_truncated_file_is_read_as_far_as_it_goes(kind, options):
    data = saved(ASTRONAUT, kind, **options)
    if "compression" in options:  # libtiff writes its directory last: take away what lies before it
        (directory,) = struct.unpack_from("<I", data, 4)
        data = data[: directory // 2] + bytes(directory - directory // 2) + data[directory:]
    else:
        data = data[: len(data) // 2]
    check_upper_part(open_picture(data), ASTRONAUT, 0.3)


def test_truncated_gif_palette_png_and_bmp():
    indexed = ASTRONAUT.quantize(64)
    for kind in ("GIF", "PNG"):
        data = saved(indexed, kind, **({"interlace": 0} if kind == "GIF" else {}))
        check_upper_part(open_picture(data[: len(data) // 2]), indexed.convert("RGB"), 0.3)
    data = saved(indexed, "GIF", interlace=1)
    picture = open_picture(data[: len(data) // 2])
    there = (picture.rgb != 128).any(axis=(1, 2))
    assert 0.3 < there.mean() < 0.7
    whole = there & np.roll(there, 8)  # not the row in which the file ends
    assert np.abs(picture.rgb.astype(int) - np.asarray(indexed.convert("RGB"), int))[whole].mean() < 5
    data = saved(ASTRONAUT, "BMP")
    picture = open_picture(data[: len(data) // 2])
    assert picture.truncated
    assert (picture.rgb[:70] == 128).all()  # a BMP starts at the bottom
    assert np.array_equal(picture.rgb[-70:], np.asarray(ASTRONAUT)[-70:])


def test_truncated_progressive_jpeg_is_whole_but_coarse():
    data = saved(ASTRONAUT, "JPEG", progressive=True, quality=92)
    picture = open_picture(data[: len(data) * 6 // 10])
    assert picture.truncated
    assert difference(picture, ASTRONAUT) < 15


def test_truncated_cmyk_jpeg_is_grey_where_it_ends():
    data = saved(ASTRONAUT.convert("CMYK"), "JPEG", quality=92)
    check_upper_part(open_picture(data[: len(data) // 2]), ASTRONAUT, 0.3)


def test_truncated_and_turned():
    exif = piexif.dump({"0th": {piexif.ImageIFD.Orientation: 3}})
    for kind, options in (("JPEG", {"exif": exif}), ("PNG", {"exif": exif}), ("TIFF", {"tiffinfo": {274: 3}})):
        data = saved(ASTRONAUT.transpose(Image.Transpose.ROTATE_180), kind, **options)
        picture = open_picture(data[: len(data) // 2])
        assert (picture.rgb[:8] == 128).all()
        assert np.abs(picture.rgb[-40:].astype(int) - np.asarray(ASTRONAUT, int)[-40:]).mean() < 6


def test_damaged_png_keeps_what_comes_before_the_damage():
    data = bytearray(saved(ASTRONAUT, "PNG"))
    middle = len(data) // 2
    data[middle : middle + 300] = b"\xff" * 300
    picture = open_picture(bytes(data))
    assert picture.truncated
    assert np.array_equal(picture.rgb[:40], np.asarray(ASTRONAUT)[:40])


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "HEIC"])
def test_formats_that_cannot_be_read_in_part_say_so(kind):
    data = FILES[kind]()
    with pytest.raises(PictureError, match="early"):
        open_picture(data[: len(data) // 2])


@pytest.mark.parametrize("kind", FILES)
def test_cut_anywhere_is_a_picture_or_a_clear_error(kind):
    data = FILES[kind]()
    for cut in np.linspace(1, len(data) - 1, 25).astype(int):
        try:
            picture = open_picture(data[:cut])
        except PictureError:
            continue
        assert picture.rgb.shape == (160, 192, 3)


# Everything else is refused with its reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"Just some words.\n", "text"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04" + bytes(40), "ZIP"),
        (b"\x1f\x8b\x08" + bytes(40), "archive"),
        (struct.pack(">I", 24) + b"ftypisom" + bytes(60), "video"),
        (struct.pack(">I", 24) + b"ftypqt  " + bytes(60), "video"),
        (b"\x1aE\xdf\xa3" + bytes(60), "video"),
        (b"RIFF\0\1\0\0AVI LIST", "video"),
        (b"RIFF\0\1\0\0WAVEfmt ", "sound"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS" + bytes(40), "Photoshop"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "raw"),
        (bytes(range(256)), "not a picture this tool reads"),
        (b"\xff\xd8\xff\xe0 nothing more", "JPEG header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "PNG header"),
        (png(0, 5, 8, 2, [b""]), "no size"),
        (b"GIF89a\x05\0\x05\0\0\0\0;", "GIF header"),
        (b"BM" + bytes(12) + b"\x28" + bytes(60), "BMP header"),
        (b"II*\0\xff\xff\xff\0", "TIFF header"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_picture_says_why(data, reason):
    with pytest.raises(PictureError) as caught:
        open_picture(data, name="upload")
    assert caught.value.name == "upload"
    assert reason in caught.value.reason
    assert str(caught.value) == f"upload: {caught.value.reason}"


def test_paths(tmp_path):
    good = tmp_path / "a picture.png"
    good.write_bytes(FILES["PNG"]())
    assert open_picture(good).name == "a picture.png"
    assert open_picture(str(good), name="case 7").name == "case 7"
    with open(good, "rb") as stream:
        assert open_picture(stream).name == "a picture.png"
    assert open_picture(good.read_bytes()).name == "bytes"
    assert open_picture(io.BytesIO(good.read_bytes())).name == "stream"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, reason in [
        (tmp_path, "folder"),
        (tmp_path / "none.jpg", "no such file"),
        (good / "inside.jpg", "cannot be read"),
        ("/dev/zero", "device"),
        ("nul\0.jpg", "cannot be read"),
        ("x" * 5000, "cannot be read"),
        (tmp_path / "loop", "cannot be read"),
        ("", "no such file"),
    ]:
        with pytest.raises(PictureError) as caught:
            open_picture(path)
        assert reason in caught.value.reason
    with pytest.raises(PictureError, match="text"):
        open_picture(io.StringIO("words"))
    with pytest.raises(PictureError, match="closed"):
        open_picture(stream)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(PictureError, match=r"pipe\.jpg: a pipe"):
        open_picture(tmp_path / "pipe.jpg")


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = tmp_path / "locked.png"
    path.write_bytes(FILES["PNG"]())
    path.chmod(0)
    if os.access(path, os.R_OK):  # run as root: no file is locked to it

        def refuse(*_args, **_options):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PictureError, match=r"locked\.png: no permission"):
        open_picture(path)


def test_threads_do_not_disturb_each_other():
    files = {kind: make() for kind, make in FILES.items()}
    files |= {f"{kind} cut": files[kind][: len(files[kind]) // 2] for kind in ("JPEG", "PNG")}
    expected = {kind: open_picture(data).rgb for kind, data in files.items()}
    wrong = []

    def work():
        for kind, data in files.items():
            if not np.array_equal(open_picture(data).rgb, expected[kind]):
                wrong.append(kind)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


SEEDS = {
    **FILES,
    "JPEG progressive": lambda: saved(
        CAT, "JPEG", progressive=True, exif=piexif.dump({"0th": {piexif.ImageIFD.Orientation: 6}})
    ),
    "PNG palette": lambda: saved(CAT.quantize(32), "PNG", icc_profile=icc(ADOBE_D50, 2.2)),
    "TIFF lzw": lambda: saved(CAT, "TIFF", compression="tiff_lzw", icc_profile=icc(ADOBE_D50, 2.2)),
    "GIF frames": lambda: saved(CAT.quantize(16), "GIF", save_all=True, append_images=[ASTRONAUT.quantize(16)]),
}


@pytest.fixture(scope="module")
def seeds():
    return {kind: make() for kind, make in SEEDS.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=120, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    in_header=st.booleans(),
    cut=st.floats(0, 1),
)
def test_mutated_bytes_open_or_raise_picture_error(seeds, kind, changes, in_header, cut):
    data = bytearray(seeds[kind])
    span = min(600, len(data) - 1) if in_header else len(data) - 1
    for place, value in changes:
        data[int(place * span)] = value
    if cut > 0.7:
        del data[int(cut * len(data)) :]
    try:
        picture = open_picture(bytes(data))
    except PictureError:
        return
    assert picture.rgb.shape == (picture.height, picture.width, 3)
    assert picture.rgb.dtype == np.uint8
