"""The watch list: marks found where they are shown, ordinary pictures left in peace, and a list that is never half written."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps

from tests.copies.samples import PICTURES, picture
from veriscope.cli import main
from veriscope.copies.locking import locked
from veriscope.copies.marks import LIST, THRESHOLD, WatchList
from veriscope.errors import VeriscopeError

LEFT, TOP, SIDE = 290, 60, 130  # pixels: where the mark is pasted


def emblem():
    """A mark as companies have: a disc with a letter, a bar and a corner cut out of it."""
    image = Image.new("RGB", (260, 260), "white")
    pen = ImageDraw.Draw(image)
    pen.ellipse((10, 10, 250, 250), (20, 60, 160))
    pen.polygon([(130, 130), (250, 130), (250, 250)], "white")
    pen.text((112, 112), "R", "white", ImageFont.load_default(150), anchor="mm")
    pen.rectangle((40, 190, 130, 206), (250, 190, 20))
    return image


def page():
    """A page's screenshot: a header, a photograph, text and a form."""
    image = Image.new("RGB", (640, 480), (246, 247, 250))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, 640, 60), (30, 34, 60))
    pen.text((20, 30), "Northern Savings", "white", ImageFont.load_default(28), anchor="lm")
    image.paste(Image.fromarray(PICTURES["coffee"]).resize((240, 170)), (370, 90))
    for row, line in enumerate(("Sign in to your account", "Name and number of your card", "We never ask by mail")):
        pen.text((30, 110 + 40 * row), line, (50, 50, 60), ImageFont.load_default(20))
    for row in range(2):
        pen.rectangle((30, 290 + 60 * row, 330, 330 + 60 * row), "white", (120, 120, 130))
    pen.rounded_rectangle((30, 420, 160, 460), 8, (200, 60, 40))
    return image


def shown(mark, name="chelsea"):
    """A photograph with the mark pasted on it."""
    image = Image.fromarray(PICTURES[name]).convert("RGB")
    image.paste(mark.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (LEFT, TOP))
    return np.asarray(image)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    found = WatchList.create(folder)
    found.add("Rota", [picture(np.asarray(emblem()), "rota.png")], ["rota.png"])
    found.add("Northern Savings", [picture(np.asarray(page()), "page.png")], ["page.png"])
    return found


@pytest.mark.parametrize("manipulated", [lambda mark: mark, ImageOps.invert, ImageOps.mirror])
def test_a_mark_is_found_where_it_is_pasted_in_other_colours_or_mirrored(watched, manipulated):
    rgb = shown(manipulated(emblem()))
    (found,) = watched.check(picture(rgb, quality=70))
    assert found.mark == "Rota"
    assert found.reference == "rota.png"
    assert THRESHOLD <= found.score <= 1
    height, width = rgb.shape[:2]
    wanted = LEFT / width, TOP / height, (LEFT + SIDE) / width, (TOP + SIDE) / height
    assert np.allclose(found.box, wanted, atol=0.06)
    assert "Rota" in found.says


def test_a_page_is_found_in_a_smaller_screenshot_of_it(watched):
    smaller = Image.new("RGB", (500, 420), (90, 90, 95))
    smaller.paste(page().resize((440, 330), Image.Resampling.LANCZOS), (30, 60))
    (found,) = watched.check(picture(np.asarray(smaller), quality=60))
    assert found.mark == "Northern Savings"
    assert np.allclose(found.box, (30 / 500, 60 / 420, 470 / 500, 390 / 420), atol=0.06)


@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_an_ordinary_picture_shows_no_mark(watched, name):
    small = Image.fromarray(PICTURES[name]).resize((400, 300))
    assert watched.check(picture(np.asarray(small), quality=85)) == []


def test_the_commands_add_list_check_and_remove(tmp_path, capsys):
    emblem().save(tmp_path / "rota.png")
    Image.fromarray(shown(emblem())).save(tmp_path / "query.jpg")
    index = ["--index", str(tmp_path / "known")]
    assert main(["index", "watch", "add", *index, "Rota", str(tmp_path / "rota.png")]) == 0
    assert main(["index", "watch", "add", *index, "Rota", str(tmp_path / "rota.png")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told] == ["watched", "known"]
    assert main(["index", "watch", "list", *index, "--json"]) == 0
    assert [mark["mark"] for mark in json.loads(capsys.readouterr().out)] == ["Rota"]
    assert main(["index", "watch", "check", *index, "--json", str(tmp_path / "query.jpg")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["query"].endswith("query.jpg")
    (match,) = answer["matches"]
    assert set(match) == {"mark", "reference", "score", "box", "says"}
    assert match["mark"] == "Rota"
    assert main(["index", "watch", "remove", *index, "Rota"]) == 0
    assert main(["index", "watch", "remove", *index, "Rota"]) == 2
    capsys.readouterr()
    assert main(["index", "watch", "check", *index, "--json", str(tmp_path / "query.jpg")]) == 0
    assert json.loads(capsys.readouterr().out)["matches"] == []


def test_the_list_lies_in_an_index_and_both_go_on(tmp_path, capsys):
    Image.fromarray(PICTURES["coffee"]).save(tmp_path / "coffee.png")
    emblem().save(tmp_path / "rota.png")
    index = ["--index", str(tmp_path / "known")]
    assert main(["index", "add", *index, str(tmp_path / "coffee.png")]) == 0
    assert main(["index", "watch", "add", *index, "Rota", str(tmp_path / "rota.png")]) == 0
    assert main(["index", "add", *index, str(tmp_path / "rota.png")]) == 0
    assert main(["index", "verify", *index]) == 0
    assert "2 pictures" in capsys.readouterr().out
    assert main(["index", "watch", "list", *index]) == 0
    assert capsys.readouterr().out.startswith("Rota: ")


def test_a_plain_picture_is_refused_and_nothing_of_its_command_is_kept(tmp_path):
    pictures = [picture(np.asarray(emblem())), picture(np.full((80, 80, 3), 200, np.uint8), "plain.png")]
    with pytest.raises(VeriscopeError, match=r"plain\.png: next to no edges"):
        WatchList.create(tmp_path).add("Rota", pictures, ["a", "b"])
    assert not (tmp_path / LIST).exists()


def test_a_second_writer_waits_and_then_says_so(tmp_path):
    with locked(tmp_path / "write.lock", 0), pytest.raises(VeriscopeError):
        WatchList.create(tmp_path).add("Rota", [picture(np.asarray(emblem()))], ["rota.png"], wait=0.1)
    assert not (tmp_path / LIST).exists()


@pytest.mark.parametrize(
    ("held", "said"), [("{", "damaged"), ('{"schema": 99, "marks": []}', "schema 99"), ('{"schema": 1}', "damaged")]
)
def test_a_damaged_list_or_one_of_another_version_is_said_and_left_as_it_is(tmp_path, held, said):
    (tmp_path / LIST).write_text(held)
    with pytest.raises(VeriscopeError, match=said):
        WatchList.open(tmp_path)
    with pytest.raises(VeriscopeError, match=said):
        WatchList.create(tmp_path).add("Rota", [picture(np.asarray(emblem()))], ["rota.png"])
    assert (tmp_path / LIST).read_text() == held


def test_no_list_and_a_lost_picture_of_a_mark_name_the_mend(tmp_path):
    with pytest.raises(VeriscopeError, match="veriscope index watch add"):
        WatchList.open(tmp_path)
    held = WatchList.create(tmp_path)
    held.add("Rota", [picture(np.asarray(emblem()))], ["rota.png"])
    next((tmp_path / ".marks").glob("*.png")).unlink()
    with pytest.raises(VeriscopeError, match=r"mark 'Rota' is missing or damaged.*watch remove"):
        held.check(picture(PICTURES["coffee"]))
