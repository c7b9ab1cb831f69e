"""Seconds per point of a landscape, beside a plain PyTorch loop over the same images."""

import time
from statistics import median

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from lossmap.artifacts.dataset import Dataset
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.factory import build_network
from lossmap.network.surface import Surface

NETWORK = {
    "factory": "lossmap.network.models.resnet:resnet20",
    "classes": 10,
    "channels": 3,
    "seed": 0,
}
EVALUATION = {"images": 1000, "batch": 250, "seed": 0}
ROUNDS = 5


def random_dataset():
    """Give 1,000 random images of ten classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1000, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(1000, dtype=np.int64) % 10
    names = [str(label) for label in range(10)]
    return Dataset(
        images, labels, images[:10], labels[:10], names, np.full(3, 0.5), np.full(3, 0.3)
    )


def plain_loop(module, surface, theta):
    """Give the loss the usual way: a state dict per point, training mode for batch statistics."""
    parts = surface.network.layout.parts()
    state = {name: theta[part].view(shape).clone() for name, _, shape, part in parts}
    module.load_state_dict(state, strict=False)
    total = 0.0
    with torch.no_grad():
        for inputs, labels in surface.batches:
            logits = module(inputs.contiguous())
            total += float(cross_entropy(logits, labels, reduction="sum"))
    return total / surface.count


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0])
def test_a_point_of_the_landscape(benchmark, width, capsys):
    fix_arithmetic(1, "cpu")
    surface = Surface(random_dataset(), NETWORK | {"width": width}, EVALUATION, "batch", "cpu")
    theta = surface.network.theta.clone()
    module = build_network(**NETWORK, width=width).train()
    ours, plain = [], []
    for _ in range(ROUNDS):  # in turn, so that a busy machine slows both
        started = time.perf_counter()
        loss = surface.evaluate(theta)[0]
        between = time.perf_counter()
        expected = plain_loop(module, surface, theta)
        ours.append(between - started)
        plain.append(time.perf_counter() - between)
    assert loss == pytest.approx(expected, rel=1e-5)
    benchmark.extra_info["ratio"] = median(plain) / median(ours)
    benchmark.pedantic(surface.evaluate, args=(theta,), rounds=ROUNDS)
    with capsys.disabled():
        print(
            f"\nResNet20 x {width}: {median(ours):.3f} s a point, plain {median(plain):.3f} s, "
            f"ratio {median(plain) / median(ours):.2f}"
        )
