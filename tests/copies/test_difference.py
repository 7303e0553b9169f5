"""Edits of a known original are found where they are; what sharing does to a copy stays quiet."""

import cv2
import numpy as np
import pytest
from skimage import data

from veriscope.copies.difference import difference
from veriscope.copies.verification import verify
from veriscope.lab.data.augmentation import jpeg
from veriscope.lab.data.copy_patterns import copied_for

PICTURES = {name: np.ascontiguousarray(getattr(data, name)()) for name in ("chelsea", "coffee", "astronaut")}


def iou(first, second):
    return (first & second).sum() / max((first | second).sum(), 1)


def pasted(name, number):
    """A copy of a picture with an ellipse of another pasted in, one of four ways of passing it on, and its mask."""
    generator = np.random.default_rng(number)
    made = PICTURES[name].copy()
    height, width = made.shape[:2]
    other = PICTURES["coffee" if name != "coffee" else "astronaut"]
    mask = np.zeros((height, width), np.uint8)
    axes = round(width * generator.uniform(0.07, 0.16)), round(height * generator.uniform(0.07, 0.16))
    middle = round(width * generator.uniform(0.25, 0.75)), round(height * generator.uniform(0.25, 0.75))
    cv2.ellipse(mask, middle, axes, 0, 0, 360, 1, -1)
    made[mask > 0] = cv2.resize(other, (width, height))[mask > 0]
    if number % 4 == 1:
        made, mask = made[20:], mask[20:]
    if number % 4 == 2:
        made = cv2.resize(made, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, made.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    if number % 4 == 3:
        made = np.clip(made[:, ::-1] * np.array([1.1, 0.9, 0.8]) + 12, 0, 255).astype(np.uint8)
        mask = mask[:, ::-1]
    return jpeg(np.ascontiguousarray(made), 75, subsample=True), mask > 0


def compared(copy, original):
    found = verify(copy, original)
    assert found is not None
    return difference(copy, original, found)


def test_pasted_parts_are_found_where_they_are():
    overlaps = []
    for number in range(12):
        name = list(PICTURES)[number % 3]
        copy, mask = pasted(name, number)
        found = compared(copy, PICTURES[name])
        assert found.map.shape == copy.shape[:2]  # none is larger than the working frame
        assert found.changes
        assert found.share == pytest.approx(mask.mean(), abs=0.05)
        overlaps.append(iou(found.map >= 0.5, mask))
    assert np.mean(np.array(overlaps) >= 0.3) >= 0.8
    assert np.median(overlaps) > 0.7


@pytest.mark.parametrize(
    "name",
    [
        *("jpeg heavy", "thumbnail", "crop half", "flip", "border", "greyscale", "tinted", "gamma", "negative"),
        *("sharpened", "printed", "rotate slightly", "perspective", "stretch", "small on other", "vignette"),
    ],
)
def test_benign_changes_stay_quiet(name):
    copy = copied_for(PICTURES["coffee"], PICTURES["astronaut"], name, "coffee")
    assert compared(copy, PICTURES["coffee"]).share < 0.03


def test_what_was_added_and_removed_is_told_and_placed():
    copy = PICTURES["coffee"].copy()
    cv2.putText(copy, "FAKE", (360, 110), cv2.FONT_HERSHEY_DUPLEX, 2.5, (255, 255, 255), 8)
    added = compared(copy, PICTURES["coffee"])
    assert added.changes[0].kind == "added"
    assert added.changes[0].region.place == "upper right"
    removed = compared(PICTURES["coffee"], copy)
    assert removed.changes[0].kind == "removed"
    assert "removed upper right" in removed.says


def test_outside_and_recolouring_are_told():
    copy = copied_for(PICTURES["chelsea"], PICTURES["coffee"], "phone screen", "a")
    found = compared(255 - copy, PICTURES["chelsea"])
    assert found.outside == pytest.approx(1 - 300 * 451 / (copy.shape[0] * copy.shape[1]), abs=0.03)
    assert found.recoloured > 0.2
    assert "lies outside the original" in found.says
    assert "colours were changed" in found.says


def test_a_large_original_is_compared_in_a_small_frame():
    large = cv2.resize(PICTURES["astronaut"], (1800, 1800), interpolation=cv2.INTER_CUBIC)
    copy = large.copy()
    copy[400:800, 400:700] = (30, 90, 200)
    found = compared(copy, large)
    assert found.map.shape == (640, 640)
    wanted = np.zeros((640, 640), bool)
    wanted[142:284, 142:249] = True
    assert iou(found.map >= 0.5, wanted) > 0.8
