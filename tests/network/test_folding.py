"""A folded network is the network itself, in fewer layers; what cannot be folded is left alone."""

import copy

import own_networks
import pytest
import torch
from torch import nn

from lossmap.network.factory import build_network
from lossmap.network.folding import FoldedConv, fold_batch_norms

MODELS = "lossmap.network.models"
NETWORKS = ("resnet:resnet20", "vgg:vgg11", "googlenet:googlenet", "wide_resnet:wide_resnet10_2")


def randomize(network: nn.Module) -> nn.Module:
    """Give statistics, scales and shifts that any mistake would show."""
    generator = torch.Generator().manual_seed(3)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        for values in (norm.running_mean, norm.bias.data):
            values.normal_(generator=generator)
        for values in (norm.running_var, norm.weight.data):
            values.uniform_(0.5, 1.5, generator=generator)
    return network.double().eval()


def count(network: nn.Module, kind: type) -> int:
    calls = [node.target for node in network.graph.nodes if node.op == "call_module"]
    return sum(isinstance(network.get_submodule(target), kind) for target in calls)


@pytest.fixture
def images():
    return torch.randn(
        4, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_network_computes_the_same(name, images):
    network = randomize(
        build_network(f"{MODELS}.{name}", classes=10, channels=3, width=0.125, seed=0)
    )
    folded = fold_batch_norms(network, images)
    with torch.no_grad():
        torch.testing.assert_close(folded(images), network(images), rtol=1e-12, atol=1e-12)
    left = count(folded, nn.BatchNorm2d)
    total = sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert (count(folded, FoldedConv), left) == (total - left, left)
    assert left == (3 if "wide" in name else 0)  # before a convolution, not after one


def test_later_parameters_and_statistics_are_followed(images):
    network = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5)).eval()
    folded = fold_batch_norms(network, images.float())
    randomize(network)
    with torch.no_grad():
        torch.testing.assert_close(folded(images), network(images), rtol=1e-12, atol=1e-12)


class Branching(nn.Module):
    """Its way depends on the values."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)

    def forward(self, x):
        return self.norm(self.conv(x)) if x.mean() > 0 else x


class Counting(nn.Module):
    """Tracing freezes what it counts."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.calls = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), 0

    def forward(self, x):
        self.calls += 1
        return self.norm(self.conv(x)) * self.calls


@pytest.mark.parametrize("make", [Branching, Counting])
def test_network_that_cannot_be_traced_is_left_alone_and_this_is_said(make, images, caplog):
    network = make().double().eval()
    with caplog.at_level("INFO", "lossmap"):
        assert fold_batch_norms(network, images) is network
    assert "batch norms are not folded" in caplog.text


class Sharing(nn.Module):
    """What the convolution makes is used beside its batch norm."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)

    def forward(self, x):
        made = self.conv(x)
        return self.norm(made) + made


@pytest.mark.parametrize(
    "network",
    [Sharing(), nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, track_running_stats=False))],
)
def test_batch_norm_that_cannot_be_folded_is_kept(network, images):
    network = copy.deepcopy(network).double().eval()
    folded = fold_batch_norms(network, images)
    assert count(folded, nn.BatchNorm2d) == 1
    with torch.no_grad():
        torch.testing.assert_close(folded(images), network(images))


def displace(network: nn.Module) -> None:
    """Go where a landscape goes: other parameters, other running statistics."""
    generator = torch.Generator().manual_seed(7)
    for parameter in network.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_(generator=generator)
        norm.running_var.uniform_(0.5, 1.5, generator=generator)


OFTEN_FOLDED = ["sharedweight", "sharednorm", "scaledbybuffer", "frozen"]
COMPUTED = [f"weights_{name.replace(' ', '_')}" for name in own_networks.COMPUTED_WEIGHTS]


@pytest.mark.parametrize(
    "name", [*COMPUTED, *OFTEN_FOLDED, "parentwrites", "prunednorm", "prunedbias"]
)
def test_weights_are_those_of_the_network_wherever_it_goes(name):
    network = build_network(f"own_networks:{name}", classes=3, channels=3, width=1.0, seed=0).eval()
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    before = {key: values.clone() for key, values in network.state_dict().items()}
    folded = fold_batch_norms(network, images)
    for key, values in network.state_dict().items():
        assert torch.equal(values, before[key])
    displace(network)
    with torch.no_grad():
        torch.testing.assert_close(folded(images), network(images), rtol=1e-4, atol=1e-5)
    if name in OFTEN_FOLDED:
        assert count(folded, FoldedConv) >= 1
    elif folded is not network:
        assert count(folded, FoldedConv) == 0


class HalfWritten(nn.Module):
    """Equal at the initial weights alone: the tracer does not see what is written to them."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)
        self.most = float(self.conv.weight.detach().abs().max())

    def forward(self, x):
        self.conv.weight.data = self.conv.weight.data.clamp(-self.most, self.most)
        return self.norm(self.conv(x))


def test_comparison_is_made_away_from_the_initial_weights(images, caplog):
    network = HalfWritten().double().eval()
    with caplog.at_level("INFO", "lossmap"):
        assert fold_batch_norms(network, images) is network
    assert "batch norms are not folded: the network computes something else" in caplog.text
