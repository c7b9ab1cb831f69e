"""The curvature of a small network is that of its dense Hessian in float64."""

import logging

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from lossmap.errors import LossmapError
from lossmap.network.curvature import measure_curvature, multiply_hessian
from lossmap.network.parameters import FlatNetwork
from lossmap.network.surface import LossSurface

SPEC = {"eigenvalues": 3, "tolerance": 1e-4, "probes": 60, "quadratures": 40, "steps": 3, "seed": 1}


class Small(nn.Module):
    """A convolution, batch norm, attention and a layer that decides nothing; 135 parameters."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.query = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)
        self.unused = nn.Linear(4, 3)

    def forward(self, images):
        """Return logits (n, 3)."""
        pixels = torch.tanh(self.norm(self.conv(images))).flatten(2).transpose(1, 2)
        seen = nn.functional.scaled_dot_product_attention(self.query(pixels), pixels, pixels)
        return self.head(seen.mean(dim=1))


@pytest.fixture
def batches():
    torch.manual_seed(2)
    inputs, labels = torch.randn(20, 1, 5, 5), torch.arange(20) % 3
    return list(zip(inputs.split(8), labels.split(8), strict=True))


@pytest.fixture
def make_surface(batches):
    def make(statistics: str) -> LossSurface:
        torch.manual_seed(0)
        module = Small()
        module.norm.running_mean.normal_()
        module.norm.running_var.uniform_(0.5, 2)
        return LossSurface.over(FlatNetwork(module), batches, statistics)

    return make


def dense_hessian(surface: LossSurface, statistics: str) -> np.ndarray:
    """Return the Hessian by torch.autograd, of the whole network in float64."""
    network = surface.network
    twin = Small().double()
    twin.load_state_dict({k: v.double() for k, v in network.module.state_dict().items()})
    twin.train(statistics == "batch")
    twin.norm.track_running_stats = statistics != "batch"
    if statistics == "batch":
        twin.norm.running_mean = twin.norm.running_var = twin.norm.num_batches_tracked = None

    def loss(theta: torch.Tensor) -> torch.Tensor:
        named = {name: theta[part].view(shape) for name, _, shape, part in network.layout.parts()}
        return (
            sum(
                cross_entropy(functional_call(twin, named, (x.double(),)), y, reduction="sum")
                for x, y in surface.batches
            )
            / surface.count
        )

    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        return hessian(loss, network.theta.double()).numpy()


@pytest.mark.parametrize("statistics", ["batch", "center"])
def test_products_are_those_with_the_dense_hessian(make_surface, statistics):
    surface = make_surface(statistics)
    dense = dense_hessian(surface, statistics)
    drawn = np.random.default_rng(0).standard_normal((3, len(dense)))
    found = np.array([multiply_hessian(surface, vector) for vector in drawn])

    np.testing.assert_allclose(found, drawn @ dense, atol=1e-5 * np.abs(drawn @ dense).max())
    assert np.abs(dense).max() > 0.01


@pytest.mark.parametrize("statistics", ["batch", "center"])
def test_curvature_is_that_of_the_dense_hessian(make_surface, statistics):
    surface = make_surface(statistics)
    dense, theta = dense_hessian(surface, statistics), surface.network.theta.double().numpy()
    found = measure_curvature(surface, 7, SPEC, logging.getLogger("lossmap.tests"))

    values, vectors = np.linalg.eigh(dense)
    np.testing.assert_allclose(found.eigenvalues, values[:-4:-1], rtol=1e-3)
    overlaps = np.abs(np.diag(found.eigenvectors @ vectors[:, :-4:-1]))
    np.testing.assert_allclose(overlaps, 1, atol=1e-3)
    assert (found.residuals <= 2e-4 * found.eigenvalues).all()

    scaled = theta[:, None] * dense * theta
    for traces, trace, error, matrix in (
        (found.traces, found.trace, found.trace_error, dense),
        (found.scaled_traces, found.scaled_trace, found.scaled_trace_error, scaled),
    ):
        assert trace == pytest.approx(traces.mean())
        assert abs(trace - np.trace(matrix)) < 4 * error
        # Of random signs: twice the squares off the diagonal (Hutchinson 1990).
        spread = 2 * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2))
        assert error == pytest.approx(np.sqrt(spread / SPEC["probes"]), rel=0.3)
    moments = [np.mean(np.sum(found.weights * found.nodes**k, axis=1)) for k in range(4)]
    expected = [np.mean(values**k) for k in range(4)]
    np.testing.assert_allclose(moments, expected, rtol=0.25, atol=1e-4)
    assert (found.epoch, found.loss) == (7, surface.evaluate(surface.network.theta.clone())[0])


def test_rescaled_weights_have_another_trace_and_the_same_scaled_trace(make_surface):
    """Before batch norm by the batch, weights twice as large give the same loss (Dinh 2017)."""
    spec, log = SPEC | {"probes": 2, "quadratures": 1}, logging.getLogger("lossmap.tests")
    surface = make_surface("batch")
    for tensor in surface.network.parameters:
        if tensor.shape == (4, 1, 3, 3):
            scaled = tensor
    surface.network.module.norm.eps = 0.0
    before = measure_curvature(surface, 0, spec, log)
    with torch.no_grad():
        scaled.mul_(2.0)
        surface.network.module.conv.bias.mul_(2.0)
    after = measure_curvature(surface, 0, spec, log)

    assert after.loss == pytest.approx(before.loss, rel=1e-5)
    np.testing.assert_allclose(after.scaled_traces, before.scaled_traces, rtol=1e-3)
    assert abs(after.trace - before.trace) > 0.01 * before.trace


class Once(torch.autograd.Function):
    """The identity, of which there is no second derivative."""

    @staticmethod
    def forward(ctx, values):
        """Return the values."""
        return values.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slopes):
        """Return the slopes."""
        return slopes.clone()


def test_operation_without_a_second_derivative_is_refused(make_surface, monkeypatch):
    monkeypatch.setattr(torch, "tanh", Once.apply)
    surface = make_surface("center")
    with pytest.raises(LossmapError, match="once differentiable; expected a network"):
        multiply_hessian(surface, np.ones(surface.network.layout.size))


def test_surface_is_left_as_it_was(make_surface):
    surface = make_surface("batch")
    before = {name: vector.clone() for name, vector in surface.network.vectors.items()}
    loss = surface.evaluate(surface.network.theta.clone())
    measure_curvature(
        surface, 0, SPEC | {"probes": 1, "quadratures": 1}, logging.getLogger("lossmap.tests")
    )

    assert surface.evaluate(surface.network.theta.clone()) == loss
    for name, vector in surface.network.vectors.items():
        assert torch.equal(vector, before[name])


def test_equal_surfaces_have_equal_curvature(make_surface):
    spec, log = SPEC | {"probes": 2, "quadratures": 1}, logging.getLogger("lossmap.tests")
    first, second = (measure_curvature(make_surface("center"), 0, spec, log) for _ in range(2))
    assert np.array_equal(first.eigenvectors, second.eigenvectors)
    assert np.array_equal(first.nodes, second.nodes)
