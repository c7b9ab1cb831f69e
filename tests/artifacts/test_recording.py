"""A recorder keeps every finished snapshot, whatever happens to its process."""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from lossmap.artifacts.recording import SnapshotRecorder, list_epochs, read_snapshot
from lossmap.errors import LossmapError

# Numbers in a tensor are its epoch, so that a torn snapshot would show.
ENDLESS = """
import sys, torch
from lossmap.artifacts.recording import SnapshotRecorder
network = torch.nn.Linear(1000, 1000)
recorder = SnapshotRecorder(sys.argv[1], network, resume=True)
for epoch in range(10_000):
    with torch.no_grad():
        network.weight.fill_(epoch)
    recorder.record(epoch, loss=float(epoch))
    print(epoch, flush=True)
"""


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_snapshots_come_back_as_they_were(tmp_path, network):
    states = []
    with SnapshotRecorder(tmp_path / "mine.h5", network) as recorder:
        for epoch in (0, 1, 5):
            network(torch.randn(6, 4))
            recorder.record(epoch, loss=epoch / 2)
            states.append({n: t.clone() for n, t in network.state_dict().items()})
    assert list_epochs(tmp_path / "mine.h5") == [0, 1, 5]
    for epoch, state in zip((0, 1, 5), states, strict=True):
        found = read_snapshot(tmp_path / "mine.h5", epoch)
        assert found.keys() == state.keys()
        for name, values in found.items():
            np.testing.assert_array_equal(values, state[name].numpy())
    with h5py.File(tmp_path / "mine.h5") as file:
        assert file["curves/loss"][:].tolist() == [0.0, 0.5, 2.5]


def test_bfloat16_is_recorded_as_float32(tmp_path, network):
    with SnapshotRecorder(tmp_path / "mine.h5", network.to(torch.bfloat16)) as recorder:
        recorder.record(1)
    found = read_snapshot(tmp_path / "mine.h5", 1)["0.weight"]
    np.testing.assert_array_equal(found, network[0].weight.detach().float().numpy())


@pytest.mark.parametrize("milliseconds", [5, 17, 40])
def test_all_before_are_readable_when_killed_at_any_moment(tmp_path, milliseconds):
    path = tmp_path / "mine.h5"
    command = [sys.executable, "-c", ENDLESS, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = [int(process.stdout.readline()) for _ in range(5)]
    time.sleep(milliseconds / 1000)
    os.kill(process.pid, signal.SIGKILL)
    said += [int(line) for line in process.stdout.read().split("\n") if line]
    process.wait()
    process.stdout.close()
    epochs = list_epochs(path)
    assert epochs[: len(said)] == said
    for epoch in epochs:
        assert (read_snapshot(path, epoch)["weight"] == epoch).all()
    with SnapshotRecorder(path, nn.Linear(1000, 1000), resume=True) as recorder:
        recorder.record(3, loss=0.0)  # the training goes on from epoch 2
    assert list_epochs(path) == [0, 1, 2, 3]
    assert (read_snapshot(path, 2)["weight"] == 2).all()


def test_file_is_readable_while_it_is_written(tmp_path, network):
    recorder = SnapshotRecorder(tmp_path / "mine.h5", network)
    recorder.record(1)
    assert list_epochs(tmp_path / "mine.h5") == [1]
    recorder.close()


def test_existing_file_is_not_replaced(tmp_path, network):
    (tmp_path / "mine.h5").write_bytes(b"precious")
    with pytest.raises(LossmapError, match=r"exists, and is not replaced; give resume=True"):
        SnapshotRecorder(tmp_path / "mine.h5", network)


def test_what_does_not_fit_is_refused(tmp_path, network):
    path = tmp_path / "mine.h5"
    with SnapshotRecorder(path, network) as recorder:
        recorder.record(2, loss=1.0)
        with pytest.raises(LossmapError, match="epoch 2 is recorded after epoch 2; count upwards"):
            recorder.record(2, loss=1.0)
        with pytest.raises(LossmapError, match=r"\['acc'\] were given, \['loss'\] at the first"):
            recorder.record(3, acc=1.0)
        network.append(nn.Linear(3, 2))
        with pytest.raises(LossmapError, match="has other tensors than at the first snapshot"):
            recorder.record(3, loss=1.0)
    with (
        SnapshotRecorder(path, network, resume=True) as other,
        pytest.raises(LossmapError, match="holds snapshots of another network"),
    ):
        other.record(3, loss=1.0)
    assert list_epochs(path) == [2]
    with pytest.raises(LossmapError, match="holds no snapshot of epoch 3"):
        read_snapshot(path, 3)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "no.h5").write_bytes(b"nothing")
    with pytest.raises(LossmapError, match=r"no\.h5: not a readable HDF5 file"):
        list_epochs(tmp_path / "no.h5")
    h5py.File(tmp_path / "foreign.h5", "w", libver="latest").close()
    with pytest.raises(LossmapError, match="expected a file of SnapshotRecorder"):
        list_epochs(tmp_path / "foreign.h5")
    h5py.File(tmp_path / "old.h5", "w").close()
    with pytest.raises(LossmapError, match="SnapshotRecorder"):
        list_epochs(tmp_path / "old.h5")
