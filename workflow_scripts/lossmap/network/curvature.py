"""The Hessian of the loss at a snapshot: its products with vectors, and what they tell of it."""

from logging import Logger

import numpy as np
import torch
from torch.autograd import grad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from lossmap.artifacts.curvature import Curvature
from lossmap.geometry.spectrum import draw_signs, find_leading_eigenpairs, measure_quadrature
from lossmap.network.memory import explain_memory
from lossmap.network.ring import measure_gradient
from lossmap.network.surface import REMEDY, LossSurface


def measure_curvature(surface: LossSurface, epoch: int, spec: dict, log: Logger) -> Curvature:
    """Return the leading eigenpairs, the traces and the spectral density at the surface's θ.

    Parameters
    ----------
    surface : the loss as a function of θ, its network at the snapshot
    epoch : of the snapshot
    spec : ``eigenvalues``, ``tolerance``, ``probes``, ``steps``, ``seed``; see geometry/spectrum.py
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
    traces, scaled_traces, nodes, weights = [], [], [], []
    for probe in range(spec["probes"]):
        signs = draw_signs(theta.size, spec["seed"], probe)
        found, shares = measure_quadrature(multiply, signs, spec["steps"])
        nodes.append(found)
        weights.append(shares)
        traces.append(theta.size * (found @ shares))  # z'Hz: of degree 1, hence exact
        scaled_traces.append(theta * signs @ multiply(theta * signs))
        log.info("probe %d of %d: trace %.4g", probe + 1, spec["probes"], traces[-1])
    return Curvature(
        epoch,
        loss,
        float(np.linalg.norm(gradient)),
        values,
        vectors.astype(np.float32),
        residuals,
        *map(np.array, (traces, scaled_traces, nodes, weights)),
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
        The memory of the GPU is full.
    """
    network = surface.network
    # The fused kernels of attention cannot be differentiated twice.
    with explain_memory("curvature", REMEDY), surface.normalization(), sdpa_kernel(SDPBackend.MATH):
        along = torch.from_numpy(vector).to(network.theta)
        parts = [along[part].view(shape) for _, _, shape, part in network.layout.parts()]
        product = torch.zeros_like(along, dtype=torch.float64)
        for inputs, labels in surface.batches:
            surface.set_back()
            logits = network.module(inputs).double()
            loss = cross_entropy(logits, labels, reduction="sum") / surface.count
            slopes = grad(loss, network.parameters, create_graph=True, materialize_grads=True)
            slope = sum((g * p).sum() for g, p in zip(slopes, parts, strict=True))
            columns = grad(slope, network.parameters, materialize_grads=True)
            product += torch.cat([column.flatten() for column in columns])
        surface.set_back()
        return product.cpu().numpy()
