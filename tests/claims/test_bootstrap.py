"""Means and their intervals: closed forms, and which cases are no independent ones."""

import numpy as np
import pytest

from lossmap.claims.bootstrap import bootstrap_difference, bootstrap_mean


def test_difference_is_that_of_the_means_over_groups():
    first, second = [np.array([1.0, 3.0]), np.array([5.0])], [np.array([0.0, 1.0])]
    found = bootstrap_difference(first, second)

    assert found[0] == 3.5 - 0.5
    assert found[1] < 3 < found[2]


def test_equal_cases_leave_no_interval():
    same = [np.full(3, 0.5)]
    assert bootstrap_difference(same, same) == (0, 0, 0)
    assert bootstrap_mean(np.full(4, 2.0)) == (2, 2, 2)


def test_cases_of_one_group_tell_less_than_as_many_groups():
    """Twelve directions of two minima that differ are two cases rather than twelve."""
    generator = np.random.default_rng(0)
    near, far = (value + 0.01 * generator.standard_normal(6) for value in (1.0, 2.0))
    zero = [np.zeros(2)]

    grouped = bootstrap_difference([near, far], zero)
    apart = bootstrap_difference([np.concatenate([near, far])], zero)

    assert grouped[2] - grouped[1] > apart[2] - apart[1]


@pytest.mark.parametrize("cases", [[1.0], [1.0, np.nan]])
def test_one_case_and_no_number_have_no_interval(cases):
    for found in (
        bootstrap_difference([np.array(cases)], [np.ones(3)]),
        bootstrap_difference([np.ones(3)], [np.array(cases)]),
        bootstrap_mean(np.array(cases)),
    ):
        assert np.isnan(found[1:]).all()
