import numpy as np
import pytest

from lossmap.artifacts.layout import Layout
from lossmap.geometry.fitting import (
    measure_fitting_error,
    plane_coordinates,
    read_literally,
    reconstruct,
)
from lossmap.geometry.plane import fit_basis

PARAMS, SNAPSHOTS, CENTER = 60, 9, 8
LAYOUT = Layout(["weight", "bias"], ["linear", "bias"], [(10, 5), (10,)])
EPOCHS = np.arange(SNAPSHOTS)
SPECS = {
    "pca": {"method": "pca"},
    "fn": {"method": "fn", "seeds": [0, 1], "ignore": "bias_bn"},
}


class Bowl:
    """L(w) = a + ½‖A (w − w*)‖², and the path of gradient descent on it, as float32."""

    def __init__(self):
        generator = np.random.default_rng(0)
        self.least = 0.1
        self.minimum = generator.standard_normal(PARAMS)
        self.A = generator.standard_normal((PARAMS, PARAMS)) / np.sqrt(PARAMS)
        path = [generator.standard_normal(PARAMS)]
        for _ in range(SNAPSHOTS - 1):
            path.append(path[-1] - 0.3 * self.A.T @ self.A @ (path[-1] - self.minimum))
        self.thetas = np.array(path, np.float32)
        self.path = self.thetas.astype(np.float64)

    def loss(self, theta):
        return self.least + 0.5 * np.sum((self.A @ (np.float64(theta) - self.minimum)) ** 2)


@pytest.fixture(scope="module")
def bowl():
    return Bowl()


def brute_force_plane(bowl, basis, plane):
    """Return the float64 vectors p_i and d_i of Eqs. 1 and 2."""
    if basis.seeds[0] >= 0:
        directions = basis.directions[2 * plane : 2 * plane + 2].astype(np.float64)
        return directions / np.linalg.norm(directions, axis=1, keepdims=True), directions
    _, _, found = np.linalg.svd(bowl.path - bowl.path.mean(axis=0), full_matrices=False)
    unit = found[:2] * np.sign(np.sum(found[:2] * basis.directions, axis=1, keepdims=True))
    return unit, np.linalg.norm(bowl.path[CENTER]) * unit


def project(bowl, basis, reading, plane=0):
    coordinates = plane_coordinates(basis, plane, reading)
    directions = basis.scaled_directions(plane)
    return np.array([reconstruct(basis.center, directions, pair) for pair in coordinates])


def fitting_error(bowl, projected):
    """Return Err = 1/n Σ [ln (L(w) / L(w̃))]² (Eq. 3)."""
    pairs = zip(bowl.path, projected, strict=True)
    return sum(np.log(bowl.loss(w) / bowl.loss(found)) ** 2 for w, found in pairs) / SNAPSHOTS


@pytest.mark.parametrize("method", SPECS)
def test_landscape_of_a_bowl_is_the_closed_form(bowl, method):
    """f(α, β) = a + ½ (r + αu + βv)·(r + αu + βv), with r = A (w_c − w*), u = A d_0, v = A d_1."""
    basis = fit_basis(bowl.thetas, EPOCHS, CENTER, LAYOUT, SPECS[method])
    _, (d_0, d_1) = brute_force_plane(bowl, basis, 0)
    r, u, v = bowl.A @ (bowl.path[CENTER] - bowl.minimum), bowl.A @ d_0, bowl.A @ d_1

    for alpha in np.linspace(-1, 1, 7):
        for beta in np.linspace(-1, 1, 5):
            found = reconstruct(basis.center, basis.scaled_directions(), (alpha, beta))
            point = r + alpha * u + beta * v
            assert np.isclose(bowl.loss(found), bowl.least + 0.5 * point @ point, rtol=1e-5)


@pytest.mark.parametrize("method", SPECS)
@pytest.mark.parametrize("plane", [0, 1])
def test_orthogonal_projection_is_the_nearest_point_of_the_plane(bowl, method, plane):
    """w̃ = w_c + Q Qᵀ (w − w_c), Q an orthonormal basis of span {d_0, d_1}."""
    basis = fit_basis(bowl.thetas, EPOCHS, CENTER, LAYOUT, SPECS[method])
    plane = plane * (method == "fn")
    _, directions = brute_force_plane(bowl, basis, plane)
    Q, _ = np.linalg.qr(directions.T)
    center = bowl.path[CENTER]
    wanted = np.array([center + Q @ Q.T @ (w - center) for w in bowl.path])

    found = project(bowl, basis, "orthogonal", plane)

    assert np.allclose(found, wanted, atol=1e-5)
    losses = [bowl.loss(w) for w in bowl.path], [bowl.loss(w) for w in found]
    assert np.isclose(
        measure_fitting_error(*map(np.array, losses))[0], fitting_error(bowl, wanted), rtol=1e-4
    )


def test_literal_projection_of_pca_is_equation_4_as_printed(bowl):
    """w̃ = w_c + ‖w_c‖ P Pᵀ (w − w_c) (ding2023 Eq. 4)."""
    basis = fit_basis(bowl.thetas, EPOCHS, CENTER, LAYOUT, SPECS["pca"])
    P = brute_force_plane(bowl, basis, 0)[0].T
    center = bowl.path[CENTER]
    wanted = np.array([center + np.linalg.norm(center) * P @ P.T @ (w - center) for w in bowl.path])

    found = project(bowl, basis, "literal")

    assert np.allclose(found, wanted, atol=1e-4)
    losses = [bowl.loss(w) for w in bowl.path], [bowl.loss(w) for w in found]
    assert np.isclose(
        measure_fitting_error(*map(np.array, losses))[0], fitting_error(bowl, wanted), rtol=1e-4
    )


@pytest.mark.parametrize("method", SPECS)
def test_literal_coordinates_are_products_with_the_unit_directions(bowl, method):
    """[α, β] = (w − w_c)ᵀ [p_0, p_1] and w̃ = w_c + α d_0 + β d_1 (ding2023 Eq. 3)."""
    basis = fit_basis(bowl.thetas, EPOCHS, CENTER, LAYOUT, SPECS[method])
    for plane in range(len(basis.seeds)):
        unit, directions = brute_force_plane(bowl, basis, plane)
        wanted = np.array([[(w - bowl.path[CENTER]) @ p for p in unit] for w in bowl.path])
        points = bowl.path[CENTER] + wanted @ directions

        found = plane_coordinates(basis, plane, "literal")

        assert np.allclose(found, wanted, rtol=1e-5, atol=1e-6)
        assert np.allclose(project(bowl, basis, "literal", plane), points, atol=1e-4)


def test_readings_agree_where_the_directions_are_orthonormal():
    coordinates = np.random.default_rng(0).standard_normal((5, 2))

    found = read_literally(coordinates, np.eye(2, 7, dtype=np.float32))

    assert np.allclose(found, coordinates, rtol=1e-15)


def test_literal_reading_is_longer_by_the_length_of_the_directions():
    directions = np.diag([3.0, 5.0]).astype(np.float32)

    assert np.allclose(read_literally(np.ones((1, 2)), directions), [[3.0, 5.0]], rtol=1e-15)


@pytest.mark.parametrize("reading", ["orthogonal", "literal"])
def test_center_is_projected_onto_itself_exactly(bowl, reading):
    for spec in SPECS.values():
        basis = fit_basis(bowl.thetas, EPOCHS, CENTER, LAYOUT, spec)
        assert np.array_equal(project(bowl, basis, reading)[CENTER], bowl.thetas[CENTER])


def test_trajectory_in_the_plane_has_no_fitting_error(bowl):
    flat = (bowl.path[0] + np.outer(EPOCHS, bowl.A[0]) + np.outer(EPOCHS**2, bowl.A[1]) / 9) / 4
    basis = fit_basis(flat.astype(np.float32), EPOCHS, CENTER, LAYOUT, SPECS["pca"])
    losses = [
        [bowl.loss(w) for w in flat],
        [bowl.loss(w) for w in project(bowl, basis, "orthogonal")],
    ]

    assert np.isclose(basis.plane_variance_ratio[0], 1.0)
    assert measure_fitting_error(*map(np.array, losses))[0] < 1e-9


def test_reconstruct_keeps_the_precision_of_the_vectors():
    found = reconstruct(
        np.ones(3, np.float32), np.eye(2, 3, dtype=np.float32), np.array([0.25, -2.0])
    )

    assert found.dtype == np.float32
    assert found.tolist() == [1.25, -1.0, 1.0]


def test_fitting_error_is_the_mean_squared_log_ratio():
    loss = np.array([1.0, np.e, 2.0, 5.0])
    projected = loss * np.exp([1.0, -2.0, 0.0, 3.0])

    assert measure_fitting_error(loss, projected) == (pytest.approx(14 / 4, rel=1e-14), 0)
    assert measure_fitting_error(projected, loss) == (pytest.approx(14 / 4, rel=1e-14), 0)


def test_fitting_error_of_equal_losses_is_zero():
    loss = np.array([1e-300, 0.3, 7.0, 1e300])

    assert measure_fitting_error(loss, loss) == (0.0, 0)


def test_fitting_error_does_not_overflow_where_the_ratio_would():
    found, bad = measure_fitting_error(np.array([1e-300]), np.array([1e300]))

    assert found == pytest.approx((600 * np.log(10)) ** 2)
    assert bad == 0


@pytest.mark.parametrize("value", [np.inf, np.nan, 0.0])
def test_terms_that_are_not_finite_are_counted_and_never_dropped(value):
    loss, projected = np.array([1.0, 2.0, 3.0]), np.array([2.0, value, value])

    assert measure_fitting_error(loss, projected) == (np.inf, 2)
    assert measure_fitting_error(projected, loss) == (np.inf, 2)
    assert measure_fitting_error(projected, projected) == (np.inf, 2)
