import math

import cv2
import numpy as np
import pytest

from veriscope.tampering.horizon import (
    clicked_horizon,
    equal_heights,
    focal_length,
    height,
    horizon,
    principal_point,
)
from veriscope.tampering.perspective import (
    Frame,
    agreement,
    chi_square_tail,
    detected_segments,
    detected_vanishing_points,
    odd_one_out,
    vanishing_point,
)

FRAME = Frame(800, 600)
SIGMA = 1.5 / FRAME.scale
FOCAL = 1.8
TILT, TURN = 0.12, 0.6  # radians: the camera looks down, and to one side
TURNED = np.array(
    [[math.cos(TURN), 0, math.sin(TURN)], [0, 1, 0], [-math.sin(TURN), 0, math.cos(TURN)]],
)
TILTED = np.array([[1, 0, 0], [0, math.cos(TILT), -math.sin(TILT)], [0, math.sin(TILT), math.cos(TILT)]]) @ TURNED


def seen(points):
    ways = np.atleast_2d(points) @ TILTED.T
    return FOCAL * ways[:, :2] / ways[:, 2:]


def edges(random, direction, count, sigma=SIGMA):
    """Clicked segments (count, 4) of edges that have one direction in the scene."""
    found = []
    while len(found) < count:
        start = random.uniform([-3, -1.5, 3], [3, 1.5, 9])
        ends = np.array([start, start + np.asarray(direction) * random.uniform(1, 2.5)])
        if (ends @ TILTED.T)[:, 2].min() > 1 and np.abs(seen(ends)).max() < 1.1:
            found.append(seen(ends).ravel())
    return np.array(found) + random.normal(0, sigma, (count, 4))


def truth(direction):
    x, y, z = TILTED @ direction
    point = np.array([FOCAL * x, FOCAL * y, z])
    return point / np.linalg.norm(point)


def test_pixels_and_half_diagonals_are_inverse():
    pixels = np.array([[0.0, 0.0, 799.0, 599.0], [12.5, 300.0, 400.0, 7.0]])
    inner = FRAME.inward(pixels)
    assert np.allclose(np.hypot(*inner[0, :2]), 1, atol=0.002)
    assert np.allclose(FRAME.outward(np.array([*inner[1, :2], 1.0])), pixels[1, :2])
    assert FRAME.outward(np.array([1.0, 0.5, 0.0])) is None


@pytest.mark.parametrize(("value", "freedom"), [(3.841459, 1), (5.991465, 2), (11.070498, 5), (18.307038, 10)])
def test_chi_square_has_the_tables_tail(value, freedom):
    assert chi_square_tail(value, freedom) == pytest.approx(0.05, abs=1e-6)


def test_a_vanishing_point_is_found_as_exactly_as_it_says():
    random = np.random.default_rng(0)
    misses, chances = [], []
    for _ in range(30):
        found = vanishing_point(edges(random, [1, 0, 0], 6), SIGMA)
        true = truth([1, 0, 0])
        off = found.point - true * np.sign(true @ found.point)
        misses.append(off @ np.linalg.pinv(found.covariance, rcond=1e-6) @ off)
        chances.append(found.p)
    assert 1 < np.mean(misses) < 3.5  # 2 degrees of freedom
    assert 0.3 < np.mean(chances) < 0.7


def test_parallel_segments_meet_infinitely_far():
    ends = FRAME.inward(np.array([[100.0, y, 700.0, y] for y in (100, 250, 480)]))
    found = vanishing_point(ends, SIGMA)
    assert FRAME.outward(found.point) is None
    assert abs(found.point[0]) == pytest.approx(1, abs=1e-6)


def test_an_object_in_perspective_agrees_and_a_turned_one_does_not():
    random = np.random.default_rng(1)
    same = [agreement(edges(random, [0, 0, 1], 5), edges(random, [0, 0, 1], 2), SIGMA).p for _ in range(12)]
    turned = [math.sin(0.25), 0, math.cos(0.25)]
    other = [agreement(edges(random, [0, 0, 1], 5), edges(random, turned, 3), SIGMA).p for _ in range(5)]
    assert min(same) > 0.001
    assert 0.25 < np.mean(same) < 0.75
    assert np.median(other) < 1e-6


def test_clumsy_clicks_do_not_convict():
    random = np.random.default_rng(2)
    clumsy = [
        agreement(edges(random, [0, 0, 1], 8, 6 * SIGMA), edges(random, [0, 0, 1], 2, 6 * SIGMA), SIGMA).p
        for _ in range(8)
    ]
    assert np.median(clumsy) > 0.05
    assert np.mean(np.array(clumsy) < 0.001) < 0.3


def test_the_odd_segment_is_named():
    random = np.random.default_rng(3)
    ends = edges(random, [1, 0, 0], 6)
    assert odd_one_out(ends, SIGMA)[1] > 0.01
    ends[4, 3] += 30 / FRAME.scale
    at, p = odd_one_out(ends, SIGMA)
    assert at == 4
    assert p < 0.001


def test_too_little_is_refused():
    one = np.array([[0.0, 0, 0.5, 0.5]])
    with pytest.raises(ValueError, match="two segments"):
        vanishing_point(one, SIGMA)
    with pytest.raises(ValueError, match="same point"):
        vanishing_point(np.array([[0.0, 0, 0.5, 0.5], [0.1, 0.1, 0.1, 0.1]]), SIGMA)
    with pytest.raises(ValueError, match="odd"):
        odd_one_out(np.vstack([one, one + 0.1]), SIGMA)


def test_detected_edges_of_drawn_rays_meet_where_they_should():
    rgb = np.full((600, 800, 3), 200, np.uint8)
    centre = np.array([430, 260])
    for angle in np.linspace(0, 2 * np.pi, 9, endpoint=False):
        ways = np.array([[math.cos(angle + turn), math.sin(angle + turn)] for turn in (0, 0.3)])
        corners = [*(centre + 60 * ways), *(centre + 320 * ways[::-1])]
        cv2.fillPoly(rgb, [np.rint(corners).astype(np.int32)], (90, 60, 40), cv2.LINE_AA)
    ends, sigma = detected_segments(rgb)
    (point, members), *_ = detected_vanishing_points(ends, sigma)
    assert np.hypot(*(Frame(800, 600).outward(point.point) - centre)) < 1.5
    assert members.sum() >= 14


def test_unrelated_segments_and_nothing_have_no_vanishing_point():
    random = np.random.default_rng(10)
    for _ in range(3):
        middles, angles = random.uniform(-0.6, 0.6, (120, 2)), random.uniform(0, np.pi, 120)
        reach = 0.05 * np.column_stack([np.cos(angles), np.sin(angles)])
        assert detected_vanishing_points(np.hstack([middles - reach, middles + reach]), 0.001) == []
    ends, sigma = detected_segments(np.full((64, 70, 3), 90, np.uint8))
    assert ends.shape == (0, 4)
    assert detected_vanishing_points(ends, sigma) == []


def camera_points(random):
    return [vanishing_point(edges(random, direction, 12), SIGMA) for direction in np.eye(3)]


def test_horizon_focal_length_and_centre_are_the_cameras():
    random = np.random.default_rng(5)
    x, upright, z = camera_points(random)
    level = horizon(np.array([x.point, z.point]), np.array([x.covariance, z.covariance]))
    true = np.cross(truth([1, 0, 0]), truth([0, 0, 1]))
    true /= np.linalg.norm(true) * np.sign(true[1])
    assert np.allclose(level.line, true, atol=0.03)
    assert abs(level.tilt) < 1.5
    focal = focal_length(x, z)
    assert abs(focal.value - FOCAL) < 4 * focal.error < 0.5
    right, down, again = principal_point([x, upright, z])
    assert abs(right.value) < 4 * right.error
    assert abs(down.value) < 4 * down.error
    assert abs(again.value - FOCAL) < 4 * again.error


def test_a_focal_length_is_not_made_up():
    flat = vanishing_point(FRAME.inward(np.array([[100.0, y, 700.0, y] for y in (100, 480)])), SIGMA)
    assert focal_length(flat, camera_points(np.random.default_rng(6))[2]) is None


def test_points_off_one_horizon_are_noticed():
    random = np.random.default_rng(7)
    level = [vanishing_point(edges(random, [math.cos(a), 0, math.sin(a)], 8), SIGMA) for a in (0.2, 1.0, 1.6)]
    rising = vanishing_point(edges(random, [0.3, 0.3, 0.9], 8), SIGMA)

    def p(points):
        return horizon(np.array([at.point for at in points]), np.array([at.covariance for at in points])).p

    assert p(level) > 0.001
    assert p([*level, rising]) < 1e-4


def standing(random, tall):
    """Feet and heads of people ``tall`` in camera heights (the camera is 1.5 above the ground)."""
    ground = np.column_stack(
        [random.uniform(-2, 2, len(tall)), np.full(len(tall), 1.5), random.uniform(5, 10, len(tall))]
    )
    return seen(ground), seen(ground - np.outer(1.5 * np.asarray(tall), [0, 1, 0]))


def true_horizon():
    return clicked_horizon(seen(np.array([[-2e5, 0, 1e6], [5e5, 0, 1e6]])).ravel(), SIGMA)


def test_heights_are_measured_in_camera_heights():
    tall = [0.5, 1.0, 1.15, 2.0]
    feet, heads = standing(np.random.default_rng(8), tall)
    assert np.allclose(height(feet, heads, true_horizon().line, truth([0, 1, 0])), tall, atol=1e-6)


def test_a_figure_of_the_wrong_size_stands_out():
    random = np.random.default_rng(9)
    feet, heads = standing(random, [1.1, 1.14, 1.08, 1.12])
    found = equal_heights(feet, heads, true_horizon(), SIGMA, vertical=truth([0, 1, 0]))
    assert found.p > 0.01
    feet, heads = standing(random, [1.1, 1.14, 1.7, 1.12])
    found = equal_heights(feet, heads, true_horizon(), SIGMA, vertical=truth([0, 1, 0]))
    assert found.p < 1e-4
    assert np.argmax(np.abs(found.deviations)) == 2
    with pytest.raises(ValueError, match="object 1's foot"):
        equal_heights(heads - 1, heads, true_horizon(), SIGMA)
