"""Exact distances between many weight vectors, in one pass over them.

Vectors around a minimum are nearly parallel and, along a trajectory, nearly equal: 1 - cosine and
differences of inner products would be rounding noise. So the rows are centered before they are
multiplied, distances along a trajectory are added up from its steps, and cosines come from
differences. Works on arrays or HDF5 datasets, some columns at a time: memory does not grow with the
number of parameters.
"""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.distance import pdist, squareform

from lossmap.artifacts.distance import Cloud, Origins
from lossmap.errors import LossmapError
from lossmap.geometry.columns import ProductSum, column_tiles, row_squares
from lossmap.geometry.paths import trajectory_rows


def measure_cloud_geometry(sources: Mapping[str, object], origins: Origins) -> Cloud:
    """Return the exact pairwise geometry of the vectors of all sources.

    With the rows x̂ centered on the mean m of those that are not the optimum, the inner products
    x̂_i·x̂_j, m·x̂_i and the norms are accumulated; then ‖a − b‖² = x̂_a² + x̂_b² − 2 x̂_a·x̂_b. Within
    a trajectory, whose neighbors are closest, the inner products of its steps are accumulated too,
    and ‖a − b‖² is the sum of those between a and b: no cancellation.

    Parameters
    ----------
    sources : arrays or HDF5 datasets by name, (rows, params) or (steps, epochs, params), in the
        order of the rows of `origins`
    origins : where each row comes from

    Raises
    ------
    LossmapError
        The numbers of parameters differ, or a row is not finite or zero.
    """
    _check_params(sources)
    paths = list(trajectory_rows(origins.trajectory))
    gram, along, squares, steps = _multiply(sources, paths, origins.is_optimum == 0)
    _check_norms(squares, sources)
    squared = _squared_distances(gram)
    for products, path in zip(steps, paths, strict=True):
        squared[np.ix_(path, path)] = accumulate_steps(products)
    cosine = _cosine_distances(squared, gram, along, squares)
    return Cloud(gram, np.sqrt(squared), cosine, np.sqrt(squares), origins)


def _multiply(
    sources: Mapping[str, object], paths: list[np.ndarray], ordinary: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return x̂_i·x̂_j, m·x̂_i, ‖x_i‖² and the inner products of the steps along each path.

    Steps are no differences of the x̂_i·x̂_j, nor these sums over steps: where trajectories meet
    after long paths, either would lose the digits of the other.
    """
    weights, rows = ordinary / ordinary.sum(), ProductSum(len(ordinary))
    steps = [ProductSum(len(path) - 1) for path in paths]
    along, squares = np.zeros(len(ordinary)), np.zeros(len(ordinary))
    for _, tile in column_tiles(list(sources.values())):
        squares += row_squares(tile)
        _check_finite(squares, sources)
        # einsum: numpy's BLAS threads would compete with those of scipy's
        mean = np.einsum("i,ij->j", weights, tile)
        centered = np.subtract(tile, mean, out=tile)
        rows.add(centered)
        along += np.einsum("ij,j->i", centered, mean)
        for products, path in zip(steps, paths, strict=True):
            products.add(np.diff(centered[path], axis=0))
    return rows.matrix(), along, squares, [products.matrix() for products in steps]


def _check_params(sources: Mapping[str, object]) -> None:
    params = {name: source.shape[-1] for name, source in sources.items()}
    (first, wanted), *others = params.items()
    for name, count in others:
        if count != wanted:
            raise LossmapError(
                f"{name}: {count} parameters, but '{first}' has {wanted}; "
                "a cloud holds vectors of one network, split it"
            )


def _check_finite(squares: np.ndarray, sources: Mapping[str, object]) -> None:
    finite = np.isfinite(squares)
    if not finite.all():
        row = _label_row(int(finite.argmin()), sources)
        raise LossmapError(f"{row} is not finite; train it again")


def _check_norms(squares: np.ndarray, sources: Mapping[str, object]) -> None:
    if not squares.all():
        raise LossmapError(
            f"{_label_row(int(squares.argmin()), sources)} is the zero vector, which has no "
            "direction and so no cosine distance; train it again"
        )


def _label_row(row: int, sources: Mapping[str, object]) -> str:
    counts = [int(np.prod(source.shape[:-1])) for source in sources.values()]
    labels = [f"{name}: row {i}" for name, n in zip(sources, counts, strict=True) for i in range(n)]
    return labels[row]


def _squared_distances(gram: np.ndarray) -> np.ndarray:
    lengths = np.diagonal(gram)
    squared = np.maximum(lengths[:, None] + lengths - 2 * gram, 0.0)
    np.fill_diagonal(squared, 0.0)
    return squared


def accumulate_steps(products: np.ndarray) -> np.ndarray:
    """Return the squared distances between the points of a path from its steps' inner products.

    ‖x_j − x_i‖² is the sum of the products of all pairs of steps between i and j. Small steps are
    only ever added to their neighbors, so that small distances keep all their digits.

    Parameters
    ----------
    products : float64 (steps, steps)

    Returns
    -------
    float64 (steps + 1, steps + 1)
    """
    count = len(products)
    squared = np.zeros((count + 1, count + 1))
    own = np.diagonal(products)
    cross = np.zeros(count)  # of step j with all steps from i to j - 1
    for i in range(count - 1, -1, -1):
        squared[i, i + 1 :] = np.cumsum(own[i:] + 2 * cross[i:])
        if i:
            cross[i:] += products[i - 1, i:]
            cross[i - 1] = 0.0
    squared = np.maximum(squared, 0.0)
    return squared + squared.T


def _cosine_distances(
    squared: np.ndarray, gram: np.ndarray, along: np.ndarray, squares: np.ndarray
) -> np.ndarray:
    """Return 1 - cos of the raw vectors a = m + x̂_a.

    With d = b − a and u, v the normalized a, b: 1 − cos = ½‖u − v‖², which for cos > 0 is
    ‖d⊥‖² |a| / (|b| (|a||b| + a·b)), where d⊥ is d without its part along a,
    ‖d⊥‖² = ‖d‖² − (a·d)²/|a|² and a·d = m·(x̂_b − x̂_a) + x̂_a·x̂_b − x̂_a². Only a difference that
    is almost wholly along a itself loses digits.

    Parameters
    ----------
    squared : float64 (rows, rows), squared distances
    gram : float64 (rows, rows), centered inner products
    along : float64 (rows,), inner products with the mean
    squares : float64 (rows,), squared norms
    """
    radial = along - along[:, None] + gram - np.diagonal(gram)[:, None]
    inner = squares[:, None] + radial
    across = np.maximum(squared * squares[:, None] - radial**2, 0.0)
    products = np.sqrt(squares[:, None] * squares)
    with np.errstate(divide="ignore"):
        close = across / (products * np.where(inner > 0, products + inner, np.inf))
    distances = np.where(inner > 0, close, 1 - inner / products)
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0.0)
    return distances


def center_gram(gram: np.ndarray) -> np.ndarray:
    """Return inner products relative to the mean of all rows."""
    means = gram.mean(axis=0)
    return gram - means - means[:, None] + means.mean()


def measure_scores(gram: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the principal component scores of centered rows from their inner products.

    Parameters
    ----------
    gram : float64 (rows, rows), relative to the mean of all rows
    components : wanted; as many as there are rows at most

    Returns
    -------
    scores : float64 (rows, components), in descending order of variance; the row that lies farthest
        out along a component has a positive score there, which fixes the signs
    ratios : float64 (components,), share of the variance that each component explains

    Raises
    ------
    LossmapError
        All rows are equal.
    """
    values, vectors = np.linalg.eigh(gram)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    if values[0] == 0.0:
        raise LossmapError(f"all {len(gram)} rows of the cloud are equal: nothing moved; retrain")
    scores = vectors[:, :components] * np.sqrt(values[:components])
    return fix_signs(scores), values[:components] / values.sum()


def fix_signs(points: np.ndarray) -> np.ndarray:
    """Return points (rows, axes) so mirrored that the farthest out along each axis is positive."""
    farthest = np.abs(points).argmax(axis=0)
    return points * np.where(points[farthest, np.arange(points.shape[1])] < 0, -1.0, 1.0)


def centered_cosine(gram: np.ndarray, components: int) -> np.ndarray:
    """Return 1 - cosine between the leading principal component scores of the rows.

    What PHATE calls cosine with its default of 100 components. With no more than `components` rows
    PHATE leaves the rows as they are, not even centered; here they are always centered.

    Parameters
    ----------
    gram : float64 (rows, rows), relative to the mean of all rows
    components : number of scores

    Returns
    -------
    float64 (rows, rows), from differences of the normalized scores. Scores come from inner
    products, so rows that differ by 1e-4 of the cloud's radius keep 7 digits, by 1e-5 only 5

    Raises
    ------
    LossmapError
        All rows are equal, or one lies at the mean and has no direction.
    """
    scores, _ = measure_scores(gram, components)
    lengths = np.linalg.norm(scores, axis=1)
    if not lengths.all():
        raise LossmapError(
            f"row {np.flatnonzero(lengths == 0)[0]} lies at the mean of the cloud and has no "
            "direction there; set the technique's 'cosine_space' to 'raw'"
        )
    return squareform(pdist(scores / lengths[:, None], "sqeuclidean")) / 2
