"""Multiply-adds against closed forms and a sum over layers; throughput is operations over time."""

import pytest
import torch
from torch import nn

from lossmap.network import throughput
from lossmap.network.models.googlenet import googlenet
from lossmap.network.models.resnet import resnet20, resnet32
from lossmap.network.models.vgg import vgg11, vgg13
from lossmap.network.models.wide_resnet import wide_resnet10_2, wide_resnet28_2
from lossmap.network.throughput import count_forward_macs

NETWORK = {
    "factory": "lossmap.network.models.resnet:resnet20",
    "width": 0.125,
    "classes": 10,
    "channels": 1,
    "seed": 0,
}
NETWORKS = [resnet20, resnet32, vgg11, vgg13, googlenet, wide_resnet28_2, wide_resnet10_2]


def sum_macs_over_layers(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Every output of a layer costs one multiply-add per weight that enters it."""
    macs = []

    def record(layer, inputs, outputs):
        macs.append(outputs.numel() * layer.weight[0].numel())

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(record)
    model.eval()(torch.zeros(1, *input_shape))
    return sum(macs)


def test_resnet20_costs_its_closed_form():
    stem = 32 * 32 * 3 * 16 * 9
    stage1 = 6 * 32 * 32 * 16 * 16 * 9
    stage2 = 16 * 16 * (16 * 32 + 5 * 32 * 32) * 9
    stage3 = 8 * 8 * (32 * 64 + 5 * 64 * 64) * 9
    expected = stem + stage1 + stage2 + stage3 + 64 * 10
    assert expected == 40_551_040  # the "41 M" of the literature
    assert count_forward_macs(resnet20(classes=10), (3, 32, 32)) == expected


@pytest.mark.parametrize("input_shape", [(1, 8, 8), (3, 32, 32), (3, 16, 32)])
@pytest.mark.parametrize("network", NETWORKS)
def test_macs_equal_the_sum_over_layers(network, input_shape):
    model = network(classes=10, channels=input_shape[0], width=0.125)
    assert count_forward_macs(model, input_shape) == sum_macs_over_layers(model, input_shape)


def test_counting_leaves_the_model_unchanged():
    model = resnet20(classes=10, width=0.125)
    model.stage1.eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    count_forward_macs(model, (3, 8, 8))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_rates_are_operations_over_seconds(monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(throughput, "count_forward_macs", lambda module, shape: 50.0)
    found = throughput.measure_throughput(NETWORK, 4, "cpu", seconds=0.0)
    seconds_per_call = 2.0 / 2  # a tick at the start, one at the check, one at the end; two calls
    assert found["evaluation"] == 2 * 4 * 50.0 / seconds_per_call
    assert found["training"] == 3 * found["evaluation"]
