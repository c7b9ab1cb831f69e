"""Projection of a trajectory onto a plane (ding2023 Eq. 4) and the Fitting Error (Eq. 3)."""

import numpy as np

from lossmap.artifacts.basis import Basis

READINGS = ("orthogonal", "literal")


def read_literally(coordinates: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return the coordinates of Eq. 4 as printed, [α, β] = (w − w_c)ᵀP, in the units of the plane.

    With unit vectors p_i = d_i / ‖d_i‖ the inner products (w − w_c)ᵀp_i are lengths, yet Eq. 3
    multiplies them by d_i once more. They follow from the least-squares coordinates c of the part
    of w − w_c inside the plane, since (w − w_c)ᵀd_i = Σ_j c_j d_jᵀd_i.

    Parameters
    ----------
    coordinates : float64 (snapshots, 2), least-squares coordinates along d_0, d_1
    directions : float32 (2, params), d_0 and d_1

    Returns
    -------
    float64 (snapshots, 2)
    """
    wide = directions.astype(np.float64)
    gram = wide @ wide.T
    return coordinates @ gram / np.sqrt(np.diag(gram))


def reconstruct(center: np.ndarray, directions: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Return w̃ = w_c + α d_0 + β d_1 for one pair of coordinates (ding2023 Eq. 3), float32."""
    alpha, beta = np.float32(coordinates[0]), np.float32(coordinates[1])
    return center + alpha * directions[0] + beta * directions[1]


def plane_coordinates(basis: Basis, plane: int, reading: str) -> np.ndarray:
    """Return the coordinates of all snapshots in one plane by one reading of Eq. 4."""
    coordinates = basis.coordinates[:, 2 * plane : 2 * plane + 2]
    if reading == "orthogonal":
        return coordinates
    return read_literally(coordinates, basis.scaled_directions(plane))


def measure_fitting_error(loss: np.ndarray, projected: np.ndarray) -> tuple[float, int]:
    """Return the Fitting Error and how many of its terms are not finite (ding2023 Eq. 3).

    Err = 1/n Σ_i [ln(Loss(w_i) / Loss(w̃_i))]²

    Parameters
    ----------
    loss, projected : float64 (snapshots,), nats, at the snapshots and at their projections

    Returns
    -------
    error : inf as soon as one term is not finite: terms are counted, never dropped
    non_finite : number of such terms
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = (np.log(loss) - np.log(projected)) ** 2
    bad = int(np.count_nonzero(~np.isfinite(terms)))
    return (float(np.inf) if bad else float(terms.mean())), bad
