"""Minima and loops are those of surfaces and graphs whose topology is known."""

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lossmap.artifacts.distance import Cloud, Origins, describe_rows
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load, save
from lossmap.artifacts.topology import Topology
from lossmap.errors import LossmapError
from lossmap.topology import (
    describe_classes,
    find_graph_classes,
    find_grid_classes,
    link_neighbors,
    link_squares,
    measure_topology,
)

X, Y = np.meshgrid(np.linspace(-2, 2, 41), np.linspace(-1, 1, 21), indexing="ij")
PROVENANCE = Provenance("{}", "c0de", {})


def describe(losses, scale="linear", threshold=0.05) -> Topology:
    edges = link_squares(losses.shape)
    return describe_classes(find_grid_classes(losses), edges, losses.ravel(), scale, threshold)


def rows_of(found: Topology) -> list[tuple]:
    """Return dimension, birth and death of every class."""
    return list(zip(found.dimension, found.birth, found.death, strict=True))


def test_a_bowl_has_one_minimum():
    losses = 0.5 + X**2 + Y**2
    found = describe(losses)
    assert rows_of(found) == [(0, 0.5, np.inf)]
    assert found.born_at.tolist() == [losses.argmin()]
    assert (found.died_at.tolist(), found.minima) == ([-1], 1)
    assert (found.highest, found.threshold) == (5.5, pytest.approx(0.05 * 5))


def test_two_wells_meet_at_their_saddle():
    losses = 1 + (X**2 - 1) ** 2 + Y**2 + 0.125 * (X < -0.5)  # the left well is shallower
    found = describe(losses)
    assert rows_of(found) == [(0, 1, np.inf), (0, 1.125, pytest.approx(2))]
    assert [(X.flat[at], Y.flat[at]) for at in found.born_at] == [(1, 0), (-1, 0)]
    saddle = found.died_at[1]
    assert (X.flat[saddle], Y.flat[saddle]) == (pytest.approx(0), pytest.approx(0))
    assert found.persistence.tolist() == [np.inf, pytest.approx(0.875)]


def test_an_egg_box_has_a_minimum_in_every_hollow_and_a_loop_around_every_top():
    hollows, side = 4, 12
    angle = np.arange((hollows - 1) * side + 1) * np.pi / side
    losses = 1 + np.sin(angle)[:, None] ** 2 + np.sin(angle[: 2 * side + 1]) ** 2
    found = describe(losses)
    minima, loops = hollows * 3, (hollows - 1) * 2
    np.testing.assert_array_equal(found.dimension, [0] * minima + [1] * loops)
    np.testing.assert_allclose(found.birth, [1] * minima + [2] * loops)
    np.testing.assert_allclose(found.death, [np.inf] + [2] * (minima - 1) + [3] * loops)
    assert found.minima == minima
    assert found.parent[0] == -1
    assert set(found.parent[1:minima]) == {0}
    assert set(found.parent[minima:]) == {-1}
    assert {losses.ravel()[at] for at in found.died_at[minima:]} == {3.0}


def test_only_minima_that_persist_are_counted():
    losses = np.array([[1.0, 9.0, 3.0, 4.0, 2.0, 2.5, 2.4]])
    assert [describe(losses, threshold=t).minima for t in (0.01, 0.1, 0.5)] == [4, 3, 2]


def test_persistence_is_measured_on_the_scale_and_pairs_are_the_same_on_both():
    losses = 1 + (X**2 - 1) ** 2 + Y**2 + 0.125 * (X < -0.5)
    linear, log = describe(losses), describe(losses, "log")
    assert rows_of(linear) == rows_of(log)
    assert log.persistence[1] == pytest.approx(np.log10(2 / 1.125))
    assert log.threshold == pytest.approx(0.05 * np.log10(losses.max()))


def test_a_loss_of_zero_is_at_the_least_that_is_above_it():
    found = describe(np.array([[0.0, 1.0, 0.01, 10.0]]), "log")
    assert rows_of(found) == [(0, 0, np.inf), (0, 0.01, 1)]
    assert found.persistence[1] == pytest.approx(2)


def test_walls_that_are_never_reached_part_minima_for_ever(tmp_path):
    losses = np.array([[1.0, np.nan, 2.0], [1.5, np.inf, 3.0]])
    grid = Grid(np.arange(2.0), np.arange(3.0), losses, losses)
    save(tmp_path / "a.h5", grid, PROVENANCE)
    found = measure_topology(tmp_path / "a.h5", {"of": "grid", "scale": "linear", "threshold": 0.5})
    assert rows_of(found) == [(0, 1, np.inf), (0, 2, np.inf)]
    assert found.minima == 2


def count_parts(edges, losses, level) -> int:
    """Return the number of connected parts of a graph at a level, by SciPy."""
    inside = losses <= level
    kept = edges[:, inside[edges].all(axis=0)]
    graph = coo_array((np.ones(kept.shape[1]), kept), shape=(len(losses),) * 2)
    labels = connected_components(graph, directed=False)[1]
    return len(set(labels[inside]))


@pytest.mark.parametrize("neighbors", [1, 2, 5])
def test_classes_alive_at_a_level_are_the_parts_of_the_graph_there(neighbors):
    generator = np.random.default_rng(neighbors)
    points, losses = generator.standard_normal((60, 2)), generator.random(60)
    edges = link_neighbors(np.linalg.norm(points[:, None] - points, axis=2), neighbors)
    classes = find_graph_classes(edges, losses)
    found = describe_classes(classes, edges, losses, "linear", 0.0)
    for level in losses:
        alive = (found.birth <= level) & (level < found.death)
        assert alive.sum() == count_parts(edges, losses, level)


def test_a_path_has_the_merge_tree_that_is_read_off_it():
    losses = np.array([3.0, 1.0, 4.0, 2.0, 6.0, 0.0, np.inf, 5.0])
    edges = np.stack([np.arange(7), np.arange(1, 8)])
    found = describe_classes(find_graph_classes(edges, losses), edges, losses, "linear", 0.4)
    assert rows_of(found) == [(0, 0, np.inf), (0, 5, np.inf), (0, 1, 6), (0, 2, 4)]
    assert found.born_at.tolist() == [5, 7, 1, 3]
    assert found.died_at.tolist() == [-1, -1, 4, 2]
    assert found.parent.tolist() == [-1, -1, 0, 2]
    assert found.minima == 3


def test_a_minimum_merges_into_the_lowest_that_it_meets():
    losses = np.array([1.0, 5.0, 3.0, 4.0, 2.0, 9.0, 0.0, 7.0, 6.0])
    edges = np.stack([np.arange(8), np.arange(1, 9)])
    found = describe_classes(find_graph_classes(edges, losses), edges, losses, "linear", 0.0)
    assert found.birth.tolist() == [0, 1, 2, 3, 6]
    assert found.death.tolist() == [np.inf, 9, 5, 4, 7]
    assert [found.birth[parent] for parent in found.parent[1:]] == [0, 1, 2, 0]


def test_neighbors_are_linked_once_and_never_with_themselves():
    at = np.array([0.0, 1.0, 3.0, 3.0, 9.0])
    edges = link_neighbors(np.abs(at[:, None] - at), 1)
    assert edges.T.tolist() == [[0, 1], [2, 3], [2, 4]]
    assert link_neighbors(np.abs(at[:, None] - at), 99).shape == (2, 10)


def make_cloud(losses: np.ndarray, at: np.ndarray) -> Cloud:
    rows = describe_rows(len(at), train_loss=losses, trajectory=0)
    apart = np.abs(at[:, None] - at)
    return Cloud(apart, apart, apart[::-1, ::-1].copy(), at, Origins(**rows, sources=["r"]))


def test_a_cloud_is_the_graph_of_its_own_distances(tmp_path):
    at, losses = np.array([0.0, 1, 2, 4, 5]), np.array([1.0, 3, 2, np.nan, 4])
    save(tmp_path / "a.h5", make_cloud(losses, at), PROVENANCE)
    spec = {"of": "cloud", "scale": "linear", "threshold": 0.1, "neighbors": 2}
    found = measure_topology(tmp_path / "a.h5", spec | {"metric": "euclidean"})
    assert rows_of(found) == [(0, 1, np.inf)]
    # The other metric has the points in the other order: 0 and 2 meet through 4 alone.
    other = measure_topology(tmp_path / "a.h5", spec | {"metric": "cosine"})
    edges = link_neighbors(make_cloud(losses, at).cosine, 2)
    assert len(other.birth) == count_parts(edges, np.where(np.isnan(losses), 9, losses), 4.5) + sum(
        np.isfinite(other.death)
    )


def test_a_cloud_without_losses_is_refused(tmp_path):
    save(tmp_path / "a.h5", make_cloud(np.full(3, np.nan), np.arange(3.0)), PROVENANCE)
    spec = {"of": "cloud", "scale": "log", "threshold": 0.1, "neighbors": 2, "metric": "cosine"}
    with pytest.raises(LossmapError, match="expected losses, got none that is finite"):
        measure_topology(tmp_path / "a.h5", spec)


def test_topology_is_read_back_as_it_was_saved(tmp_path):
    wanted = describe(1 + X**2 + Y**2)
    save(tmp_path / "a.h5", wanted, PROVENANCE)
    found = load(tmp_path / "a.h5", Topology)
    assert (found.is_log, found.minima, found.threshold) == (0, 1, wanted.threshold)
    np.testing.assert_array_equal(found.death, wanted.death)
