import numpy as np
import pytest
from scipy import stats

from lossmap.artifacts.curves import CURVES
from lossmap.artifacts.distance import Origins
from lossmap.errors import LossmapError
from lossmap.geometry.distances import measure_cloud_geometry
from lossmap.geometry.nulls import MODELS, REST, draw_gaussians, draw_null, step_lengths
from lossmap.geometry.paths import trajectory_rows

PARAMS, DIRECTIONS, STEPS, EPOCHS = 400, [7, 3], [0.5, 1.0], 6


def make_cloud(seed=0, directions=DIRECTIONS, epochs=EPOCHS):
    """Return a cloud of jumps with losses, in the order of the artifact."""
    generator = np.random.default_rng(seed)
    optimum = generator.standard_normal(PARAMS)
    rows, meta = [optimum], [(-1, -1, np.nan, -1)]
    for direction in directions:
        line = generator.standard_normal(PARAMS)
        for step in STEPS:
            theta = optimum + step * line
            for epoch in range(epochs):
                rows.append(theta)
                meta.append((2 * directions.index(direction) + STEPS.index(step),))
                meta[-1] += (direction, step, epoch)
                theta = theta + 0.1 * generator.standard_normal(PARAMS) / (epoch + 1)
    trajectory, direction, step_size, epoch = (
        np.array(column) for column in zip(*meta, strict=True)
    )
    count = len(rows)
    origins = Origins(
        is_optimum=(trajectory < 0).astype(np.int8),
        trajectory=trajectory,
        source=np.zeros(count, np.int64),
        direction=direction,
        step_size=step_size,
        epoch=epoch,
        **{name: generator.standard_normal(count) for name in CURVES},
        sources=["good"],
    )
    return measure_cloud_geometry({"x": np.array(rows)}, origins)


CLOUD = make_cloud()
STARTS = np.flatnonzero(CLOUD.origins.epoch == 0)


@pytest.mark.parametrize("null", MODELS)
def test_null_keeps_origins_jump_lengths_and_the_norm_of_the_optimum(null):
    drawn = draw_null(CLOUD, PARAMS, null, 0, CLOUD)

    for name, values in vars(CLOUD.origins).items():
        if name in CURVES:
            assert np.isnan(getattr(drawn.origins, name)).all()
        else:
            np.testing.assert_array_equal(getattr(drawn.origins, name), values)
    assert drawn.norms[0] == pytest.approx(CLOUD.norms[0], rel=1e-12)
    np.testing.assert_allclose(drawn.euclidean[0, STARTS], CLOUD.euclidean[0, STARTS], rtol=1e-12)


@pytest.mark.parametrize("null", ["walks", "straight"])
def test_step_sizes_of_one_direction_share_it(null):
    drawn = draw_null(CLOUD, PARAMS, null, 0)
    lengths = drawn.euclidean[0, STARTS]
    inner = (lengths[:, None] ** 2 + lengths**2 - drawn.euclidean[np.ix_(STARTS, STARTS)] ** 2) / 2
    cosines = inner / np.outer(lengths, lengths)

    np.testing.assert_allclose(cosines[[0, 2], [1, 3]], 1, rtol=1e-9)
    assert np.abs(cosines[:2, 2:]).max() < 5 / np.sqrt(PARAMS)


def test_walks_keep_step_lengths_and_turn_at_random():
    drawn = draw_null(CLOUD, PARAMS, "walks", 0)

    for index in range(4):
        rows = np.flatnonzero(drawn.origins.trajectory == index)
        np.testing.assert_allclose(step_lengths(drawn, rows), step_lengths(CLOUD, rows), rtol=1e-9)
        spread = np.cumsum(np.r_[0, step_lengths(CLOUD, rows) ** 2]) ** 0.5
        np.testing.assert_allclose(drawn.euclidean[rows[0], rows], spread, rtol=0.2)


def test_straight_displacements_end_at_a_tenth_and_never_turn():
    drawn = draw_null(CLOUD, PARAMS, "straight", 0)

    for index in range(4):
        rows = np.flatnonzero(drawn.origins.trajectory == index)
        left = drawn.euclidean[0, rows] / drawn.euclidean[0, rows[0]]
        real = step_lengths(CLOUD, rows)
        assert left[-1] == pytest.approx(REST, rel=1e-9)
        np.testing.assert_allclose(-np.diff(left), (1 - REST) * real / real.sum(), rtol=1e-9)
        gone = drawn.euclidean[rows[0], rows] / drawn.euclidean[0, rows[0]]
        np.testing.assert_allclose(gone + left, 1, rtol=1e-9)


def moves_of(cloud, rows):
    """Return inner products of the steps of a trajectory, from distances alone."""
    d2 = cloud.euclidean[np.ix_(rows, rows)] ** 2
    return -np.diff(np.diff(d2, axis=0), axis=1) / 2


def test_swapped_steps_go_as_the_real_ones_and_are_as_long_as_the_others():
    other = make_cloud(seed=1)
    drawn = draw_null(CLOUD, PARAMS, "swapped", 0, other)

    np.testing.assert_allclose(drawn.norms[STARTS], CLOUD.norms[STARTS], rtol=1e-9)
    for index in range(4):
        rows = np.flatnonzero(drawn.origins.trajectory == index)
        lengths = step_lengths(other, rows)
        np.testing.assert_allclose(step_lengths(drawn, rows), lengths, rtol=1e-9)
        cosines = moves_of(CLOUD, rows) / np.outer(*[step_lengths(CLOUD, rows)] * 2)
        np.testing.assert_allclose(
            moves_of(drawn, rows), cosines * np.outer(lengths, lengths), atol=1e-8
        )


def test_steps_of_their_own_lengths_are_the_cloud_itself():
    drawn = draw_null(CLOUD, PARAMS, "swapped", 0, CLOUD)

    np.testing.assert_allclose(drawn.euclidean, CLOUD.euclidean, atol=1e-6)
    np.testing.assert_allclose(drawn.cosine, CLOUD.cosine, atol=1e-9)


def test_the_jumps_and_epochs_that_both_clouds_have_are_swapped():
    other = make_cloud(directions=[9, 3], epochs=EPOCHS - 1)
    drawn = draw_null(CLOUD, PARAMS, "swapped", 0, other)

    assert set(drawn.origins.direction[1:]) == {3}
    assert [list(rows) for rows in trajectory_rows(drawn.origins.trajectory)] == [
        [1, 2, 3, 4, 5],
        [6, 7, 8, 9, 10],
    ]
    mine, theirs = np.arange(1, 6), np.flatnonzero(other.origins.trajectory == 2)
    np.testing.assert_allclose(step_lengths(drawn, mine), step_lengths(other, theirs), rtol=1e-9)


def test_lengths_of_other_jumps_are_refused():
    with pytest.raises(LossmapError, match="a direction and a step size in common"):
        draw_null(CLOUD, PARAMS, "swapped", 0, make_cloud(directions=[8, 9]))


def test_null_depends_on_the_seed_alone():
    first, again, other = (draw_null(CLOUD, PARAMS, "walks", seed) for seed in (0, 0, 1))

    assert first.gram.tobytes() == again.gram.tobytes()
    assert not np.allclose(first.gram, other.gram)


def test_more_vectors_than_dimensions_are_drawn_as_they_are():
    drawn = draw_null(CLOUD, 10, "walks", 0)

    assert np.linalg.matrix_rank(drawn.gram, tol=1e-9 * np.trace(drawn.gram)) == 10
    assert draw_gaussians(11, 10, 0).shape == (11, 10)


def test_inner_products_have_the_distribution_of_gaussian_vectors():
    """Kolmogorov-Smirnov against vectors drawn in full, for each kind of inner product."""
    params, draws = 12, 2000
    short = np.array([draw_gaussians(4, params, seed) for seed in range(draws)])
    full = np.random.default_rng(9).standard_normal((draws, 4, params))
    found, wanted = short @ short.transpose(0, 2, 1), full @ full.transpose(0, 2, 1)

    for i, j in [(0, 0), (3, 3), (0, 3), (2, 3)]:
        assert stats.ks_2samp(found[:, i, j], wanted[:, i, j]).pvalue > 1e-3
    products = [m[:, 0, 1] * m[:, 1, 2] * m[:, 0, 2] for m in (found, wanted)]  # how three depend
    assert stats.ks_2samp(*products).pvalue > 1e-3


def test_unknown_null_model_is_named():
    with pytest.raises(LossmapError, match="'levy' is unknown; allowed: walks, straight"):
        draw_null(CLOUD, PARAMS, "levy", 0)


def test_cloud_without_optimum_is_refused():
    rows = np.flatnonzero(CLOUD.origins.is_optimum == 0)
    part = measure_cloud_geometry(
        {"x": np.random.default_rng(0).standard_normal((len(rows), 5))}, CLOUD.origins.take(rows)
    )
    with pytest.raises(LossmapError, match="of good, has 0 optima"):
        draw_null(part, PARAMS, "walks", 0)
