import cv2
import numpy as np
import pytest
from skimage import data

from veriscope.copies import pdq

PICTURES = {name: getattr(data, name)() for name in ("coffee", "chelsea", "astronaut", "rocket")}


def one_box_pass(values, window):
    """The published sliding window in its four phases: add only, add and write, slide, subtract and write."""
    half = (window + 2) // 2
    found, total, count, left, right = [], 0.0, 0, 0, 0
    for _ in range(half - 1):
        total, count, right = total + values[right], count + 1, right + 1
    for _ in range(window - half + 1):
        total, count, right = total + values[right], count + 1, right + 1
        found.append(total / count)
    for _ in range(len(values) - window):
        total, right, left = total + values[right] - values[left], right + 1, left + 1
        found.append(total / count)
    for _ in range(half - 1):
        total, count, left = total - values[left], count - 1, left + 1
        found.append(total / count)
    return np.array(found)


def saved(rgb, quality):
    _, stream = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(stream, cv2.IMREAD_COLOR)


def apart(one, other):
    return int(pdq.distances(pdq.pdq(one).bits, pdq.packed(pdq.pdq(other).bits[None]))[0])


@pytest.mark.parametrize("size", [64, 65, 200, 451, 512])
def test_the_filter_is_the_published_one(size):
    window = (size + 127) // 128
    values = np.random.default_rng(size).normal(size=size)
    wanted = one_box_pass(one_box_pass(values, window), window)
    taken = ((np.arange(64) + 0.5) * size / 64).astype(int)
    np.testing.assert_allclose(pdq._filter(size) @ values, wanted[taken], atol=1e-9)


@pytest.mark.parametrize("name", PICTURES)
def test_a_saved_or_smaller_picture_stays_near_and_others_do_not(name):
    picture = PICTURES[name]
    assert apart(picture, picture) == 0
    assert apart(picture, saved(picture, 30)) <= 12
    half = cv2.resize(picture, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    assert apart(picture, half) <= 14
    for other in PICTURES:
        if other != name:
            assert apart(picture, PICTURES[other]) > 80


@pytest.mark.parametrize("turn", pdq.TURNS)
def test_variants_are_the_hashes_of_the_turned_picture(turn):
    picture = PICTURES["chelsea"]
    number = list(pdq.TURNS).index(turn)
    turned = pdq.turned(picture, *pdq.TURNS[turn])
    distances, which = pdq.nearest_variants(pdq.pdq(picture).variants, pdq.packed(pdq.pdq(turned).bits[None]))
    assert which[0] == number
    assert distances[0] <= 28  # where 64 places are taken is not symmetric


def test_turns_do_what_they_are_called():
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    turned = {name: pdq.turned(picture, *turn) for name, turn in pdq.TURNS.items()}
    np.testing.assert_array_equal(turned["turned left by 90 degrees"], np.rot90(picture))
    np.testing.assert_array_equal(turned["turned upside down"], np.rot90(picture, 2))
    np.testing.assert_array_equal(turned["turned right by 90 degrees"], np.rot90(picture, 3))
    np.testing.assert_array_equal(turned["mirrored left to right"], picture[:, ::-1])
    np.testing.assert_array_equal(turned["mirrored top to bottom"], picture[::-1])
    np.testing.assert_array_equal(turned["mirrored along the falling diagonal"], picture.transpose(1, 0, 2))


def test_half_of_the_bits_are_set_and_the_digits_are_the_bits():
    found = pdq.pdq(PICTURES["coffee"])
    assert np.bitwise_count(found.bits).sum() == 128
    assert int(found.hexadecimal, 16) == int.from_bytes(found.bits.tobytes(), "little")


def test_quality_tells_flat_pictures():
    flat = np.full((300, 300, 3), 128, np.uint8)
    assert pdq.pdq(flat).quality == 0
    assert pdq.pdq(PICTURES["astronaut"]).quality == 100
    sky = np.repeat(np.linspace(120, 140, 300).astype(np.uint8)[:, None, None], 300, 1).repeat(3, 2)
    assert pdq.pdq(sky).quality < pdq.LEAST_QUALITY


@pytest.mark.parametrize("shape", [(4, 300, 3), (5, 5, 3), (1, 1, 3), (64, 2000, 3)])
def test_odd_sizes(shape):
    found = pdq.pdq(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    assert found.bits.shape == (32,)
    assert found.variants.shape == (8, 32)
    assert (min(shape[:2]) >= pdq.LEAST_SIDE) == found.bits.any()


def test_distances_count_bits():
    generator = np.random.default_rng(1)
    hashes = generator.integers(0, 256, (70_000, 32), dtype=np.uint8)  # more than one chunk
    query = hashes[69_999]
    wanted = np.unpackbits(hashes[-50:] ^ query, axis=1).sum(1)
    np.testing.assert_array_equal(pdq.distances(query, pdq.packed(hashes))[-50:], wanted)
