"""The nearest surroundings of a center: losses on a ring, and the exact gradient."""

from logging import Logger

import numpy as np

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.ring import Ring
from lossmap.geometry.fitting import reconstruct
from lossmap.network.memory import explain_memory
from lossmap.network.surface import REMEDY, LossSurface


def measure_ring(
    surface: LossSurface, basis: Basis, radius: float, points: int, log: Logger
) -> Ring:
    """Evaluate a ring in every plane of a basis, the projected last snapshot, and the gradient.

    Parameters
    ----------
    surface : the loss as a function of θ
    basis : the planes; the run's last snapshot is seen in them
    radius : of the ring, in lengths of d_0 and d_1
    points : number of points on it, from angle 0 on
    log : receives a line per plane

    Raises
    ------
    LossmapError
        The memory of the GPU is full.
    """
    angles = 2 * np.pi * np.arange(points) / points
    around = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    gradient = measure_gradient(surface, basis.center)
    planes = []
    for plane in range(len(basis.seeds)):
        directions = basis.scaled_directions(plane)
        converged = basis.coordinates[-1, 2 * plane : 2 * plane + 2]
        losses = _evaluate_points(surface, basis.center, directions, [*around, converged])
        wide = directions.astype(np.float64)
        planes.append((losses[:-1], wide @ gradient, wide @ wide.T, converged, losses[-1]))
        log.info("plane %d: %d points", plane, len(losses))
    loss, slope, gram, converged, converged_loss = map(np.array, zip(*planes, strict=True))
    return Ring(
        radius,
        angles,
        basis.seeds,
        basis.center_epoch,
        surface.evaluate(surface.to_device(basis.center))[0],
        loss,
        float(np.linalg.norm(gradient)),
        slope,
        gram,
        converged,
        converged_loss,
        surface.task.loss_label,
    )


def _evaluate_points(surface: LossSurface, center, directions, points) -> np.ndarray:
    measured = [
        surface.measure(surface.to_device(reconstruct(center, directions, point)))
        for point in points
    ]
    return surface.read(measured)[0]


def measure_gradient(surface: LossSurface, theta: np.ndarray) -> np.ndarray:
    """Return the gradient of the surface's loss at θ by automatic differentiation.

    Under ``batch`` it includes how the statistics of a batch follow θ; ``center`` and ``initial``
    hold the running statistics fixed. Under ``recalibrate`` no such gradient exists in one pass:
    the configuration refuses it.

    Parameters
    ----------
    theta : float32 (params,)

    Returns
    -------
    float64 (params,)

    Raises
    ------
    LossmapError
        The memory of the GPU is full.
    """
    network = surface.network
    with explain_memory("gradient", REMEDY), surface.normalization():
        network.theta.copy_(surface.to_device(theta))
        network.gradient.zero_()
        for batch in surface.batches:
            surface.set_back()
            loss = surface.task.loss(network.module, batch, "sum")
            (loss / surface.count).backward()
        surface.set_back()
        return network.gradient.double().cpu().numpy()
