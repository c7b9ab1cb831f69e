"""On a real GPU captured and eager work give the same bytes; needs no Snakemake."""

import logging

import numpy as np
import pytest
import torch

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.dataset import Dataset
from lossmap.network import capture
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.surface import LossSurface, evaluate_grid
from lossmap.network.training import Run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SPEC = {
    "run": "tiny",
    "network": {"factory": "lossmap.network.models.resnet:resnet20", "width": 0.5, "seed": 3},
    "seed": 5,
    "epochs": 2,
    "batch_size": 48,  # of 200 images: four whole batches and one of 8
    "snapshot_every": 1,
    "optimizer": {},
    "schedule": {"name": "steps", "milestones": [1], "factor": 0.5},
    "augmentation": {
        "flip": True,
        "crop_padding": 4,
        "rotation": 15,
        "color_jitter": [0.4, 0.4, 0.4, 0.1],
    },
    "metrics": {"images": 50},
}
OPTIMIZERS = {
    "sgd": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-3},
    "adam": {"name": "adam", "lr": 1e-3, "weight_decay": 1e-4},
}
DROPOUT = """
from torch import nn

def dropping(*, classes, channels, width):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(1024 * channels, 32), nn.BatchNorm1d(32), nn.Dropout(0.5),
        nn.Linear(32, classes),
    )

class Waiting(nn.Module):
    def forward(self, x):
        return x * 2.0 if x.sum().item() > 0 else x

def waiting(*, classes, channels, width):
    return nn.Sequential(nn.Flatten(), Waiting(), nn.Linear(1024 * channels, classes))
"""


@pytest.fixture(autouse=True)
def _arithmetic():
    fix_arithmetic(1, "cuda")
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def dataset() -> Dataset:
    generator = np.random.default_rng(0)
    train, test = (generator.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (200, 50))
    labels = np.arange(250) % 10
    names = [str(label) for label in range(10)]
    return Dataset(train, labels[:200], test, labels[200:], names, np.full(3, 0.5), np.full(3, 0.3))


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """Give networks that draw random numbers, or whose way depends on values."""
    (tmp_path / "gpu_networks.py").write_text(DROPOUT)
    monkeypatch.syspath_prepend(tmp_path)


def train(dataset, **changes) -> tuple[Run, list[np.ndarray]]:
    spec = SPEC | {"optimizer": OPTIMIZERS["sgd"]} | changes
    run = Run(dataset, spec, "cuda")
    run.measure()
    for _ in range(2):
        run.advance()
    run.measure()
    return run, list(run.state().values())


def assert_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_captured_training_is_eager_training(dataset, optimizer, precision):
    options = {"optimizer": OPTIMIZERS[optimizer], "precision": precision}
    captured, found = train(dataset, **options)
    assert all(update.captured for update in captured.trainer.updates)
    assert_equal(found, train(dataset, **options)[1])
    with capture.disabled():
        assert_equal(found, train(dataset, **options)[1])


def test_captured_training_with_dropout_is_eager_training(dataset, networks):
    network = {"factory": "gpu_networks:dropping", "width": 1.0, "seed": 0}
    captured, found = train(dataset, network=network)
    assert all(update.captured for update in captured.trainer.updates)
    with capture.disabled():
        assert_equal(found, train(dataset, network=network)[1])


@pytest.mark.parametrize("name", ["assignedmean", "assignedcounter", "constrainedweight"])
def test_captured_training_finds_what_forward_assigned(dataset, name):
    network = {"factory": f"own_networks:{name}", "width": 1.0, "seed": 0}
    captured, found = train(dataset, network=network)
    assert all(update.captured for update in captured.trainer.updates)
    with capture.disabled():
        assert_equal(found, train(dataset, network=network)[1])


def test_a_network_that_waits_for_its_values_trains_eagerly(dataset, networks, caplog):
    network = {"factory": "gpu_networks:waiting", "width": 1.0, "seed": 0}
    with caplog.at_level("INFO", "lossmap"):
        run, found = train(dataset, network=network)
    assert not any(update.captured for update in run.trainer.updates)
    assert sum("runs eagerly" in message for message in caplog.messages) == 2
    with capture.disabled():
        assert_equal(found, train(dataset, network=network)[1])
    assert all(update.captured for update in train(dataset)[0].trainer.updates)


def test_a_resumed_run_ends_in_the_same_bytes(dataset):
    _, expected = train(dataset)
    spec = SPEC | {"optimizer": OPTIMIZERS["sgd"]}
    first, second = Run(dataset, spec, "cuda"), Run(dataset, spec, "cuda")
    first.measure()
    first.advance()
    second.restore(first.state())
    second.advance()
    second.measure()
    assert_equal(list(second.state().values()), expected)


def test_first_epoch_is_that_of_a_cpu(dataset):
    spec = SPEC | {"optimizer": OPTIMIZERS["sgd"] | {"lr": 0.01}}
    spec["augmentation"] = SPEC["augmentation"] | {"rotation": 0}  # the nearest pixel may differ
    runs = [Run(dataset, spec, device) for device in ("cuda", "cpu")]
    for run in runs:
        run.advance()
    np.testing.assert_allclose(*(run.iteration_loss for run in runs), rtol=1e-3)


def grid(dataset, statistics: str, precision: str, device: str = "cuda"):
    network = SPEC["network"] | {"classes": 10, "channels": 3}
    evaluation = {"images": 100, "batch": 40, "seed": 0}
    surface = LossSurface(dataset, network, evaluation, statistics, device, precision)
    center = surface.network.theta.cpu().numpy().copy()
    directions = np.random.default_rng(1).standard_normal((2, center.size)).astype(np.float32)
    directions *= 0.1 * np.linalg.norm(center) / np.linalg.norm(directions, axis=1, keepdims=True)
    plane = make_plane(center, directions)
    check = None if precision == "float32" else {"points": 3, "bound": 0.5}
    return surface, evaluate_grid(surface, plane, 3, 1.0, logging.getLogger("test"), check)


def make_plane(center: np.ndarray, directions: np.ndarray) -> Basis:
    scale, seeds, unread = np.ones(2, np.float32), np.array([-1]), np.zeros(0)
    return Basis(center, 0, directions, scale, seeds, unread, unread, unread, unread)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
@pytest.mark.parametrize("statistics", ["batch", "center", "recalibrate"])
def test_captured_landscape_is_the_eager_one(dataset, statistics, precision):
    surface, found = grid(dataset, statistics, precision)
    assert all(one.captured for one in surface._passes.values())
    with capture.disabled():
        _, eager = grid(dataset, statistics, precision)
    np.testing.assert_array_equal(found.loss, eager.loss)
    np.testing.assert_array_equal(found.accuracy, eager.accuracy)
    assert found.loss.std() > 0


@pytest.mark.parametrize("statistics", ["batch", "center", "recalibrate"])
def test_landscape_is_that_of_a_cpu(dataset, statistics):
    _, found = grid(dataset, statistics, "float32")
    _, expected = grid(dataset, statistics, "float32", "cpu")
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-4)
