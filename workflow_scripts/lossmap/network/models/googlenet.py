"""GoogLeNet with batch norm, for small images.

Szegedy et al. 2015, *Going Deeper with Convolutions* (arXiv:1409.4842), table 1, in the usual
CIFAR form (github.com/kuangliu/pytorch-cifar): one 3x3 stem of 192 channels in place of the
strided ones, two 3x3 convolutions for each 5x5, no auxiliary classifiers, no dropout. That of
ding2023's authors (github.com/nblt/DLDR) has a stem of three, halves the map after it, and drops
0.4 of the features out.
"""

from collections import OrderedDict
from itertools import chain, pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lossmap.network.models.layers import (
    GlobalAveragePool,
    biased_conv_norm_relu,
    conv3x3,
    initialize,
    keep_defaults,
    norm_relu,
    scaled,
)


class Branches(NamedTuple):
    """Channel counts of one Inception module, the columns of table 1."""

    one: int
    three_reduced: int
    three: int
    five_reduced: int
    five: int
    pool: int


STEM = (64, 64, 192)
"""Channels of the authors' stem; the usual one has its last convolution alone."""
STAGES = (
    (Branches(64, 96, 128, 16, 32, 32), Branches(128, 128, 192, 32, 96, 64)),
    (
        Branches(192, 96, 208, 16, 48, 64),
        Branches(160, 112, 224, 24, 64, 64),
        Branches(128, 128, 256, 24, 64, 64),
        Branches(112, 144, 288, 32, 64, 64),
        Branches(256, 160, 320, 32, 128, 128),
    ),
    (Branches(256, 160, 320, 32, 128, 128), Branches(384, 192, 384, 48, 128, 128)),
)


class Inception(nn.Module):
    """Four branches side by side, their channels concatenated (figure 2b)."""

    def __init__(self, inputs: int, branches: Branches) -> None:
        super().__init__()
        self.outputs = branches.one + branches.three + branches.five + branches.pool
        self.one = nn.Sequential(*biased_conv_norm_relu(inputs, branches.one, 1))
        self.three = nn.Sequential(
            *biased_conv_norm_relu(inputs, branches.three_reduced, 1),
            *biased_conv_norm_relu(branches.three_reduced, branches.three),
        )
        self.five = nn.Sequential(
            *biased_conv_norm_relu(inputs, branches.five_reduced, 1),
            *biased_conv_norm_relu(branches.five_reduced, branches.five),
            *biased_conv_norm_relu(branches.five, branches.five),
        )
        self.pool = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1),
            *biased_conv_norm_relu(inputs, branches.pool, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, height, width) to (n, self.outputs, height, width)."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


def googlenet(
    *, classes: int, channels: int = 3, width: float = 1.0, initialization: str = "he"
) -> nn.Module:
    """GoogLeNet: 6,166,250 parameters for 10 classes, 3 channels and width 1."""
    stem = biased_conv_norm_relu(channels, scaled(STEM[-1], width))
    return _googlenet(stem, classes, width, initialization)


def googlenet_dldr(
    *, classes: int, channels: int = 3, width: float = 1.0, initialization: str = "published"
) -> nn.Module:
    """GoogLeNet of the authors' code: 6,310,314 parameters for 10 classes, 3 channels, width 1."""
    counts = [channels, *(scaled(count, width) for count in STEM)]
    convolutions = [[conv3x3(*pair), *norm_relu(pair[1])] for pair in pairwise(counts)]
    stem = [*chain(*convolutions), nn.MaxPool2d(kernel_size=3, stride=2, padding=1)]
    return _googlenet(stem, classes, width, initialization, dropout=0.4)


def _googlenet(
    stem: list[nn.Module],
    classes: int,
    width: float,
    initialization: str,
    dropout: float | None = None,
) -> nn.Module:
    inputs = scaled(STEM[-1], width)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["stem"] = nn.Sequential(*stem)
    for number, stage in enumerate(STAGES, start=3):  # table 1 counts the modules from 3
        modules: list[nn.Module] = []
        if number > 3:
            modules.append(nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        for branches in stage:
            module = Inception(inputs, Branches(*(scaled(count, width) for count in branches)))
            modules.append(module)
            inputs = module.outputs
        layers[f"stage{number}"] = nn.Sequential(*modules)
    layers["pool"] = GlobalAveragePool()
    if dropout is not None:
        layers["dropout"] = nn.Dropout(dropout)
    layers["classifier"] = nn.Linear(inputs, classes)
    return initialize(nn.Sequential(layers), initialization, keep_defaults)
