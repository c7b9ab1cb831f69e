import h5py
import numpy as np
import pytest
from sklearn.decomposition import PCA

from lossmap.artifacts.layout import Layout
from lossmap.errors import LossmapError
from lossmap.geometry import columns
from lossmap.geometry.fitting import plane_coordinates, reconstruct
from lossmap.geometry.plane import (
    fit_basis,
    measure_coordinates,
    measure_gram,
    measure_plane_variance,
    measure_variance_ratios,
    measure_walk_ratios,
)
from lossmap.geometry.planes.fn import draw_filter_normalized
from lossmap.geometry.planes.pca import fit_principal_directions

LAYOUT = Layout(
    ["conv.weight", "conv.bias", "norm.weight", "linear.weight", "scale"],
    ["conv", "bias", "norm", "linear", "other"],
    [(4, 2, 3, 3), (4,), (4,), (5, 4), ()],
)


def walk(snapshots=12, params=LAYOUT.size, seed=0, step=1.0, norm=1.0):
    """Return a random walk whose steps are `step` times its start, as float32."""
    generator = np.random.default_rng(seed)
    start = generator.standard_normal(params)
    steps = (
        generator.standard_normal((snapshots, params)) * np.geomspace(1, 0.1, snapshots)[:, None]
    )
    steps[0] = 0.0
    return (norm * (start + step * np.cumsum(steps, axis=0))).astype(np.float32)


def every(thetas):
    return np.arange(len(thetas))


def fit(thetas, axes=2):
    rows = every(thetas)
    gram = measure_gram(thetas, rows)
    return fit_principal_directions(thetas, rows, gram, axes), measure_variance_ratios(gram)


def brute_force_pca(thetas):
    """Return principal directions and variances through the SVD of the float64 matrix."""
    wide = np.asarray(thetas, np.float64)
    _, values, directions = np.linalg.svd(wide - wide.mean(axis=0), full_matrices=False)
    return directions, values**2


def align(directions, others):
    return directions * np.sign(np.sum(directions * others, axis=1, keepdims=True))


@pytest.fixture(params=[(1, 1), (7, 3), (101, 101), (2**15, 2**10)])
def widths(request, monkeypatch):
    monkeypatch.setattr(columns, "tile_widths", lambda rows: request.param)
    return request.param


def test_gram_equals_the_definition(widths):
    thetas = walk()
    centered = thetas.astype(np.float64) - thetas.astype(np.float64).mean(axis=0)
    brute = np.array([[np.dot(one, two) for two in centered] for one in centered])

    assert np.allclose(measure_gram(thetas, every(thetas)), brute, rtol=1e-12, atol=1e-12)


def test_gram_of_a_window_is_centered_on_the_window():
    thetas = walk()

    found = measure_gram(thetas, np.arange(3, 9))

    assert np.array_equal(found, measure_gram(thetas[3:9], np.arange(6)))
    assert not np.allclose(found, measure_gram(thetas, every(thetas))[3:9, 3:9])


@pytest.mark.parametrize("axes", [2, 5])
def test_principal_directions_are_those_of_scikit_learn(widths, axes):
    thetas = walk()
    oracle = PCA(svd_solver="full").fit(thetas.astype(np.float64))

    directions, ratios = fit(thetas, axes)

    wanted = align(oracle.components_[:axes], directions)
    assert directions.dtype == np.float32
    assert np.allclose(directions, wanted, atol=2e-7)
    assert np.allclose(ratios, oracle.explained_variance_ratio_, atol=1e-12)


def test_snapshot_farthest_out_lies_on_the_positive_side():
    for seed in range(8):
        thetas = walk(seed=seed)
        directions, _ = fit(thetas, 3)
        centered = thetas.astype(np.float64) - thetas.astype(np.float64).mean(axis=0)
        scores = centered @ directions.T.astype(np.float64)

        assert np.all(scores[np.abs(scores).argmax(axis=0), range(3)] > 0)


def test_mirrored_trajectory_has_mirrored_directions():
    thetas = walk()

    assert np.array_equal(fit(-thetas)[0], -fit(thetas)[0])


@pytest.mark.parametrize("params", [LAYOUT.size, 2**16 + 1000])
def test_principal_directions_are_orthonormal(params):
    directions, _ = fit(walk(params=params), 4)
    wide = directions.astype(np.float64)

    assert np.allclose(wide @ wide.T, np.eye(4), atol=1e-6)


@pytest.mark.parametrize(("snapshots", "length"), [(3, 10), (5, 10), (10, 10), (14, 14)])
def test_ratios_are_padded_to_ten_components_and_sum_to_one(snapshots, length):
    thetas = walk(snapshots)
    _, ratios = fit(thetas)

    assert ratios.shape == (length,)
    assert np.isclose(ratios.sum(), 1.0)
    assert np.all(np.diff(ratios) <= 0)
    assert np.all(ratios[snapshots:] == 0)


def test_trajectory_in_a_plane_has_that_plane():
    angles = np.linspace(0, 3, 20)
    thetas = np.zeros((20, 50), np.float32)
    thetas[:, 10], thetas[:, 30] = 8 * np.cos(angles), np.sin(angles)
    directions, ratios = fit(thetas)

    inside = np.zeros(50, bool)
    inside[[10, 30]] = True
    assert np.all(directions[:, ~inside] == 0)
    assert np.isclose(ratios[:2].sum(), 1.0)


@pytest.mark.parametrize(
    "thetas",
    [
        np.ones((6, 40), np.float32),
        np.outer(np.arange(6), np.arange(40)).astype(np.float32),
        (1000 + np.outer(np.arange(101), np.arange(40))).astype(np.float32),
        walk(2),
    ],
    ids=["point", "line", "long line", "two snapshots"],
)
def test_trajectory_without_a_plane_is_refused(thetas):
    with pytest.raises(LossmapError, match=r"PCA of \d+ snapshots spans fewer than 2 dimensions"):
        fit(thetas)


def test_plane_is_no_space():
    angles = np.linspace(0, 3, 20)
    thetas = np.zeros((20, 50), np.float32)
    thetas[:, 10], thetas[:, 30] = np.round(64 * np.cos(angles)), np.round(64 * np.sin(angles))

    with pytest.raises(LossmapError, match="fewer than 3 dimensions"):
        fit(thetas, 3)


def test_nearly_parallel_snapshots_are_told_apart_exactly(widths):
    """NUMERICS.md: relative displacements of 1e-4 drown in float32 products."""
    thetas = walk(10, 3000, step=1e-4, norm=100.0)
    brute, values = brute_force_pca(thetas)
    directions, ratios = fit(thetas)

    assert np.allclose(directions, align(brute[:2], directions), atol=1e-7)
    assert np.allclose(ratios, values / values.sum(), rtol=1e-9, atol=1e-14)


def test_nearly_parallel_snapshots_have_exact_coordinates(widths):
    thetas = walk(10, 3000, step=1e-4, norm=100.0)
    skew = np.random.default_rng(1).standard_normal((2, 3000)).astype(np.float32)
    skew[1] += skew[0]
    wide = thetas.astype(np.float64) - thetas[4].astype(np.float64)
    brute = np.linalg.lstsq(skew.T.astype(np.float64), wide.T, rcond=None)[0].T

    coordinates, _ = measure_coordinates(thetas, thetas[4], skew)

    assert np.allclose(coordinates, brute, rtol=1e-9, atol=1e-14 * np.abs(brute).max())


def test_coordinates_are_the_least_squares_solution_in_each_plane(widths):
    thetas = walk()
    generator = np.random.default_rng(1)
    directions = generator.standard_normal((6, LAYOUT.size)).astype(np.float32)
    directions[1] += 3 * directions[0]
    coordinates, gram = measure_coordinates(thetas, thetas[3], directions)

    wide, moved = directions.astype(np.float64), (thetas - thetas[3].astype(np.float64))
    for start in (0, 2, 4):
        span = wide[start : start + 2].T
        brute = np.linalg.lstsq(span, moved.T, rcond=None)[0].T
        assert np.allclose(coordinates[:, start : start + 2], brute, rtol=1e-10, atol=1e-12)
    assert np.allclose(gram, wide @ wide.T, rtol=1e-12)
    assert np.all(coordinates[3] == 0)


def test_project_inverts_reconstruct():
    generator = np.random.default_rng(0)
    center = generator.standard_normal(500).astype(np.float32)
    directions = generator.standard_normal((2, 500)).astype(np.float32)
    directions[1] += directions[0]
    wanted = generator.uniform(-1, 1, (9, 2))
    thetas = np.stack([reconstruct(center, directions, pair) for pair in wanted])

    found, _ = measure_coordinates(thetas, center, directions)

    assert np.allclose(found, wanted, atol=1e-6)


def test_reconstruct_inverts_project_in_the_plane():
    generator = np.random.default_rng(0)
    center = generator.standard_normal(500).astype(np.float32)
    directions = generator.standard_normal((2, 500)).astype(np.float32)
    thetas = (center + generator.uniform(-1, 1, (9, 2)) @ directions).astype(np.float32)
    coordinates, _ = measure_coordinates(thetas, center, directions)
    found = [reconstruct(center, directions, pair) for pair in coordinates]

    assert np.allclose(found, thetas, atol=2e-6)


def brute_force_filter_norm(center, drawn, ignore):
    """Return the drawn vector with each filter at the norm of the center's: Li et al. (2018)."""
    found, offset = np.zeros(len(center)), 0
    for shape in LAYOUT.shapes:
        size = int(np.prod(shape))
        if len(shape) <= 1:
            if ignore == "none":
                found[offset : offset + size] = center[offset : offset + size]
        else:
            for start in range(offset, offset + size, size // shape[0]):
                part = slice(start, start + size // shape[0])
                wide = drawn[part].astype(np.float64)
                length = np.sqrt(sum(float(value) ** 2 for value in center[part]))
                found[part] = wide / np.sqrt(sum(wide**2)) * length
        offset += size
    return found


@pytest.mark.parametrize("ignore", ["bias_bn", "none"])
def test_filters_have_the_norm_of_the_centers_filters(ignore):
    center = walk()[0]
    drawn = np.random.default_rng(3).standard_normal((2, LAYOUT.size), dtype=np.float32)
    found = draw_filter_normalized(center, LAYOUT, 3, 2, ignore)

    assert found.dtype == np.float32
    for direction, raw in zip(found, drawn, strict=True):
        brute = brute_force_filter_norm(center, raw, ignore)
        assert np.allclose(direction, brute, rtol=1e-6, atol=1e-7)


VECTORS = Layout(["norm.weight", "scale"], ["norm", "bias"], [(5,), ()])


@pytest.mark.parametrize(
    ("axes", "ignore", "remedy"),
    [(2, "bias_bn", "method: pca"), (2, "none", "method: pca"), (1, "bias_bn", "ignore: none")],
)
def test_vectors_alone_have_no_filters(axes, ignore, remedy):
    line = f"two axes or more, got 2 with one at most, such as 'norm.weight', .*; write {remedy}"
    with pytest.raises(LossmapError, match=line):
        draw_filter_normalized(np.ones(6, np.float32), VECTORS, 0, axes, ignore)


def test_a_jump_along_vectors_alone_is_along_themselves():
    center = np.arange(6, dtype=np.float32)
    assert np.array_equal(draw_filter_normalized(center, VECTORS, 0, 1, "none"), center[None])


def test_filter_of_zeros_has_no_direction():
    center = walk()[0]
    center[:18] = 0.0

    found = draw_filter_normalized(center, LAYOUT, 0)

    assert np.all(found[:, :18] == 0)
    assert np.all(found[:, 18:36] != 0)


def test_drawn_directions_depend_on_the_seed_alone():
    center = walk()[0]
    np.random.default_rng(0)
    one = draw_filter_normalized(center, LAYOUT, 5)
    draw_filter_normalized(center, LAYOUT, 6)

    assert np.array_equal(one, draw_filter_normalized(center, LAYOUT, 5))
    assert not np.allclose(one, draw_filter_normalized(center, LAYOUT, 6))
    assert not np.allclose(one[0], one[1])


def test_plane_variance_equals_the_variance_of_the_projections(widths):
    thetas = walk()
    directions = np.random.default_rng(1).standard_normal((4, LAYOUT.size)).astype(np.float32)
    directions[1] += 2 * directions[0]
    coordinates, gram = measure_coordinates(thetas, thetas[3], directions)
    wide = thetas.astype(np.float64)
    total = np.sum((wide - wide.mean(axis=0)) ** 2)

    found = measure_plane_variance(coordinates, gram, total)

    for index in (0, 1):
        basis, _ = np.linalg.qr(directions[2 * index : 2 * index + 2].T.astype(np.float64))
        inside = wide @ basis @ basis.T
        assert np.isclose(found[index], np.sum((inside - inside.mean(axis=0)) ** 2) / total)


EPOCHS = np.array([0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20])
FN = {"method": "fn", "seeds": [3, 4, 5], "ignore": "bias_bn"}


def test_pca_plane_holds_the_variance_of_two_components(widths):
    basis = fit_basis(walk(), EPOCHS, 11, LAYOUT, {"method": "pca"})

    assert np.isclose(
        basis.plane_variance_ratio[0], basis.explained_variance_ratio[:2].sum(), rtol=1e-6
    )
    assert basis.plane_variance_ratio.shape == (1,)


def test_directions_of_pca_have_the_norm_of_the_center():
    """ding2023 Eq. 2."""
    thetas = walk()
    basis = fit_basis(thetas, EPOCHS, 4, LAYOUT, {"method": "pca"})
    lengths = np.linalg.norm(basis.scaled_directions().astype(np.float64), axis=1)

    assert np.allclose(lengths, np.linalg.norm(thetas[4].astype(np.float64)), rtol=1e-6)
    assert np.array_equal(basis.directions, fit(thetas)[0])
    assert np.array_equal(basis.center, thetas[4])
    assert basis.center_epoch == 6
    assert basis.seeds.tolist() == [-1]
    assert np.all(plane_coordinates(basis, 0, "orthogonal")[4] == 0)


def test_filter_normalized_directions_are_taken_as_they_are():
    thetas = walk()
    basis = fit_basis(thetas, EPOCHS, 11, LAYOUT, FN)

    for index, seed in enumerate(FN["seeds"]):
        drawn = draw_filter_normalized(thetas[11], LAYOUT, seed)
        assert np.array_equal(basis.scaled_directions(index), drawn)
    assert basis.seeds.tolist() == FN["seeds"]
    assert basis.coordinates.shape == (12, 6)
    assert basis.plane_variance_ratio.shape == (3,)
    assert np.array_equal(basis.explained_variance_ratio, fit(thetas)[1])


@pytest.mark.parametrize("spec", [{"method": "pca"}, FN], ids=["pca", "fn"])
def test_coordinates_place_the_snapshots_on_the_landscape(spec):
    thetas = walk()
    basis = fit_basis(thetas, EPOCHS, 2, LAYOUT, spec)
    moved = thetas - thetas[2].astype(np.float64)

    for index in range(len(basis.seeds)):
        span = basis.scaled_directions(index).T.astype(np.float64)
        brute = np.linalg.lstsq(span, moved.T, rcond=None)[0].T
        found = plane_coordinates(basis, index, "orthogonal")
        assert np.allclose(found, brute, rtol=1e-9, atol=1e-12)


def test_window_fits_the_plane_to_its_snapshots_and_projects_all():
    thetas = walk()
    basis = fit_basis(thetas, EPOCHS, 11, LAYOUT, {"method": "pca", "window": [2, 11]})
    inner = thetas[2:7].astype(np.float64)
    oracle = PCA(n_components=2, svd_solver="full").fit(inner)

    wanted = align(oracle.components_, basis.directions)
    assert np.allclose(basis.directions, wanted, atol=2e-7)
    assert np.isclose(basis.plane_variance_ratio[0], oracle.explained_variance_ratio_.sum())
    assert basis.coordinates.shape == (12, 2)


def test_window_with_fewer_than_three_snapshots_is_refused():
    with pytest.raises(LossmapError, match=r"window 3…7 holds 2 snapshots.* run from 0 to 20"):
        fit_basis(walk(), EPOCHS, 11, LAYOUT, {"method": "pca", "window": [3, 7]})


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_center_without_a_length_is_refused(value):
    thetas = walk()
    thetas[11] = value

    with pytest.raises(LossmapError, match="center at epoch 20 has norm"):
        fit_basis(thetas, EPOCHS, 11, LAYOUT, {"method": "pca"})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_snapshot_that_is_not_finite_is_refused(value):
    thetas = walk()
    thetas[3, 5] = value

    with pytest.raises(LossmapError, match="snapshot 3 of the trajectory is not finite"):
        fit_basis(thetas, EPOCHS, 11, LAYOUT, {"method": "pca"})


@pytest.mark.parametrize("spec", [{"method": "pca"}, FN], ids=["pca", "fn"])
def test_hdf5_dataset_gives_the_basis_of_the_array(tmp_path, spec):
    thetas = walk()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stored = file.create_dataset("thetas", data=thetas, chunks=(1, 16))
        found = fit_basis(stored, EPOCHS, 11, LAYOUT, spec)
    wanted = fit_basis(thetas, EPOCHS, 11, LAYOUT, spec)

    assert all(np.array_equal(vars(found)[name], vars(wanted)[name]) for name in vars(wanted))


def test_equal_runs_have_equal_planes():
    one, two = (fit_basis(walk(), EPOCHS, 11, LAYOUT, FN) for _ in range(2))

    assert all(np.array_equal(vars(one)[name], vars(two)[name]) for name in vars(one))


def test_a_run_that_never_moved_is_refused():
    with pytest.raises(LossmapError, match="never moved"):
        measure_variance_ratios(np.zeros((4, 4)))


def test_walk_of_orthogonal_steps_is_its_own_walk():
    lengths = np.geomspace(1, 0.2, 30)
    thetas = np.cumsum(np.vstack([np.zeros(30), np.diag(lengths)]), axis=0).astype(np.float32)
    gram = measure_gram(thetas, every(thetas))

    np.testing.assert_allclose(
        measure_walk_ratios(gram), measure_variance_ratios(gram), rtol=1e-5, atol=1e-9
    )


def test_plain_walk_has_most_of_its_variance_in_few_components():
    """Antognini and Sohl-Dickstein 2018: 6/π² and 6/(4π²) of it."""
    thetas = np.cumsum(np.eye(101), axis=0).astype(np.float32)
    ratios = measure_walk_ratios(measure_gram(thetas, every(thetas)))

    assert ratios[0] == pytest.approx(6 / np.pi**2, rel=0.01)
    assert ratios[1] == pytest.approx(6 / (4 * np.pi**2), rel=0.01)


def test_straight_run_exceeds_the_walk_with_its_steps():
    thetas = np.outer(np.linspace(0, 1, 20), np.ones(50)).astype(np.float32)
    gram = measure_gram(thetas, every(thetas))

    assert measure_variance_ratios(gram)[0] == pytest.approx(1)
    assert measure_walk_ratios(gram)[0] < 0.7


# --- planes through three points ------------------------------------------------------------------


def triangle(moved=1.0, norm=1.0):
    """Return a run and two points beside it, all near its first snapshot where `moved` is small."""
    thetas = walk(step=moved, norm=norm)
    others = np.random.default_rng(5).standard_normal((2, LAYOUT.size))
    return thetas, [(thetas[-1] + norm * moved * other).astype(np.float32) for other in others]


def lay(thetas, through):
    spec = {"method": "points", "through": through}
    return fit_basis(thetas, np.arange(len(thetas)), len(thetas) - 1, LAYOUT, spec)


@pytest.mark.parametrize(("moved", "norm"), [(1.0, 1.0), (1e-3, 100.0)])
def test_three_points_lie_where_the_triangle_of_their_distances_has_them(moved, norm):
    thetas, through = triangle(moved, norm)
    basis = lay(thetas, through)

    first, second, third = (np.asarray(p, np.float64) for p in (thetas[-1], *through))
    a, b, c = (np.linalg.norm(d) for d in (second - first, third - first, third - second))
    along = (a**2 + b**2 - c**2) / (2 * a**2)  # law of cosines, in units of a
    expected = [[0, 0], [1, 0], [along, np.sqrt((b / a) ** 2 - along**2)]]
    assert np.allclose(basis.points, expected, atol=1e-5)
    assert basis.scale == pytest.approx([a, a])
    assert np.allclose(basis.middle, np.mean(expected, axis=0), atol=1e-5)


def test_points_of_a_plane_are_reached_on_it():
    thetas, through = triangle()
    basis = lay(thetas, through)
    wide = basis.directions.astype(np.float64)

    assert np.allclose(wide @ wide.T, np.eye(2), atol=1e-6)
    for point, place in zip((thetas[-1], *through), basis.points, strict=True):
        found = reconstruct(basis.center, basis.scaled_directions(), place)
        assert np.allclose(found, point, atol=1e-5)


def test_other_planes_have_no_points_and_their_middle_at_the_center():
    spec = {"method": "pca", "window": None}
    basis = fit_basis(walk(), np.arange(12), 3, LAYOUT, spec)

    assert basis.points is None
    assert basis.middle.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["line", "twice", "center", "infinite"])
def test_points_without_a_plane_are_refused(kind):
    thetas, (second, third) = triangle()
    center = thetas[-1]
    through = {
        "line": [second, (center + 3 * (second - center)).astype(np.float32)],
        "twice": [second, second],
        "center": [center, third],
        "infinite": [second, np.full_like(third, np.inf)],
    }[kind]
    with np.errstate(invalid="ignore"), pytest.raises(LossmapError, match="do not lie on one line"):
        lay(thetas, through)
