"""``veriscope index patterns``: learned from pairs, listed, used, forgotten; wrong pairs are said by line."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope.cli import main

NAMES = (
    "chelsea",
    "coffee",
    "astronaut",
    "rocket",
    "immunohistochemistry",
    "retina",
    "hubble_deep_field",
    "colorwheel",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pairs")
    lines = ["original,replica"]
    for name in NAMES:
        rgb = cv2.resize(np.ascontiguousarray(getattr(data, name)()[..., :3]), (320, 240), interpolation=cv2.INTER_AREA)
        green = np.clip(rgb.astype(int) // 4 + np.array([0, 190, 0]), 0, 255).astype(np.uint8)
        Image.fromarray(rgb).save(made / f"{name}.png")
        Image.fromarray(green).save(made / f"{name}-green.png")
        lines.append(f"{name}.png,{name}-green.png")
    (made / "green.csv").write_text("\n".join(lines) + "\n")
    assert main(["index", "add", "--index", str(made / "known"), str(made / "chelsea.png")]) == 0
    return made


def test_a_pattern_is_learned_listed_and_forgotten(folder, capsys):
    index = ["--index", str(folder / "known")]
    assert main(["index", "patterns", "learn", *index, "--json", str(folder / "green.csv")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["pairs"]) == ("green", len(NAMES))
    assert told["gain"] > 0
    assert main(["index", "patterns", "list", *index, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [told]
    assert main(["index", "search", *index, "--json", str(folder / "chelsea.png")]) == 0
    assert json.loads(capsys.readouterr().out)["matches"][0]["reference"].endswith("chelsea.png")
    assert main(["index", "patterns", "forget", *index, "green"]) == 0
    assert main(["index", "patterns", "list", *index]) == 0
    assert "no patterns" in capsys.readouterr().out


def test_pairs_that_cannot_be_read_are_said_and_nothing_is_kept(folder, tmp_path, capsys):
    index = ["--index", str(folder / "known")]
    few = tmp_path / "few.csv"
    few.write_text("original,replica\na.png,b.png\n")
    assert main(["index", "patterns", "learn", *index, str(few)]) != 0
    assert "between 5 and 50" in capsys.readouterr().err
    few.write_text("original,replica\na.png,\n")
    assert main(["index", "patterns", "learn", *index, str(few)]) != 0
    assert "line 2" in capsys.readouterr().err
    few.write_text("first,second\na,b\n")
    assert main(["index", "patterns", "learn", *index, str(few)]) != 0
    assert "original and replica" in capsys.readouterr().err
    assert not list((folder / "known" / "patterns").glob("few*"))
