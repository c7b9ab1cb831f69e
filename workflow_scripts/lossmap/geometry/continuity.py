"""Does an embedding keep trajectories whole? Four statistics, to be read together.

The first three tell whether trajectories are torn, which a plain projection never does; the fourth
whether their order survives, which a plain projection need not keep. Knows points and the
trajectory of each, nothing of how they were embedded.
"""

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from scipy.spatial.distance import pdist

from lossmap.errors import LossmapError
from lossmap.geometry.order import correlate_ranks
from lossmap.geometry.paths import trajectory_rows

LONG = 10.0
"""A step is long if it is more than this many times the median step."""
NEIGHBORS = 10


def measure_continuity(points: np.ndarray, trajectory: np.ndarray) -> dict[str, float]:
    """Return `long_steps`, `longest_gap`, `components` and `order` of an embedding.

    Parameters
    ----------
    points : float64 (rows, axes)
    trajectory : int64 (rows,), in the order of time within each; -1 for points of none

    Raises
    ------
    LossmapError
        All points coincide.
    """
    return {
        "long_steps": measure_long_steps(points, trajectory),
        "longest_gap": measure_longest_gap(points),
        "components": float(count_components(points)),
        "order": measure_order(points, trajectory),
    }


def measure_long_steps(points: np.ndarray, trajectory: np.ndarray, times: float = LONG) -> float:
    """Return the share of steps along trajectories longer than `times` their median; 0 = whole."""
    moves = [np.diff(points[rows], axis=0) for rows in trajectory_rows(trajectory)]
    lengths = np.linalg.norm(np.concatenate(moves), axis=1)
    return float(np.mean(lengths > times * np.median(lengths)))


def measure_longest_gap(points: np.ndarray) -> float:
    """Return the longest edge of the Euclidean minimum spanning tree over the rms radius.

    The last merge of single linkage is that edge, coinciding points included, which a sparse graph
    would take for unconnected.

    Raises
    ------
    LossmapError
        All points coincide.
    """
    radius = np.sqrt(np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1)))
    if radius == 0.0:
        raise LossmapError(
            f"all {len(points)} points of the embedding coincide; change the technique's settings"
        )
    return float(linkage(points, "single")[-1, 2] / radius)


def count_components(points: np.ndarray, neighbors: int = NEIGHBORS) -> int:
    """Return the number of connected components of the symmetric nearest-neighbor graph.

    Two points are joined if either is among the other's `neighbors` nearest.
    """
    count = len(points)
    neighbors = min(neighbors, count - 1)
    _, nearest = KDTree(points).query(points, neighbors + 1)
    rows = np.repeat(np.arange(count), neighbors + 1)
    edges = (np.ones(rows.size), (rows, nearest.ravel()))
    return int(connected_components(coo_matrix(edges, shape=(count, count)), directed=False)[0])


def measure_order(points: np.ndarray, trajectory: np.ndarray) -> float:
    """Return how well distances in the embedding follow time along trajectories.

    The mean over trajectories of the Spearman correlation between |i − j| and the embedded distance
    of points i and j; 1 = perfect. A trajectory that is embedded as one point counts as 0; those of
    fewer than three points are left out, and NaN is returned where there are no others.
    """
    values = [_order_of(points[rows]) for rows in trajectory_rows(trajectory) if len(rows) > 2]
    return float(np.mean(values)) if values else float("nan")


def _order_of(points: np.ndarray) -> float:
    return correlate_ranks(pdist(np.arange(len(points), dtype=float)[:, None]), pdist(points))
