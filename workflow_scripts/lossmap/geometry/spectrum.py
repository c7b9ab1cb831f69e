"""The spectrum of a symmetric matrix that is known by its products with vectors alone.

Leading eigenpairs by ARPACK, density by stochastic Lanczos quadrature: the recurrence stands here,
for the libraries that offer it (curvlinops, PyHessian) bring products of their own, which know
neither the fixed batches nor the batch-norm statistics of a landscape. Knows no network.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from lossmap.errors import LossmapError

Multiply = Callable[[np.ndarray], np.ndarray]
"""Returns the matrix times a vector, float64 (size,)."""
RESTARTS = 100
"""Of ARPACK, each of which takes fewer products than the Lanczos vectors that it keeps."""


def find_leading_eigenpairs(
    multiply: Multiply, size: int, count: int, tolerance: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the algebraically largest eigenvalues, their eigenvectors and the residuals.

    Parameters
    ----------
    multiply : the matrix
    size : its rows
    count : number of eigenpairs
    tolerance : largest residual, as a share of the eigenvalue
    seed : of the first Lanczos vector

    Returns
    -------
    values : float64 (count,), in descending order
    vectors : float64 (count, size), orthonormal rows; the largest entry of each is positive
    residuals : float64 (count,), |Hv − λv|

    Raises
    ------
    LossmapError
        There are not so many eigenvalues, or they do not converge.
    """
    if count >= size:
        raise LossmapError(
            f"{count} leading eigenvalues of {size} parameters: expected at most {size - 1}; lower "
            "curvature.eigenvalues"
        )
    matrix = LinearOperator((size, size), matvec=multiply, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(size)
    try:
        values, vectors = eigsh(
            matrix, count, which="LA", v0=start, tol=tolerance, maxiter=RESTARTS
        )
    except ArpackNoConvergence as error:
        raise LossmapError(
            f"{len(error.eigenvalues)} of {count} leading eigenvalues converged to {tolerance:g} "
            "of their size; lower curvature.eigenvalues or raise curvature.tolerance"
        ) from error
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors.T[order]
    vectors *= np.sign(vectors[np.arange(count), np.abs(vectors).argmax(axis=1)])[:, None]
    residuals = [
        np.linalg.norm(multiply(vector) - value * vector)
        for value, vector in zip(values, vectors, strict=True)
    ]
    return values, vectors, np.array(residuals)


def measure_quadrature(
    multiply: Multiply, start: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights of one Lanczos quadrature (Golub and Meurant 1994).

    For smooth f, Σ weights f(nodes) ≈ vᵀ f(H) v with v the normalized start, exactly so for
    polynomials of a degree below 2 · steps. The mean over random starts approximates
    the mean of f over all eigenvalues: the spectral density (Lin, Saad and Yang 2016).

    Parameters
    ----------
    multiply : the matrix
    start : float64 (size,)
    steps : number of products

    Returns
    -------
    nodes, weights : float64 (steps,), nodes ascending, the weights' sum is 1; where the vectors
        reached from the start span fewer dimensions, the rest have weight 0 at the largest node
    """
    diagonal, beside = run_lanczos(multiply, start, steps)
    nodes, vectors = eigh_tridiagonal(diagonal, beside)
    rest = steps - len(nodes)
    return np.pad(nodes, (0, rest), mode="edge"), np.pad(vectors[0] ** 2, (0, rest))


def run_lanczos(multiply: Multiply, start: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tridiagonal matrix of Lanczos: its diagonal, and the one beside it.

    Every vector is made orthogonal to all before it, twice: without that, copies of eigenvalues
    appear that have converged.

    Returns
    -------
    diagonal, beside : float64 (k,) and (k − 1,), k at most `steps`: the recurrence ends where it
        finds no new direction
    """
    basis = np.empty((min(steps, len(start)), len(start)))
    basis[0] = start / np.linalg.norm(start)
    diagonal, beside = [], []
    for k in range(len(basis)):
        product = multiply(basis[k])
        diagonal.append(basis[k] @ product)
        length = np.linalg.norm(product)
        for _ in range(2):
            product = product - basis[: k + 1].T @ (basis[: k + 1] @ product)
        rest = np.linalg.norm(product)
        if k + 1 == len(basis) or rest <= 1e-10 * length:
            break
        beside.append(rest)
        basis[k + 1] = product / rest
    return np.array(diagonal), np.array(beside)


def draw_signs(size: int, seed: int, probe: int) -> np.ndarray:
    """Return the probe of that number, float64 (size,) of −1 and 1 (Hutchinson 1990)."""
    return np.random.default_rng([seed, probe]).choice([-1.0, 1.0], size)
