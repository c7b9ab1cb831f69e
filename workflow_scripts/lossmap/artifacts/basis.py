"""The artifact `basis`: one or more planes through a center, and the run seen in them."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import Field, Kind, read_datasets, save_artifact

KIND = Kind(
    "basis",
    1,
    {
        "center": Field("float32", ("params",)),
        "center_epoch": Field("int64"),
        "directions": Field("float32", ("axes", "params")),
        "scale": Field("float64", ("axes",)),
        "seeds": Field("int64", ("planes",)),
        "explained_variance_ratio": Field("float64", ("components",)),
        "plane_variance_ratio": Field("float64", ("planes",)),
        "coordinates": Field("float64", ("snapshots", "axes")),
        "epochs": Field("int64", ("snapshots",)),
    },
)


@dataclass(frozen=True)
class Basis:
    """Planes through `center`; plane k is spanned by rows 2k and 2k + 1 of `directions`.

    Attributes
    ----------
    center : float32 (params,)
    center_epoch : epoch of the snapshot that is the center
    directions : float32 (axes, params), orthonormal rows for PCA, filter-normalized ones for FN
    scale : float64 (axes,); the landscape's direction d_i (Eq. 2) is scale[i] * directions[i]
    seeds : int64 (planes,), seed of each plane; -1 for PCA, which has none
    explained_variance_ratio : float64 (components,), of the trajectory's principal components
    plane_variance_ratio : float64 (planes,), share of the trajectory's variance inside each plane
    coordinates : float64 (snapshots, axes), least-squares positions (alpha, beta) of the snapshots
        along d_0, d_1 of each plane: where they fall on the plane's landscape
    epochs : int64 (snapshots,)
    """

    center: np.ndarray
    center_epoch: int
    directions: np.ndarray
    scale: np.ndarray
    seeds: np.ndarray
    explained_variance_ratio: np.ndarray
    plane_variance_ratio: np.ndarray
    coordinates: np.ndarray
    epochs: np.ndarray

    def scaled_directions(self, plane: int = 0) -> np.ndarray:
        """Return d_0 and d_1 of one plane, float32 (2, params) (ding2023 Eq. 2)."""
        rows = slice(2 * plane, 2 * plane + 2)
        return (self.scale[rows, None] * self.directions[rows]).astype(np.float32)


def save_basis(path: str | Path, basis: Basis, provenance: Provenance) -> None:
    """Write a basis."""
    datasets = {field.name: getattr(basis, field.name) for field in fields(Basis)}
    save_artifact(path, KIND, datasets, provenance)


def load_basis(path: str | Path) -> Basis:
    """Read a basis; raises LossmapError when the file is damaged or foreign."""
    found = read_datasets(path, KIND)
    return Basis(**found | {"center_epoch": int(found["center_epoch"])})


def load_coordinates(path: str | Path) -> dict[str, np.ndarray]:
    """Read only what is small: everything but `center` and `directions`."""
    small = [name for name in KIND.fields if name not in ("center", "directions")]
    return read_datasets(path, KIND, small)
