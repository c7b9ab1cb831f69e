import h5py
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_distances

from lossmap.artifacts.curves import CURVES
from lossmap.artifacts.distance import Origins
from lossmap.errors import LossmapError
from lossmap.geometry import columns
from lossmap.geometry.distances import (
    accumulate_steps,
    center_gram,
    centered_cosine,
    measure_cloud_geometry,
    measure_scores,
)


def make_origins(trajectory):
    """Return origins of which only the trajectories mean anything; -1 is the optimum."""
    trajectory = np.asarray(trajectory)
    count = len(trajectory)
    return Origins(
        is_optimum=(trajectory < 0).astype(np.int8),
        trajectory=trajectory,
        source=np.zeros(count, np.int64),
        direction=np.full(count, -1),
        step_size=np.full(count, np.nan),
        epoch=np.arange(count),
        **{name: np.full(count, np.nan) for name in CURVES},
        sources=["run"],
    )


def jump_cloud(jump, step, shrink=0.0, params=6000, trajectories=3, epochs=8):
    """Return float32 rows: an optimum, jumps of a relative length, and ever smaller steps.

    `step` is the relative length of the last steps; `shrink` shrinks the whole vector besides, as
    weight decay does.
    """
    generator = np.random.default_rng(0)
    optimum = generator.standard_normal(params)
    rows, trajectory = [optimum], [-1]
    for index in range(trajectories):
        theta = optimum + jump * generator.standard_normal(params)
        for epoch in range(epochs):
            rows.append(theta)
            trajectory.append(index)
            back = 0.3 * (optimum - theta) if epoch < 3 else -shrink * theta
            theta = theta + back + step * generator.standard_normal(params)
    return np.array(rows).astype(np.float32), make_origins(trajectory)


def brute_force(thetas):
    """Return Euclidean and cosine distances from differences in extended precision."""
    wide = thetas.astype(np.longdouble)
    units = wide / np.sqrt(np.sum(wide**2, axis=1, keepdims=True))
    euclidean = [np.sqrt(np.sum((wide - row) ** 2, axis=1)) for row in wide]
    cosine = [np.sum((units - row) ** 2, axis=1) / 2 for row in units]
    return np.array(euclidean), np.array(cosine)


def relative_error(found, wanted):
    off = ~np.eye(len(found), dtype=bool)
    return float(np.max(np.abs(found - wanted)[off] / wanted[off]))


@pytest.mark.parametrize("jump", [1.0, 1e-2])
@pytest.mark.parametrize("step", [1e-4, 1e-5, 1e-6])
def test_distances_of_nearly_parallel_vectors_are_exact(jump, step):
    thetas, origins = jump_cloud(jump, step)
    euclidean, cosine = brute_force(thetas)
    cloud = measure_cloud_geometry({"run": thetas}, origins)

    nearest = cosine[~np.eye(len(thetas), dtype=bool)].min()
    assert nearest < step**2  # the case is what it claims to be
    assert relative_error(cloud.euclidean, euclidean) < 1e-9
    assert relative_error(cloud.cosine, cosine) < 1e-9


def test_cosine_stays_exact_where_weight_decay_shrinks_the_whole_vector():
    thetas, origins = jump_cloud(0.1, 1e-6, shrink=1e-4)
    euclidean, cosine = brute_force(thetas)
    cloud = measure_cloud_geometry({"run": thetas}, origins)

    assert relative_error(cloud.euclidean, euclidean) < 1e-9
    assert relative_error(cloud.cosine, cosine) < 1e-6


def test_plain_formulas_would_be_noise_here():
    thetas, _ = jump_cloud(1e-2, 1e-6)
    _, cosine = brute_force(thetas)

    assert relative_error(cosine_distances(thetas).astype(np.float64), cosine) > 0.5


def test_gram_is_centered_on_rows_that_are_not_the_optimum():
    thetas, origins = jump_cloud(1.0, 1e-2)
    wide = thetas.astype(np.float64)
    centered = wide - wide[1:].mean(axis=0)
    cloud = measure_cloud_geometry({"run": thetas}, origins)

    np.testing.assert_allclose(cloud.gram, centered @ centered.T, rtol=0, atol=1e-9)
    np.testing.assert_allclose(cloud.gram[1:, 1:].sum(axis=0), 0, atol=1e-8)
    np.testing.assert_allclose(cloud.norms, np.linalg.norm(wide, axis=1), rtol=1e-14)


def test_matrices_are_symmetric_with_a_zero_diagonal():
    cloud = measure_cloud_geometry({"run": (parts := jump_cloud(0.1, 1e-5))[0]}, parts[1])

    for matrix in (cloud.euclidean, cloud.cosine):
        assert np.array_equal(matrix, matrix.T)
        assert not np.diagonal(matrix).any()
        assert (matrix >= 0).all()


def test_angles_beyond_a_right_one_are_measured():
    rows = np.array([[1, 0, 0], [-1, 0, 0], [0, 2, 0], [-3, 3, 0], [1, 1, 1]], np.float32)
    cloud = measure_cloud_geometry({"run": rows}, make_origins([0, 0, 1, 1, 2]))

    np.testing.assert_allclose(cloud.cosine, brute_force(rows)[1].astype(float), atol=1e-15)
    assert cloud.cosine[0, 1] == pytest.approx(2)


def test_equal_rows_have_distance_zero():
    row = np.random.default_rng(0).standard_normal(50).astype(np.float32)
    cloud = measure_cloud_geometry({"run": np.stack([row, row, 2 * row])}, make_origins([0, 0, 0]))

    assert cloud.euclidean[0, 1] == 0
    assert cloud.cosine[0, 1] == 0
    assert cloud.cosine[0, 2] < 1e-14


def test_several_sources_read_from_hdf5_in_blocks_give_the_same(tmp_path, monkeypatch):
    thetas, origins = jump_cloud(0.1, 1e-3, params=999)
    whole = measure_cloud_geometry({"run": thetas}, origins)
    monkeypatch.setattr(columns, "tile_widths", lambda rows: (100, 30))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["optimum"] = thetas[:1]
        file["jumps"] = thetas[1:17].reshape(2, 8, -1)  # steps, epochs, params
        file["more"] = thetas[17:].reshape(1, 8, -1)
        pieces = measure_cloud_geometry(file_in_order(file), origins)

    np.testing.assert_allclose(pieces.gram, whole.gram, atol=1e-10)
    np.testing.assert_allclose(pieces.euclidean, whole.euclidean, rtol=1e-12)
    np.testing.assert_allclose(pieces.cosine, whole.cosine, rtol=1e-10)


def file_in_order(file):
    return {name: file[name] for name in ("optimum", "jumps", "more")}


def test_trajectories_of_one_row_and_rows_of_none_are_measured():
    thetas, _ = jump_cloud(1.0, 1e-2, trajectories=2, epochs=4)
    euclidean, cosine = brute_force(thetas)
    cloud = measure_cloud_geometry({"run": thetas}, make_origins([-1, -1, 0, 1, 1, 1, 2, 3, 3]))

    assert relative_error(cloud.euclidean, euclidean) < 1e-12
    assert relative_error(cloud.cosine, cosine) < 1e-12


@pytest.mark.parametrize("lengths", [np.geomspace(1e-1, 1e-5, 20), np.geomspace(1e-5, 1e-1, 20)])
def test_ends_that_lie_close_together_keep_their_digits(lengths):
    """Trajectories meet (retraining) or part (runs of one initialization), far from the mean."""
    generator = np.random.default_rng(0)
    center, away, *ways = generator.standard_normal((5, 4000))
    paths = [center + length * way for way in ways for length in lengths]
    thetas = np.array([*paths, center + 0.1 * away]).astype(np.float32)
    euclidean, cosine = brute_force(thetas)
    origins = make_origins([*np.repeat([0, 1, 2], len(lengths)), 3])
    cloud = measure_cloud_geometry({"run": thetas}, origins)

    assert relative_error(cloud.euclidean, euclidean) < 1e-9
    assert relative_error(cloud.cosine, cosine) < 1e-9


def test_equal_threads_give_equal_bytes():
    thetas, origins = jump_cloud(0.1, 1e-4)
    one, two = (measure_cloud_geometry({"run": thetas}, origins) for _ in range(2))

    for name in ("gram", "euclidean", "cosine", "norms"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_row_that_is_not_finite_is_named(value):
    good, bad = np.ones((3, 40), np.float32), np.ones((2, 3, 40), np.float32)
    bad[1, 2, 39] = value
    sources = {"trajectory/a": good, "jumps/a-d0": bad}

    with pytest.raises(LossmapError, match="jumps/a-d0: row 5 is not finite"):
        measure_cloud_geometry(sources, make_origins(np.zeros(9, int)))


def test_first_of_several_rows_that_are_not_finite_is_named():
    rows = np.ones((3, 40), np.float32)
    rows[1, 0], rows[2, 0] = np.inf, np.nan
    sources = {"trajectory/a": rows, "trajectory/b": np.full((3, 40), np.nan, np.float32)}

    with pytest.raises(LossmapError, match="trajectory/a: row 1 is not finite"):
        measure_cloud_geometry(sources, make_origins(np.zeros(6, int)))


def test_zero_vector_is_named():
    sources = {"a": np.ones((2, 4)), "b": np.array([[1.0, 2, 3, 4], [0, 0, 0, 0]])}

    with pytest.raises(LossmapError, match="b: row 1 is the zero vector"):
        measure_cloud_geometry(sources, make_origins([0, 0, 1, 1]))


def test_sources_of_other_networks_are_named():
    sources = {"trajectory/a": np.ones((2, 4)), "trajectory/b": np.ones((2, 5))}

    with pytest.raises(LossmapError, match="trajectory/b: 5 parameters, but 'trajectory/a' has 4"):
        measure_cloud_geometry(sources, make_origins([0, 0, 1, 1]))


def test_accumulated_steps_are_squared_distances():
    steps = np.random.default_rng(0).standard_normal((7, 3))
    path = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    wanted = np.sum((path[:, None] - path) ** 2, axis=2)

    np.testing.assert_allclose(accumulate_steps(steps @ steps.T), wanted, atol=1e-12)
    assert accumulate_steps(np.zeros((0, 0))).tolist() == [[0.0]]


def test_scores_are_those_of_pca():
    rows = np.random.default_rng(0).standard_normal((20, 50)) * np.geomspace(1, 0.1, 50)
    centered = rows - rows.mean(axis=0)
    scores, ratios = measure_scores(centered @ centered.T, 4)
    pca = PCA(4, svd_solver="full")
    wanted = pca.fit_transform(rows)
    wanted *= np.sign(wanted[np.abs(wanted).argmax(axis=0), range(4)])

    np.testing.assert_allclose(scores, wanted, atol=1e-10)
    np.testing.assert_allclose(ratios, pca.explained_variance_ratio_, rtol=1e-10)
    assert (scores[np.abs(scores).argmax(axis=0), range(4)] > 0).all()


def test_scores_of_equal_rows_are_refused():
    with pytest.raises(LossmapError, match="all 3 rows of the cloud are equal"):
        measure_scores(np.zeros((3, 3)), 2)


def test_centered_cosine_with_all_components_is_that_of_the_centered_rows():
    rows = np.random.default_rng(0).standard_normal((12, 30)) + 5
    centered = rows - rows.mean(axis=0)

    found = centered_cosine(centered @ centered.T, 100)
    np.testing.assert_allclose(found, cosine_distances(centered), atol=1e-12)


def test_centered_cosine_keeps_tiny_distances():
    thetas, origins = jump_cloud(1.0, 1e-4)
    gram = measure_cloud_geometry({"run": thetas}, origins).gram[1:, 1:]
    wide = thetas[1:].astype(np.longdouble)
    _, wanted = brute_force(wide - wide.mean(axis=0))

    assert relative_error(centered_cosine(gram, 100), wanted) < 1e-6


def test_centered_cosine_of_a_row_at_the_mean_is_refused():
    rows = np.array([[1.0, 0], [-1, 0], [0, 0]])
    with pytest.raises(LossmapError, match=r"row 2 lies at the mean.*'cosine_space'"):
        centered_cosine(rows @ rows.T, 2)


def test_centering_a_gram_matrix_is_centering_the_rows():
    rows = np.random.default_rng(0).standard_normal((6, 4))
    centered = rows - rows.mean(axis=0)

    np.testing.assert_allclose(center_gram(rows @ rows.T), centered @ centered.T, atol=1e-14)
