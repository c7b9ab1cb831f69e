"""VGG11 and VGG13 with batch norm, for small images.

Simonyan, Zisserman 2015, *Very Deep Convolutional Networks* (arXiv:1409.1556), table 1, columns
A and B, with batch norm after every convolution: in the usual CIFAR form
(github.com/kuangliu/pytorch-cifar) one linear layer in place of three, and in that of ding2023's
authors (github.com/nblt/DLDR) all three, with dropout.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from lossmap.network.models.layers import (
    GlobalAveragePool,
    biased_conv_norm_relu,
    initialize,
    keep_defaults,
    scaled,
)

A = ((64,), (128,), (256, 256), (512, 512), (512, 512))
B = ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512))
"""Channels of the convolutions before each halving."""
HIDDEN = 4096
"""Units of each of the two linear layers before the last."""


class HalvingMaxPool(nn.Module):
    """2x2 max pooling that leaves alone an axis which is down to one pixel.

    Five halvings take 32 pixels to one; images of 8 pixels get there after three.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Halve height and width, rounding down, but not below one pixel."""
        height, width = x.shape[-2:]
        return functional.max_pool2d(x, kernel_size=(min(2, height), min(2, width)))


def _vgg(
    stages: tuple[tuple[int, ...], ...],
    *,
    classes: int,
    channels: int,
    width: float,
    initialization: str,
    hidden: int | None = None,
) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = channels
    for number, stage in enumerate(stages, start=1):
        convolutions = []
        for count in stage:
            outputs = scaled(count, width)
            convolutions += biased_conv_norm_relu(inputs, outputs)
            inputs = outputs
        layers[f"stage{number}"] = nn.Sequential(*convolutions, HalvingMaxPool())
    layers["pool"] = GlobalAveragePool()
    for number in (1, 2) if hidden else ():
        units = scaled(hidden, width)
        layers[f"hidden{number}"] = nn.Sequential(nn.Linear(inputs, units), nn.ReLU(), nn.Dropout())
        inputs = units
    layers["classifier"] = nn.Linear(inputs, classes)
    return initialize(nn.Sequential(layers), initialization, keep_defaults)


def vgg11(
    *, classes: int, channels: int = 3, width: float = 1.0, initialization: str = "he"
) -> nn.Module:
    """VGG11 (column A): 9,231,114 parameters for 10 classes, 3 channels and width 1."""
    given = {"classes": classes, "channels": channels, "width": width}
    return _vgg(A, **given, initialization=initialization)


def vgg13(
    *, classes: int, channels: int = 3, width: float = 1.0, initialization: str = "he"
) -> nn.Module:
    """VGG13 (column B): 9,416,010 parameters for 10 classes, 3 channels and width 1."""
    given = {"classes": classes, "channels": channels, "width": width}
    return _vgg(B, **given, initialization=initialization)


def vgg11_dldr(
    *, classes: int, channels: int = 3, width: float = 1.0, initialization: str = "published"
) -> nn.Module:
    """VGG11 of the authors' code: 28,149,514 parameters for 10 classes, 3 channels, width 1."""
    given = {"classes": classes, "channels": channels, "width": width}
    return _vgg(A, **given, initialization=initialization, hidden=HIDDEN)


def vgg13_dldr(
    *, classes: int, channels: int = 3, width: float = 1.0, initialization: str = "published"
) -> nn.Module:
    """VGG13 of the authors' code: 28,334,410 parameters for 10 classes, 3 channels, width 1."""
    given = {"classes": classes, "channels": channels, "width": width}
    return _vgg(B, **given, initialization=initialization, hidden=HIDDEN)
