"""Flows move pictures and move them back; the detector and ``veriscope undo-warp`` do what a network says.

A stand-in for the trained network is used: it takes reddish places for moved ones, by a known flow.
"""

import argparse
import hashlib
import io
import re

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from skimage import data

from veriscope import models
from veriscope.cli import undo_warp
from veriscope.errors import ModelError, VeriscopeError
from veriscope.evidence import Question
from veriscope.picture import open_picture
from veriscope.tampering import flow as flows
from veriscope.tampering import warps
from veriscope.weighing import Panel

CAT = np.ascontiguousarray(data.chelsea()[20:276, 60:380])
MOVED = (6.0, -2.0)  # pixels, what the stand-in says of reddish places


def bump(height, width, strength=7.0, radius=60.0):
    """A smooth push in the middle that folds nothing."""
    down, across = np.mgrid[:height, :width].astype(np.float32)
    away = ((down - height / 2) ** 2 + (across - width / 2) ** 2) / radius**2
    weight = np.maximum(1 - away, 0) ** 2
    return np.stack([strength * weight, -0.5 * strength * weight], -1).astype(np.float32)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def off(first, second):
    return float(np.abs(first.astype(np.float32) - second.astype(np.float32)).mean())


def test_a_flow_shows_what_stood_elsewhere():
    shift = np.tile(np.array([3, -5], np.float32), (*CAT.shape[:2], 1))
    assert np.array_equal(flows.applied(CAT, shift)[5:, :-3], CAT[:-5, 3:])


def test_pixels_that_stay_put_are_the_same():
    flow = bump(*CAT.shape[:2])
    still = flows.lengths(flow) == 0
    moved = flows.applied(CAT, flow)
    assert np.array_equal(moved[still], CAT[still])
    assert off(moved[~still], CAT[~still]) > 3


@pytest.mark.parametrize("grid", [1, 4])
def test_the_true_flow_restores_the_picture(grid):
    flow = bump(*CAT.shape[:2])
    moved = flows.applied(CAT, flow)
    coarse = flow if grid == 1 else cv2.resize(flow, None, fx=1 / grid, fy=1 / grid, interpolation=cv2.INTER_AREA)
    back = flows.undone(moved, coarse)
    inside = flows.lengths(flow) > 1
    assert off(back[inside], CAT[inside]) < 2  # fine fur, interpolated twice
    assert off(back[inside], CAT[inside]) < off(moved[inside], CAT[inside]) / 5
    assert off(cv2.blur(back, (5, 5))[inside], cv2.blur(CAT, (5, 5))[inside]) < 0.6
    far = cv2.dilate((flows.lengths(flow) > 0).astype(np.uint8), np.ones((25, 25))) == 0
    assert np.array_equal(back[far], CAT[far])


def test_there_and_back_is_nowhere():
    flow = bump(120, 140, radius=50)
    assert np.abs(flows.inverse(flows.inverse(flow)) - flow).max() < 0.1
    back = flows.inverse(flow)
    down, across = np.mgrid[:120, :140].astype(np.float32)
    there = cv2.remap(flow, across + back[..., 0], down + back[..., 1], cv2.INTER_LINEAR)
    assert np.abs(there + back).max() < 0.1


def test_a_folded_flow_stays_finite():
    flow = np.random.default_rng(0).normal(0, 40, (30, 20, 2)).astype(np.float32)
    assert np.isfinite(flows.inverse(flow)).all()
    assert flows.undone(CAT, flow).shape == CAT.shape


def test_tiles_do_not_show(monkeypatch):
    flow = bump(*CAT.shape[:2])
    for field in (flow, flows.resized(flow, 61, 83)):
        whole = flows.applied(CAT, field)
        monkeypatch.setattr(flows, "TILE", 100)
        parts = flows.applied(CAT, field)
        monkeypatch.undo()
        assert np.abs(whole.astype(int) - parts).max() <= 1


def test_a_side_that_opencv_cannot_move_at_once():
    long = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (2, 150, 3))
    shift = np.tile(np.array([2, 0], np.float32), (1, 300, 1))
    assert np.array_equal(flows.applied(long, shift)[:, :-4], long[:, 2:-2])


def test_a_flow_of_a_smaller_picture_is_shorter():
    flow = np.tile(np.array([8, 4], np.float32), (40, 60, 1))
    assert np.allclose(flows.resized(flow, 10, 30), (4, 1))


def stand_in(path):
    """A network that takes places for moved where red exceeds green by 0.4 on average, and says ``MOVED``."""

    def constant(name, *values, shape=()):
        return numpy_helper.from_array(np.array(values, np.float32).reshape(shape), name)

    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["means"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["means", "weights", "offset"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["chance"]),
        helper.make_node("Mul", ["chance", "moved"], ["flow"]),
    ]
    constants = [
        constant("weights", 20, -20, 0, shape=(1, 3, 1, 1)),
        constant("offset", -8, shape=(1,)),
        constant("moved", *MOVED, shape=(1, 2, 1, 1)),
    ]
    sizes = {"pixels": (3, "h", "w"), "flow": (2, "a", "b"), "logits": (1, "a", "b")}
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *sizes[name]]) for name in sizes]
    graph = helper.make_graph(nodes, "stand-in", tensors[:1], tensors[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


def forget():
    for kept in (models.registry, models.panels, models._session):
        kept.cache_clear()


@pytest.fixture
def trained(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    stand_in(folder / "warps.onnx")
    levels = tuple(np.linspace(-6, 1, 101).tolist())
    Panel(
        "edited", {"warps@5": 1.0}, (-6.0, 3.0), (-1.0, 1.0), levels, levels, (100, 100), {"0.01": 1, "0.05": 1}, "made"
    ).save(folder / "warps.panel.json")
    hashes = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("warps.onnx", "warps.panel.json")
    }
    listed = ", ".join(f'"{name}" = "{digest}"' for name, digest in hashes.items())
    (folder / "warps.model.toml").write_text(
        f'[warps]\nversion = "5"\nlicence = ""\nsource = ""\nabout = ""\nfiles = {{ {listed} }}\n'
    )
    monkeypatch.setenv("VERISCOPE_MODELS", str(folder))
    monkeypatch.chdir(tmp_path)
    forget()
    yield folder
    forget()


def reddened(pixels, rows, columns):
    pixels = pixels.copy()
    pixels[rows, columns] = np.rint(pixels[rows, columns] * (0.5, 0.3, 0.3) + (127, 0, 0))
    return pixels


RED = slice(96, 160), slice(128, 200)


def test_a_moved_part_is_found_where_it_is(trained):
    evidence = warps.Warps()(open_picture(png(reddened(CAT, *RED))))
    assert (evidence.detector, evidence.version, evidence.question) == ("warps", "5", Question.EDITED)
    assert not evidence.weighed
    assert evidence.map.shape == (64, 80)
    inside = evidence.map[26:38, 34:48]
    assert (inside >= 0.5).mean() > 0.6
    rest = evidence.map.copy()
    rest[22:42, 30:52] = 0
    assert rest.max() < 0.5
    assert evidence.score > 0.5
    assert "centre" in evidence.says
    assert float(re.search(r"by ([0-9.]+) pixels", evidence.says)[1]) == pytest.approx(6.3, abs=0.4)


def test_an_untouched_picture_has_an_empty_map(trained):
    found = warps.Warps().locate(open_picture(png(data.camera()[:, :, None].repeat(3, 2))))
    assert found.score < 0.05
    assert found.map.max() < 0.1
    assert "No part" in found.says


def test_a_place_or_two_do_not_make_a_picture_warped(trained):
    picture = open_picture(png(reddened(CAT, slice(100, 105), slice(128, 136))))
    found = warps.Warps().locate(picture)
    assert found.map.max() < 0.5
    assert not warps.flow(picture).any()


def test_flat_places_are_not_judged(trained):
    pixels = reddened(CAT, *RED)
    pixels[:, 200:] = (230, 30, 40)
    found = warps.Warps().locate(open_picture(png(pixels)))
    assert not found.judged[:, 52:].any()
    assert not found.map[:, 52:].any()
    assert found.map[:, 34:48].max() > 0.5


@pytest.mark.parametrize("size", [(64, 64), (67, 131), (1, 900), (700, 1900)])
def test_any_size(trained, size):
    pixels = reddened(np.resize(CAT, (*size, 3)), slice(size[0] // 4, size[0] // 2), slice(size[1] // 4, size[1] // 2))
    picture = open_picture(png(pixels))
    found = warps.Warps().locate(picture)
    if min(size) < 64:
        assert found is None
        return
    assert found.map.shape == found.judged.shape
    assert abs(found.map.shape[0] / found.map.shape[1] - size[0] / size[1]) < 0.1
    reading = warps.reading(picture)
    assert reading.called
    step = size[1] / min(size[1], (warps.MOST_PIXELS * size[1] / size[0]) ** 0.5)
    assert reading.believed[..., 0].max() == pytest.approx(MOVED[0] * step, rel=0.15)


def test_without_weights_the_error_names_the_mend(tmp_path, monkeypatch):
    if "warps" in models.registry():
        pytest.skip("the weights are bundled")
    assert warps.Warps().version == "untrained"
    with pytest.raises(ModelError, match="veriscope lab train warps"):
        warps.Warps().locate(open_picture(png(CAT)))


def asked(*words):
    parser = argparse.ArgumentParser()
    undo_warp.add_to(parser.add_subparsers())
    options = parser.parse_args(["undo-warp", *map(str, words)])
    return options.run(options)


def test_undo_warp_moves_a_part_back(trained, tmp_path, capsys):
    (tmp_path / "in.png").write_bytes(png(reddened(CAT, *RED)))
    assert asked("in.png") == 0
    said = capsys.readouterr().out
    assert "the traces of a local warp" in said
    assert "written: in.unwarped.png" in said
    back = np.asarray(Image.open("in.unwarped.png"))
    pixels = reddened(CAT, *RED)
    assert back.shape == pixels.shape
    expected = np.roll(pixels, (-2, 6), (0, 1))  # content goes back by MOVED, to where it stood
    inner = slice(116, 140), slice(152, 180)
    assert off(back[inner], expected[inner]) < off(pixels[inner], expected[inner]) / 5
    assert np.array_equal(back[:60], pixels[:60])
    assert not list(tmp_path.glob("*.tmp"))


def test_undo_warp_leaves_an_untouched_picture_as_it_is(trained, tmp_path, capsys):
    pixels = np.ascontiguousarray(data.camera()[:200, :201, None].repeat(3, 2))
    (tmp_path / "in.png").write_bytes(png(pixels))
    assert asked("in.png") == 0
    assert "Nothing was written" in capsys.readouterr().out
    assert not (tmp_path / "in.unwarped.png").exists()
    assert asked("in.png", "--force", "--out", "forced.png") == 0
    assert Image.open("forced.png").size == (201, 200)


def test_undo_warp_never_overwrites_the_picture(trained, tmp_path):
    data_before = png(reddened(CAT, *RED))
    (tmp_path / "in.png").write_bytes(data_before)
    (tmp_path / "same.png").symlink_to("in.png")
    for out in ("in.png", "./in.png", "same.png"):
        with pytest.raises(VeriscopeError, match="never overwritten"):
            asked("in.png", "--out", out)
    with pytest.raises(VeriscopeError, match="not a kind of file"):
        asked("in.png", "--out", "out.gif")
    with pytest.raises(VeriscopeError, match="cannot be written"):
        asked("in.png", "--out", "nowhere/out.png")
    assert (tmp_path / "in.png").read_bytes() == data_before
