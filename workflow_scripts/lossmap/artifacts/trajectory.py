"""The artifact `trajectory`: one training run, snapshot by snapshot."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lossmap.artifacts.declare import artifact, f32, f64, group, i64, text, u8
from lossmap.artifacts.layout import Layout, RawTensors, Tensors
from lossmap.artifacts.provenance import Sources
from lossmap.artifacts.store import load_part, stream
from lossmap.errors import LossmapError


@dataclass(frozen=True)
class History:
    """What was measured along a training run."""

    epochs: i64["snapshots"]
    """Since initialization [epochs]"""
    train_loss: f64["snapshots"]
    """Loss of the training images [nats per image]"""
    train_accuracy: f64["snapshots"]
    """Share of training images classified correctly [1]"""
    test_loss: f64["snapshots"]
    """Loss of the test images [nats per image]"""
    test_accuracy: f64["snapshots"]
    """Share of test images classified correctly [1]"""
    theta_norm: f64["snapshots"]
    """L2 norm of the parameters [1]"""
    steps: i64["snapshots"] | None = None
    """Optimizer updates since initialization, unless the run was imported [updates]"""
    iteration_loss: f64["updates"] | None = None
    """Loss of each mini-batch before its update, unless the run was imported [nats per image]"""


@artifact("trajectory", version=2)
class Trajectory:
    """One training run, snapshot by snapshot."""

    thetas: f32["snapshots", "params"]
    """Parameters as one flat vector, in the order of `layout` [1]"""
    buffers: f32["snapshots", "buffer_elements"]
    """Buffers of type float32, such as running statistics, in the order of `buffer_layout` [1]"""
    history: History
    layout: group[Tensors]
    buffer_layout: group[Tensors]
    deviation: f64[()] | None = None
    """Relative deviation of the last training loss from that in float32, if training used another
    precision [1]"""
    other_buffers: u8["snapshots", "buffer_bytes"] | None = None
    """Bytes of the buffers of other types, such as counters, as `other_layout` says [1]"""
    other_layout: group[RawTensors] = field(default_factory=RawTensors)
    loss_label: text[()] | None = None
    """What the loss is called, with its unit; "loss (nats)" where absent"""


def load_layouts(path: str | Path) -> tuple[Layout, Layout]:
    """Read the layouts of the parameters and of the buffers."""
    names = ("layout", "buffer_layout")
    return tuple(Layout.from_tensors(load_part(path, Trajectory, name)) for name in names)


def read_snapshot(run: Mapping, row: int) -> dict[str, np.ndarray]:
    """Return what the network was at one snapshot: ``thetas``, ``buffers``, ``other_buffers``.

    Parameters
    ----------
    run : the datasets of an open trajectory
    row : of the snapshot
    """
    names = ("thetas", "buffers", "other_buffers")
    return {name: run[name][row] for name in names if name in run}


def load_points(sources: Sources, points: Iterable[Mapping], layout: Layout) -> list[np.ndarray]:
    """Read the weights of snapshots of several runs, float32 (params,) each.

    Parameters
    ----------
    sources : path of each trajectory, by ``trajectory/<run>``
    points : ``run`` and ``epoch`` of each
    layout : of the parameters that they must have

    Raises
    ------
    LossmapError
        A run has other parameters, or no snapshot at the epoch.
    """
    found = []
    for point in points:
        path = sources[f"trajectory/{point['run']}"]
        own, _ = load_layouts(path)
        if (own.names, own.shapes) != (layout.names, layout.shapes):
            raise LossmapError(
                f"{path}: {own.size} parameters in {len(own.names)} tensors, expected the same "
                f"tensors as of the run beside it, {layout.size} in {len(layout.names)}; name runs "
                "of one network"
            )
        with stream(path, Trajectory) as run:
            found.append(run["thetas"][find_snapshot(run["epochs"][()], point["epoch"], path)])
    return found


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
