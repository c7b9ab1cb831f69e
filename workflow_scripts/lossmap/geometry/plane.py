"""Planes of the landscape, and how much of a trajectory they show.

A method is the module `lossmap.geometry.planes.<method>`, found by the word under ``method``: its
`span` returns the directions, the landscape's unit along each and the seed of each plane, and its
`SETTINGS` say what a configuration may.

Works on a (snapshots, params) array or HDF5 dataset that is read some columns at a time, so that
memory stays bounded however many parameters there are.
"""

import numpy as np

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.layout import Layout
from lossmap.errors import LossmapError
from lossmap.geometry import planes
from lossmap.geometry.columns import ProductSum, column_tiles, consecutive, row_squares
from lossmap.kinds import find_kind

MIN_COMPONENTS = 10


def measure_gram(thetas, rows: np.ndarray) -> np.ndarray:
    """Return the Gram matrix of the centered snapshots, float64 (snapshots, snapshots).

    ding2023 §3.1: with Ŵ = [w_i − w̄], this is ŴᵀŴ, whose eigenvalues are those of ŴŴᵀ in Eq. 1.
    The mean is over all snapshots; the paper's 1/n for n + 1 of them is a slip.

    Raises
    ------
    LossmapError
        A snapshot is not finite.
    """
    products = ProductSum(len(rows))
    for _, tile in column_tiles([thetas], consecutive(rows)):
        finite = np.isfinite(row_squares(tile))
        if not finite.all():
            row = rows[finite.argmin()]
            raise LossmapError(f"snapshot {row} of the trajectory is not finite; retrain the run")
        products.add(np.subtract(tile, tile.mean(axis=0), out=tile))
    return products.matrix()


def measure_variance_ratios(gram: np.ndarray) -> np.ndarray:
    """Return the share of variance that each principal component explains.

    Parameters
    ----------
    gram : float64 (snapshots, snapshots), centered Gram matrix

    Returns
    -------
    float64 (>= 10,), of all components in descending order, zeros where there are fewer snapshots

    Raises
    ------
    LossmapError
        All snapshots are equal.
    """
    values = np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)
    if values[0] == 0.0:
        raise LossmapError(f"all {len(gram)} snapshots are equal: the run never moved; retrain it")
    ratios = values / values.sum()
    return np.pad(ratios, (0, max(0, MIN_COMPONENTS - len(ratios))))


def measure_walk_ratios(gram: np.ndarray) -> np.ndarray:
    """Return the variance ratios of a walk whose steps are orthogonal and as long as the run's.

    What a run must exceed to be low-dimensional: even such a walk has most of its variance in few
    components (Antognini and Sohl-Dickstein 2018). With s_i the squared length of step i, the inner
    product of the positions k and l is s_1 + … + s_min(k, l).

    Parameters
    ----------
    gram : float64 (snapshots, snapshots), centered Gram matrix

    Returns
    -------
    float64, as `measure_variance_ratios`
    """
    squares = np.diagonal(gram)
    steps = squares[1:] + squares[:-1] - 2 * np.diagonal(gram, 1)
    gone = np.concatenate([[0.0], np.cumsum(np.maximum(steps, 0.0))])
    walk = np.minimum.outer(gone, gone)
    mean = walk.mean(axis=0)
    return measure_variance_ratios(walk - mean - mean[:, None] + walk.mean())


def measure_coordinates(
    thetas, center: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return least-squares coordinates of every snapshot in each plane, and the planes' Gram.

    Parameters
    ----------
    thetas : float32 (snapshots, params)
    center : float32 (params,)
    directions : float32 (axes, params), scaled as on the landscape; rows 2k, 2k + 1 span plane k

    Returns
    -------
    coordinates : float64 (snapshots, axes)
    gram : float64 (axes, axes), inner products of the directions
    """
    products = np.zeros((thetas.shape[0], len(directions)))
    gram = np.zeros((len(directions), len(directions)))
    for columns, tile in column_tiles([thetas]):
        slab = directions[:, columns].astype(np.float64)
        products += np.subtract(tile, center[columns], out=tile) @ slab.T
        gram += slab @ slab.T
    coordinates = np.empty_like(products)
    for start in range(0, len(directions), 2):
        plane = slice(start, start + 2)
        coordinates[:, plane] = np.linalg.solve(gram[plane, plane], products[:, plane].T).T
    return coordinates, gram


def fit_basis(thetas, epochs: np.ndarray, center_row: int, layout: Layout, spec: dict) -> Basis:
    """Return the basis that a specification asks for.

    Parameters
    ----------
    thetas : float32 (snapshots, params), array or HDF5 dataset
    epochs : int64 (snapshots,)
    center_row : snapshot at the plane's center
    layout : of the parameters
    spec : ``method`` (a module of `lossmap.geometry.planes`) and the method's own leaves; with a
        ``window``, its first and last epoch are the snapshots whose variance is measured; with
        ``through``, float32 (params,) each, the other points that the plane is laid through; for
        ``hessian`` also the array ``eigenvectors``

    Raises
    ------
    LossmapError
        The window holds too few snapshots or one that is not finite, or the center is not finite
        or zero.
    """
    method = find_kind(planes, "method", spec["method"])
    rows = _window_rows(epochs, spec.get("window"))
    center = np.asarray(thetas[center_row], np.float32)
    length = float(np.linalg.norm(center.astype(np.float64)))
    if not np.isfinite(length) or length == 0.0:
        raise LossmapError(
            f"center at epoch {epochs[center_row]} has norm {length}; retrain the run"
        )
    gram = measure_gram(thetas, rows)
    ratios = measure_variance_ratios(gram)
    directions, scale, seeds = method.span(thetas, rows, gram, center, layout, spec)
    scaled = (scale[:, None] * directions).astype(np.float32)
    coordinates, products = measure_coordinates(thetas, center, scaled)
    shares = measure_plane_variance(coordinates[rows], products, np.trace(gram))
    epoch, seeds = int(epochs[center_row]), np.asarray(seeds, np.int64)
    walk, points = measure_walk_ratios(gram), None
    if spec.get("through"):
        points = measure_coordinates(np.stack([center, *spec["through"]]), center, scaled)[0]
    return Basis(
        center, epoch, directions, scale, seeds, ratios, shares, coordinates, epochs, walk, points
    )


def _window_rows(epochs: np.ndarray, window: list[int] | None) -> np.ndarray:
    first, last = window or (epochs[0], epochs[-1])
    rows = np.flatnonzero((epochs >= first) & (epochs <= last))
    if len(rows) < 3:
        raise LossmapError(
            f"window {first}…{last} holds {len(rows)} snapshots, a plane needs at least 3; "
            f"epochs run from {epochs[0]} to {epochs[-1]}"
        )
    return rows


def measure_plane_variance(coordinates: np.ndarray, gram: np.ndarray, total: float) -> np.ndarray:
    """Return the share of the trajectory's variance that lies inside each plane.

    Parameters
    ----------
    coordinates : float64 (snapshots, axes), least-squares coordinates
    gram : float64 (axes, axes), inner products of the directions
    total : sum of squared distances of the snapshots to their mean
    """
    centered = coordinates - coordinates.mean(axis=0)
    shares = []
    for start in range(0, coordinates.shape[1], 2):
        plane = slice(start, start + 2)
        inside = np.einsum("ia,ab,ib->", centered[:, plane], gram[plane, plane], centered[:, plane])
        shares.append(inside / total)
    return np.asarray(shares)
