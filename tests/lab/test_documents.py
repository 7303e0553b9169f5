"""Rendered documents: words lie where they are said to lie, and edits change what their masks say and nothing else."""

import csv

import cv2
import numpy as np
import pytest
from PIL import Image

from veriscope.errors import VeriscopeError
from veriscope.lab.data.documents import MANIFEST, make_documents
from veriscope.lab.data.manifest import faults, read_lines
from veriscope.lab.generators import layouts, typesetting
from veriscope.lab.generators.documents import Document, render
from veriscope.lab.generators.text_tampering import METHODS, make, other_text, tamper
from veriscope.lab.generators.typesetting import ASIDE, TRAIN, Face, Sheet, faces, faces_of

OWN = Face("Pillow", "Regular", "")


def sheet(size=20, height=200, width=300):
    return Sheet(height, width, OWN, OWN, size, (255, 255, 255), (0, 0, 0), (30, 90, 160), np.random.default_rng(0))


def test_boxes_hold_the_characters_and_nothing_else():
    page = sheet()
    page.write(20, 60, "Total 8406", page.ink())
    document = Document(np.array(page.image), tuple(page.words), np.eye(3))
    assert [word.text for word in document.words] == ["Total", "8406"]
    ink = document.pixels[:, :, 0] < 200
    outside = ink.copy()
    for word in document.words:
        left, top, right, low = document.box(word)
        assert ink[top:low, left:right].any(0).mean() > 0.7
        outside[top:low, left:right] = False
    assert not outside.any()
    left, top, right, low = document.box(document.words[1], 1, 2)  # the 4
    whole = document.box(document.words[1])
    assert whole[0] < left < right < whole[2]
    assert ink[top:low, left:right].any()


def test_boxes_follow_a_photographed_page():
    for seed in range(20):
        document = render(np.random.default_rng(seed), 200, 240)
        if document.way == "photograph" and document.layout in ("letter", "receipt") and len(document.words) > 4:
            break
    grey = cv2.cvtColor(document.pixels, cv2.COLOR_RGB2GRAY).astype(float)
    strokes = np.abs(np.diff(grey, axis=1, prepend=grey[:, :1]))
    covered = np.zeros(grey.shape, bool)
    for word in document.words:
        left, top, right, low = document.box(word)
        covered[top:low, left:right] = True
    assert strokes[covered].mean() > 2 * strokes[~covered].mean()


def test_parts_share_no_face_and_no_layout():
    known = [Face(f"{hand} {kind}", "Regular", "x") for hand in "ABCDEF" for kind in ("Sans", "Serif")]
    learned, aside = ({face.family for face in faces_of(part, known)} for part in (TRAIN, ASIDE))
    assert learned
    assert aside
    assert not {name[0] for name in learned} & {name[0] for name in aside}
    assert learned | aside == {face.family for face in known}
    assert not set(layouts.LAYOUTS[TRAIN]) & set(layouts.LAYOUTS[ASIDE])
    assert faces_of(TRAIN, [OWN]) == faces_of(ASIDE, [OWN]) == (OWN,)


def test_pillows_own_face_is_enough(monkeypatch):
    monkeypatch.setattr(typesetting, "FOLDERS", ())
    monkeypatch.setattr(typesetting, "_of_matplotlib", list)
    faces.cache_clear()
    try:
        assert faces() == (OWN,)
        assert render(np.random.default_rng(1), 128, 160).pixels.shape == (128, 160, 3)
    finally:
        faces.cache_clear()


@pytest.mark.parametrize("name", [name for part in layouts.LAYOUTS.values() for name in part])
def test_each_layout_writes_words_of_any_size(name):
    for size, height, width in ((9, 150, 200), (26, 300, 420)):
        page = sheet(size, height, width)
        {**layouts.LAYOUTS[TRAIN], **layouts.LAYOUTS[ASIDE]}[name](page)
        assert page.words
        assert np.array(page.image).std() > 3


@pytest.mark.parametrize("way", list(METHODS))
def test_an_edit_changes_what_its_mask_says(way):
    edited = 0
    for seed in range(8):
        document = render(np.random.default_rng(seed), 160, 200)
        pixels, mask, methods = tamper(document, np.random.default_rng(seed), ways=(way,))
        assert set(methods) <= {way}
        assert (mask > 0).any() == bool(methods)
        changed = np.abs(pixels.astype(int) - document.pixels).max(2)
        assert not changed[mask == 0].any()
        if methods:
            edited += 1
            assert changed[mask > 0].mean() > 0.5
    assert edited >= 4


def test_a_document_and_its_twin_share_their_histories():
    found = next(found for seed in range(9) if (found := make(np.random.default_rng(seed), 160, 160)).mask.any())
    assert found.pixels.shape == found.twin.shape == (160, 160, 3)
    difference = np.abs(found.pixels.astype(int) - found.twin).max(2)
    near = cv2.dilate(found.mask.astype(np.uint8), np.ones((41, 41), np.uint8)) > 0
    assert difference[found.mask].mean() > 3
    assert difference[~near].max(initial=0) <= 24  # the last save's blocks alone carry the edit further
    left_alone = make(np.random.default_rng(3), 160, 160, tampering=False)
    assert not left_alone.mask.any()
    assert np.array_equal(left_alone.pixels, left_alone.twin)
    again = make(np.random.default_rng(3), 160, 160, tampering=False)
    assert np.array_equal(left_alone.pixels, again.pixels)


def test_other_text_is_of_the_same_kinds():
    generator = np.random.default_rng(0)
    for _ in range(20):
        other = other_text("8a-5Z", generator)
        assert other != "8a-5Z"
        assert [character.isdigit() for character in other] == [True, False, False, True, False]
        assert other[2] == "-"
        assert other[4].isupper()


def test_a_folder_of_documents_is_sound_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr("veriscope.lab.data.documents.SIDES", (120, 160))
    assert make_documents(4, tmp_path, seed=5, say=print) == 4
    lines = read_lines(tmp_path / MANIFEST)
    assert not faults(lines)
    assert [line.row.label for line in lines] == ["real", "edited"] * 2
    assert {line.row.split for line in lines} == {"train", "val"}
    for line in lines:
        if line.row.mask:
            mask, pixels = np.asarray(Image.open(line.row.mask)), np.asarray(Image.open(line.row.path))
            assert mask.shape == pixels.shape[:2]
            assert set(np.unique(mask)) == {0, 255}
    first = lines[1].row.path.read_bytes()
    lines[1].row.path.unlink()
    assert make_documents(6, tmp_path, seed=5, say=print) == 3
    assert lines[1].row.path.read_bytes() == first
    with pytest.raises(VeriscopeError, match="another folder"):
        make_documents(4, tmp_path, seed=6, say=print)
    with (tmp_path / MANIFEST).open(newline="") as file:
        assert "original_format" in csv.DictReader(file).fieldnames
