"""Building blocks that every network shares: width scaling, conv-BN-ReLU, pooling, initialization.

Owns the conventions common to all architectures; knows none of them, nor data or training.
"""

from collections.abc import Callable

from torch import Tensor, nn

INITIALIZATIONS = ("he", "published")


def scaled(channels: int, width: float) -> int:
    """Scale a channel count: ``round(channels * width)``, at least 1.

    Monotone in ``channels``, so that a stage never has fewer channels than the one before it
    and parameter-free shortcuts only ever pad.

    Raises
    ------
    ValueError
        ``width`` is not a positive number.
    """
    if not width > 0:
        raise ValueError(f"width: expected a number above 0, got {width!r}")
    return max(1, round(channels * width))


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Bias-free 3x3 convolution that keeps the map's size at stride 1, as residual networks use."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


def norm_relu(channels: int) -> list[nn.Module]:
    """Batch norm, then ReLU."""
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def biased_conv_norm_relu(inputs: int, outputs: int, kernel_size: int = 3) -> list[nn.Module]:
    """Size-keeping convolution, batch norm, ReLU.

    The convolution has a bias although batch norm cancels it: the published CIFAR forms of VGG
    and GoogLeNet have one, and their parameter counts include it.
    """
    conv = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2)
    return [conv, *norm_relu(outputs)]


def stack_blocks(
    block: type[nn.Module], inputs: int, outputs: int, stride: int, blocks: int
) -> nn.Sequential:
    """Return a stage of residual blocks, of which the first may change channels and size."""
    first = block(inputs, outputs, stride)
    return nn.Sequential(first, *(block(outputs, outputs, 1) for _ in range(blocks - 1)))


class GlobalAveragePool(nn.Module):
    """Mean over height and width."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height, width) to (n, channels)."""
        # Not AdaptiveAvgPool2d: its CUDA backward is non-deterministic.
        return x.mean(dim=(2, 3))


def initialize(
    network: nn.Module, initialization: str, published: Callable[[nn.Module], None]
) -> nn.Module:
    """Draw the parameters of a network that PyTorch has just made; return the network.

    Draws from torch's global generator; `lossmap.network.factory.build_network` seeds and restores
    it.

    Parameters
    ----------
    initialization : ``he`` or ``published``
        he: convolutions from He's normal distribution by fan-out, biases 0: standard deviation
        sqrt(2 / (outputs * kernel area)), He et al. 2015 (arXiv:1502.01852), Eq. 14; batch norm
        (1, 0) and linear layers keep PyTorch's defaults
    published : draws as the code does that the authors of the paper have published

    Raises
    ------
    ValueError
        `initialization` is none of the two.
    """
    if initialization not in INITIALIZATIONS:
        allowed = " or ".join(INITIALIZATIONS)
        raise ValueError(f"initialization: expected {allowed}, got {initialization!r}")
    (published if initialization == "published" else _draw_by_fan_out)(network)
    return network


def _draw_by_fan_out(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def keep_defaults(network: nn.Module) -> None:
    """Leave PyTorch's own initialization."""
