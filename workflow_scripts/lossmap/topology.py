"""Sublevel sets of a landscape or a cloud: which minima there are and how deep, by gudhi.

Opens what it is asked for, leaves the homology to the library.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gudhi import CubicalComplex, SimplexTree
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lossmap.artifacts.distance import Cloud
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.store import load
from lossmap.artifacts.topology import Topology
from lossmap.errors import LossmapError

Classes = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]
"""By dimension, where classes are born and die, (classes, 2), and where those that never do."""


def measure_topology(path: Path, spec: Mapping[str, Any]) -> Topology:
    """Return the topology of a landscape or of a cloud.

    Parameters
    ----------
    path : of the landscape, or of the distances of the cloud
    spec : ``of`` (grid | cloud), ``scale`` (log | linear), ``threshold`` (a share of the range of
        finite losses on this scale) and, of a cloud, ``metric`` and ``neighbors``

    Raises
    ------
    LossmapError
        The artifact is damaged, or no loss is finite.
    """
    if spec["of"] == "grid":
        grid = load(path, Grid)
        losses, label = _reach(grid.loss, path), grid.loss_label
        edges, classes = link_squares(losses.shape), find_grid_classes(losses)
    else:
        cloud = load(path, Cloud)
        losses, label = _reach(cloud.origins.train_loss, path), cloud.origins.loss_label
        edges = link_neighbors(getattr(cloud, spec["metric"]), spec["neighbors"])
        classes = find_graph_classes(edges, losses)
    found = describe_classes(classes, edges, losses.ravel(), spec["scale"], spec["threshold"])
    return replace(found, loss_label=label)


def _reach(losses: np.ndarray, path: Path) -> np.ndarray:
    """Return losses with inf for what is not known: no level reaches it."""
    if not np.isfinite(losses).any():
        raise LossmapError(f"{path}: expected losses, got none that is finite; make it anew")
    return np.where(np.isnan(losses), np.inf, losses)


def find_grid_classes(losses: np.ndarray) -> Classes:
    """Return the classes of a grid, dimensions 0 and 1: neighbors share an edge of its squares.

    Parameters
    ----------
    losses : float64 (n_alpha, n_beta), inf for what is never reached
    """
    cubes = CubicalComplex(vertices=losses)
    cubes.compute_persistence()
    pairs, endless = cubes.vertices_of_persistence_pairs()

    def in_rows(index: np.ndarray) -> np.ndarray:  # gudhi counts along columns
        return np.ravel_multi_index(np.unravel_index(index, losses.shape, "F"), losses.shape)

    return list(map(in_rows, pairs)), list(map(in_rows, endless))


def find_graph_classes(edges: np.ndarray, losses: np.ndarray) -> Classes:
    """Return the classes of a graph of dimension 0: an edge is there when both its ends are.

    Parameters
    ----------
    edges : int64 (two, edges)
    losses : float64 (points,), inf for points that are never reached
    """
    reached = np.flatnonzero(np.isfinite(losses))
    edges = edges[:, np.isfinite(losses[edges]).all(axis=0)]
    graph = SimplexTree()
    graph.insert_batch(reached[None], losses[reached])
    graph.insert_batch(edges, losses[edges].max(axis=0))
    graph.compute_persistence()
    pairs, endless = graph.lower_star_persistence_generators()
    return pairs[:1], endless[:1]


def link_squares(shape: tuple[int, int]) -> np.ndarray:
    """Return the edges of a grid's squares, int64 (two, edges), points counted row by row."""
    number = np.arange(np.prod(shape)).reshape(shape)
    down, right = (number[:-1], number[1:]), (number[:, :-1], number[:, 1:])
    return np.concatenate([[one.ravel(), other.ravel()] for one, other in (down, right)], axis=1)


def link_neighbors(distances: np.ndarray, neighbors: int) -> np.ndarray:
    """Return the graph in which every point is linked with its nearest, int64 (two, edges).

    Parameters
    ----------
    distances : float64 (points, points)
    neighbors : how many of the others each point chooses, all where there are fewer
    """
    others = np.array(distances)
    np.fill_diagonal(others, np.inf)
    count = min(neighbors, len(others) - 1)
    nearest = np.argsort(others, axis=1, kind="stable")[:, :count]
    ends = np.stack([np.repeat(np.arange(len(others)), count), nearest.ravel()])
    return np.unique(np.sort(ends, axis=0), axis=1)


def describe_classes(
    classes: Classes, edges: np.ndarray, losses: np.ndarray, scale: str, threshold: float
) -> Topology:
    """Return classes with their losses, and how many minima persist.

    Parameters
    ----------
    classes : of `find_grid_classes` or `find_graph_classes`
    edges : int64 (two, edges), of the graph or of the grid's squares
    losses : float64 (points,)
    scale : ``log`` or ``linear``, on which persistence is measured
    threshold : share of the range of finite losses on that scale
    """
    pairs, endless = classes
    parts = [(dimension, *ends) for dimension, found in enumerate(pairs) for ends in found]
    parts += [(dimension, at, -1) for dimension, found in enumerate(endless) for at in found]
    dimension, born_at, died_at = np.array(parts, np.int64).reshape(-1, 3).T
    birth, death = losses[born_at], np.where(died_at < 0, np.inf, losses[died_at])
    heights = to_heights(losses, scale)
    persistence = np.where(died_at < 0, np.inf, heights[died_at]) - heights[born_at]
    # Of points at one level, one is born before the other and dies at once.
    kept = np.flatnonzero((death > birth) & np.isfinite(birth))
    order = kept[np.lexsort((birth[kept], -persistence[kept], dimension[kept]))]
    finite = heights[np.isfinite(heights)]
    least = threshold * float(np.ptp(finite))
    found = [each[order] for each in (dimension, birth, death, persistence, born_at, died_at)]
    return Topology(
        *found,
        find_parents(edges, losses, dimension[order], death[order], born_at[order]),
        float(losses[np.isfinite(losses)].max()),
        int(scale == "log"),
        least,
        int(np.sum((dimension[order] == 0) & (persistence[order] >= least))),
    )


def find_parents(
    edges: np.ndarray,
    losses: np.ndarray,
    dimension: np.ndarray,
    death: np.ndarray,
    born_at: np.ndarray,
) -> np.ndarray:
    """Return what each minimum merges into, an index into the classes, −1 where into none.

    It is the lowest minimum of the part that the two make at the loss where they meet.
    """
    minima = np.flatnonzero(dimension == 0)
    parents = np.full(len(dimension), -1)
    for row in minima[np.isfinite(death[minima])]:
        inside = edges[:, losses[edges].max(axis=0) <= death[row]]
        graph = coo_array((np.ones(inside.shape[1]), inside), shape=(len(losses),) * 2)
        part = connected_components(graph, directed=False)[1]
        met = minima[part[born_at[minima]] == part[born_at[row]]]
        parents[row] = met[np.lexsort((met, -death[met], losses[born_at[met]]))[0]]
    return parents


def to_heights(losses: np.ndarray, scale: str) -> np.ndarray:
    """Return losses, or their log10 with a loss of 0 at the least that is above it."""
    if scale == "linear":
        return losses
    positive = losses[(losses > 0) & np.isfinite(losses)]
    return np.log10(np.maximum(losses, positive.min() if positive.size else 1.0))
