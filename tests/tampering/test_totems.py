import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from veriscope.tampering import totem_fit, totem_scene, totems
from veriscope.tampering.rays import Ball, Box, Pinhole, Room, ball_hit, refracted, room_hit, through

SCENE = totem_scene.example(180, 240)
PASTED = Box((-0.2, -0.6, 3.0), (0.5, 0.0, 3.6))


@pytest.fixture(scope="module")
def light():
    return totem_scene.render(SCENE)


@pytest.fixture(scope="module")
def erased(light):
    return totem_scene.edited(light, totem_scene.render(SCENE, totem_scene.without_last(SCENE.room)), SCENE)


@pytest.fixture(scope="module")
def pasted(light):
    return totem_scene.edited(light, totem_scene.render(SCENE, totem_scene.with_boxes(SCENE.room, [PASTED])), SCENE)


def called(found, truth):
    """Shares of the edit and of the rest that are called, where judged."""
    edit = cv2.resize(truth.astype(np.float32), found.map.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    judged, over = found.judged > 0, found.map >= 0.5
    return over[edit & judged].mean() if (edit & judged).any() else 0.0, over[~edit & judged].mean()


def saved(rgb, quality):
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out))


def test_snells_law():
    ways = np.array([[np.sin(angle), 0, np.cos(angle)] for angle in (0, 0.3, 0.9)])
    after = refracted(ways, np.tile([0.0, 0, -1], (3, 1)), 1 / 1.5)
    assert np.allclose(after[:, 0] * 1.5, ways[:, 0])
    assert np.allclose(np.linalg.norm(after, axis=1), 1)
    assert np.isnan(refracted(ways, np.tile([0.0, 0, -1], (3, 1)), 1.5)[2]).all()  # totally reflected


def test_a_ball_focuses_where_optics_say():
    ball = Ball((0.0, 0.0, 5.0), 1.0, 1.5)
    origins = np.array([[0.02, 0.0, 0.0]])
    ways = np.array([[0.0, 0, 1]])
    leaving, onward = through(ball, origins, ways, ball_hit(ball, origins, ways))
    crossing = leaving[0, 2] - leaving[0, 0] * onward[0, 2] / onward[0, 0]
    assert crossing - 5 == pytest.approx(1.5 / (2 * 0.5), abs=0.01)  # n r / (2 (n - 1)) behind the centre
    missed = ball_hit(ball, np.array([1.5, 0, 0]), ways)
    assert np.isinf(missed).all()


def test_the_nearest_surface_is_met():
    room = Room(Box((-1, -1, -1), (1, 1, 6)), (Box((-0.5, -0.5, 3), (0.5, 0.5, 4)),))
    ways = np.array([[0.0, 0, 1], [0, 1, 0], [-0.6, 0, 0.8]])
    distance, surface = room_hit(room, np.zeros(3), ways)
    assert np.allclose(distance, [3, 1, 1 / 0.6])
    assert surface.tolist() == [10, 3, 0]


def test_a_ball_shows_what_the_camera_shows():
    pairs = totems.correspondences(180, 240, SCENE.camera, SCENE.balls, SCENE.room)
    assert len(pairs.ball) > 500
    assert pairs.covered[pairs.ball[:, 1], pairs.ball[:, 0]].all()
    assert not pairs.covered[tuple(np.rint(pairs.camera).astype(int).T[::-1])].any()
    one = totems.correspondences(180, 240, SCENE.camera, SCENE.balls[:1], SCENE.room)
    assert np.corrcoef(one.ball[:, 0], one.camera[:, 0])[0, 1] < -0.7  # the view is turned round
    assert np.corrcoef(one.ball[:, 1], one.camera[:, 1])[0, 1] < -0.7


@pytest.mark.parametrize("change", ["none", "JPEG 80", "darker"])
def test_an_untouched_picture_agrees(light, change):
    rgb = totem_scene.stored(0.5 * light if change == "darker" else light)
    found = totems.check(saved(rgb, 80) if change == "JPEG 80" else rgb, SCENE.camera, SCENE.balls, SCENE.room)
    assert called(found, np.zeros(rgb.shape[:2]))[1] < 0.01
    assert found.score < 0.01
    assert found.judged.mean() > 0.3
    assert found.map[found.judged == 0].max() == 0


def test_an_erased_box_is_found_where_it_was(erased):
    picture, truth = erased
    room = totem_scene.without_last(SCENE.room)  # what one would believe from the picture
    for rgb in (totem_scene.stored(picture), saved(totem_scene.stored(picture), 85)):
        found = totems.check(rgb, SCENE.camera, SCENE.balls, room)
        inside, outside = called(found, truth)
        assert inside > 0.5
        assert outside < 0.2
        assert "other things than the picture" in found.says


def test_a_pasted_box_is_found_where_it_is(pasted):
    picture, truth = pasted
    for room in (SCENE.room, totem_scene.with_boxes(SCENE.room, [PASTED])):
        found = totems.check(totem_scene.stored(picture), SCENE.camera, SCENE.balls, room)
        inside, outside = called(found, truth)
        assert inside > 0.5
        assert outside < 0.1
        assert 0.01 < found.score < 0.3


def test_misplaced_balls_are_moved_back(pasted):
    picture, truth = pasted
    rgb = totem_scene.stored(picture)
    ball = SCENE.balls[0]
    rough = replace(ball, centre=(ball.centre[0] + 0.008, ball.centre[1] - 0.006, ball.centre[2] + 0.01))
    (moved,) = totem_fit.refined(rgb, SCENE.camera, [rough], SCENE.room)
    before, after = (totem_fit.misfit(rgb, SCENE.camera, [tried], SCENE.room) for tried in (rough, moved))
    assert after < 0.7 * before
    assert np.abs(np.subtract(moved.centre, ball.centre))[:2].max() < 0.004
    assert called(totems.check(rgb, SCENE.camera, [moved], SCENE.room), truth)[0] > 0.4


def test_the_far_wall_is_where_the_views_agree(light):
    found = totem_fit.estimated_depth(
        totem_scene.stored(light), SCENE.camera, SCENE.balls, SCENE.room, [3.7, 3.95, 4.2, 4.6, 5.2]
    )
    assert found == 4.2


def test_where_balls_show_nothing_nothing_is_judged():
    tiny = Ball((0.0, 0.0, 3.0), 0.01, 1.5)
    room = Room(Box((-2, -2, -1), (2, 2, 4)))
    found = totems.check(np.full((64, 64, 3), 90, np.uint8), Pinhole(60, (31.5, 31.5)), [tiny], room)
    assert found.reliability == 0
    assert found.map.max() == found.judged.max() == found.score == 0
    with pytest.raises(ValueError, match="at least one ball"):
        totems.check(np.zeros((64, 64, 3), np.uint8), Pinhole(60, (31.5, 31.5)), [], room)


def test_a_large_picture_is_made_smaller_with_its_camera(monkeypatch):
    monkeypatch.setattr(totems, "MOST_PIXELS", 180 * 240 // 4)
    rgb, camera = totems.bounded(np.zeros((180, 240, 3), np.uint8), SCENE.camera)
    assert rgb.shape == (90, 120, 3)
    point = np.array([[0.4, -0.3, 2.0]])
    assert np.allclose((SCENE.camera.pixels(point) + 0.5) / 2, camera.pixels(point) + 0.5)


def test_a_flat_room_gives_an_empty_map():
    height, width = SCENE.height, SCENE.width
    found = totems.check(np.full((height, width, 3), 120, np.uint8), SCENE.camera, SCENE.balls, SCENE.room)
    assert found.map.max() < 0.1


@pytest.mark.parametrize(
    "wrong", [{"radius": 0.0}, {"radius": 2.0}, {"index": 1.0}, {"centre": (0.0, 0.0, -1.0)}], ids=str
)
def test_impossible_balls_are_refused(wrong):
    with pytest.raises(ValueError, match="ball"):
        Ball(**{"centre": (0.0, 0.0, 1.0), "radius": 0.2, "index": 1.5} | wrong)
