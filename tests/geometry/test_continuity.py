import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from sklearn.neighbors import NearestNeighbors

from lossmap.errors import LossmapError
from lossmap.geometry.continuity import (
    count_components,
    measure_continuity,
    measure_long_steps,
    measure_longest_gap,
    measure_order,
)

CLOUD = np.random.default_rng(0).standard_normal((80, 2))
TRAJECTORY = np.repeat(np.arange(4), 20)
AWAY = np.array([50, 0])


def line(start, count):
    return np.stack([start + np.arange(count), np.zeros(count)], axis=1)


def test_whole_line_is_whole():
    found = measure_continuity(line(0.0, 50), np.zeros(50, int))

    assert found["long_steps"] == 0
    assert found["components"] == 1
    assert found["order"] == pytest.approx(1)
    assert found["longest_gap"] == pytest.approx(1 / np.std(np.arange(50)))


def test_torn_line_is_torn():
    points = np.concatenate([line(0.0, 25), line(1000.0, 25)])
    found = measure_continuity(points, np.zeros(50, int))

    assert found["long_steps"] == pytest.approx(1 / 49)
    assert found["components"] == 2
    assert found["longest_gap"] == pytest.approx(976 / np.sqrt(np.var(points[:, 0])))


def test_jumps_between_trajectories_are_no_steps():
    points = np.concatenate([line(0.0, 25), line(1000.0, 25)])

    assert measure_long_steps(points, np.repeat([0, 1], 25)) == 0


def test_step_is_long_beyond_ten_medians():
    steps = np.r_[np.ones(20), 9.9, 10.1]
    points = np.stack([np.r_[0, np.cumsum(steps)], np.zeros(23)], axis=1)

    assert measure_long_steps(points, np.zeros(23, int)) == pytest.approx(1 / 22)
    assert measure_long_steps(points, np.zeros(23, int), times=5) == pytest.approx(2 / 22)


def test_longest_gap_is_that_of_the_minimum_spanning_tree():
    longest = minimum_spanning_tree(squareform(pdist(CLOUD))).max()
    radius = np.sqrt(np.mean(np.sum((CLOUD - CLOUD.mean(axis=0)) ** 2, axis=1)))

    assert measure_longest_gap(CLOUD) == pytest.approx(longest / radius)


def test_coinciding_points_are_connected():
    points = np.array([[0.0, 0], [0, 0], [0, 0], [4, 0]])

    assert measure_longest_gap(points) == pytest.approx(4 / np.sqrt(3))


def test_components_are_those_of_the_symmetric_neighbor_graph():
    points = np.concatenate([CLOUD, CLOUD + AWAY, CLOUD[:11] - AWAY])
    graph = NearestNeighbors(n_neighbors=10).fit(points).kneighbors_graph()
    reach = np.linalg.matrix_power((graph + graph.T).toarray() + np.eye(len(points)) > 0, 64)

    assert count_components(points) == len(np.unique(reach, axis=0)) == 3
    assert count_components(points[:5]) == 1


def test_order_is_the_mean_spearman_correlation():
    wanted = []
    for part in np.split(CLOUD, 4):
        i, j = np.triu_indices(20, 1)
        wanted.append(spearmanr(j - i, np.linalg.norm(part[i] - part[j], axis=1)).statistic)

    assert measure_order(CLOUD, TRAJECTORY) == pytest.approx(np.mean(wanted))


def test_order_of_collapsed_and_short_trajectories():
    collapsed = np.concatenate([line(0.0, 10), np.zeros((10, 2)), line(0.0, 2)])
    trajectory = np.repeat([0, 1, 2], [10, 10, 2])

    assert measure_order(collapsed, trajectory) == pytest.approx(0.5)
    assert np.isnan(measure_order(line(0.0, 2), np.zeros(2, int)))


def test_points_of_no_trajectory_count_for_shape_alone():
    points = np.concatenate([[[5.0, 5.0]], line(0.0, 20)])
    trajectory = np.r_[-1, np.zeros(20, int)]

    assert measure_order(points, trajectory) == pytest.approx(1)
    assert measure_long_steps(points, trajectory) == 0


def test_scale_position_and_rotation_do_not_matter():
    turned = 1e-6 * CLOUD @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + 3

    found, wanted = (measure_continuity(points, TRAJECTORY) for points in (turned, CLOUD))
    assert found == pytest.approx(wanted, rel=1e-6)


def test_embedding_in_one_point_is_refused():
    with pytest.raises(LossmapError, match="all 6 points of the embedding coincide"):
        measure_longest_gap(np.ones((6, 2)))
