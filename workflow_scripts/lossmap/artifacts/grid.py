"""The artifact `grid`: the loss and accuracy over a plane."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import Field, Kind, read_datasets, save_artifact

KIND = Kind(
    "grid",
    1,
    {
        "alphas": Field("float64", ("n_alpha",)),
        "betas": Field("float64", ("n_beta",)),
        "loss": Field("float64", ("n_alpha", "n_beta")),
        "accuracy": Field("float64", ("n_alpha", "n_beta")),
        "checked": Field("int64", ("points", "two"), required=False),
        "checked_loss": Field("float64", ("points",), required=False),
        "deviation": Field("float64", (), required=False),
    },
)


@dataclass(frozen=True)
class Grid:
    """Loss (nats per image) and accuracy at center + alphas[i] d_0 + betas[j] d_1.

    A loss that is not finite is stored as inf; NaN means that a point was not evaluated.

    Attributes
    ----------
    alphas, betas : float64 (n_alpha,), (n_beta,)
    loss, accuracy : float64 (n_alpha, n_beta)
    checked : int64 (points, 2), indices of the points that were evaluated in float32 as well; this
        and what follows only of a landscape in bfloat16
    checked_loss : float64 (points,), their float32 losses
    deviation : the largest relative deviation of `loss` from them
    """

    alphas: np.ndarray
    betas: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    checked: np.ndarray | None = None
    checked_loss: np.ndarray | None = None
    deviation: np.ndarray | None = None


def save_grid(path: str | Path, grid: Grid, provenance: Provenance) -> None:
    """Write a grid."""
    datasets = {field.name: getattr(grid, field.name) for field in fields(Grid)}
    present = {name: values for name, values in datasets.items() if values is not None}
    save_artifact(path, KIND, present, provenance)


def load_grid(path: str | Path) -> Grid:
    """Read a grid; raises LossmapError when the file is damaged or foreign."""
    return Grid(**read_datasets(path, KIND))
