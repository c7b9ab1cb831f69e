"""The plane of a trajectory's leading principal components (ding2023 Eq. 1)."""

import numpy as np

from lossmap.artifacts.layout import Layout
from lossmap.errors import LossmapError
from lossmap.geometry.columns import column_tiles, consecutive

SETTINGS = {
    "description": "Principal components of the trajectory (ding2023 Eq. 1).",
    "with": "plane",
    "properties": {
        "window": {
            "type": ["array", "null"],
            "items": {"type": "integer", "minimum": 0},
            "minItems": 2,
            "maxItems": 2,
            "default": None,
            "description": "first and last epoch that the plane is fitted to; null is all",
        },
    },
}


def span(
    thetas, rows: np.ndarray, gram: np.ndarray, center: np.ndarray, layout: Layout, spec: dict
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return one plane: orthonormal directions, as long as the center on the landscape (Eq. 2)."""
    length = float(np.linalg.norm(center.astype(np.float64)))
    return fit_principal_directions(thetas, rows, gram), np.full(2, length), [-1]


def fit_principal_directions(
    thetas, rows: np.ndarray, gram: np.ndarray, axes: int = 2
) -> np.ndarray:
    """Return the leading principal directions of a trajectory (ding2023 Eq. 1).

    Parameters
    ----------
    thetas : float32 (snapshots, params)
    rows : consecutive snapshots that the plane is fitted to
    gram : float64 (rows, rows), their centered Gram matrix
    axes : number of directions

    Returns
    -------
    float32 (axes, params), orthonormal rows; the snapshot that lies farthest out along a direction
    has a positive coordinate there, which fixes the signs

    Raises
    ------
    LossmapError
        The trajectory spans fewer than `axes` dimensions.
    """
    values, vectors = np.linalg.eigh(gram)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1][:, :axes]
    if len(rows) <= axes or values[axes - 1] <= values[0] * 1e-14:
        raise LossmapError(
            f"PCA of {len(rows)} snapshots spans fewer than {axes} dimensions; "
            "keep more epochs or widen the window"
        )
    farthest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[farthest, np.arange(axes)])
    weights = (vectors / np.sqrt(values[:axes])).T
    directions = np.empty((axes, thetas.shape[1]), np.float32)
    for columns, tile in column_tiles([thetas], consecutive(rows)):
        directions[:, columns] = weights @ np.subtract(tile, tile.mean(axis=0), out=tile)
    return directions
