"""Planes for a notebook: the workflow's own, with arrays in and a `Basis` out."""

from collections.abc import Sequence

import numpy as np

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.layout import Layout
from lossmap.errors import LossmapError
from lossmap.geometry.plane import fit_basis


def fit_plane(
    thetas: np.ndarray,
    epochs: Sequence[int] | None = None,
    *,
    center: int = -1,
    window: tuple[int, int] | None = None,
) -> Basis:
    """Return the plane of a trajectory's two leading principal components (ding2023 Eq. 1).

    Parameters
    ----------
    thetas : float32 (snapshots, params), array or HDF5 dataset, for example of `load_run`
    epochs : of the snapshots, their numbers by default
    center : row of the snapshot at the plane's center, the last by default
    window : first and last epoch of the snapshots that the plane is fitted to, all by default

    Returns
    -------
    Basis
        ``coordinates`` holds the trajectory in the plane, ``plane_variance_ratio`` the share of its
        variance that lies inside.

    Raises
    ------
    LossmapError
        There are fewer than three snapshots, or one is not finite.
    """
    if len(np.shape(thetas)) != 2:
        raise LossmapError(
            f"thetas: shape {np.shape(thetas)}, expected (snapshots, params); stack the vectors"
        )
    count = thetas.shape[0]
    numbers = np.arange(count) if epochs is None else np.asarray(epochs, np.int64)
    if len(numbers) != count:
        raise LossmapError(f"epochs: {len(numbers)} numbers for {count} snapshots; give one each")
    spec = {"method": "pca", "window": window}
    return fit_basis(thetas, numbers, range(count)[center], Layout([], [], []), spec)
