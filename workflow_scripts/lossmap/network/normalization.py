"""Batch norm by each batch's own statistics: how landscapes are normalized by default."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

FEW_CHANNELS = 8
"""Up to this many channels ours is used on the CPU: at 4 torch's kernel for channels-last images
took three times as long, at 8 between as long and twice as long, by the size of the map."""


@contextmanager
def use_batch_statistics(norms: Iterable[_BatchNorm]) -> Iterator[None]:
    """Normalize by each batch's mean and variance meanwhile, leaving running statistics alone."""
    norms = list(norms)
    kept = [(norm.running_mean, norm.running_var) for norm in norms]
    for norm in norms:
        norm.running_mean = norm.running_var = None
        if _has_few_channels(norm):
            norm.forward = partial(normalize_few_channels, norm)
    try:
        yield
    finally:
        for norm, (mean, variance) in zip(norms, kept, strict=True):
            norm.running_mean, norm.running_var = mean, variance
            norm.__dict__.pop("forward", None)


def _has_few_channels(norm: _BatchNorm) -> bool:
    on_cpu = norm.affine and norm.weight.device.type == "cpu"
    return isinstance(norm, nn.BatchNorm2d) and on_cpu and norm.num_features <= FEW_CHANNELS


def normalize_few_channels(norm: nn.BatchNorm2d, images: torch.Tensor) -> torch.Tensor:
    """Return batch norm of (n, channels, height, width) by the batch's own statistics.

    Sums run over whole rows of pixels, width x channels wide, which vector units need; channels
    are folded out of the row sums afterwards.
    """
    count, channels, height, width = images.shape
    wide = images.to(torch.promote_types(images.dtype, torch.float32))  # bfloat16 does not sum
    rows = wide.permute(0, 2, 3, 1).reshape(count * height, width * channels)
    pixels = count * height * width
    mean = rows.sum(0).view(width, channels).sum(0) / pixels
    centered = rows - mean.repeat(width)
    variance = (centered * centered).sum(0).view(width, channels).sum(0) / pixels
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    scaled = torch.addcmul(norm.bias.repeat(width), centered, scale.repeat(width))
    return scaled.view(count, height, width, channels).permute(0, 3, 1, 2)
