"""The arithmetic cost of one forward pass, for the estimates printed before a scale starts.

Knows networks only as modules; measures no time.
"""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


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
