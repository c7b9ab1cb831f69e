"""The artifact `basis`: one or more planes through a center, and the run seen in them."""

import numpy as np

from lossmap.artifacts.declare import artifact, f32, f64, i64


@artifact("basis", version=3)
class Basis:
    """Planes through `center`; plane k is spanned by rows 2k and 2k + 1 of `directions`.

    The landscape's direction d_i (ding2023 Eq. 2) is scale[i] * directions[i].
    """

    center: f32["params"]
    """Parameters at the origin of the planes [1]"""
    center_epoch: i64[()]
    """Epoch of the snapshot that is the center [epochs]"""
    directions: f32["axes", "params"]
    """Rows that span the planes: filter-normalized for FN, else orthonormal [1]"""
    scale: f64["axes"]
    """Length of the landscape's direction in units of each row of `directions` [1]"""
    seeds: i64["planes"]
    """Seed of each plane; -1 where nothing is drawn [seed]"""
    explained_variance_ratio: f64["components"]
    """Share of the trajectory's variance along each principal component [1]"""
    plane_variance_ratio: f64["planes"]
    """Share of the trajectory's variance inside each plane [1]"""
    coordinates: f64["snapshots", "axes"]
    """Least-squares positions (alpha, beta) of the snapshots along d_0, d_1 of each plane [1]"""
    epochs: i64["snapshots"]
    """Epoch of each snapshot, since initialization [epochs]"""
    walk_variance_ratio: f64["components"]
    """Share as `explained_variance_ratio` of a walk of orthogonal steps as long as the run's [1]"""
    points: f64["three", "two"] | None = None
    """Positions along d_0, d_1 of the three snapshots that the plane was laid through, the center
    first; landscapes lie around their mean [1]"""

    @property
    def middle(self) -> np.ndarray:
        """Return the middle of landscapes along d_0, d_1: the center, or the mean of `points`."""
        return np.zeros(2) if self.points is None else self.points.mean(axis=0)

    def scaled_directions(self, plane: int = 0) -> np.ndarray:
        """Return d_0 and d_1 of one plane, float32 (2, params) (ding2023 Eq. 2)."""
        rows = slice(2 * plane, 2 * plane + 2)
        return (self.scale[rows, None] * self.directions[rows]).astype(np.float32)
