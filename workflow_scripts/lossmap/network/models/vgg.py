"""VGG11 and VGG13 with batch norm, for small images.

Simonyan, Zisserman 2015, *Very Deep Convolutional Networks* (arXiv:1409.1556), table 1, columns
A and B, in the usual CIFAR form (github.com/kuangliu/pytorch-cifar): batch norm after every
convolution and one linear layer in place of three.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from lossmap.network.models.layers import (
    GlobalAveragePool,
    biased_conv_norm_relu,
    initialize,
    scaled,
)


class HalvingMaxPool(nn.Module):
    """2x2 max pooling that leaves alone an axis which is down to one pixel.

    Five halvings take 32 pixels to one; images of 8 pixels get there after three.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Halve height and width, rounding down, but not below one pixel."""
        height, width = x.shape[-2:]
        return functional.max_pool2d(x, kernel_size=(min(2, height), min(2, width)))


def _vgg(
    stages: tuple[tuple[int, ...], ...], *, classes: int, channels: int, width: float
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
    layers["classifier"] = nn.Linear(inputs, classes)
    return initialize(nn.Sequential(layers))


def vgg11(*, classes: int, channels: int = 3, width: float = 1.0) -> nn.Module:
    """VGG11 (column A): 9,231,114 parameters for 10 classes, 3 channels and width 1."""
    stages = ((64,), (128,), (256, 256), (512, 512), (512, 512))
    return _vgg(stages, classes=classes, channels=channels, width=width)


def vgg13(*, classes: int, channels: int = 3, width: float = 1.0) -> nn.Module:
    """VGG13 (column B): 9,416,010 parameters for 10 classes, 3 channels and width 1."""
    stages = ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512))
    return _vgg(stages, classes=classes, channels=channels, width=width)
