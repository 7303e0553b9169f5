"""``veriscope geometry`` as a user meets it: marks in, sentences, JSON and drawings out, mistakes named."""

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from veriscope.cli import geometry
from veriscope.cli.geometry.marks import Lines, Pairs, Totem
from veriscope.errors import VeriscopeError
from veriscope.tampering import totem_scene

EXAMPLES = re.findall(
    r"```json\n(.*?)```", (Path(__file__).parent.parent / "docs" / "geometry.md").read_text(), re.DOTALL
)
KINDS = {"vanishing": ("--lines", 0), "shadows": ("--pairs", 1), "totem": ("--totem", 2)}


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "grey.png"
    Image.fromarray(np.tile(np.arange(800, dtype=np.uint8)[None, :, None], (600, 1, 3))).save(path)
    return path


def asked(capsys, tmp_path, kind, picture, marks=None, *words):
    """What the command prints."""
    parser = argparse.ArgumentParser()
    geometry.add_to(parser.add_subparsers())
    given = []
    if marks is not None:
        (tmp_path / "marks.json").write_text(marks if isinstance(marks, str) else json.dumps(marks))
        given = [KINDS[kind][0], str(tmp_path / "marks.json")]
    options = parser.parse_args(["geometry", kind, str(picture), *given, *words])
    assert options.run(options) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("kind", "at"), [(Lines, 0), (Pairs, 1), (Totem, 2)])
def test_the_documented_examples_are_accepted(kind, at):
    assert len(EXAMPLES) == 3
    kind.model_validate_json(EXAMPLES[at])


@pytest.mark.parametrize("kind", ["vanishing", "shadows"])
def test_the_documented_examples_run(capsys, tmp_path, picture, kind):
    marks = EXAMPLES[KINDS[kind][1]]
    out = tmp_path / "drawn.png"
    said = asked(capsys, tmp_path, kind, picture, marks, "--overlay", str(out))
    assert said.count("\n") >= 1
    drawn = np.asarray(Image.open(out).convert("RGB")).astype(int)
    assert drawn.shape == (600, 800, 3)
    assert (np.ptp(drawn, axis=2) > 40).sum() > 500  # the picture is grey, what is drawn has colour


def rails(*, turned=0):
    groups = [
        {"name": "rails", "segments": [[100, 590, 360, 205], [700, 590, 440, 205], [400, 590, 400, 205]]},
        {"name": "cart", "like": "rails", "segments": [[250, 590, 369 + turned, 236]]},
    ]
    return {"groups": groups}


def test_an_object_in_and_out_of_perspective(capsys, tmp_path, picture):
    good = json.loads(asked(capsys, tmp_path, "vanishing", picture, rails(), "--json"))
    assert good["tests"][0]["agrees"] is True
    assert good["vanishing_points"][0]["pixels"] == pytest.approx([400, 146], abs=6)
    bad = asked(capsys, tmp_path, "vanishing", picture, rails(turned=90))
    assert "'cart' is not in the perspective of 'rails'" in bad


def test_without_lines_they_are_detected(capsys, tmp_path, picture):
    found = json.loads(asked(capsys, tmp_path, "vanishing", picture, None, "--json"))
    assert found["lines"] == "detected"
    assert "straight edges were found" in found["says"][0]


def test_contradicting_shadows_are_named(capsys, tmp_path, picture):
    pairs = [
        {"name": "post", "shadow": [300, 500], "object": [300, 300]},
        {"name": "tree", "shadow": [500, 500], "object": [480, 300]},
        {"name": "man", "shadow": [400, 500], "object": [520, 480]},
    ]
    good = json.loads(asked(capsys, tmp_path, "shadows", picture, {"shadows": pairs[:2]}, "--json"))
    assert good["consistent"] is True
    said = asked(capsys, tmp_path, "shadows", picture, {"shadows": pairs})
    assert "No one light" in said
    assert "'man'" in said


def test_a_totem_points_at_the_edit(capsys, tmp_path):
    scene = totem_scene.example(180, 240)
    more = totem_scene.with_boxes(scene.room, [totem_scene.Box((-0.2, -0.6, 3.0), (0.5, 0.0, 3.6))])
    light, _ = totem_scene.edited(totem_scene.render(scene), totem_scene.render(scene, more), scene)
    Image.fromarray(totem_scene.stored(light)).save(tmp_path / "room.png")
    marks = {
        "camera": {"focal": scene.camera.focal},
        "balls": [{"centre": ball.centre, "radius": ball.radius, "index": ball.index} for ball in scene.balls],
        "room": {"low": scene.room.walls.low, "high": scene.room.walls.high},
        "boxes": [{"low": box.low, "high": box.high} for box in scene.room.solids],
    }
    out = tmp_path / "map.png"
    words = ("--json", "--overlay", str(out))
    found = json.loads(asked(capsys, tmp_path, "totem", tmp_path / "room.png", marks, *words))
    assert found["score"] > 0.01
    assert "other things than the picture" in found["says"][0]
    assert Image.open(out).size == (240, 180)
    marks["balls"][1]["centre"] = [9, 0, 20]
    with pytest.raises(VeriscopeError, match=r"balls\[1\]: .*inside the room"):
        asked(capsys, tmp_path, "totem", tmp_path / "room.png", marks)


@pytest.mark.parametrize(
    ("kind", "marks", "said"),
    [
        ("vanishing", "{", "marks.json: no JSON"),
        ("vanishing", "[]", "marks.json: it should be"),
        ("vanishing", {}, "marks nothing"),
        ("vanishing", {"groups": [{"name": "a", "segments": [[1, 2, 3]]}]}, r"groups\[0\]\.segments\[0\].* \('a'\)"),
        (
            "vanishing",
            {"groups": [{"name": "a", "segments": [[1, 2, 3, 4]]}]},
            r"groups\[0\] \('a'\) needs at least two",
        ),
        (
            "vanishing",
            {"groups": [{"name": "a", "segments": [[1, 2, 1, 2], [1, 2, 3, 4]]}]},
            r"segments\[0\] has no length",
        ),
        ("vanishing", {"groups": [{"name": "b", "like": "a", "segments": [[1, 2, 30, 40]]}]}, "like 'a'"),
        ("vanishing", {"groups": [], "typo": 1}, "typo"),
        ("vanishing", {"heights": [{"name": n, "foot": [1, 9], "head": [1, 2]} for n in "ab"]}, "need a horizon"),
        ("shadows", {"shadows": [{"name": "a", "shadow": [1, 2]}] * 2}, r"shadows\[0\] \('a'\): give 'shadow' with"),
        (
            "shadows",
            {"shadows": [{"name": "a", "shadow": [1, 2], "object": [2, 2]}] * 2},
            r"shadows\[0\] \('a'\): .*too near",
        ),
        (
            "shadows",
            {"shadows": [{"name": "a", "shadow": [1, "x"], "object": [2, 2]}] * 2},
            r"shadows\[0\]\.shadow\[1\]",
        ),
        (
            "totem",
            {
                "camera": {"focal": 100},
                "balls": [{"centre": [0, 0, 1], "radius": 2}],
                "room": {"low": [0] * 3, "high": [1] * 3},
            },
            r"balls\[0\]: a ball's radius",
        ),
    ],
)
def test_a_mistake_is_named(capsys, tmp_path, picture, kind, marks, said):
    with pytest.raises(VeriscopeError, match=said) as error:
        asked(capsys, tmp_path, kind, picture, marks)
    assert "\n" not in str(error.value)


def test_a_missing_file_of_marks_is_named(picture, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    geometry.add_to(parser.add_subparsers())
    options = parser.parse_args(["geometry", "shadows", str(picture), "--pairs", "none.json"])
    with pytest.raises(VeriscopeError, match=r"none\.json: cannot be read"):
        options.run(options)
