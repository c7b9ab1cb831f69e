"""The artifact `trajectory`: one training run, snapshot by snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import h5py
import numpy as np

from lossmap.artifacts.layout import Layout, layout_fields
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import Field, Kind, open_artifact, read_values, save_artifact
from lossmap.errors import LossmapError

_CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "theta_norm")
KIND = Kind(
    "trajectory",
    1,
    {
        "thetas": Field("float32", ("snapshots", "params")),
        "epochs": Field("int64", ("snapshots",)),
        "steps": Field("int64", ("snapshots",)),
        **{name: Field("float64", ("snapshots",)) for name in _CURVES},
        "iteration_loss": Field("float64", ("updates",)),
        "buffers": Field("float32", ("snapshots", "buffer_elements")),
        "deviation": Field("float64", (), required=False),
        **layout_fields("layout", "tensors"),
        **layout_fields("buffer_layout", "buffer_tensors"),
    },
)


@dataclass(frozen=True)
class History:
    """What was measured along a training run.

    Attributes
    ----------
    epochs, steps : int64 (snapshots,), epochs and optimizer updates since initialization
    train_loss, test_loss : float64 (snapshots,), nats per image
    train_accuracy, test_accuracy : float64 (snapshots,), shares of images
    theta_norm : float64 (snapshots,), L2 norm of the parameters
    iteration_loss : float64 (updates,), loss of each mini-batch before its update, nats
    """

    epochs: np.ndarray
    steps: np.ndarray
    train_loss: np.ndarray
    train_accuracy: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    theta_norm: np.ndarray
    iteration_loss: np.ndarray


def save_trajectory(
    path: str | Path,
    thetas: np.ndarray,
    buffers: np.ndarray,
    history: History,
    layouts: tuple[Layout, Layout],
    provenance: Provenance,
    deviation: float | None = None,
) -> None:
    """Write a run: float32 `thetas` (snapshots, params) and `buffers`, layouts and curves.

    `deviation` is |loss − float32 loss| / float32 loss of the last snapshot on training images,
    where training was in another precision than float32.
    """
    layout, buffer_layout = layouts
    datasets = {
        "thetas": thetas,
        "buffers": buffers,
        **{field.name: getattr(history, field.name) for field in fields(History)},
        **layout.to_datasets("layout"),
        **buffer_layout.to_datasets("buffer_layout"),
    }
    if deviation is not None:
        datasets["deviation"] = np.float64(deviation)
    save_artifact(path, KIND, datasets, provenance)


@contextmanager
def open_trajectory(path: str | Path) -> Iterator[h5py.File]:
    """Open a checked run so that its `thetas` can be streamed; raises LossmapError."""
    with open_artifact(path, KIND) as file:
        yield file


def load_history(path: str | Path) -> History:
    """Read the curves of a run."""
    with open_trajectory(path) as file:
        return History(**{field.name: read_values(file[field.name]) for field in fields(History)})


def load_layouts(path: str | Path) -> tuple[Layout, Layout]:
    """Read the layouts of the parameters and of the buffers."""
    with open_trajectory(path) as file:
        names = [n for n in KIND.fields if n.startswith(("layout/", "buffer_layout/"))]
        found = {name: read_values(file[name]) for name in names}
    return Layout.from_datasets(found, "layout"), Layout.from_datasets(found, "buffer_layout")


def load_buffers(path: str | Path) -> np.ndarray:
    """Read the running statistics of every snapshot, float32 (snapshots, buffer_elements)."""
    with open_trajectory(path) as file:
        return file["buffers"][()]


def find_snapshot(epochs: np.ndarray, epoch: int, path: str | Path) -> int:
    """Return the row of the snapshot taken after `epoch` epochs.

    Raises
    ------
    LossmapError
        No snapshot was taken at that epoch.
    """
    rows = np.flatnonzero(epochs == epoch)
    if not len(rows):
        kept = ", ".join(str(kept) for kept in epochs[:12])
        raise LossmapError(
            f"{path}: no snapshot at epoch {epoch}; epochs kept: {kept}{' …' * (len(epochs) > 12)}"
        )
    return int(rows[0])
