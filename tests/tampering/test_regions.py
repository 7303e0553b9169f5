import numpy as np
import pytest

from veriscope.tampering.regions import place, regions


def painted(*boxes, shape=(100, 200), value=0.9):
    """A map that is ``value`` in boxes of (top, bottom, left, right) pixels."""
    values = np.zeros(shape, np.float32)
    for top, bottom, left, right in boxes:
        values[top:bottom, left:right] = value
    return values


def test_each_region_has_its_area_box_place_and_mean():
    values = painted((5, 25, 10, 50)) + painted((80, 95, 150, 190), value=0.6)
    large, small = regions(values, np.ones_like(values))
    assert large.share == pytest.approx(20 * 40 / 20_000)
    assert large.box == pytest.approx((0.05, 0.05, 0.25, 0.25))
    assert large.place == "upper left"
    assert large.mean == pytest.approx(0.9)
    assert (small.place, small.mean) == ("lower right", pytest.approx(0.6))
    assert small.share < large.share


def test_what_is_not_judged_or_too_small_is_no_region():
    values = painted((5, 25, 10, 50), (60, 62, 60, 62))
    assert len(regions(values, np.ones_like(values), least=0)) == 2
    assert len(regions(values, np.ones_like(values))) == 1
    judged = np.ones_like(values)
    judged[:, :30] = 0
    (left,) = regions(values, judged)
    assert left.box[0] == pytest.approx(0.15)
    assert regions(values, np.zeros_like(values)) == []
    assert regions(values, np.ones_like(values), threshold=0.95) == []


def test_touching_corners_are_one_region_and_a_wound_one_keeps_its_own_mean():
    values = painted((10, 20, 10, 20), (20, 30, 20, 30))
    assert len(regions(values, np.ones_like(values))) == 1
    ring = painted((10, 90, 10, 190)) - painted((20, 80, 20, 180))
    ring += painted((40, 60, 80, 120), value=0.7)
    outer, inner = regions(ring, np.ones_like(ring))
    assert outer.mean == pytest.approx(0.9)
    assert inner.mean == pytest.approx(0.7)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (3, 500)])
def test_small_and_thin_maps(shape):
    (whole,) = regions(np.ones(shape, np.float32), np.ones(shape, np.float32))
    assert whole.share == 1
    assert whole.place == "nearly the whole picture"
    assert regions(np.zeros(shape, np.float32), np.ones(shape, np.float32)) == []


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one shape"):
        regions(np.zeros((4, 4), np.float32), np.zeros((4, 5), np.float32))


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((0.4, 0.02, 0.6, 0.2), "upper centre"),
        ((0.8, 0.45, 0.95, 0.55), "centre right"),
        ((0.02, 0.8, 0.2, 0.98), "lower left"),
        ((0.1, 0.0, 0.9, 0.15), "along the upper edge"),
        ((0.1, 0.7, 0.9, 0.85), "across the lower part"),
        ((0.0, 0.4, 1.0, 0.6), "across the middle"),
        ((0.0, 0.1, 0.1, 0.9), "along the left edge"),
        ((0.45, 0.0, 0.55, 1.0), "down the middle"),
        ((0.6, 0.1, 0.8, 0.9), "down the right part"),
        ((0.0, 0.5, 1.0, 1.0), "lower half"),
        ((0.5, 0.0, 1.0, 1.0), "right half"),
        ((0.2, 0.2, 0.85, 0.8), "centre"),
    ],
)
def test_places_in_words(box, words):
    assert place(box) == words
