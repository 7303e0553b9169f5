"""Marks in real pictures: read after what happens to pictures, not read without the key, and every bad input told apart."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope.cli import main
from veriscope.errors import PictureError, VeriscopeError
from veriscope.picture import open_picture
from veriscope.watermarks import alignment, classical, detect, learned, mark, marked_file, payload
from veriscope.watermarks.strength import psnr

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = "a secret"


def file_of(pixels, kind="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def opened(pixels):
    return open_picture(file_of(pixels), name="picture")


@pytest.fixture(scope="module")
def marked():
    """The same photograph with the learned mark, and the mark's figures."""
    return mark(opened(data.astronaut()), "hello", KEY, "PNG")


@pytest.fixture(scope="module")
def pixels(marked):
    return open_picture(marked.data).rgb


def turned(rgb, degrees):
    height, width = rgb.shape[:2]
    return cv2.warpAffine(rgb, cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1), (width, height))


CHANGES = {
    "nothing": lambda rgb: rgb,
    "jpeg 70": lambda rgb: open_picture(file_of(rgb, "JPEG", quality=70)).rgb,
    "half size": lambda rgb: cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "half the area": lambda rgb: rgb[70:432, 90:452],
    "a quarter of the area": lambda rgb: rgb[100:356, 150:406],
    "turned by 15 degrees": lambda rgb: turned(rgb, 15),
    "mirrored": lambda rgb: rgb[:, ::-1],
    "stretched": lambda rgb: cv2.resize(rgb, (640, 512)),
    "noise": lambda rgb: np.clip(rgb + np.random.default_rng(0).normal(0, 8, rgb.shape), 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_mark_is_read_after_what_happens_to_pictures(pixels, change):
    found = detect(opened(np.ascontiguousarray(CHANGES[change](pixels))), KEY)
    assert found.message == "hello"
    assert found.p_value < 1e-6
    assert found.scheme == "learned"
    assert 0 <= found.bits_corrected < 40


def test_it_is_as_faint_as_it_says(marked, pixels):
    near = psnr(data.astronaut(), pixels, 255)
    assert near == pytest.approx(marked.psnr, abs=0.01)
    assert 42 <= near < 42.2


def test_without_the_key_or_the_mark_nothing_is_read(pixels):
    for rgb, key in ((pixels, "another secret"), (data.coffee(), KEY), (np.full((600, 600, 3), 255, np.uint8), KEY)):
        found = detect(opened(rgb), key)
        assert found.message is None
        assert found.bits_corrected is None
        assert found.p_value > 1e-4
        assert found.as_json().keys() == {"message", "p_value", "bits_corrected", "scheme"}


def test_p_values_of_unmarked_bits_are_no_smaller_than_they_say():
    generator = np.random.default_rng(0)
    readings = [payload.read(generator.normal(size=payload.RAW_BITS), f"key {at}") for at in range(300)]
    for level in (0.5, 0.1, 0.02):
        assert np.mean([reading.p_value <= level for reading in readings]) < level + 0.05
    assert not any(reading.found for reading in readings)


def test_the_p_value_is_that_of_all_that_might_have_been_tried():
    raw = payload.raw_bits(b"abcdefgh", KEY)
    alone = payload.read(2.0 * raw - 1, KEY)
    assert alone.p_value == 2.0**-payload.PILOTS
    assert payload.best([alone], 3).p_value == pytest.approx(3 * 2.0**-payload.PILOTS)


def test_raw_bits_that_were_lost_are_put_right():
    odds = 2.0 * payload.raw_bits(b"abcdefgh", KEY) - 1
    odds[::12] *= -0.5
    reading = payload.read(odds, KEY)
    assert reading.message == "abcdefgh"
    assert reading.bits_corrected == 16


def test_a_white_page_and_a_strip_carry_a_mark_and_noise_a_stronger_one():
    white = mark(opened(np.full((300, 300, 3), 255, np.uint8)), "ok", KEY, "PNG")
    assert detect(open_picture(white.data), KEY).message == "ok"
    strip = mark(opened(np.ascontiguousarray(np.tile(data.astronaut()[100:260], (1, 3, 1)))), "ok", KEY, "PNG")
    assert detect(open_picture(strip.data), KEY).message == "ok"
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    louder = mark(opened(noise), "ok", KEY, "PNG")
    assert louder.psnr < 42
    assert any("busy" in note for note in louder.notes)
    assert detect(open_picture(louder.data), KEY).message == "ok"


def test_any_eight_bytes_come_back_from_both_schemes():
    rgb, sent = data.chelsea(), bytes(range(200, 208))
    for scheme in (learned, classical):
        marked = scheme.embed_data(rgb, sent, KEY)
        bits, p_value = scheme.read_data(marked, KEY)
        assert np.packbits(bits).tobytes() == sent
        assert p_value < 1e-6
        assert psnr(rgb, marked, 255) > 41.9
        assert scheme.read_data(rgb, KEY)[1] > 1e-4


def test_the_classical_mark_endures_saving_and_another_size():
    marked = mark(opened(data.astronaut()), "short", KEY, "PNG", scheme="dwt_dct_svd")
    rgb = open_picture(marked.data).rgb
    for change in ("nothing", "jpeg 70", "half size", "mirrored"):
        found = detect(opened(np.ascontiguousarray(CHANGES[change](rgb))), KEY)
        assert (found.message, found.scheme) == ("short", "dwt_dct_svd")


@pytest.mark.parametrize(
    ("pixels", "message", "key", "told"),
    [
        (data.astronaut()[:100, :100], "hello", KEY, "too small"),
        (data.astronaut(), "nine byte", KEY, "too long"),
        (data.astronaut(), "", KEY, "empty"),
        (data.astronaut(), "hello", "", "key is empty"),
    ],
)
def test_what_cannot_be_marked_is_refused(pixels, message, key, told):
    with pytest.raises(VeriscopeError, match=told):
        mark(opened(np.ascontiguousarray(pixels)), message, key, "PNG")


def test_an_unknown_scheme_is_refused():
    with pytest.raises(VeriscopeError, match="dwt_dct_svd"):
        mark(opened(data.astronaut()), "hello", KEY, "PNG", scheme="other")


def test_a_marked_picture_is_refused_unless_it_is_meant(marked):
    again = open_picture(marked.data, name="marked.png")
    with pytest.raises(PictureError, match="marked already: under this key it carries the message 'hello'"):
        mark(again, "other", KEY, "PNG")
    with pytest.raises(PictureError, match="marked already, under another key"):
        mark(again, "other", "another secret", "PNG")
    over = mark(again, "other", "another secret", "PNG", over=True)
    assert "marked already" in over.notes[0]
    assert detect(open_picture(over.data), "another secret").message == "other"


def test_animations_and_cut_files_are_refused():
    with pytest.raises(PictureError, match="frames"):
        mark(open_picture(EXAMPLES / "animated.gif"), "hello", KEY, "PNG")
    with pytest.raises(PictureError, match="ends early"):
        mark(open_picture(EXAMPLES / "truncated.jpg"), "hello", KEY, "PNG")


def test_transparency_is_kept_or_the_format_refused():
    rgba = np.dstack([data.chelsea(), np.tile(np.arange(451, dtype=np.uint8), (300, 1))])
    picture = opened(rgba)
    for kind in ("PNG", "TIFF"):
        with Image.open(io.BytesIO(mark(picture, "hello", KEY, kind).data)) as image:
            assert np.array_equal(np.asarray(image)[..., 3], rgba[..., 3])
    with pytest.raises(PictureError, match="transparency"):
        mark(picture, "hello", KEY, "JPEG")


def test_sixteen_bits_are_kept_or_their_loss_told():
    picture = open_picture(EXAMPLES / "sixteen_bit.png")
    stored = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_UNCHANGED)
    for kind in ("PNG", "TIFF"):
        made = mark(picture, "deep", KEY, kind).data
        read = cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_UNCHANGED)
        assert read.dtype == np.uint16
        assert 42 <= psnr(stored, read, 65535) < 42.3
        assert detect(open_picture(made), KEY).message == "deep"
    assert any("8 bits" in note for note in mark(picture, "deep", KEY, "JPEG").notes)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_orientation_and_exif_are_kept(kind):
    picture = open_picture(EXAMPLES / "phone.jpg")
    assert picture.orientation != 1
    again = open_picture(mark(picture, "hello", KEY, kind).data)
    assert again.rgb.shape == picture.rgb.shape
    assert psnr(picture.rgb, again.rgb, 255) > 36
    assert again.pillow().getexif()[271] == picture.pillow().getexif()[271]


def test_a_marked_file_has_the_format_of_the_picture_or_is_a_png():
    picture = open_picture(EXAMPLES / "phone.jpg")
    made = open_picture(marked_file(picture, "hello", KEY))
    assert made.format == "JPEG"
    assert detect(made, KEY).as_json()["message"] == "hello"
    single = open_picture(file_of(data.chelsea(), "GIF"))
    assert open_picture(marked_file(single, "hello", KEY, scheme="dwt_dct_svd")).format == "PNG"


def test_a_picture_without_detail_is_aligned_to_nothing():
    places = alignment.align(np.full((400, 300, 3), 255, np.uint8))
    assert places
    assert all(np.isfinite(place.matrix).all() for place in places)


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (700, 3), (40, 40)])
def test_pictures_of_any_shape_are_read(shape):
    found = detect(opened(np.full((*shape, 3), 90, np.uint8)), KEY)
    assert found.message is None
    assert 0 < found.p_value <= 1


def run(capsys, *words):
    code = main(["watermark", *map(str, words)])
    return code, capsys.readouterr()


def test_the_command_line_marks_and_reads(tmp_path, capsys):
    source, out = tmp_path / "in.jpg", tmp_path / "out.png"
    source.write_bytes((EXAMPLES / "phone.jpg").read_bytes())
    before = source.read_bytes()
    words = ("embed", source, "--message", "hello", "--key", KEY, "--out")
    assert run(capsys, *words, out)[0] == 0
    code, said = run(capsys, "detect", out, "--key", KEY, "--json")
    assert code == 0
    answer = json.loads(said.out)
    assert answer.keys() == {"message", "p_value", "bits_corrected", "scheme"}
    assert answer["message"] == "hello"
    assert json.loads(run(capsys, "detect", out, "--key", "wrong", "--json")[1].out)["message"] is None
    link, other = tmp_path / "link.jpg", tmp_path / "folder"
    link.symlink_to(source)
    other.mkdir()
    for target in (source, link, other / ".." / "in.jpg"):
        code, said = run(capsys, *words, target)
        assert code == 2
        assert "is the picture itself" in said.err
    code, said = run(capsys, *words, out)
    assert code == 2
    assert "exists already" in said.err
    assert source.read_bytes() == before
    assert run(capsys, *words, out, "--force")[0] == 0
    assert run(capsys, *words, tmp_path / "out.xyz")[0] == 2
    assert {path.name for path in tmp_path.iterdir()} == {"in.jpg", "out.png", "link.jpg", "folder"}
