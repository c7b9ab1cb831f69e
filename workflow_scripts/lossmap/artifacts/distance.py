"""The artifact `distance`: exact pairwise geometry of a cloud of weight vectors."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import Field, Kind, read_datasets, save_artifact

CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
ORIGIN_FIELDS = {
    "is_optimum": Field("int8", ("rows",)),
    "trajectory": Field("int64", ("rows",)),
    "source": Field("int64", ("rows",)),
    "direction": Field("int64", ("rows",)),
    "step_size": Field("float64", ("rows",)),
    "epoch": Field("int64", ("rows",)),
    **{name: Field("float64", ("rows",)) for name in CURVES},
    "sources": Field("str", ("sources",)),
}
"""Where the rows of a cloud come from; an embedding holds the same datasets."""
KIND = Kind(
    "distance",
    1,
    {
        "gram": Field("float64", ("rows", "rows")),
        "euclidean": Field("float64", ("rows", "rows")),
        "cosine": Field("float64", ("rows", "rows")),
        "norms": Field("float64", ("rows",)),
        **ORIGIN_FIELDS,
    },
)


@dataclass(frozen=True)
class Origins:
    """Where each row of a cloud comes from.

    Attributes
    ----------
    is_optimum : int8 (rows,), 1 for the minimum that was jumped from
    trajectory : int64 (rows,), consecutive from 0 in the order of the rows; -1 for the optimum
    source : int64 (rows,), index into `sources`
    direction : int64 (rows,), seed of the jump direction; -1 where there is none
    step_size : float64 (rows,), of the jump; NaN where there is none
    epoch : int64 (rows,), since the jump or the initialization; -1 for the optimum
    train_loss, test_loss : float64 (rows,), nats per image; NaN where unknown
    train_accuracy, test_accuracy : float64 (rows,), shares of images; NaN where unknown
    sources : names of the runs or of the minimum
    """

    is_optimum: np.ndarray
    trajectory: np.ndarray
    source: np.ndarray
    direction: np.ndarray
    step_size: np.ndarray
    epoch: np.ndarray
    train_loss: np.ndarray
    train_accuracy: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    sources: list[str]

    def take(self, rows: np.ndarray) -> "Origins":
        """Return the origins of some rows."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _PER_ROW})

    def to_datasets(self) -> dict[str, object]:
        """Return the datasets that hold these origins."""
        return {name: getattr(self, name) for name in ORIGIN_FIELDS}


_PER_ROW = [field.name for field in fields(Origins) if field.name != "sources"]


@dataclass(frozen=True)
class Cloud:
    """A set of weight vectors, known by its exact pairwise geometry.

    Attributes
    ----------
    gram : float64 (rows, rows), inner products relative to the mean of the rows that are not the
        optimum
    euclidean : float64 (rows, rows), L2 distances
    cosine : float64 (rows, rows), 1 - cosine of the angle between the vectors, not centered
    norms : float64 (rows,), L2 norm of each vector
    origins : where each row comes from
    """

    gram: np.ndarray
    euclidean: np.ndarray
    cosine: np.ndarray
    norms: np.ndarray
    origins: Origins


_GEOMETRY = ("gram", "euclidean", "cosine", "norms")


def save_distance(path: str | Path, cloud: Cloud, provenance: Provenance) -> None:
    """Write a cloud."""
    geometry = {name: getattr(cloud, name) for name in _GEOMETRY}
    save_artifact(path, KIND, geometry | cloud.origins.to_datasets(), provenance)


def load_distance(path: str | Path) -> Cloud:
    """Read a cloud; raises LossmapError when the file is damaged or foreign."""
    found = read_datasets(path, KIND)
    origins = Origins(**{name: found.pop(name) for name in ORIGIN_FIELDS})
    return Cloud(**found, origins=origins)
