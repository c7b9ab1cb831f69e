"""Spectra from products alone agree with LAPACK's of the whole matrix."""

import numpy as np
import pytest

from lossmap.errors import LossmapError
from lossmap.geometry.spectrum import (
    draw_signs,
    find_leading_eigenpairs,
    measure_quadrature,
    run_lanczos,
)

SIZE = 60


def make_matrix(eigenvalues: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a symmetric matrix with a known spectrum, and its eigenvectors in columns."""
    drawn = np.random.default_rng(3).standard_normal((len(eigenvalues), len(eigenvalues)))
    vectors = np.linalg.qr(drawn)[0]
    return vectors * eigenvalues @ vectors.T, vectors


def test_leading_eigenpairs_are_the_largest_not_those_of_largest_size():
    eigenvalues = np.concatenate([[-50.0], np.linspace(-1, 1, SIZE - 3), [7.0, 9.0]])
    matrix, vectors = make_matrix(eigenvalues)
    values, found, residuals = find_leading_eigenpairs(matrix.dot, SIZE, 2, 1e-10, seed=0)

    np.testing.assert_allclose(values, [9, 7], rtol=1e-9)
    np.testing.assert_allclose(np.abs(found @ vectors[:, [-1, -2]]), np.eye(2), atol=1e-8)
    assert (found[[0, 1], np.abs(found).argmax(axis=1)] > 0).all()
    assert (residuals < 1e-8).all()


def test_residuals_tell_how_good_an_eigenpair_is():
    matrix, _ = make_matrix(np.linspace(-1, 1, SIZE))
    values, vectors, residuals = find_leading_eigenpairs(matrix.dot, SIZE, 3, 0.1, seed=0)

    expected = np.linalg.norm(vectors @ matrix - values[:, None] * vectors, axis=1)
    np.testing.assert_allclose(residuals, expected, atol=1e-14)
    assert (residuals <= 0.1 * values).all()
    off = np.abs(values[:, None] - np.linalg.eigvalsh(matrix)).min(axis=1)
    assert (off <= residuals).all()


def test_eigenvalues_that_do_not_converge_are_refused(monkeypatch):
    monkeypatch.setattr("lossmap.geometry.spectrum.RESTARTS", 1)
    matrix, _ = make_matrix(np.linspace(0, 1, SIZE))
    with pytest.raises(LossmapError, match="of 5 leading eigenvalues converged to 1e-14"):
        find_leading_eigenpairs(matrix.dot, SIZE, 5, 1e-14, seed=0)


def test_more_eigenvalues_than_parameters_are_refused():
    with pytest.raises(LossmapError, match="3 leading eigenvalues of 3 parameters"):
        find_leading_eigenpairs(np.eye(3).dot, 3, 3, 0.1, seed=0)


@pytest.mark.parametrize("steps", [1, 4, 9])
def test_quadrature_is_exact_for_polynomials_below_twice_its_steps(steps):
    matrix, _ = make_matrix(np.linspace(-2, 3, SIZE))
    start = draw_signs(SIZE, 5, 0)
    nodes, weights = measure_quadrature(matrix.dot, start, steps)

    assert nodes.shape == weights.shape == (steps,)
    for degree in range(2 * steps):
        exact = start @ np.linalg.matrix_power(matrix, degree) @ start / SIZE
        assert weights @ nodes**degree == pytest.approx(exact, rel=1e-9, abs=1e-9)


def test_mean_over_all_signs_is_the_moments_of_the_spectrum():
    eigenvalues = np.array([-1.0, 0.5, 2.0, 6.0])
    matrix, _ = make_matrix(eigenvalues)
    every = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    found = [measure_quadrature(matrix.dot, signs, 2) for signs in every]
    for degree in range(4):
        moment = np.mean([weights @ nodes**degree for nodes, weights in found])
        if degree < 2:  # higher moments have the off-diagonal entries' squares in them
            assert moment == pytest.approx(np.mean(eigenvalues**degree))
        assert moment == pytest.approx(np.trace(np.linalg.matrix_power(matrix, degree)) / 4)


def test_lanczos_ends_where_it_has_seen_all_directions_of_its_start():
    matrix, vectors = make_matrix(np.arange(1.0, SIZE + 1))
    start = vectors[:, [4, 20, 33]].sum(axis=1)
    diagonal, beside = run_lanczos(matrix.dot, start, 10)
    nodes, weights = measure_quadrature(matrix.dot, start, 10)

    assert (len(diagonal), len(beside)) == (3, 2)
    np.testing.assert_allclose(nodes, [5, 21, 34] + [34] * 7, rtol=1e-9)
    np.testing.assert_allclose(weights, [1 / 3] * 3 + [0] * 7, atol=1e-9)


def test_lanczos_finds_each_eigenvalue_once_however_often_it_converged():
    eigenvalues = np.concatenate([np.linspace(0, 1, SIZE - 1), [1e4]])
    matrix, _ = make_matrix(eigenvalues)
    nodes, _ = measure_quadrature(matrix.dot, draw_signs(SIZE, 0, 0), SIZE)
    np.testing.assert_allclose(nodes, eigenvalues, atol=1e-7)


def test_probes_are_signs_that_differ_by_number_and_seed():
    probes = [draw_signs(SIZE, *which) for which in ((0, 0), (0, 1), (1, 0))]
    assert all(set(probe) == {-1.0, 1.0} for probe in probes)
    assert not np.array_equal(probes[0], probes[1])
    assert not np.array_equal(probes[0], probes[2])
    np.testing.assert_array_equal(draw_signs(SIZE, 0, 1), probes[1])
