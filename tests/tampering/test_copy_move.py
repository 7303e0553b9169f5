import io

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data

from veriscope import open_picture
from veriscope.evidence import Question
from veriscope.tampering.copy_direction import grid_strength, seam
from veriscope.tampering.copy_matches import CopyMatch, isotropy, plausible, repeats_elsewhere
from veriscope.tampering.copy_move import CopyMove, fit_error, matches, nearest_field
from veriscope.tampering.copy_report import localised, sentence, where
from veriscope.tampering.zernike import magnitudes, moments

CAT = data.chelsea()
PLACE = 150.0, 100.0  # x and y of the middle of what is copied
SHIFT = 181, 113


def disc(shape, x, y, radius):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(rows - y, columns - x) <= radius


def placed(angle=0.0, scale=1.0, shift=SHIFT):
    affine = cv2.getRotationMatrix2D(PLACE, angle, scale)
    affine[:, 2] += shift
    return affine


def forged(pixels, affine, radius=42):
    """The picture with a disc copied, and the masks of source and copy."""
    size = pixels.shape[1], pixels.shape[0]
    source = disc(pixels.shape[:2], *PLACE, radius)
    target = cv2.warpAffine(source.astype(np.uint8) * 255, affine, size) > 127
    found = pixels.copy()
    found[target] = cv2.warpAffine(pixels, affine, size, flags=cv2.INTER_CUBIC)[target]
    return found, source, target


def saved(pixels, quality=90, orientation=1):
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, exif=exif)
    return open_picture(file.getvalue())


def brick_wall(seed=0):
    """Bricks of one drawing in uneven light, with a camera's noise."""
    rows, columns = np.mgrid[:320, :480]
    shifted = columns + 24 * (rows // 20 % 2)
    joint = (rows % 20 < 3) | (shifted % 48 < 3)
    shape = 12 * np.sin(rows % 20 / 3.0) * np.cos(shifted % 48 / 5.0)
    wall = np.where(joint, 190, 120 + shape) + 20 * np.sin(columns / 150)
    noisy = cv2.GaussianBlur(wall, (0, 0), 0.7) + np.random.default_rng(seed).normal(0, 3, wall.shape)
    return np.clip(np.stack([noisy, noisy * 0.8, noisy * 0.7], 2), 0, 255).astype(np.uint8)


def house_front(seed=0):
    """Windows of one drawing in regular rows on a plain wall, with a camera's noise."""
    front = np.full((320, 480), 170.0)
    window = np.full((44, 30), 60.0)
    window[2:-2, 2:-2] += 40 * np.linspace(0, 1, 26)
    window[:, 14:16] = window[20:23] = 220
    for top in range(20, 270, 70):
        for left in range(20, 440, 60):
            front[top : top + 44, left : left + 30] = window
    noisy = cv2.GaussianBlur(front, (0, 0), 0.7) + np.random.default_rng(seed).normal(0, 3, front.shape)
    return np.clip(np.stack([noisy] * 3, 2), 0, 255).astype(np.uint8)


def mirrored_water():
    """A landscape over its own reflection, darker and rippled."""
    scene = data.rocket()[100:300, 100:500]
    rows, columns = np.mgrid[:200, :400].astype(np.float32)
    ripple = cv2.remap(scene[::-1].copy(), columns + np.sin(rows / 3), rows, cv2.INTER_LINEAR)
    return np.concatenate([scene, (ripple * 0.8).astype(np.uint8)])


UNTOUCHED = {
    "cat": CAT,
    "camera": np.stack([data.camera()] * 3, 2),
    "real bricks": np.stack([data.brick()] * 3, 2),
    "drawn bricks": brick_wall(),
    "windows": house_front(),
    "text": np.stack([data.page()] * 3, 2),
    "water": mirrored_water(),
}


@pytest.mark.parametrize(
    ("affine", "quality", "words"),
    [
        (placed(), 80, "fine detail"),
        (placed(angle=20), 90, "turned by 20 degrees"),
        (placed(angle=90), 90, "turned by"),
        (np.array([[-1.0, 0, 2 * PLACE[0] + SHIFT[0]], [0, 1, SHIFT[1]]]), 90, "mirrored"),
    ],
)
def test_a_copied_part_is_found_with_its_source(affine, quality, words):
    pixels, source, target = forged(CAT, affine)
    evidence = CopyMove()(saved(pixels, quality))
    assert evidence.map.shape == CAT.shape[:2]
    assert (evidence.map[source] > 0).mean() > 0.8
    assert (evidence.map[target] >= 0.5).mean() > 0.8
    assert (evidence.map[~source & ~target] > 0).mean() < 0.02
    assert evidence.score > 0.5
    assert words in evidence.says


@pytest.mark.parametrize("name", UNTOUCHED)
def test_untouched_pictures_stay_empty(name):
    found = CopyMove().locate(saved(UNTOUCHED[name]))
    assert found.map.max() == 0
    assert found.score == 0
    assert "No part" in found.says


def test_the_copy_is_told_from_the_source_by_its_seam():
    pixels, source, target = forged(CAT, placed())
    (match,) = matches(saved(pixels))
    assert match.told_apart
    assert (match.target & target).sum() > 0.8 * target.sum()
    assert (match.source & source).sum() > 0.8 * source.sum()
    assert np.allclose(match.affine, placed(), atol=0.2)
    found = CopyMove().locate(saved(pixels))
    assert found.map[source].max() < 0.5
    assert "The part at the lower right repeats the part at the centre" in found.says


def test_the_map_follows_the_picture_upright():
    pixels, _, target = forged(CAT, placed())
    upright = CopyMove().locate(saved(np.rot90(pixels), orientation=6))
    assert upright.map.shape == CAT.shape[:2]
    assert upright.map[target].mean() > 0.4


@pytest.mark.parametrize("shape", [(64, 64), (65, 203), (131, 77)])
def test_any_size_works(shape):
    pixels = np.ascontiguousarray(CAT[60 : 60 + shape[0], 80 : 80 + shape[1]])
    found = CopyMove().locate(saved(pixels))
    assert found.map.shape == shape
    assert found.score == 0


def test_flat_pictures_are_not_judged():
    found = CopyMove().locate(saved(np.full((120, 90, 3), 128, np.uint8)))
    assert found.judged.max() == 0
    assert found.map.max() == 0
    assert found.reliability < 0.5


def test_a_large_picture_is_scaled_down():
    pixels, source, target = forged(CAT, placed())
    large = cv2.resize(pixels, None, fx=3.1, fy=3.1, interpolation=cv2.INTER_CUBIC)
    found = CopyMove().locate(saved(large))
    assert found.map.size < 510_000
    smaller = cv2.resize(found.map, (CAT.shape[1], CAT.shape[0]), interpolation=cv2.INTER_AREA)
    assert (smaller[source | target] > 0).mean() > 0.7


def test_it_is_an_exhibit_and_small_pictures_are_left_out():
    assert CopyMove()(saved(CAT[:60, :60])) is None
    evidence = CopyMove()(saved(CAT[:80, :80]))
    assert evidence.question is Question.EDITED
    assert not evidence.weighed
    assert evidence.log10_lr == 0


def test_moments_keep_their_length_when_the_disc_is_turned_or_mirrored():
    patch = CAT[100:115, 100:115, 1].astype(np.float32)
    middle = magnitudes(patch, 15)[7, 7]
    assert len(middle) == len(moments()) == 12
    assert np.allclose(magnitudes(np.rot90(patch).copy(), 15)[7, 7], middle, atol=0.1)
    assert np.allclose(magnitudes(patch[:, ::-1].copy(), 15)[7, 7], middle, atol=0.1)
    assert np.allclose(magnitudes(patch + 50, 15)[7, 7][1:], middle[1:], atol=0.1)


def test_the_field_finds_the_exact_neighbour_of_a_repeated_texture():
    texture = np.random.default_rng(1).normal(size=(60, 120, 4)).astype(np.float32)
    texture = cv2.GaussianBlur(texture, (0, 0), 1.5)
    texture[:, 60:] = texture[:, :60]
    at = nearest_field(texture, np.ones((60, 120), bool), 1, 20)
    here = np.stack(np.mgrid[:60, :120], -1)
    assert (np.abs((at - here)[..., 1]) == 60).mean() > 0.9


def test_a_linear_field_fits_and_a_scattered_one_does_not():
    rows, columns = np.mgrid[:40, :50].astype(float)
    linear = np.stack([0.3 * rows - 0.1 * columns + 80, 0.2 * columns + 40], -1)
    assert fit_error(linear, 3)[4:-4, 4:-4].max() < 1e-6
    scattered = linear + np.random.default_rng(2).normal(0, 5, linear.shape)
    assert fit_error(scattered, 3)[4:-4, 4:-4].min() > 10


def test_reflections_in_water_and_long_stretches_are_no_copies():
    assert plausible(placed(angle=33, scale=1.4))
    assert not plausible(np.array([[1.0, 0, 0], [0, -1, 400]]))
    assert not plausible(np.array([[1.6, 0, 0], [0, 0.9, 0]]))


def test_a_straight_edge_has_one_direction():
    everywhere = np.ones((60, 60), bool)
    edge = np.tile(np.repeat(np.float32([50, 200]), 30), (60, 1))
    assert isotropy(edge, everywhere) < 0.01
    assert isotropy(CAT[80:140, 80:140, 1].astype(np.float32), everywhere) > 0.3


def test_a_pattern_is_counted_elsewhere_and_a_single_copy_is_not():
    luma = house_front()[..., 1].astype(np.float32)
    part = np.zeros(luma.shape, bool)
    part[15:70, 15:55] = True
    assert repeats_elsewhere(luma, part, np.array([[1.0, 0, 60], [0, 1, 70]]), 0.95) > 2
    pixels, source, _ = forged(CAT, placed())
    assert repeats_elsewhere(pixels[..., 1].astype(np.float32), source, placed(), 0.95) == 0


@pytest.mark.parametrize("angle", [0, 25, 90, -170])
def test_a_match_tells_how_the_copy_was_placed(angle):
    nothing = np.zeros((9, 9), bool)
    match = CopyMatch(placed(angle, 1.25), nothing, nothing, 1.0)
    assert match.rotation == pytest.approx(angle)
    assert match.scale == pytest.approx(1.25)
    assert not match.mirrored
    flipped = CopyMatch(np.column_stack([-placed(angle)[:, 0], placed(angle)[:, 1:]]), nothing, nothing, 1.0)
    assert flipped.mirrored
    assert flipped.rotation == pytest.approx(angle)


def test_a_seam_and_a_moved_grid_are_measured():
    pixels, source, target = forged(saved(CAT, 50).rgb, placed())
    luma = cv2.cvtColor(saved(pixels, 95).rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    assert seam(luma, target) > 1.3 * seam(luma, source)
    phase = SHIFT[0] % 8
    assert grid_strength(luma, target, phase, 0) > grid_strength(luma, source, -phase % 8, 0) + 1


def test_the_sentence_says_what_cannot_be_told():
    first, second = disc((90, 90), 20, 20, 10), disc((90, 90), 70, 70, 10)
    match = CopyMatch(np.array([[1.0, 0, 50], [0, 1, 50]]), first, second, 0.9)
    assert "cannot be told" in sentence((match,))
    assert "so do 2 other pairs" in sentence((match, match, match))
    assert where(first) == "at the upper left"
    both = localised((match,), np.full((90, 90, 3), 99, np.uint8)).map
    assert both[first].min() == both[second].min() >= 0.5
