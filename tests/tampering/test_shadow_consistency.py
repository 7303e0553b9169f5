import math

import numpy as np
import pytest

from veriscope.tampering.shadow_consistency import (
    HalfPlane,
    Wedge,
    best_within,
    between,
    exact_pair,
    normals,
    one_light,
    region,
)

ERROR = 0.005  # half diagonals: 2.5 of a picture of 800 by 600
FOCAL, GROUND = 1.5, 1.5
LIGHTS = {
    "lamp ahead": (3, -6, 10, 1),
    "lamp behind": (-3, -6, -4, 1),
    "sun ahead": (0.4, -0.6, 1, 0),
    "sun beside": (1, -1, 0, 0),
    "sun behind": (0.5, -1, -1, 0),
}


def cast(random, light, count):
    """Shadow and caster (2, 2) of posts on the ground, clicked within the error."""
    found = []
    for _ in range(count):
        foot = np.array([random.uniform(-2, 2), GROUND, random.uniform(4, 8)])
        top = foot - [0, random.uniform(0.5, 1.2), 0]
        way = np.array(light[:3]) - top * light[3]
        shadow = top + way * ((GROUND - top[1]) / way[1])
        ends = np.array([shadow, top])
        found.append(FOCAL * ends[:, :2] / ends[:, 2:] + random.uniform(-1, 1, (2, 2)) * ERROR / math.sqrt(2))
    return found


def marked(pairs):
    return [exact_pair(shadow, top, ERROR) for shadow, top in pairs]


def image(light):
    x, y, z = light[:3]
    return np.array([FOCAL * x, FOCAL * y, z])


@pytest.mark.parametrize("name", LIGHTS)
def test_shadows_of_one_light_agree_and_a_mirrored_one_does_not(name):
    random, light = np.random.default_rng(0), LIGHTS[name]
    for _ in range(4):
        marks = marked(cast(random, light, 5))
        found = one_light(marks)
        assert found.consistent
        assert found.widening == 0
        assert min((normals(mark) @ image(light)).min() for mark in marks) > 0
        assert found.in_front if light[2] > 0 else found.behind
        mirrored = (-light[0], *light[1:])
        found = one_light([*marks, *marked(cast(random, mirrored, 1))])
        assert not found.consistent
        assert 5 in found.conflict
        assert len(found.conflict) <= 4
        assert found.odd == (5,)
        assert 1 < found.widening <= 90


def test_the_conflict_is_one_and_as_small_as_can_be():
    random = np.random.default_rng(1)
    marks = marked([*cast(random, LIGHTS["sun ahead"], 3), *cast(random, LIGHTS["lamp behind"], 3)])
    found = one_light(marks)
    conflict = [marks[at] for at in found.conflict]
    assert not one_light(conflict).consistent
    if len(conflict) > 2:
        for at in range(len(conflict)):
            assert one_light([*conflict[:at], *conflict[at + 1 :]]).consistent


def test_the_widening_is_what_makes_them_agree():
    marks = marked(cast(np.random.default_rng(2), LIGHTS["lamp ahead"], 4))
    marks.append(Wedge(marks[0].tip, marks[0].angle + 0.5, marks[0].half))
    needed = math.radians(one_light(marks).widening)

    def widened(amount):
        return [Wedge(mark.tip, mark.angle, mark.half + amount) for mark in marks]

    assert one_light(widened(needed + 0.001)).consistent
    assert not one_light(widened(needed - 0.001)).consistent


def test_two_wedges_from_one_point_that_part_have_no_light():
    found = one_light([Wedge((0.1, 0.2), 0.0, 0.2), Wedge((0.1, 0.2), 1.0, 0.2)])
    assert not found.consistent
    assert found.conflict == (0, 1)
    assert found.widening == pytest.approx(math.degrees(0.3), abs=0.02)


def test_a_shaded_edge_halves_the_plane():
    wedge = Wedge((0.0, 0.5), -math.pi / 2, 0.1)
    assert one_light([wedge, HalfPlane((0.0, 0.0), -math.pi / 2)]).in_front
    away = one_light([wedge, HalfPlane((0.0, 0.6), math.pi / 2)])
    assert away.consistent
    assert away.behind
    assert not away.in_front


def test_what_lies_between_opens_the_wedge():
    tip, bounds = np.array([0.0, 0.5]), np.array([[-0.2, 0.0], [0.2, 0.0]])
    wedge = between(tip, bounds, ERROR)
    assert wedge.angle == pytest.approx(-math.pi / 2)
    assert math.atan(0.4) < wedge.half < math.atan(0.4) + 0.05
    crossing = between(np.array([0.5, 0.0]), np.array([[0.0, 0.1], [0.0, -0.1]]), ERROR)  # over the turn of angles
    assert abs(math.remainder(crossing.angle - math.pi, 2 * math.pi)) < 1e-9
    assert crossing.half < 0.3
    with pytest.raises(ValueError, match="180"):
        between(np.array([0.0, 0.0]), np.array([[-0.2, 0.0], [0.2, 0.0]]), ERROR)
    with pytest.raises(ValueError, match="too near"):
        exact_pair(tip, tip + 0.001, ERROR)


def test_the_region_holds_the_light_and_only_its_side():
    light = LIGHTS["lamp ahead"]
    marks = marked(cast(np.random.default_rng(3), light, 4))
    corners = region(marks)
    assert len(corners) >= 3
    at = image(light)[:2] / image(light)[2]
    assert (corners.min(0) <= at).all()
    assert (at <= corners.max(0)).all()
    assert len(region(marks, behind=True)) == 0


def test_the_best_direction_is_the_best_of_many():
    random = np.random.default_rng(4)
    planes = random.normal(0, 1, (20, 6, 3)) + np.array([0, 0, 1.5])
    planes /= np.linalg.norm(planes, axis=2, keepdims=True)
    tried = random.normal(0, 1, (4000, 3))
    tried /= np.linalg.norm(tried, axis=1, keepdims=True)
    sampled = np.einsum("tk,gmk->gtm", tried, planes).min(2).max(1)
    margins = best_within(planes)[1]
    inside = margins > 0
    assert inside.sum() > 3
    assert (margins[inside] >= sampled[inside]).all()
    assert (margins[inside] < sampled[inside] + 0.1).all()
    assert (sampled[~inside] <= 0).all()


def test_the_number_of_marks_is_bounded():
    wedge = Wedge((0.0, 0.0), 0.0, 0.1)
    for marks in ([wedge], [wedge] * 25):
        with pytest.raises(ValueError, match="2 to 24"):
            one_light(marks)
