"""A flat network computes and learns exactly as the same module does without flattening."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lossmap.errors import LossmapError
from lossmap.network.factory import build_network
from lossmap.network.parameters import FlatNetwork, create_network, describe_network
from lossmap.network.trainer import make_optimizer

NETWORK = {
    "factory": "lossmap.network.models.resnet:resnet20",
    "width": 0.125,
    "classes": 3,
    "channels": 3,
    "seed": 1,
}
INPUTS = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.fixture
def flat() -> FlatNetwork:
    return create_network(NETWORK)


def plain_network() -> nn.Module:
    return build_network(**NETWORK)


def test_theta_is_every_parameter_in_order(flat):
    plain = plain_network()
    expected = torch.cat([parameter.detach().reshape(-1) for parameter in plain.parameters()])
    assert torch.equal(flat.theta, expected)
    assert flat.layout.names == [name for name, _ in plain.named_parameters()]
    assert flat.layout.shapes == [tuple(p.shape) for p in plain.parameters()]


def test_buffers_are_the_floating_point_buffers_in_order(flat):
    found = [(n, b) for n, b in plain_network().named_buffers() if b.is_floating_point()]
    assert flat.buffer_layout.names == [name for name, _ in found]
    assert torch.equal(flat.buffers, torch.cat([values.reshape(-1) for _, values in found]))
    assert set(flat.buffer_layout.kinds) == {"buffer"}


def test_flattening_changes_no_output(flat):
    assert torch.equal(flat.module(INPUTS), plain_network()(INPUTS))


def test_writing_theta_moves_the_network(flat):
    other = build_network(**NETWORK | {"seed": 2})
    flat.theta.copy_(nn.utils.parameters_to_vector(other.parameters()).detach())
    assert torch.equal(flat.module(INPUTS), other(INPUTS))


def test_writing_buffers_changes_the_evaluation(flat):
    plain = plain_network()
    plain.train()(INPUTS)
    values = [b.reshape(-1) for _, b in plain.named_buffers() if b.is_floating_point()]
    flat.buffers.copy_(torch.cat(values))
    assert torch.equal(flat.module.eval()(INPUTS), plain.eval()(INPUTS))


def test_training_mode_updates_the_flat_buffers(flat):
    plain = plain_network().train()
    for _ in range(2):
        flat.module.train()(INPUTS)
        plain(INPUTS)
    values = [b.reshape(-1) for _, b in plain.named_buffers() if b.is_floating_point()]
    assert torch.equal(flat.buffers, torch.cat(values))


def test_gradient_is_where_backward_accumulates(flat):
    plain = plain_network()
    for network in (flat.module, plain):
        for _ in range(2):  # twice: it accumulates in place
            cross_entropy(network(INPUTS), LABELS).backward()
    expected = torch.cat([parameter.grad.reshape(-1) for parameter in plain.parameters()])
    assert torch.equal(flat.gradient, expected)


class EveryKind(nn.Module):
    """One parameter of every kind, and one that is not trained."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.table = nn.Parameter(torch.ones(2, 3))
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)
        self.conv = nn.Conv2d(3, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.linear = nn.Linear(2, 3)


def test_kinds_tell_filters_from_norms_and_biases():
    layout = FlatNetwork(EveryKind()).layout
    assert dict(zip(layout.names, layout.kinds, strict=True)) == {
        "scale": "bias",
        "table": "other",
        "conv.weight": "conv",
        "conv.bias": "bias",
        "norm.weight": "norm",
        "norm.bias": "norm",
        "linear.weight": "linear",
        "linear.bias": "bias",
    }
    assert layout.size == 1 + 6 + 54 + 2 + 2 + 2 + 6 + 3


@pytest.mark.parametrize("what", ["dtype", "axes"])
def test_parameter_that_cannot_be_stored_is_named(what):
    module = nn.Linear(2, 2)
    module.odd = nn.Parameter(
        torch.ones(2, dtype=torch.float64) if what == "dtype" else torch.ones(1, 1, 1, 1, 1)
    )
    with pytest.raises(LossmapError, match=r"^parameter 'odd' (is torch.float64|has 5 axes), "):
        FlatNetwork(module)


def test_network_without_buffers_has_empty_ones():
    flat = FlatNetwork(nn.Linear(2, 2))
    assert flat.buffers.shape == (0,)
    assert flat.buffer_layout.size == 0


OPTIMIZERS = {
    "plain": {"name": "sgd", "lr": 0.05, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    "momentum": {
        "name": "sgd",
        "lr": 0.05,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.01,
    },
    "nesterov": {
        "name": "sgd",
        "lr": 0.05,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.01,
    },
    "adam": {"name": "adam", "lr": 0.01, "weight_decay": 0.01},
}


def listed_optimizer(parameters, spec) -> torch.optim.Optimizer:
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[spec["name"]]
    return kind(parameters, **{k: v for k, v in spec.items() if k != "name"})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_flat_optimizer_step_equals_steps_on_the_list_of_tensors(flat, name):
    plain = plain_network()
    flat_steps = make_optimizer(flat, OPTIMIZERS[name])
    plain_steps = listed_optimizer(plain.parameters(), OPTIMIZERS[name])
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        flat.gradient.copy_(torch.randn(flat.gradient.shape, generator=generator))
        for parameter, (_, _, shape, part) in zip(
            plain.parameters(), flat.layout.parts(), strict=True
        ):
            parameter.grad = flat.gradient[part].view(shape).clone()
        flat_steps.step()
        plain_steps.step()
    expected = nn.utils.parameters_to_vector(plain.parameters()).detach()
    torch.testing.assert_close(flat.theta, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_gives_the_bits_and_the_state_of_torch_optim(flat, name):
    theta = nn.Parameter(flat.theta.clone())
    theta.grad = flat.gradient
    plain = listed_optimizer([theta], OPTIMIZERS[name])
    found = make_optimizer(flat, OPTIMIZERS[name])
    generator = torch.Generator().manual_seed(1)
    for lr in (0.05, 0.05, 0.005):
        flat.gradient.copy_(torch.randn(flat.gradient.shape, generator=generator))
        found.lr = plain.param_groups[0]["lr"] = lr
        found.step()
        plain.step()
        assert torch.equal(flat.theta, theta)
    kept = {key: value for key, value in plain.state[theta].items() if value is not None}
    assert found.state.keys() == kept.keys()
    for key, value in kept.items():
        assert torch.equal(found.state[key], value)


def test_training_loads_no_compiler():
    """torch._dynamo takes longer than all else that a small job does before it trains."""
    script = """
import sys, torch
from lossmap.network.parameters import create_network
from lossmap.network.trainer import make_optimizer
for spec in OPTIMIZERS.values():
    network = create_network(NETWORK)
    network.module(torch.ones(2, 3, 32, 32)).sum().backward()
    make_optimizer(network, spec).step()
print("torch._dynamo" in sys.modules)
"""
    network = {"factory": "lossmap.network.models.resnet:resnet20", "width": 0.1, "seed": 0}
    network |= {"classes": 3, "channels": 3}
    head = f"OPTIMIZERS, NETWORK = {OPTIMIZERS!r}, {network!r}"
    done = subprocess.run(
        [sys.executable, "-c", head + script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_steps_equal_a_plain_loop(flat, name):
    plain = plain_network()
    flat_steps = make_optimizer(flat, OPTIMIZERS[name])
    plain_steps = listed_optimizer(plain.parameters(), OPTIMIZERS[name])
    for _ in range(4):
        flat.gradient.zero_()
        cross_entropy(flat.module(INPUTS), LABELS).backward()
        flat_steps.step()
        plain_steps.zero_grad()
        cross_entropy(plain(INPUTS), LABELS).backward()
        plain_steps.step()
    expected = nn.utils.parameters_to_vector(plain.parameters()).detach()
    torch.testing.assert_close(flat.theta, expected, rtol=1e-4, atol=1e-5)


def test_batch_statistics_equal_training_mode_and_leave_running_ones_alone(flat):
    plain = plain_network().train()
    flat.module.eval()
    flat.buffers.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(0))
    before = flat.buffers.clone()
    running = flat.module(INPUTS)
    with flat.batch_statistics():
        torch.testing.assert_close(flat.module(INPUTS), plain(INPUTS), rtol=1e-5, atol=1e-5)
    assert torch.equal(flat.buffers, before)
    assert torch.equal(flat.module(INPUTS), running)


def test_batch_statistics_are_left_after_an_error(flat):
    flat.module.eval()
    running = flat.module(INPUTS)
    with pytest.raises(RuntimeError, match="stop"), flat.batch_statistics():
        raise RuntimeError("stop")
    assert torch.equal(flat.module(INPUTS), running)


def test_networks_do_not_share_memory(flat):
    copied = copy.deepcopy(flat.theta)
    create_network(NETWORK).theta.zero_()
    assert torch.equal(flat.theta, copied)


def test_description_takes_classes_and_channels_from_the_data_set(dataset):
    described = describe_network({"factory": "a:b", "width": 1.0, "seed": 0}, dataset)
    assert (described["classes"], described["channels"]) == (3, 3)
    assert np.shape(dataset.train_images)[3] == 3
