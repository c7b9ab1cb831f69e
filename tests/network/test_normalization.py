"""Batch norm by the batch's own statistics."""

import copy

import own_networks
import pytest
import torch
from torch import nn

from lossmap.network.normalization import FEW_CHANNELS, computes_its_own_way, use_batch_statistics


@pytest.mark.parametrize("channels", [1, 2, 4, FEW_CHANNELS, FEW_CHANNELS + 1])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
def test_batch_statistics_equal_the_definition_in_float64(channels, channels_last, size):
    generator = torch.Generator().manual_seed(channels)
    norm = nn.BatchNorm2d(channels).eval()
    norm.weight.data.normal_(generator=generator)
    norm.bias.data.normal_(generator=generator)
    images = 3 + torch.randn((6, channels, *size), generator=generator)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), use_batch_statistics([norm]):
        found = norm(images)
    wide = images.double()
    centered = wide - wide.mean((0, 2, 3), keepdim=True)
    variance = centered.square().mean((0, 2, 3), keepdim=True)
    expected = centered / (variance + norm.eps).sqrt() * norm.weight.view(-1, 1, 1)
    expected = expected + norm.bias.view(-1, 1, 1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_running_statistics_and_the_layers_own_behavior_come_back():
    norm = nn.BatchNorm2d(2).eval()
    images = torch.randn(4, 2, 3, 3)
    before = norm(images)
    with use_batch_statistics([norm]):
        assert not torch.equal(norm(images), before)
    torch.testing.assert_close(norm(images), before, rtol=0, atol=0)
    assert "forward" not in vars(norm)


@pytest.mark.parametrize(
    "norm",
    [
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        nn.SyncBatchNorm(4),
        nn.BatchNorm2d(4, momentum=None),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, track_running_stats=False),
        own_networks.OwnNorm(4),
        own_networks.NormAndRelu(4),
        own_networks.Ghost(4),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_every_norm_with_running_statistics_goes_by_the_batch(norm):
    """What it computes in training is its own definition of that."""
    images = 3 + torch.randn(6, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = copy.deepcopy(norm).train()(images)
    norm.eval()
    before = {key: values.clone() for key, values in norm.state_dict().items()}
    with use_batch_statistics([norm]):
        torch.testing.assert_close(norm(images), expected, rtol=1e-5, atol=1e-5)
    assert not norm.training
    assert norm.track_running_stats == bool(before.get("running_mean") is not None)
    if not computes_its_own_way(norm):
        for key, values in norm.state_dict().items():
            assert torch.equal(values, before[key])


def test_a_forward_of_ones_own_is_not_replaced():
    norm = nn.BatchNorm2d(2).eval()
    norm.forward = lambda x: 2 * x
    images = torch.randn(4, 2, 3, 3)
    with use_batch_statistics([norm]):
        assert torch.equal(norm(images), 2 * images)
    assert torch.equal(norm(images), 2 * images)
