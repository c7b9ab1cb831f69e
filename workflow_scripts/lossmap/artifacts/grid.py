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
    },
)


@dataclass(frozen=True)
class Grid:
    """Loss (nats per image) and accuracy at centre + alphas[i] d_0 + betas[j] d_1.

    A loss that is not finite is stored as inf; NaN means that a point was not evaluated.
    """

    alphas: np.ndarray
    betas: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray


def save_grid(path: str | Path, grid: Grid, provenance: Provenance) -> None:
    """Write a grid."""
    datasets = {field.name: getattr(grid, field.name) for field in fields(Grid)}
    save_artifact(path, KIND, datasets, provenance)


def load_grid(path: str | Path) -> Grid:
    """Read a grid; raises LossmapError when the file is damaged or foreign."""
    return Grid(**read_datasets(path, KIND))
