"""Which files are which epochs of an imported run, told from their names."""

import pytest
from torch import nn

from lossmap.artifacts.checkpoints import find_checkpoints
from lossmap.artifacts.recording import SnapshotRecorder
from lossmap.errors import LossmapError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def epochs(given):
    return [snapshot.epoch for snapshot in find_checkpoints(given, "runs.mine.checkpoints")]


def test_order_is_that_of_the_numbers(tmp_path):
    touch(tmp_path, "ckpt/epoch_10.pt", "ckpt/epoch_9.pt", "ckpt/epoch_100.pt")
    assert epochs("ckpt/epoch_*.pt") == [9, 10, 100]
    assert epochs(["ckpt/epoch_100.pt", "ckpt/epoch_9.pt"]) == [9, 100]


@pytest.mark.parametrize(
    ("name", "epoch"),
    [
        ("resnet18_7.pth", 7),
        ("epoch=3-step=400.ckpt", 3),
        ("Epoch012_acc_0.93.pt", 12),
        ("net.5.pt", 5),
        ("resnet18-epochs-30-seed-1.safetensors", 30),
        ("0.25_loss_8.pt", 8),
        ("checkpoint-500/model.safetensors", 500),
    ],
)
def test_epoch_is_the_number_that_means_it(tmp_path, name, epoch):
    touch(tmp_path, name)
    assert epochs(name) == [epoch]


def test_folders_of_hugging_face_hold_their_parts(tmp_path):
    parts = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    touch(tmp_path, *(f"out/checkpoint-500/{name}" for name in (*parts, "optimizer.pt")))
    touch(tmp_path, "out/checkpoint-1000/pytorch_model.bin", "out/checkpoint-1000/optimizer.pt")
    first, second = find_checkpoints("out/checkpoint-*", "")
    assert (first.epoch, [file.name for file in first.files]) == (500, list(parts))
    assert (second.epoch, [file.name for file in second.files]) == (1000, ["pytorch_model.bin"])


def test_recorder_file_holds_its_epochs():
    with SnapshotRecorder("mine.h5", nn.Linear(2, 2)) as recorder:
        recorder.record(0)
        recorder.record(4)
    assert epochs("mine.h5") == [0, 4]


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        ([], "ckpt/*.pt", "runs.mine.checkpoints: nothing matches 'ckpt/.*' in "),
        (["best.pt"], "*.pt", "'best.pt' has no number in its name, so its epoch is unknown"),
        (["run_3/best.pt"], "run_3/*", "'run_3/best.pt' has no number in its name"),
        (["e1.pt", "e01.pt"], "*.pt", "'e01.pt' and 'e1.pt' are both of epoch 1; rename one"),
        (["e1.txt"], "e1*", "'e1.txt' is no checkpoint that can be read; expected .pt, .pth"),
        (["checkpoint-1/a.txt"], "checkpoint-*", "'checkpoint-1' holds none of model"),
    ],
)
def test_what_cannot_be_told_is_one_line(tmp_path, names, given, message):
    touch(tmp_path, *names)
    with pytest.raises(LossmapError, match=message) as raised:
        epochs(given)
    assert "\n" not in str(raised.value)
