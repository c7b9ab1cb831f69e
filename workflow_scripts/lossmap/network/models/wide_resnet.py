"""Wide residual networks WRN-28-2 and WRN-10-2 for small images.

Zagoruyko, Komodakis 2016, *Wide Residual Networks* (arXiv:1605.07146), table 1: depth 6n + 4,
a stem of 16 channels, three stages of n pre-activation blocks with 32, 64 and 128 channels
(widening factor 2). No dropout.
"""

from collections import OrderedDict

from torch import Tensor, nn

from lossmap.network.models.layers import (
    GlobalAveragePool,
    conv3x3,
    initialize,
    norm_relu,
    scaled,
    stack_blocks,
)


class PreActivationBlock(nn.Module):
    """residual(a) + shortcut with a = relu(bn(x)); He et al. 2016 (arXiv:1603.05027), figure 1b.

    The shortcut is x itself, or a 1x1 convolution of a where the shape changes.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.activation = nn.Sequential(*norm_relu(inputs))
        self.residual = nn.Sequential(
            conv3x3(inputs, outputs, stride),
            *norm_relu(outputs),
            conv3x3(outputs, outputs),
        )
        self.projection = None
        if stride != 1 or inputs != outputs:
            self.projection = nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, height, width) to (n, outputs, height / stride, width / stride)."""
        activated = self.activation(x)
        if self.projection is None:
            return self.residual(activated) + x
        # Taking every second pixel first is the same map: PyTorch's backward of a 1x1 convolution
        # with stride 2 damages the heap on channels-last input of few channels (CPU, 2.13).
        kept = activated[:, :, :: self.stride, :: self.stride]
        return self.residual(activated) + self.projection(kept)


def _draw_as_published(network: nn.Module) -> None:
    """Draw as the code of horoi2021's authors: by fan-out, the linear layer by Glorot, bias 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)


def _wide_resnet(
    blocks: int, *, classes: int, channels: int, width: float, initialization: str
) -> nn.Module:
    stem, small, middle, large = (scaled(count, width) for count in (16, 32, 64, 128))
    layers = OrderedDict(
        stem=conv3x3(channels, stem),
        stage1=stack_blocks(PreActivationBlock, stem, small, stride=1, blocks=blocks),
        stage2=stack_blocks(PreActivationBlock, small, middle, stride=2, blocks=blocks),
        stage3=stack_blocks(PreActivationBlock, middle, large, stride=2, blocks=blocks),
        activation=nn.Sequential(*norm_relu(large)),
        pool=GlobalAveragePool(),
        classifier=nn.Linear(large, classes),
    )
    return initialize(nn.Sequential(layers), initialization, _draw_as_published)


def wide_resnet28_2(
    *, classes: int, channels: int = 3, width: float = 1.0, initialization: str = "he"
) -> nn.Module:
    """WRN-28-2: 1,467,610 parameters for 10 classes, 3 channels and width 1."""
    given = {"classes": classes, "channels": channels, "width": width}
    return _wide_resnet(4, **given, initialization=initialization)


def wide_resnet10_2(
    *, classes: int, channels: int = 3, width: float = 1.0, initialization: str = "he"
) -> nn.Module:
    """WRN-10-2: 303,706 parameters for 10 classes, 3 channels and width 1."""
    given = {"classes": classes, "channels": channels, "width": width}
    return _wide_resnet(1, **given, initialization=initialization)
