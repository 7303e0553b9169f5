"""A match in every form of the report: its original, what differs drawn over both, its level and its dates."""

import base64
import io

import numpy as np
import pypdf
import pytest
from PIL import Image
from rich.console import Console

from tests.reporting import samples
from veriscope.evidence import Differing, Report, Sighting, SightingDifference, map_to_data_uri
from veriscope.reporting import matches, print_report, render_html, save_pdf, wording

SIZE = (300, 200)  # width, height


def jpeg(rgb):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def colourful():
    rgb = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    rgb[..., 0], rgb[..., 2] = 200, 40
    return rgb


def called(rows, columns):
    values = np.zeros((SIZE[1], SIZE[0]), np.float32)
    values[rows, columns] = 1
    return map_to_data_uri(values)


def match(**changes):
    difference = SightingDifference(
        says="4.0 % of what both show differs in content: added upper left.",
        share=0.04,
        outside=0.0,
        recoloured=0.0,
        changes=[Differing(kind="added", place="upper left", share=0.0417, box=(0.1, 0.1, 0.27, 0.35))],
        map=called(slice(20, 70), slice(30, 80)),
        map_on_original=called(slice(120, 170), slice(200, 250)),
        frame=[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)],
        frame_on_original=[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)],
    )
    given = {
        "reference": "archive/portrait.jpg",
        "score": 0.94,
        "says": "It shows 36 % of the original.",
        "level": 3,
        "levels": [0.0, 0.0, 0.09, 0.79, 0.1, 0.02],
        "added": "2026-11-24T17:02:11+00:00",
        "taken": "1990-06-15 10:12:00",
        "original": "data:image/jpeg;base64," + base64.b64encode(jpeg(colourful())).decode(),
        "difference": difference,
    }
    return Sighting(**(given | changes))


def report(*seen) -> Report:
    return samples.pristine().model_copy(update={"seen": list(seen), "preview": jpeg(colourful())})


def pixel(data, x, y):
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.getpixel((round(x * image.width), round(y * image.height))), int)


def is_grey(colour):
    return np.ptp(colour) < 25


def test_what_differs_stays_in_colour_in_both_frames():
    (one,) = matches.shown(report(match()))
    assert not is_grey(pixel(one.on_picture, 55 / 300, 45 / 200))
    assert is_grey(pixel(one.on_picture, 225 / 300, 145 / 200))
    assert not is_grey(pixel(one.on_original, 225 / 300, 145 / 200))
    assert is_grey(pixel(one.on_original, 55 / 300, 45 / 200))
    assert not is_grey(pixel(one.original, 0.5, 0.5))


def test_the_outline_of_a_crop_is_drawn_on_the_original_only():
    (one,) = matches.shown(report(match()))
    assert pixel(one.on_original, 0.5, 0.2).min() > 200
    assert pixel(one.on_picture, 0.5, 0.2).max() < 200


@pytest.mark.parametrize(
    "bad", [None, "https://example.org/a.jpg", "data:image/jpeg;base64,!!!", "data:image/jpeg;base64,aGVsbG8="]
)
def test_an_original_that_is_no_picture_is_left_out(bad):
    (one,) = matches.shown(report(match(original=bad)))
    assert (one.original, one.on_picture) == (None, None)
    assert "No picture of the original is left to show." in render_html(report(match(original=bad)))


def test_points_beyond_reason_draw_nothing():
    wild = match().difference.model_copy(update={"frame_on_original": [(1e300, 0.0), (float("nan"), 1.0)]})
    (one,) = matches.shown(report(match(difference=wild)))
    assert pixel(one.on_original, 0.5, 0.2).max() < 200


def test_every_form_says_level_probability_and_dates(tmp_path):
    told = report(match())
    console = Console(file=io.StringIO(), width=80)
    print_report(told, console)
    save_pdf(told, tmp_path / "report.pdf")
    pages = pypdf.PdfReader(tmp_path / "report.pdf").pages
    html = render_html(told)
    for text in (console.file.getvalue(), " ".join(page.extract_text() for page in pages), html):
        words = " ".join(text.replace("\xa0", " ").split())
        assert "archive/portrait.jpg" in words
        assert "Level 3 of 5: a heavily edited copy (probability 79 %)" in words
    for text in (" ".join(page.extract_text() for page in pages), html):
        assert "1990-06-15 10:12:00, says its file" in text
        assert "24 November 2026" in text
    assert html.count("<figcaption>The original") == 2
    assert sum(len(page.images) for page in pages) >= 3


def test_later_matches_show_their_original_alone():
    html = render_html(report(*[match(reference=f"{number}.jpg") for number in range(5)]))
    assert html.count("<figcaption>The original, compared") == wording.FULL_MATCHES
    assert html.count("<figcaption>The original</figcaption>") == 5
    assert "2 more" in html
