"""A tiny data set and recipe on which real networks train in a fraction of a second."""

import copy
import logging
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.provenance import Provenance
from lossmap.network import capture
from lossmap.network.training import Run, train_run

SPEC = {
    "run": "tiny",
    "network": {"factory": "lossmap.network.models.resnet:resnet20", "width": 0.125, "seed": 3},
    "seed": 5,
    "epochs": 3,
    "batch_size": 12,
    "snapshot_every": 1,
    "optimizer": {
        "name": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 1.0e-2,
    },
    "schedule": {"name": "constant"},
    "augmentation": {
        "flip": True,
        "crop_padding": 2,
        "rotation": 0,
        "color_jitter": None,
    },
    "metrics": {"images": 15},
}


@pytest.fixture(autouse=True)
def _one_thread():
    """Make sums run in one order, and leave torch as it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def dataset() -> Dataset:
    """Give 30 training and 10 test images of 8 × 8 pixels in 3 classes."""
    generator = np.random.default_rng(0)
    train, test = (generator.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8) for n in (30, 10))
    labels = np.arange(40) % 3
    scaled = train / 255.0
    return Dataset(
        train,
        labels[:30],
        test,
        labels[30:],
        ["a", "b", "c"],
        scaled.mean(axis=(0, 1, 2)),
        scaled.std(axis=(0, 1, 2)),
    )


@pytest.fixture
def spec() -> dict:
    """Give a recipe that a test may change."""
    return copy.deepcopy(SPEC)


@pytest.fixture
def log() -> logging.Logger:
    """Give a logger."""
    return logging.getLogger("lossmap.tests")


@pytest.fixture
def recordings(monkeypatch):
    """Pretend a GPU whose graphs call what they recorded; give the list of recordings."""
    made = []

    def record(work, pool):
        state = SimpleNamespace(replays=0)

        def replay():
            state.replays += 1
            work()

        state.replay, state.pool = replay, lambda: (0, 0)
        made.append(state)
        return state

    monkeypatch.setattr(capture, "_is_on_gpu", lambda tensor: True)
    monkeypatch.setattr(capture, "_rehearse", lambda work: work())
    monkeypatch.setattr(capture, "_no_waiting", nullcontext)
    monkeypatch.setattr(capture, "_record", record)
    monkeypatch.setattr(capture, "_random_states", lambda: (torch.get_rng_state(),) * 2)
    monkeypatch.setattr(capture, "_set_random_states", lambda cpu, _: torch.set_rng_state(cpu))
    return made


@pytest.fixture
def train_through(log):
    """Give a function that trains a run to its end, killed before an epoch on the way or not."""

    def make(data, spec, path, killed_before=None):
        given = (data, spec, "cpu", path, Provenance(canonical_json(spec), "c0de", {}), log)
        if killed_before is not None:
            advance = Run.advance

            def stop(run):
                if run.epoch == killed_before:
                    raise KeyboardInterrupt
                advance(run)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Run, "advance", stop)
                with pytest.raises(KeyboardInterrupt):
                    train_run(*given)
        train_run(*given)
        return path

    return make
