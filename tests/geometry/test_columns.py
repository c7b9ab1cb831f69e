import h5py
import numpy as np
import pytest

from lossmap.geometry import columns
from lossmap.geometry.columns import EVERY, ProductSum, column_tiles, row_squares, tile_widths


def random_rows(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("widths", [(1, 1), (7, 3), (8, 8), (10, 4), (100, 64)])
def test_tiles_cover_every_column_once_and_in_order(monkeypatch, widths):
    monkeypatch.setattr(columns, "tile_widths", lambda rows: widths)
    thetas = random_rows(5, 11)
    parts, tiles = zip(*column_tiles([thetas]), strict=True)

    assert all(tile.dtype == np.float64 and tile.shape[1] <= widths[1] for tile in tiles)
    assert np.array_equal(np.concatenate(tiles, axis=1), thetas)
    assert np.array_equal(np.concatenate([np.r_[part] for part in parts]), np.arange(11))


def test_sources_lie_under_each_other_in_the_order_of_their_rows(tmp_path):
    flat, deep, wide = random_rows(3, 50), random_rows(2, 4, 50), random_rows(1, 50).astype(float)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("flat", data=flat, chunks=(1, 16))
        file["deep"], file["wide"] = deep, wide
        ((_, tile),) = column_tiles([file["flat"], file["deep"], file["wide"]])

    assert np.array_equal(tile, np.concatenate([flat, deep.reshape(8, 50), wide]))


@pytest.mark.parametrize("rows", [slice(3, 8), slice(0, 1), EVERY])
def test_rows_that_are_not_wanted_are_left_out(rows):
    thetas = random_rows(9, 20)
    ((_, tile),) = column_tiles([thetas], rows)

    assert np.array_equal(tile, thetas[rows])


def test_tile_can_be_overwritten():
    thetas = random_rows(2, 10)
    for source in (thetas.copy(), thetas.astype(np.float64)):
        for _, tile in column_tiles([source]):
            tile[:] = 0
        assert np.array_equal(source, thetas)


@pytest.mark.parametrize("rows", [1, 51, 301, 1020, 10_000, 10**9])
def test_memory_is_bounded_whatever_the_number_of_rows(rows):
    wide, narrow = tile_widths(rows)

    assert 4 * wide * rows <= max(columns.READ_BYTES, 4 * rows)
    assert 8 * narrow * rows <= max(columns.TILE_BYTES, 8 * columns.MIN_COLUMNS * rows)
    assert narrow <= wide
    assert wide.bit_count() == narrow.bit_count() == 1  # chunks are a power of two wide as well


def test_reads_stay_small_however_many_parameters():
    class Zeros:
        shape = (1000, 10_000_000)

        def __getitem__(self, key):
            return np.zeros((1000, key[-1].stop - key[-1].start), np.float32)

    _, tile = next(column_tiles([Zeros()]))

    assert tile.shape == (1000, tile_widths(1000)[1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_square_of_a_row_is_finite_only_where_the_row_is(value):
    tile = np.full((3, 4), np.finfo(np.float32).max, np.float64)
    tile[1, 2] = value

    assert np.isfinite(row_squares(tile)).tolist() == [True, False, True]


def test_products_are_summed_over_tiles():
    rows = random_rows(6, 300).astype(np.float64)
    products = ProductSum(6)
    for start in range(0, 300, 70):
        products.add(rows[:, start : start + 70])

    brute = np.array([[np.sum(one * two) for two in rows] for one in rows])
    np.testing.assert_allclose(products.matrix(), brute, atol=1e-12)
    assert np.array_equal(products.matrix(), products.matrix().T)


def test_products_of_no_rows_are_an_empty_matrix():
    products = ProductSum(0)
    products.add(np.zeros((0, 5)))

    assert products.matrix().shape == (0, 0)
