"""Tensors of any checkpoint reach the network by their names, or are refused by name."""

import json
import pickle
import struct
import sys

import pytest
import torch
from torch import nn

from lossmap.artifacts.recording import SnapshotRecorder
from lossmap.errors import LossmapError
from lossmap.network.parameters import FlatNetwork
from lossmap.network.reading import put_into, read_checkpoint


def make_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    network(torch.randn(5, 1, 4, 4))
    return network


@pytest.fixture
def trained() -> nn.Module:
    return make_network(1)


def bring(path, epoch=1) -> nn.Module:
    """Return another network with the tensors of a file."""
    network = make_network(2)
    flat = FlatNetwork(network)
    put_into(network, read_checkpoint([path], epoch), str(path))
    assert torch.equal(flat.theta[:18], network[0].weight.detach().reshape(-1))
    return network


def assert_equal(one: nn.Module, other: nn.Module):
    state = other.state_dict()
    for name, values in one.state_dict().items():
        assert torch.equal(values, state[name]), name


def renamed(state, prefix):
    return {prefix + name: values for name, values in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {0: state}}},
        lambda state: {"model": state, "args": {"lr": 0.1}},
        lambda state: {"model_state_dict": renamed(state, "module.")},
        lambda state: renamed(state, "_orig_mod.module."),
        lambda state: {"state_dict": renamed(state, "model."), "hyper_parameters": {"lr": 0.1}},
        lambda state: {"model": {"state_dict": renamed(state, "model._orig_mod.")}},
        lambda state: {n: t for n, t in state.items() if "num_batches" not in n},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_found_wherever_trainings_put_them(tmp_path, trained, wrap, zipped):
    path = tmp_path / "epoch_1.pt"
    torch.save(wrap(trained.state_dict()), path, _use_new_zipfile_serialization=zipped)
    found = bring(path)
    found[1].num_batches_tracked.copy_(trained[1].num_batches_tracked)
    assert_equal(found, trained)


def test_recorder_file_brings_the_epoch_that_is_asked_for(tmp_path, trained):
    other = make_network(5)
    with SnapshotRecorder(tmp_path / "mine.h5", trained) as recorder:
        recorder.record(1)
        kept = {name: values.clone() for name, values in trained.state_dict().items()}
        trained.load_state_dict(other.state_dict())
        recorder.record(2)
    assert_equal(bring(tmp_path / "mine.h5", epoch=2), other)
    trained.load_state_dict(kept)
    assert_equal(bring(tmp_path / "mine.h5", epoch=1), trained)


def write_safetensors(path, state):
    """Write the format by hand: length of the header, header, bytes."""
    header, body = {}, b""
    for name, values in state.items():
        data = values.numpy().tobytes()
        kind = "F32" if values.is_floating_point() else "I64"
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def test_safetensors_are_read(tmp_path, trained):
    pytest.importorskip("safetensors")
    write_safetensors(tmp_path / "e1.safetensors", trained.state_dict())
    assert_equal(bring(tmp_path / "e1.safetensors"), trained)


def test_safetensors_without_their_library_say_what_to_install(tmp_path, trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    write_safetensors(tmp_path / "e1.safetensors", trained.state_dict())
    with pytest.raises(LossmapError, match=r"e1\.safetensors: .* pip install safetensors"):
        read_checkpoint([tmp_path / "e1.safetensors"], 1)


def test_parts_of_one_checkpoint_are_joined(tmp_path, trained):
    items = list(trained.state_dict().items())
    torch.save(dict(items[:3]), tmp_path / "a.bin")
    torch.save(dict(items[3:]), tmp_path / "b.bin")
    network = make_network(2)
    put_into(network, read_checkpoint([tmp_path / "a.bin", tmp_path / "b.bin"], 1), "parts")
    assert_equal(network, trained)


def test_tied_tensors_may_be_saved_once():
    network, other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 2)
    network[1].weight = network[0].weight
    state = {"0.weight": other.weight.detach(), "0.bias": other.bias, "1.bias": other.bias}
    put_into(network, state, "tied")
    assert torch.equal(network[1].weight, other.weight)


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_that_would_run_code_is_refused_and_not_executed(tmp_path, trained, zipped):
    path = tmp_path / "epoch_1.pt"
    state = trained.state_dict() | {"x": Attack(tmp_path / "executed")}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(LossmapError, match=r"epoch_1\.pt: refused: it asks for '.*open'") as raised:
        read_checkpoint([path], 1)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "executed").exists()


def test_whole_module_in_a_pickle_is_refused(tmp_path, trained):
    torch.save(trained, tmp_path / "epoch_1.pt")
    with pytest.raises(LossmapError, match=r"refused: .*; save model\.state_dict\(\) alone"):
        read_checkpoint([tmp_path / "epoch_1.pt"], 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable checkpoint"),
        (b"no pickle at all", "epoch_1.pt: "),
        (pickle.dumps([1, 2], protocol=2), "epoch_1.pt: "),
    ],
)
def test_damaged_file_is_named(tmp_path, content, message):
    (tmp_path / "epoch_1.pt").write_bytes(content)
    with pytest.raises(LossmapError, match=message) as raised:
        read_checkpoint([tmp_path / "epoch_1.pt"], 1)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "got"),
    [([1.0], "got list"), ({"lr": 0.1}, "got keys 'lr'"), ({"model": {"a": 1}}, "got keys 'a'")],
)
def test_file_without_tensors_is_named(tmp_path, content, got):
    torch.save(content, tmp_path / "epoch_1.pt")
    with pytest.raises(LossmapError, match=f"expected tensors by name, .*{got}"):
        read_checkpoint([tmp_path / "epoch_1.pt"], 1)


def change(trained, **changes):
    state = trained.state_dict()
    for name, values in changes.items():
        state[name.replace("__", ".")] = values
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            lambda net: {"0.weight": net[0].weight},
            "file: lacks '0.bias', '1.weight', .* and 3 more",
        ),
        (lambda net: change(net, head=net[0].bias), "has 'head', which the network does not"),
        (
            lambda net: change(net, _3__weight=net[0].bias) | {"3.weight": torch.zeros(3, 8)},
            r"'_3.weight', which",
        ),
        (
            lambda net: net.state_dict() | {"3.weight": torch.zeros(3, 8)},
            r"'3.weight' has shape \(3, 8\), but \(2, 8\) in the network",
        ),
        (
            lambda net: net.state_dict() | {"3.weight": torch.full((2, 8), torch.nan)},
            "'3.weight' is not finite; leave this checkpoint out",
        ),
        (
            lambda net: net.state_dict() | {"module.0.bias": torch.zeros(2)},
            "'module.0.bias' and another tensor are both '0.bias'",
        ),
    ],
)
def test_what_does_not_fit_is_named(trained, state, message):
    with pytest.raises(LossmapError, match=message) as raised:
        put_into(make_network(2), state(trained), "file")
    assert "\n" not in str(raised.value)


def test_frozen_parameter_with_other_values_is_refused(trained):
    network = make_network(2)
    network[0].weight.requires_grad_(False)
    with pytest.raises(LossmapError, match=r"'0\.weight' differs from the network's, which does"):
        put_into(network, trained.state_dict(), "file")
