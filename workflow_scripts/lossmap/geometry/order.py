"""Order in time and in a picture, by NumPy alone: claims are loaded at every start."""

import numpy as np

from lossmap.geometry.paths import trajectory_rows

NEIGHBORS = 10


def correlate_ranks(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Spearman correlation, ties sharing their mean rank; 0 without variation."""
    ranks = _rank(first), _rank(second)
    if min(map(np.ptp, ranks)) == 0.0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def _rank(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def measure_temporal_share(points: np.ndarray, trajectory: np.ndarray) -> float:
    """Return the share of temporal neighbors among the ten nearest of each point; 1 = whole.

    A temporal neighbor is at most ten steps away on the same trajectory. Only meaningful where
    trajectories are longer than twice that.

    Parameters
    ----------
    points : float64 (rows, axes)
    trajectory : int64 (rows,), in the order of time within each; -1 for points of none
    """
    paths = list(trajectory_rows(trajectory))
    rows, time = np.concatenate(paths), np.concatenate([np.arange(len(path)) for path in paths])
    place, own = points[rows], trajectory[rows]
    found = []
    for index in range(len(rows)):
        distances = np.linalg.norm(place - place[index], axis=1)
        distances[index] = np.inf
        nearest = np.argpartition(distances, NEIGHBORS)[:NEIGHBORS]
        near = np.abs(time[nearest] - time[index]) <= NEIGHBORS
        found.append(np.mean(near & (own[nearest] == own[index])))
    return float(np.mean(found))
