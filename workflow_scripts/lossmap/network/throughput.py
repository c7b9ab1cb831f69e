"""What a pass through a network costs, and how fast this device is: for `estimate` alone."""

import copy
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from lossmap.network.memory import explain_memory
from lossmap.network.parameters import create_network

BACKWARD_AND_FORWARD = 3
"""A training step counts as three forward passes."""


def count_forward_macs(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Count the multiply-adds of one image's forward pass, in convolutions and linear layers.

    Half of what PyTorch's counter reports, which counts a multiply-add as two operations. Biases,
    batch norm, activations and pooling are not counted, as is usual. The model is left unchanged.

    Parameters
    ----------
    model : nn.Module
        The network, on any device.
    input_shape : tuple of int
        (channels, height, width) of one image.
    """
    # A copy in evaluation mode: the pass must not move running statistics, nor may batch norm
    # refuse a single image.
    network = copy.deepcopy(model).eval()
    image = torch.zeros(1, *input_shape, device=next(network.parameters()).device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    return counter.get_total_flops() // 2


def measure_throughput(
    network: dict, batch: int, device: str, seconds: float = 3.0
) -> dict[str, float]:
    """Return sustained operations per second of training and of evaluation.

    One multiply-add is two operations; only convolutions and linear layers are counted.

    Parameters
    ----------
    network : ``factory``, ``width``, ``classes``, ``channels``, ``seed``
    batch : images per step, 32 x 32
    device : ``cpu`` or ``cuda``
    seconds : how long each of the two is measured

    Raises
    ------
    LossmapError
        The memory of the GPU is full.
    """
    with explain_memory(f"{network['factory']} in batches of {batch}"):
        return _measure_both(network, batch, device, seconds)


def _measure_both(network: dict, batch: int, device: str, seconds: float) -> dict[str, float]:
    net = create_network(network, device)
    inputs = torch.randn(batch, 32, 32, network["channels"], device=device).permute(0, 3, 1, 2)
    labels = torch.arange(batch, device=device) % network["classes"]
    flops = 2.0 * batch * count_forward_macs(net.module, (network["channels"], 32, 32))

    def train() -> None:
        net.module.train()
        cross_entropy(net.module(inputs), labels).backward()

    @torch.no_grad()
    def evaluate() -> None:
        net.module.eval()
        net.module(inputs)

    return {
        "training": BACKWARD_AND_FORWARD * flops / _seconds_per_call(train, device, seconds),
        "evaluation": flops / _seconds_per_call(evaluate, device, seconds),
    }


def _seconds_per_call(call: Callable[[], None], device: str, seconds: float) -> float:
    call()
    _wait(device)
    started, calls = time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - started < seconds:
        call()
        calls += 1
        _wait(device)
    return (time.perf_counter() - started) / calls


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
