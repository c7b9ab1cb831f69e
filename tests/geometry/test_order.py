"""Ranks and neighbors by NumPy are those of SciPy."""

import numpy as np
import pytest
from scipy.spatial import KDTree
from scipy.stats import spearmanr

from lossmap.geometry.order import NEIGHBORS, correlate_ranks, measure_temporal_share


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_is_spearman_s(ties):
    first, second = np.random.default_rng(0).standard_normal((2, 30))
    if ties:
        first = np.round(first)
    assert correlate_ranks(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_what_does_not_vary_has_no_order():
    assert correlate_ranks(np.ones(5), np.arange(5.0)) == 0


def test_temporal_share_is_that_of_a_tree_of_neighbors():
    generator = np.random.default_rng(1)
    points = np.cumsum(generator.standard_normal((60, 2)), axis=0)
    trajectory = np.repeat([0, 1, -1], [25, 25, 10])
    kept = points[:50]
    _, nearest = KDTree(kept).query(kept, NEIGHBORS + 1)
    time = np.tile(np.arange(25), 2)
    near = [
        (trajectory[other] == trajectory[row]) and abs(time[other] - time[row]) <= NEIGHBORS
        for row, others in enumerate(nearest)
        for other in others[1:]
    ]

    assert measure_temporal_share(points, trajectory) == pytest.approx(np.mean(near))


def test_lines_far_apart_are_whole_and_strewn_points_are_not():
    """At an end ten of the nearest are all within ten steps, wherever the lines lie."""
    line = np.column_stack([np.tile(np.arange(30.0), 2), np.repeat([0.0, 500.0], 30)])
    trajectory = np.repeat([0, 1], 30)
    strewn = np.random.default_rng(0).permutation(line)

    assert measure_temporal_share(line, trajectory) == 1
    assert measure_temporal_share(strewn, trajectory) < 0.5
