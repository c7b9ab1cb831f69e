"""The artifact `jumps`: retraining from one minimum after jumps along one direction."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import Field, Kind, open_artifact, save_artifact

CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "theta_norm")
FINISHED = "finished.h5"
"""Among the resume points of a direction: a second name of its artifact."""
KIND = Kind(
    "jumps",
    1,
    {
        "thetas": Field("float32", ("steps", "epochs", "params")),
        "step_sizes": Field("float64", ("steps",)),
        "epochs": Field("int64", ("epochs",)),
        "direction": Field("float32", ("params",)),
        "direction_seed": Field("int64"),
        **{name: Field("float64", ("steps", "epochs")) for name in CURVES},
    },
)


def save_jumps(
    path: str | Path,
    thetas: np.ndarray,
    curves: Mapping[str, np.ndarray],
    step_sizes: np.ndarray,
    direction: tuple[int, np.ndarray],
    provenance: Provenance,
) -> None:
    """Write the retraining of one direction.

    Parameters
    ----------
    thetas : float32 (steps, epochs, params), row 0 of each step size is the jump point
    curves : float64 (steps, epochs) by name: losses (nats), accuracies and the norm of θ
    step_sizes : float64 (steps,), in units of the direction
    direction : its seed and the filter-normalized vector, float32 (params,)
    """
    seed, vector = direction
    datasets = {
        "thetas": thetas,
        "step_sizes": step_sizes,
        "epochs": np.arange(thetas.shape[1]),
        "direction": vector,
        "direction_seed": np.int64(seed),
        **{name: curves[name] for name in CURVES},
    }
    save_artifact(path, KIND, datasets, provenance)


def spec_of_resume_points(spec: Mapping) -> str:
    """Return what the resume points of a direction depend on: not on which step sizes it has.

    Canonical JSON of the specification without ``steps``.
    """
    return canonical_json({key: value for key, value in spec.items() if key != "steps"})


@contextmanager
def open_jumps(path: str | Path) -> Iterator[h5py.File]:
    """Open a checked artifact so that its `thetas` can be streamed; raises LossmapError."""
    with open_artifact(path, KIND) as file:
        yield file
