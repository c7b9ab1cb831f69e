"""ResNet20 and ResNet32 for small images.

He, Zhang, Ren, Sun 2016, *Deep Residual Learning for Image Recognition* (arXiv:1512.03385),
section 4.2: 6n + 2 layers, three stages of n blocks with 16, 32 and 64 channels, shortcuts of
option A (no parameters).
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from lossmap.network.models.layers import (
    GlobalAveragePool,
    conv3x3,
    initialize,
    norm_relu,
    scaled,
    stack_blocks,
)


class BasicBlock(nn.Module):
    """relu(residual(x) + shortcut(x)), He et al. 2016, Eq. 1 and figure 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.extra_channels = outputs - inputs
        self.residual = nn.Sequential(
            conv3x3(inputs, outputs, stride),
            *norm_relu(outputs),
            conv3x3(outputs, outputs),
            nn.BatchNorm2d(outputs),
        )

    def shortcut(self, x: Tensor) -> Tensor:
        """Option A: identity; where the shape changes, every second pixel and zero channels.

        The zeros go half before and half after the channels, as in the usual CIFAR code; the
        paper leaves their place open.
        """
        if self.stride == 1 and self.extra_channels == 0:
            return x
        before = self.extra_channels // 2
        after = self.extra_channels - before
        every_second = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(every_second, (0, 0, 0, 0, before, after))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, height, width) to (n, outputs, height / stride, width / stride)."""
        return functional.relu(self.residual(x) + self.shortcut(x), inplace=True)


def _draw_by_fan_in(network: nn.Module) -> None:
    """Draw as github.com/nblt/DLDR: He's normal distribution by fan-in, the linear layer too."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)


def _resnet(
    blocks: int, *, classes: int, channels: int, width: float, initialization: str
) -> nn.Module:
    small, middle, large = (scaled(count, width) for count in (16, 32, 64))
    layers = OrderedDict(
        stem=nn.Sequential(conv3x3(channels, small), *norm_relu(small)),
        stage1=stack_blocks(BasicBlock, small, small, stride=1, blocks=blocks),
        stage2=stack_blocks(BasicBlock, small, middle, stride=2, blocks=blocks),
        stage3=stack_blocks(BasicBlock, middle, large, stride=2, blocks=blocks),
        pool=GlobalAveragePool(),
        classifier=nn.Linear(large, classes),
    )
    return initialize(nn.Sequential(layers), initialization, _draw_by_fan_in)


def resnet20(
    *, classes: int, channels: int = 3, width: float = 1.0, initialization: str = "he"
) -> nn.Module:
    """ResNet20: 269,722 parameters for 10 classes, 3 channels and width 1."""
    given = {"classes": classes, "channels": channels, "width": width}
    return _resnet(3, **given, initialization=initialization)


def resnet32(
    *, classes: int, channels: int = 3, width: float = 1.0, initialization: str = "he"
) -> nn.Module:
    """ResNet32: 464,154 parameters for 10 classes, 3 channels and width 1."""
    given = {"classes": classes, "channels": channels, "width": width}
    return _resnet(5, **given, initialization=initialization)
