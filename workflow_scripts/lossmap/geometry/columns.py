"""Columns of many weight vectors, streamed through a bounded amount of memory.

Reads are wide, which suits the files; tiles are narrow, so that several passes over one find it
in the processor's cache. Products of all rows are accumulated in float64.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.linalg.blas import dsyrk

READ_BYTES = 64 * 2**20
"""Memory for what one read returns, if it is float32 (one column at least)."""
TILE_BYTES = 4 * 2**20
"""Memory for one float64 tile, about what a core's caches hold."""
MIN_COLUMNS = 512
"""Narrower tiles would slow the matrix product, however many rows there are."""
EVERY = slice(None)


def column_tiles(sources: Sequence, rows: slice = EVERY) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (columns, float64 tile) over the vectors of all sources, one under the other.

    Parameters
    ----------
    sources : arrays or HDF5 datasets (rows, params) or (steps, epochs, params), of equal params
    rows : those of the first axis that are wanted of each source

    Yields
    ------
    columns : where the tile lies; tiles come in order and cover every column once
    tile : float64 (rows of all sources, columns), the caller's to overwrite
    """
    wide, narrow = tile_widths(sum(_count_rows(source.shape, rows) for source in sources))
    for start in range(0, sources[0].shape[-1], wide):
        read = [np.asarray(source[rows, ..., start : start + wide]) for source in sources]
        parts = [part.reshape(-1, part.shape[-1]) for part in read]
        for left in range(0, parts[0].shape[1], narrow):
            pieces = [part[:, left : left + narrow] for part in parts]
            tile = np.concatenate(pieces, dtype=np.float64)
            yield slice(start + left, start + left + tile.shape[1]), tile


def consecutive(rows: np.ndarray) -> slice:
    """Return numbers of consecutive rows as a slice, which an HDF5 dataset reads at once."""
    return slice(int(rows[0]), int(rows[-1]) + 1)


def tile_widths(rows: int) -> tuple[int, int]:
    """Return the columns of one read and of one tile.

    Powers of two, so that reads begin where chunks of a file begin.
    """
    wide = _power_of_two(READ_BYTES // (4 * rows))
    narrow = _power_of_two(max(MIN_COLUMNS, TILE_BYTES // (8 * rows)))
    return wide, min(wide, narrow)


def _power_of_two(limit: int) -> int:
    return 1 << max(0, limit.bit_length() - 1)


def _count_rows(shape: tuple[int, ...], rows: slice) -> int:
    return len(range(*rows.indices(shape[0]))) * int(np.prod(shape[1:-1]))


def row_squares(tile: np.ndarray) -> np.ndarray:
    """Return the sum of squares of each row; not finite where a value of the row is not."""
    return np.einsum("ij,ij->i", tile, tile)


class ProductSum:
    """The inner products of all rows, summed over tiles of columns.

    BLAS adds half of the symmetric product into the sum in place: x @ x.T is as fast, but makes,
    mirrors and adds a matrix per tile.
    """

    def __init__(self, rows: int):
        self._half = np.zeros((rows, rows), order="F")

    def add(self, tile: np.ndarray) -> None:
        """Add the inner products of the rows of a float64 (rows, columns) tile."""
        if len(tile):  # BLAS refuses the steps of a trajectory of one row
            self._half = dsyrk(1.0, tile.T, beta=1.0, c=self._half, trans=1, lower=1, overwrite_c=1)

    def matrix(self) -> np.ndarray:
        """Return the sum so far, float64 (rows, rows), symmetric."""
        return np.tril(self._half) + np.tril(self._half, -1).T
