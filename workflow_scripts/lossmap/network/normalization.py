"""Batch norm by each batch's own statistics: how landscapes are normalized by default."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

FEW_CHANNELS = 8
"""Up to this many channels ours is used on the CPU: at 4 torch's kernel for channels-last images
took three times as long, at 8 between as long and twice as long, by the size of the map."""
_TORCHS_FORWARDS = {_BatchNorm.forward, _InstanceNorm.forward, nn.SyncBatchNorm.forward}
_TRAINING = {"training": True}
_WITHOUT_STATISTICS = {"running_mean": None, "running_var": None, "track_running_stats": False}


def find_norms(network: nn.Module) -> dict[str, _NormBase]:
    """Return the layers that torch knows to keep running statistics, by name."""
    return {n: m for n, m in network.named_modules() if isinstance(m, _NormBase)}


def computes_its_own_way(norm: _NormBase) -> bool:
    """Return whether a layer's forward pass is not torch's."""
    return "forward" in vars(norm) or type(norm).forward not in _TORCHS_FORWARDS


@contextmanager
def use_batch_statistics(norms: Iterable[_NormBase]) -> Iterator[None]:
    """Normalize by each batch's mean and variance meanwhile, leaving running statistics alone.

    A layer with a forward pass of its own is in training mode meanwhile, the only way in which it
    is known to do so; what that changes in its buffers is for the caller to set back.
    """
    changed: list[tuple[_NormBase, dict]] = []
    for norm in norms:
        wanted = _TRAINING if computes_its_own_way(norm) else _WITHOUT_STATISTICS
        changed.append((norm, {name: getattr(norm, name) for name in wanted}))
        if wanted is _WITHOUT_STATISTICS and _has_few_channels(norm):
            norm.forward = partial(normalize_few_channels, norm)
        for name, value in wanted.items():
            setattr(norm, name, value)
    try:
        yield
    finally:
        for norm, kept in changed:
            for name, value in kept.items():
                setattr(norm, name, value)
            if kept.keys() != _TRAINING.keys():
                norm.__dict__.pop("forward", None)


def _has_few_channels(norm: _NormBase) -> bool:
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
