import numpy as np
import pytest

from veriscope.tampering.dense import OVERLAP, TILE, as_input, limited, tiled, tiles


def test_input_is_padded_to_multiples_of_sixteen_and_scaled():
    rgb = np.full((70, 33, 3), 255, np.uint8)
    made = as_input(rgb)
    assert made.shape == (1, 3, 80, 48)
    assert made.dtype == np.float32
    assert made.min() == made.max() == 1.0


def test_a_large_picture_is_made_smaller_and_keeps_its_shape():
    made = limited(np.zeros((1000, 2000, 3), np.uint8), 500_000)
    assert made.shape[0] * made.shape[1] <= 500_000
    assert abs(made.shape[1] / made.shape[0] - 2) < 0.01
    small = np.zeros((100, 200, 3), np.uint8)
    assert limited(small, 500_000) is small


@pytest.mark.parametrize("shape", [(100, 100), (1024, 1024), (1025, 3000), (2049, 70)])
def test_tiles_cover_every_pixel_once(shape):
    count = np.zeros(shape, int)
    for given_rows, given_columns, kept_rows, kept_columns in tiles(*shape):
        count[kept_rows, kept_columns] += 1
        assert given_rows.start <= kept_rows.start
        assert given_columns.stop >= kept_columns.stop
        assert given_rows.stop - given_rows.start <= TILE
        assert given_rows.start % 16 == 0
    assert (count == 1).all()


@pytest.mark.parametrize("shape", [(64, 64), (300, 517), (1100, 2500)])
def test_tiles_put_together_are_what_one_run_would_give(shape):
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)

    def run(pixels, place):
        return [pixels[0].mean(0)[None, ::4, ::4]]

    (found,) = tiled(rgb, run, 4)
    assert np.allclose(found[0], rgb.astype(np.float32).mean(2)[::4, ::4] / 255, atol=1e-6)


def test_a_tile_knows_its_place_in_the_picture():
    places = []

    def run(pixels, place):
        places.append(place)
        return [np.zeros((1, pixels.shape[2] // 16, pixels.shape[3] // 16), np.float32)]

    tiled(np.zeros((2000, 1000, 3), np.uint8), run, 16)
    assert places[0][:2] == (0.0, 0.0)
    assert places[1][0] == pytest.approx((TILE - 2 * OVERLAP - OVERLAP) / 2000)
    assert places[-1][0] + places[-1][2] == pytest.approx(1.0)
