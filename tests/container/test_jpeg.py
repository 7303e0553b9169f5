import io
import struct
import subprocess
import sys

import cv2
import jpeglib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from veriscope.container.jpeg import JpegHistory, declared_jpeg, history
from veriscope.container.jpeg_coefficients import as_stored, coefficients, upright
from veriscope.container.jpeg_markers import ZIGZAG, read_structure, structure, trailing_kind
from veriscope.container.jpeg_tables import STANDARD_LUMA, match_tables, standard_table
from veriscope.container.jpeg_traces import blocking
from veriscope.picture import Picture

PHOTOGRAPHS = [data.coffee(), data.chelsea(), data.astronaut()]


def jpeg_bytes(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def opened(content, orientation=1):
    image = Image.open(io.BytesIO(content))
    rgb = np.asarray(image.convert("RGB"))
    return Picture(
        name="made", data=content, format=image.format, rgb=upright(rgb, orientation), orientation=orientation
    )


def saved(pixels, **options):
    return opened(jpeg_bytes(pixels, **options))


def as_png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return opened(file.getvalue())


def cropped(pixels, across, down):
    return np.ascontiguousarray(pixels[down:, across:])


# Markers


@pytest.mark.parametrize(
    ("options", "process", "subsampling", "scans"),
    [
        ({}, "baseline", "4:2:0", 1),
        ({"progressive": True}, "progressive", "4:2:0", 10),
        ({"subsampling": 0}, "baseline", "4:4:4", 1),
        ({"subsampling": 1}, "baseline", "4:2:2", 1),
    ],
)
def test_the_walk_reads_how_the_picture_is_coded(options, process, subsampling, scans):
    layout = read_structure(jpeg_bytes(PHOTOGRAPHS[0], **options))
    assert (layout.process, layout.subsampling, layout.scans) == (process, subsampling, scans)
    assert (layout.width, layout.height) == (600, 400)
    assert layout.complete
    assert layout.trailing_bytes == 0


def test_the_walk_reads_segments_comments_and_restarts():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    content = jpeg_bytes(
        PHOTOGRAPHS[0], exif=exif, comment=b"hello", icc_profile=b"x" * 200, restart_marker_rows=1, quality=80
    )
    layout = read_structure(content)
    assert layout.applications == ("APP0 JFIF", "APP1 Exif", "APP2 ICC_PROFILE")
    assert layout.comments == ("hello",)
    assert layout.restart_interval == 38
    assert np.array_equal(layout.table(0), standard_table(80))
    assert np.array_equal(layout.table(1), standard_table(80, chroma=True))


def test_a_thumbnail_is_not_the_picture():
    thumbnail = jpeg_bytes(PHOTOGRAPHS[0][:64, :64], quality=20)
    content = jpeg_bytes(PHOTOGRAPHS[0], quality=90)
    block = b"Exif\x00\x00" + thumbnail
    content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]
    picture = opened(content)
    assert structure(picture).width == 600
    assert history(picture).current_quality == 90
    assert coefficients(picture).luma.shape == (50, 75, 64)


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        (b"", ""),
        (b"\x00" * 40, "padding"),
        (b"PK\x03\x04" + b"x" * 50, "a ZIP archive"),
        (struct.pack(">I", 24) + b"ftypmp42" + b"\x00" * 40 + b"mdat", "a motion-photo video (MP4)"),
        (b"SEFH" + b"\x01" * 30 + b"SEFT", "a Samsung trailer"),
        (b"\xff\xd8\xff\xe0rest", "another JPEG picture"),
        (b"something else", "unknown data"),
    ],
)
def test_what_follows_the_picture_is_named(tail, kind):
    layout = read_structure(jpeg_bytes(PHOTOGRAPHS[0]) + tail)
    assert layout.trailing == kind
    assert layout.trailing_bytes == len(tail)
    assert layout.complete


def test_pictures_of_an_mpo_follow_the_first():
    file = io.BytesIO()
    first, second = (Image.fromarray(each) for each in PHOTOGRAPHS[:2])
    first.save(file, "MPO", save_all=True, append_images=[second])
    layout = read_structure(file.getvalue())
    assert layout.trailing == "further pictures (MPO)"
    assert trailing_kind(b"\xff\xd8\xff", ("APP0 JFIF",)) == "another JPEG picture"


def test_zigzag_order():
    assert ZIGZAG[:10].tolist() == [0, 1, 8, 16, 9, 2, 3, 10, 17, 24]
    assert sorted(ZIGZAG.tolist()) == list(range(64))


# Tables


@pytest.mark.parametrize("quality", range(1, 101, 3))
def test_standard_tables_are_those_of_libjpeg(quality):
    layout = read_structure(jpeg_bytes(PHOTOGRAPHS[0][:16, :16], quality=quality))
    match = match_tables(layout.table(0), layout.table(1))
    assert match.standard
    assert np.array_equal(STANDARD_LUMA[match.quality - 1], STANDARD_LUMA[quality - 1])


def test_other_tables_are_only_near_a_quality():
    own = [(standard_table(82)[ZIGZAG] + np.arange(64) % 3).tolist()]
    picture = opened(jpeg_bytes(PHOTOGRAPHS[0], qtables=own))
    past = history(picture)
    assert past.standard_tables is False
    assert abs(past.current_quality - 82) <= 8
    (row,) = declared_jpeg(picture)
    assert "not the standard" in row.says
    assert row.details["same_table_for_chroma"] is True


def test_a_file_written_by_opencv_is_standard():
    _, content = cv2.imencode(".jpg", PHOTOGRAPHS[0], [cv2.IMWRITE_JPEG_QUALITY, 77])
    assert history(opened(content.tobytes())).current_quality == 77


# Coefficients


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_coefficients_are_those_in_the_file(tmp_path, options):
    content = jpeg_bytes(PHOTOGRAPHS[1], quality=70, **options)
    (tmp_path / "picture.jpg").write_bytes(content)
    expected = jpeglib.read_dct(str(tmp_path / "picture.jpg"))
    stored = coefficients(opened(content))
    assert np.array_equal(stored.luma, expected.Y.reshape(stored.luma.shape))
    assert np.array_equal(stored.table, expected.qt[0].ravel())


def test_coefficients_are_read_once_and_windowed():
    picture = saved(np.tile(PHOTOGRAPHS[0], (6, 5, 1)), quality=70)
    assert coefficients(picture) is coefficients(picture)
    assert 60_000 <= np.prod(coefficients(picture).window.shape[:2]) <= 65_536


def test_other_formats_have_no_coefficients():
    assert coefficients(as_png(PHOTOGRAPHS[0])) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_as_pillow_does(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.open(io.BytesIO(jpeg_bytes(PHOTOGRAPHS[0], exif=exif)))
    from PIL import ImageOps

    turned = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(upright(np.asarray(image), orientation), turned)
    assert np.array_equal(as_stored(turned, orientation), np.asarray(image))


# History


@pytest.mark.parametrize("second", [60, 75, 85, 95])
@pytest.mark.parametrize("pixels", PHOTOGRAPHS)
def test_a_first_save_is_not_called_a_second(pixels, second):
    past = history(saved(pixels, quality=second))
    assert past.double_compressed is False
    assert past.previous_quality is None
    assert past.grid_offset == (0, 0)
    assert past.grid_confidence == 0


@pytest.mark.parametrize(("first", "second"), [(50, 75), (60, 95), (75, 85), (85, 75), (75, 60), (50, 60)])
@pytest.mark.parametrize("pixels", PHOTOGRAPHS)
def test_a_second_save_shows_and_the_first_is_dated(pixels, first, second):
    past = history(saved(saved(pixels, quality=first).rgb, quality=second))
    assert past.double_compressed
    assert abs(past.previous_quality - first) <= 2
    assert past.current_quality == second
    assert past.grid_offset == (0, 0)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_crop_between_saves_shifts_the_grid(orientation):
    once = saved(PHOTOGRAPHS[1], quality=60).rgb
    content = jpeg_bytes(cropped(once, 5, 3), quality=95)
    past = history(opened(content, orientation))
    assert past.grid_offset == (3, 5)
    assert past.grid_confidence > 0.5
    assert past.double_compressed
    assert abs(past.previous_quality - 60) <= 2


@pytest.mark.parametrize("offset", [(0, 0), (5, 3)])
@pytest.mark.parametrize("quality", [50, 75, 90])
def test_lossless_pictures_remember_being_jpegs(quality, offset):
    past = history(as_png(cropped(saved(PHOTOGRAPHS[0], quality=quality).rgb, *offset)))
    assert past.was_jpeg
    assert abs(past.previous_quality - quality) <= 2
    assert past.grid_offset == tuple((8 - each) % 8 for each in offset)
    assert past.double_compressed is None
    assert past.current_quality is None


@pytest.mark.parametrize("pixels", PHOTOGRAPHS)
def test_lossless_pictures_that_never_were_jpegs(pixels):
    assert history(as_png(pixels)).was_jpeg is False


def test_resizing_ends_the_memory():
    once = Image.fromarray(saved(PHOTOGRAPHS[2], quality=60).rgb).resize((400, 400), Image.Resampling.LANCZOS)
    assert history(as_png(np.asarray(once))).was_jpeg is False


def test_blocking_is_strongest_where_blocks_begin():
    grey = cv2.cvtColor(saved(PHOTOGRAPHS[0], quality=60).rgb, cv2.COLOR_RGB2GRAY)
    across, down = blocking(grey[3:, 5:])
    assert (across.argmax(), down.argmax()) == (3, 5)
    assert across.max() > 4


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (7, 200), (64, 64)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_small_and_flat_pictures_tell_nothing(shape, level):
    flat = np.full((*shape, 3), level, np.uint8)
    assert not history(as_png(flat)).was_jpeg
    assert not history(saved(flat)).double_compressed
    assert declared_jpeg(as_png(flat)) == []


def test_formats_without_a_jpeg_past():
    picture = Picture(name="x", data=b"GIF89a", format="GIF", rgb=PHOTOGRAPHS[0])
    assert history(picture) == JpegHistory()
    assert declared_jpeg(picture) == []


# Sentences


def test_the_sentences_for_a_reader():
    once = saved(PHOTOGRAPHS[0], quality=60).rgb
    said = [row.says for row in declared_jpeg(saved(once, quality=75))]
    assert said[0] == "Saved as a baseline JPEG at quality 75 with the standard (libjpeg) tables."
    assert said[1].startswith("The picture was saved as JPEG at least twice; the earlier save was at about quality 60.")
    assert "Sharing" in said[1]
    rows = declared_jpeg(as_png(cropped(once, 5, 3)))
    assert "stored without loss, but its pixels were a JPEG before, at about quality 60" in rows[0].says
    assert "shifted by (3, 5)" in rows[1].says
    assert {(row.kind, row.state) for row in rows} == {("jpeg", "noted")}
    assert rows[0].details["previous_quality"] == 60


def test_trailing_data_and_damage_are_said():
    content = jpeg_bytes(PHOTOGRAPHS[0])
    assert any("14 bytes follow the end" in row.says for row in declared_jpeg(opened(content + b"something else")))
    cut = Picture(name="cut", data=content[: len(content) // 2], format="JPEG", rgb=PHOTOGRAPHS[0])
    assert any("damaged or ends early" in row.says for row in declared_jpeg(cut))


# Hostile bytes

SMALL = PHOTOGRAPHS[2][100:180, 100:196]
SEEDS = [
    jpeg_bytes(SMALL, quality=80),
    jpeg_bytes(SMALL, quality=60, progressive=True),
    jpeg_bytes(SMALL, quality=90, subsampling=0, restart_marker_rows=1),
]
CHANGES = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=8)


def mutated(seed, changes):
    content = bytearray(SEEDS[seed])
    for at, value in changes:
        content[at % len(content)] = value
    return bytes(content)


@settings(max_examples=200, deadline=5000, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2), CHANGES, st.integers(0, 400))
def test_mutated_bytes_never_raise(seed, changes, cut):
    content = mutated(seed, changes)
    picture = Picture(name="bad", data=content[: len(content) - cut], format="JPEG", rgb=SMALL)
    assert isinstance(history(picture), JpegHistory)
    assert all(row.kind == "jpeg" for row in declared_jpeg(picture))


@settings(max_examples=200, deadline=5000)
@given(st.binary(max_size=300), CHANGES)
def test_any_header_is_walked(content, changes):
    layout = read_structure(b"\xff\xd8" + content)
    assert 0 <= layout.trailing_bytes <= len(content)
    header = mutated(0, [(at % 640, value) for at, value in changes])
    coefficients(Picture(name="bad", data=header, format="JPEG", rgb=SMALL))


def test_the_native_decoder_survives_many_damaged_files():
    # In a process of its own: a fault there would end the test run, and its messages belong to no one.
    script = """
import sys
import numpy as np
from veriscope.container.jpeg_coefficients import coefficients
from veriscope.picture import Picture
seed = open(sys.argv[1], "rb").read()
rng = np.random.default_rng(0)
read = 0
for _ in range(500):
    content = bytearray(seed)
    for at in rng.integers(2, len(seed), rng.integers(1, 6)):
        content[at] = rng.integers(256)
    rgb = np.zeros((80, 96, 3), np.uint8)
    read += coefficients(Picture(name="bad", data=bytes(content), format="JPEG", rgb=rgb)) is not None
print(read)
"""
    for seed in SEEDS:
        path = io.BytesIO(seed)
        done = _run(script, path.getvalue())
        assert done.returncode == 0, done.stderr[-500:]
        assert 50 < int(done.stdout) < 500


def _run(script, seed):
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(seed)
        file.flush()
        return subprocess.run([sys.executable, "-c", script, file.name], capture_output=True, text=True, timeout=60)
