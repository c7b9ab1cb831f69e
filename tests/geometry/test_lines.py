"""Points on straight lines, and barriers with closed forms."""

import numpy as np
import pytest

from lossmap.geometry.lines import interpolate, measure_barriers, move_along

POSITIONS = np.linspace(0.0, 1.0, 9)


def vectors(scale=1.0):
    generator = np.random.default_rng(0)
    start, end = generator.standard_normal((2, 1000)).astype(np.float32)
    return start, (scale * end).astype(np.float32)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_ends_of_a_line_are_the_snapshots_themselves(scale):
    start, end = vectors(scale)

    assert np.array_equal(interpolate(start, end, 0.0), start)
    assert np.array_equal(interpolate(start, end, 1.0), end)


def test_points_are_rounded_once():
    start, end = vectors()
    for t in POSITIONS:
        exact = (1 - np.longdouble(t)) * start + np.longdouble(t) * end
        assert np.array_equal(interpolate(start, end, t), exact.astype(np.float32))
        moved = start + np.longdouble(t) * end
        assert np.array_equal(move_along(start, end, t), moved.astype(np.float32))


def test_barriers_of_a_bump_on_a_slope():
    """L = 1 + t + 4 t (1 - t): above the chord by 1 in the middle; highest 41/16 at t = 5/8."""
    loss = 1 + POSITIONS + 4 * POSITIONS * (1 - POSITIONS)

    found = measure_barriers(POSITIONS, loss)

    assert found == pytest.approx((1.0, 41 / 16 - 1.5, 41 / 16 - 2.0))


def test_barriers_do_not_depend_on_the_parameter_of_the_line():
    loss = 1 + POSITIONS + 4 * POSITIONS * (1 - POSITIONS)

    assert measure_barriers(3 * POSITIONS - 7, loss) == pytest.approx(
        measure_barriers(POSITIONS, loss)
    )


@pytest.mark.parametrize("bottom", [-0.5, 0.3, 1.5])
def test_convex_losses_have_no_barrier(bottom):
    loss = (POSITIONS - bottom) ** 2

    above, _, end = measure_barriers(POSITIONS, loss)

    assert (above, end) == (0.0, 0.0)


def test_equal_ends_have_one_barrier_by_all_definitions():
    loss = 0.25 + np.sin(np.pi * POSITIONS)
    loss[-1] = loss[0]

    assert measure_barriers(POSITIONS, loss) == pytest.approx((1.0, 1.0, 1.0))


def test_an_infinite_loss_is_an_infinite_barrier_and_beside_infinite_ends_none():
    inside, at_end = np.ones((2, 9))
    inside[4], at_end[0] = np.inf, np.inf

    assert measure_barriers(POSITIONS, inside) == (np.inf, np.inf, np.inf)
    assert np.isnan(measure_barriers(POSITIONS, at_end)).all()
