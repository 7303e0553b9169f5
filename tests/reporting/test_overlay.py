from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tests.reporting import samples
from veriscope.evidence import map_to_data_uri
from veriscope.reporting import overlay


def test_a_map_survives_and_is_clear_where_it_is_low() -> None:
    values = np.zeros((60, 90), np.float32)
    values[10:20, 40:60] = 1
    grey = overlay.read_map(map_to_data_uri(values))
    assert grey is not None
    assert np.array_equal(grey, (values * 255).astype(np.uint8))
    heat = np.asarray(Image.open(io.BytesIO(overlay.heat_png(grey))).convert("RGBA"))
    assert (heat[values == 0][:, 3] == 0).all()
    assert (heat[values == 1] == (255, 236, 110, 255)).all()


def test_heat_grows_lighter_with_the_map() -> None:
    table = overlay._heat_table().astype(float)
    assert (np.diff(table[:, :3] @ (0.2126, 0.7152, 0.0722)) > -0.5).all()
    assert (np.diff(table[:, 3]) >= 0).all()


def test_the_map_lies_where_it_speaks() -> None:
    values = np.zeros((40, 40), np.uint8)
    values[:10, 30:] = 255
    picture = Image.new("RGB", (400, 400), (90, 90, 90))
    laid = np.asarray(Image.open(io.BytesIO(overlay.over_picture(values, picture, (400, 400), 200))), float)
    assert laid.shape == (200, 200, 3)
    assert laid[:40, 160:].mean() > 150
    assert abs(laid[60:, :140].mean() - 90 * 0.72) < 3


def test_what_is_no_picture_is_none() -> None:
    assert overlay.read_map("data:image/png;base64,!!!!") is None
    assert overlay.read_map("https://attacker.example/x.png") is None
    assert overlay.read_preview(b"\xff\xd8\xff nonsense") is None
    preview = samples.pristine().preview
    assert preview is not None
    assert overlay.read_preview(preview[:200]) is None
