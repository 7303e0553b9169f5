"""Lines, vanishing points and the camera of scenes that were projected, and of ones that were not."""

import cv2
import numpy as np
import pytest
from skimage import data

from veriscope.synthetic import geometry, lines, shadows

FOCAL, WIDTH, HEIGHT = 1.5, 720, 480  # half diagonals, pixels, pixels


def projected(points, pitch, yaw, focal=FOCAL):
    """Points (N, 3) of a scene (x right, y down, z ahead) in the pixels of a camera that looks up by ``pitch``."""
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    tip = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    seen = points @ (tip @ turn).T
    half = np.hypot(WIDTH, HEIGHT) / 2
    return seen[:, :2] / seen[:, 2:] * focal * half + np.array([WIDTH, HEIGHT]) / 2 - 0.5


def scene(pitch=0.18, yaw=0.6, bend=0.0, wander=0.0, seed=0):
    """A picture of boxes standing on a floor; each edge may be bent, or its far end moved, by so many pixels."""
    generator = np.random.default_rng(seed)
    canvas = np.full((HEIGHT, WIDTH), 205, np.uint8)
    boxes = [((x, y, z), (1.6, 1.5, 1.7)) for x in (-5, -2.2, 0.6, 3.4) for y in (-2.6, -0.4) for z in (4.5, 8, 12)]
    for number, (corner, size) in enumerate(boxes):
        ends = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * size + corner
        for one in range(8):
            for axis in (1, 2, 4):
                other = one ^ axis
                if other < one:
                    continue
                way = ends[[one]] + np.linspace(0, 1, 40)[:, None] * (ends[other] - ends[one])
                drawn = projected(way, pitch, yaw)
                arc = np.sin(np.linspace(0, np.pi, 40))[:, None] * bend
                drawn = drawn + arc + np.linspace(0, 1, 40)[:, None] * generator.normal(0, max(wander, 1e-9), 2)
                shade = 40 + 15 * (number % 6)
                cv2.polylines(canvas, [np.rint(drawn * 8).astype(np.int32)], False, shade, 3, cv2.LINE_AA, shift=3)
    return np.repeat(cv2.GaussianBlur(canvas, (0, 0), 0.7)[..., None], 3, axis=2)


def truth(pitch=0.18, yaw=0.6):
    """The three vanishing directions of ``scene``."""
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    tip = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    return (tip @ turn).T


@pytest.fixture(scope="module")
def sound():
    found = lines.segments(scene())
    return found, lines.families(found)


def test_segments_lie_on_the_edges_that_were_drawn():
    canvas = np.full((300, 400, 3), 220, np.uint8)
    cv2.line(canvas, (60, 250), (340, 50), (30, 30, 30), 5, cv2.LINE_AA)
    found = lines.segments(canvas)
    assert 2 <= len(found) <= 4  # both sides of the stroke
    long = found.pixels[0]
    assert found.lengths[0] * found.scale == pytest.approx(np.hypot(280, 200), rel=0.05)
    assert np.arctan2(long[3] - long[1], long[2] - long[0]) % np.pi == pytest.approx(
        np.arctan2(-200, 280) % np.pi, abs=0.01
    )


def test_pieces_of_one_edge_are_joined_and_parallel_edges_are_not():
    canvas = np.full((300, 400, 3), 220, np.uint8)
    for row in (100, 140):
        cv2.line(canvas, (40, row), (190, row), (30, 30, 30), 6)
        cv2.line(canvas, (205, row), (360, row), (30, 30, 30), 6)
    found = lines.segments(canvas)
    long = found.pixels[found.lengths * found.scale > 250]
    assert len(long) == 4
    assert sorted(np.rint(long[:, 1]).astype(int)) == pytest.approx([97, 103, 137, 143], abs=1)


def test_nothing_is_found_where_nothing_is():
    flat = np.full((200, 300, 3), 128, np.uint8)
    found = lines.segments(flat)
    assert len(found) == 0
    assert lines.families(found) == []
    assert lines.straightness(found).shape == (0, 4)
    made = geometry.features(flat)
    assert np.isfinite(made).all()


def test_vanishing_points_are_those_of_the_scene(sound):
    _, together = sound
    assert len(together) == 3
    seen = lines.viewing(np.array([family.point for family in together]), FOCAL)
    alike = np.abs(seen @ truth().T)
    assert sorted(np.argmax(alike, axis=1)) == [0, 1, 2]
    assert np.degrees(np.arccos(np.clip(alike.max(1), 0, 1))).max() < 3


def test_the_camera_is_that_of_the_scene(sound):
    camera = lines.camera(sound[1])
    assert camera.focal == pytest.approx(FOCAL, rel=0.15)
    assert camera.misfit < 0.05
    upward = -truth()[1]
    assert np.degrees(np.arccos(np.clip(camera.up @ upward, -1, 1))) < 4


def test_edges_that_do_not_meet_are_told_by_the_measures():
    sound, loose = geometry.measures(scene()), geometry.measures(scene(wander=14))
    assert loose["meeting nowhere"] > sound["meeting nowhere"] + 0.15
    assert loose["meeting 0 misses"] > 1.2 * sound["meeting 0 misses"]
    assert loose["field departure"] > sound["field departure"]


def test_bent_edges_are_told_from_straight_ones():
    def arcs(bend):
        canvas = np.full((400, 600), 210, np.uint8)
        for row in range(60, 360, 60):
            x = np.linspace(60, 540, 200)
            y = row + bend * np.sin(np.linspace(0, np.pi, 200))
            points = np.rint(np.column_stack([x, y]) * 16).astype(np.int32)
            cv2.polylines(canvas, [points], False, 40, 4, cv2.LINE_AA, shift=4)
        return lines.straightness(lines.segments(np.repeat(canvas[..., None], 3, axis=2)))

    straight, bent = arcs(0.0), arcs(5.0)
    assert np.median(bent[:, 1]) > 5 * np.median(straight[:, 1])
    assert np.median(bent[:, 3]) > 5 * np.median(straight[:, 3])  # beyond its ends a bent edge leaves its line


def shaded(side):
    """Blocks on a lawn in the sun, each with its shadow to the right (1) or the left (-1), or either way at random (0)."""
    generator = np.random.default_rng(1)
    canvas = np.full((360, 540, 3), (120, 170, 110), np.uint8).astype(float)
    for row in (70, 180, 290):
        for column in (80, 200, 320, 440):
            way = side or (1 if generator.random() < 0.5 else -1)
            x = column + (12 if way > 0 else -52)
            canvas[row - 20 : row + 20, x : x + 40] *= 0.45
    return cv2.GaussianBlur(np.clip(canvas, 0, 255), (0, 0), 1.0).astype(np.uint8)


def test_shadows_are_edges_of_light_and_not_of_colour():
    lawn = shaded(1)
    painted = lawn.copy()
    dark = lawn.max(2) < 120
    painted[dark] = (90, 30, 60)
    none = lines.Segments(np.zeros((0, 4)), np.zeros((10, 10), np.float32))
    assert shadows.relations(lawn, none)["edges of shadows"] > 0.8
    assert shadows.relations(painted, none)["edges of shadows"] < 0.3


def test_measures_are_named_finite_and_of_one_length():
    generator = np.random.default_rng(0)
    pictures = [
        data.astronaut(),
        data.rocket(),
        scene(),
        np.zeros((1, 40, 3), np.uint8),
        np.full((700, 9, 3), 9, np.uint8),
    ]
    pictures.append(generator.integers(0, 255, (120, 300, 3)).astype(np.uint8))
    named = [geometry.measures(picture) for picture in pictures]
    assert len({tuple(one) for one in named}) == 1
    assert 60 <= len(named[0]) <= 140
    assert all(np.isfinite(list(one.values())).all() for one in named)
    again = geometry.features(data.rocket())
    assert np.array_equal(again, geometry.features(data.rocket()))
    assert again.dtype == np.float32


def test_the_measures_do_not_know_the_brightness_or_the_size():
    rocket = data.rocket()
    usual = geometry.measures(rocket)
    for changed in (np.clip(rocket * 0.8, 0, 255).astype(np.uint8), cv2.resize(rocket, None, fx=1.2, fy=1.2)):
        other = geometry.measures(changed)
        assert abs(other["meeting 0 share"] - usual["meeting 0 share"]) < 0.12
        assert abs(other["lines total"] - usual["lines total"]) < 0.25


def test_the_map_marks_the_edge_that_meets_nowhere():
    picture = scene()
    cv2.line(picture, (30, 470), (250, 330), (10, 10, 10), 4, cv2.LINE_AA)
    shown = geometry.off_lines(picture)
    assert shown.shape == (HEIGHT, WIDTH)
    assert 0 <= shown.min() <= shown.max() <= 1
    assert shown[330:470, 30:250].mean() > 2 * shown.mean()
