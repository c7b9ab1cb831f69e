"""The Hessian of the loss at a snapshot: its products with vectors, and what they tell of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger

import numpy as np
import torch
from torch.autograd import grad
from torch.nn.attention import SDPBackend, sdpa_kernel

from lossmap.artifacts.curvature import Curvature
from lossmap.errors import LossmapError, reason
from lossmap.geometry.spectrum import draw_signs, find_leading_eigenpairs, measure_quadrature
from lossmap.network.classification import Classification
from lossmap.network.memory import explain_memory
from lossmap.network.ring import measure_gradient
from lossmap.network.surface import REMEDY, LossSurface
from lossmap.network.task import Forward

_REPLACE = (
    "; expected a network that can be differentiated twice: replace it, or take its entry out of "
    "curvatures"
)


def measure_curvature(surface: LossSurface, epoch: int, spec: dict, log: Logger) -> Curvature:
    """Return the leading eigenpairs, the traces and the spectral density at the surface's θ.

    Parameters
    ----------
    surface : the loss as a function of θ, its network at the snapshot
    epoch : of the snapshot
    spec : ``eigenvalues``, ``tolerance``, ``probes``, ``quadratures``, ``steps``, ``seed``; see
        geometry/spectrum.py
    log : receives a line per probe

    Raises
    ------
    LossmapError
        The eigenvalues do not converge, or the memory of the GPU is full.
    """
    theta = surface.network.theta.double().cpu().numpy()
    loss = surface.evaluate(surface.network.theta.clone())[0]
    gradient = measure_gradient(surface, theta.astype(np.float32))

    def multiply(vector: np.ndarray) -> np.ndarray:
        return multiply_hessian(surface, vector.ravel())

    values, vectors, residuals = find_leading_eigenpairs(
        multiply, theta.size, spec["eigenvalues"], spec["tolerance"], spec["seed"]
    )
    log.info("largest eigenvalues: %s", ", ".join(f"{value:.4g}" for value in values))
    traces, scaled_traces = [], []
    for probe in range(spec["probes"]):
        signs = draw_signs(theta.size, spec["seed"], probe)
        traces.append(signs @ multiply(signs))
        scaled_traces.append(theta * signs @ multiply(theta * signs))
        log.info("probe %d of %d: trace %.4g", probe + 1, spec["probes"], traces[-1])
    quadratures = []
    for probe in range(spec["quadratures"]):
        signs = draw_signs(theta.size, spec["seed"], probe)
        quadratures.append(measure_quadrature(multiply, signs, spec["steps"]))
        log.info("quadrature %d of %d", probe + 1, spec["quadratures"])
    nodes, weights = zip(*quadratures, strict=True)
    return Curvature(
        epoch,
        loss,
        float(np.linalg.norm(gradient)),
        values,
        vectors.astype(np.float32),
        residuals,
        *map(np.array, (traces, scaled_traces, nodes, weights)),
        loss_label=surface.task.loss_label,
    )


def multiply_hessian(surface: LossSurface, vector: np.ndarray) -> np.ndarray:
    """Return the Hessian of the surface's loss at its network's θ, times a vector.

    By automatic differentiation of the gradient's inner product with the vector (Pearlmutter 1994).
    Under ``batch`` it includes how the statistics of a batch follow θ; ``center`` and ``initial``
    hold the running statistics fixed.

    Parameters
    ----------
    vector : float64 (params,)

    Returns
    -------
    float64 (params,), computed in float32 but for the loss of the logits: near a loss of 0 the
        probabilities' distance from 1 would be rounded away

    Raises
    ------
    LossmapError
        The network cannot be differentiated twice, or the memory of the GPU is full.
    """
    network = surface.network
    # The fused kernels of attention have no second derivative.
    with (
        explain_memory("curvature", REMEDY),
        _explain_derivative(),
        surface.normalization(),
        sdpa_kernel(SDPBackend.MATH),
    ):
        along = torch.from_numpy(vector).to(network.theta)
        parts = [along[part].view(shape) for _, _, shape, part in network.layout.parts()]
        product = torch.zeros_like(along, dtype=torch.float64)
        forward = _in_double(surface)
        for batch in surface.batches:
            surface.set_back()
            loss = surface.task.loss(forward, batch, "sum").double() / surface.count
            slopes = grad(loss, network.parameters, create_graph=True, materialize_grads=True)
            slope = sum((g * p).sum() for g, p in zip(slopes, parts, strict=True))
            _check_derivative(slope)
            columns = grad(slope, network.parameters, materialize_grads=True)
            product += torch.cat([column.flatten() for column in columns])
        surface.set_back()
        return product.cpu().numpy()


def _in_double(surface: LossSurface) -> Forward:
    """Return the network, its logits in float64 where they are logits."""
    module = surface.network.module
    if not isinstance(surface.task, Classification):
        return module
    return lambda inputs: module(inputs).double()


@contextmanager
def _explain_derivative() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        raise LossmapError(f"curvature: {reason(error)}{_REPLACE}") from error


def _check_derivative(slope: torch.Tensor) -> None:
    """Refuse a graph that holds an operation that is once differentiable: torch takes it for 0."""
    waiting, seen = [slope.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name().endswith("Error"):
            raise LossmapError(f"curvature: an operation is once differentiable{_REPLACE}")
        seen.add(node)
        waiting += [before for before, _ in node.next_functions]
