"""A landscape in bfloat16 says how far it is from float32, and is refused when that is too far."""

import numpy as np
import pytest

from lossmap.artifacts.grid import Grid
from lossmap.errors import LossmapError
from lossmap.network.precision import check_precision, measure_deviations

AXIS = np.linspace(-1, 1, 5)


@pytest.fixture
def exact():
    return np.random.default_rng(0).uniform(0.5, 3.0, (5, 5))


def check(loss, exact, points=9, bound=0.02):
    grid = Grid(AXIS, AXIS, loss, np.zeros_like(loss))
    return check_precision(grid, lambda i, j: exact[i, j], {"points": points, "bound": bound})


def test_deviation_is_the_largest_of_the_sample(exact):
    loss = exact.copy()
    loss[2, 2] *= 1.01  # the center
    loss[0, 0] *= 0.995
    found = check(loss, exact)
    assert found.deviation == pytest.approx(0.01)
    assert found.checked.tolist() == [
        *([0, 0], [0, 3], [1, 1], [1, 4], [2, 2], [3, 0], [3, 3], [4, 1], [4, 4])
    ]
    np.testing.assert_array_equal(found.checked_loss, exact[tuple(found.checked.T)])
    np.testing.assert_array_equal(found.loss, loss)


def test_deviation_above_the_bound_is_refused(exact):
    loss = exact.copy()
    loss[4, 4] *= 1.03
    message = r"at alpha 1, beta 1, float32 .* off by 0.03, more than bf16.bound = 0.02"
    with pytest.raises(LossmapError, match=message):
        check(loss, exact)


@pytest.mark.parametrize("side", [0, 1])
def test_loss_that_only_one_precision_has_is_refused(exact, side):
    pair = [exact.copy(), exact.copy()]
    pair[side][0, 0] = np.inf
    with pytest.raises(LossmapError, match="inf"):
        check(*pair, bound=1e9)


def test_small_grid_is_checked_whole_and_losses_that_are_both_infinite_agree(exact):
    loss = exact.copy()
    loss[1, 1] = exact[1, 1] = np.inf
    found = check(loss, exact, points=100)
    assert len(found.checked) == 25
    assert found.deviation == 0.0


def test_deviations_by_hand():
    found = measure_deviations(
        np.array([1.1, 0.9, 0.0, np.inf, np.inf, 1.0]),
        np.array([1.0, 1.0, 0.0, np.inf, 1.0, np.inf]),
    )
    np.testing.assert_allclose(found, [0.1, 0.1, 0.0, 0.0, np.inf, np.inf])
