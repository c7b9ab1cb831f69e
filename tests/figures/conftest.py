"""Small artifacts with known landscapes: a bowl in log-loss, a run that descends a ravine."""

import numpy as np
import pytest

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.layout import Layout
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.artifacts.trajectory import History, Trajectory

PROVENANCE = Provenance("{}", "code", {})
EPOCHS = np.arange(11)


@pytest.fixture
def bowl():
    """Return a landscape whose log-loss is linear in alpha: interpolation has a closed form."""
    alphas, betas = np.linspace(-1, 1, 9), np.linspace(-1, 1, 7)
    loss = np.exp(2.0 * alphas[:, None] - 1.0 * betas[None, :]) / 4
    return Grid(alphas, betas, loss, np.zeros_like(loss))


@pytest.fixture
def descent():
    """Return coordinates that end at (0.3, -0.2), and losses that fall by half each epoch."""
    share = EPOCHS / EPOCHS[-1]
    return np.column_stack([0.3 * share, -0.2 * share]), 2.0 ** (1.0 - EPOCHS)


@pytest.fixture
def sources(tmp_path, bowl, descent):
    coordinates, loss = descent
    paths = {
        name: tmp_path / f"{name}.h5"
        for name in ("grid/bowl", "basis/bowl", "projection/bowl", "trajectory/run")
    }
    save(paths["grid/bowl"], bowl, PROVENANCE)
    basis = Basis(
        np.zeros(3, np.float32),
        0,
        np.eye(2, 3, dtype=np.float32),
        np.ones(2),
        np.array([-1]),
        np.ones(10) / 10,
        np.array([0.5]),
        coordinates,
        EPOCHS,
        np.ones(10) / 10,
    )
    save(paths["basis/bowl"], basis, PROVENANCE)
    projected = 1.5 * loss[None]
    one, none = np.ones(1), np.zeros(1, np.int64)
    projection = Projection(
        coordinates, EPOCHS, loss, np.array([-1]), projected, projected, one, one, none, none
    )
    save(paths["projection/bowl"], projection, PROVENANCE)
    curve = np.ones(len(EPOCHS))
    history = History(EPOCHS, *(curve,) * 5, 4 * EPOCHS, np.linspace(2.0, 0.05, 40))
    layouts = Layout(["weight"], ["linear"], [(3,)]), Layout(["mean"], ["buffer"], [(1,)])
    thetas = np.zeros((len(EPOCHS), 3), np.float32)
    buffers = np.zeros((len(EPOCHS), 1), np.float32)
    tensors = (layout.to_tensors() for layout in layouts)
    save(paths["trajectory/run"], Trajectory(thetas, buffers, history, *tensors), PROVENANCE)
    return paths


@pytest.fixture
def landscape():
    """Return a function that makes the arrays of a landscape panel."""

    def make(factor=1.0, size=7, **extra):
        positions = np.linspace(-1, 1, size)
        radius = positions[:, None] ** 2 + positions[None, :] ** 2
        loss = factor * 0.01 * 10.0 ** (2 * radius)
        middle = np.array([0.0, 0.0, loss[size // 2, size // 2]])
        return {"alphas": positions, "betas": positions, "loss": loss, "center": middle} | extra

    return make


@pytest.fixture
def jump_cloud():
    """Return a function that makes the arrays of an embedding panel: jumps that come back."""

    def make(
        directions=(3, 7), steps=(0.25, 1.0), epochs=4, optimum=False, method="phate", **extra
    ):
        rows = [
            (step * np.exp(-epoch) * np.cos(d + 0.1 * epoch), step * np.sin(d), t, epoch, d, step)
            for t, (d, step) in enumerate((d, step) for d in directions for step in steps)
            for epoch in range(epochs)
        ]
        rows = ([(0.0, 0.0, -1, -1, -1, np.nan)] if optimum else []) + rows
        points, trajectory, epoch, direction, step_size = np.split(np.array(rows), [2, 3, 4, 5], 1)
        numbers = {"trajectory": trajectory, "epoch": epoch, "direction": direction}
        panel = {name: values.ravel().astype(np.int64) for name, values in numbers.items()}
        none = np.zeros(len(rows), np.int64)
        panel |= {"points": points, "step_size": step_size.ravel(), "source": none, "label": none}
        panel |= {
            "train_loss": 10.0 ** -panel["epoch"],
            "label_names": ["good"],
            "method": [method],
        }
        return panel | extra

    return make


@pytest.fixture
def run_cloud():
    """Return a function that makes the arrays of an embedding panel: runs of several labels."""

    def make(labels=("SGD", "Adam"), seeds=2, epochs=3):
        index = np.arange(len(labels) * seeds)
        trajectory, epoch = np.repeat(index, epochs), np.tile(np.arange(epochs), len(index))
        unknown = np.full(len(epoch), -1)
        return {
            "points": np.column_stack([epoch * np.cos(trajectory), epoch * np.sin(trajectory)]),
            "trajectory": trajectory,
            "epoch": epoch,
            "direction": unknown,
            "source": trajectory,
            "label": trajectory % len(labels),
            "step_size": np.full(len(epoch), np.nan),
            "train_loss": np.exp(-epoch),
            "label_names": list(labels),
            "method": ["tsne"],
        }

    return make
