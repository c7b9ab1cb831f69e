"""The artifact `projection`: a trajectory seen in the planes of a basis, and its Fitting Error."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import Field, Kind, read_datasets, save_artifact

_READINGS = ("orthogonal", "literal")
KIND = Kind(
    "projection",
    1,
    {
        "coordinates": Field("float64", ("snapshots", "two")),
        "epochs": Field("int64", ("snapshots",)),
        "loss": Field("float64", ("snapshots",)),
        **{f"projected_loss_{r}": Field("float64", ("snapshots",)) for r in _READINGS},
        **{f"fitting_error_{r}": Field("float64") for r in _READINGS},
        "planes/seeds": Field("int64", ("planes",)),
        **{
            f"planes/projected_loss_{r}": Field("float64", ("planes", "snapshots"))
            for r in _READINGS
        },
        **{f"planes/fitting_error_{r}": Field("float64", ("planes",)) for r in _READINGS},
        **{f"planes/non_finite_{r}": Field("int64", ("planes",)) for r in _READINGS},
    },
)


@dataclass(frozen=True)
class Projection:
    """A run projected onto one or more planes.

    Attributes
    ----------
    coordinates : float64 (snapshots, 2), positions along d_0, d_1 of the first plane
    epochs : int64 (snapshots,)
    loss : float64 (snapshots,), nats per image at the snapshots themselves
    seeds : int64 (planes,), -1 for PCA
    projected_loss_orthogonal, projected_loss_literal : float64 (planes, snapshots), at the
        projected snapshots, by the least-squares reading of ding2023 Eq. 4 and as printed
    fitting_error_orthogonal, fitting_error_literal : float64 (planes,), ding2023 Eq. 3
    non_finite_orthogonal, non_finite_literal : int64 (planes,), terms of Eq. 3 that are not finite
    """

    coordinates: np.ndarray
    epochs: np.ndarray
    loss: np.ndarray
    seeds: np.ndarray
    projected_loss_orthogonal: np.ndarray
    projected_loss_literal: np.ndarray
    fitting_error_orthogonal: np.ndarray
    fitting_error_literal: np.ndarray
    non_finite_orthogonal: np.ndarray
    non_finite_literal: np.ndarray


_PLAIN = ("coordinates", "epochs", "loss")


def save_projection(path: str | Path, projection: Projection, provenance: Provenance) -> None:
    """Write a projection; the first plane's values are stored without the prefix as well."""
    datasets: dict[str, object] = {}
    for name in (field.name for field in fields(Projection)):
        values = getattr(projection, name)
        datasets[name if name in _PLAIN else f"planes/{name}"] = values
        if name.startswith(("projected_loss", "fitting_error")):
            datasets[name] = values[0]
    save_artifact(path, KIND, datasets, provenance)


def load_projection(path: str | Path) -> Projection:
    """Read a projection; raises LossmapError when the file is damaged or foreign."""
    names = [name for name in KIND.fields if name in _PLAIN or name.startswith("planes/")]
    found = read_datasets(path, KIND, names)
    return Projection(**{name.removeprefix("planes/"): values for name, values in found.items()})
