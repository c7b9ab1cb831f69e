"""The loss as a function of θ, over a fixed subset of the training images (SPEC: the landscape).

θ is changed in place; images stay on the device in fixed batches; nothing is rebuilt per point.
"""

import time
from collections.abc import Callable, Iterable
from logging import Logger
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.store import read_provenance, stream
from lossmap.artifacts.trajectory import Trajectory, find_snapshot
from lossmap.errors import LossmapError
from lossmap.geometry.fitting import (
    READINGS,
    measure_fitting_error,
    plane_coordinates,
    reconstruct,
)
from lossmap.logs import format_seconds
from lossmap.network.folding import fold_batch_norms
from lossmap.network.images import choose_balanced, move_images
from lossmap.network.memory import explain_memory
from lossmap.network.parameters import create_network, describe_network
from lossmap.network.pieces import Pieces
from lossmap.network.precision import check_precision

CPU_BATCH = 100
"""Images at a time on a CPU where batches do not matter: what a layer makes stays in the cache."""


class Surface:
    """Mean cross-entropy (nats per image) and accuracy at any θ.

    Parameters
    ----------
    dataset : its training images are evaluated, without augmentation
    network : ``factory``, ``width``, ``classes``, ``channels``, ``seed``
    evaluation : ``images``, ``batch``, ``seed``: the fixed, class-balanced subset and its batches
    bn_statistics : ``batch`` normalizes by each evaluation batch itself, so that the loss depends
        on θ and the data alone; ``center`` by given running statistics; ``recalibrate`` by
        statistics re-estimated over the subset at each θ
    device : ``cpu`` or ``cuda``
    precision : ``float32``, or ``bf16`` for convolutions and linear layers in bfloat16

    Attributes
    ----------
    measured : the network that is evaluated: itself, or with its batch norms folded
    """

    def __init__(
        self,
        dataset: Dataset,
        network: dict,
        evaluation: dict,
        bn_statistics: str,
        device: str,
        precision: str = "float32",
    ):
        self.bn_statistics, self.precision = bn_statistics, precision
        batch = evaluation["batch"]
        if bn_statistics == "center" and device == "cpu":
            batch = min(batch, CPU_BATCH)
        self.pieces = Pieces(batch)
        rows = choose_balanced(dataset.train_labels, evaluation["images"], evaluation["seed"])
        self.count = len(rows)
        with explain_memory("evaluation, before it began: images and network"):
            self.network = create_network(network, device)
            self.network.module.eval()
            images = move_images(dataset, "train", device)
            chosen = torch.from_numpy(rows).to(device).split(batch)
            self.batches = [(images.normalize(images.pixels[r]), images.labels[r]) for r in chosen]
            self.measured = self.network.module
            if bn_statistics != "batch":  # then nothing is known before the pass
                self.measured = fold_batch_norms(self.network.module, self.batches[0][0][:2])

    def set_buffers(self, buffers: np.ndarray) -> None:
        """Use these running statistics, float32 (buffer_elements,), under ``center``."""
        self.network.buffers.copy_(torch.from_numpy(buffers))

    @torch.no_grad()
    def evaluate(self, theta: torch.Tensor, precision: str | None = None) -> tuple[float, float]:
        """Return loss and accuracy at θ, float32 (params,). A loss that is not finite is inf.

        Where the GPU has too little memory for a batch, it is evaluated in pieces. `precision` is
        that of the surface unless given.

        Raises
        ------
        LossmapError
            There is no memory for a single image.
        """
        with explain_memory("evaluation"), self._arithmetic(precision or self.precision):
            self.network.theta.copy_(theta)
            return self.pieces.fit(self._evaluate)

    def _arithmetic(self, precision: str) -> torch.autocast:
        """Let torch choose the operations that lose little in bfloat16, for ``bf16``."""
        device, bf16 = self.network.theta.device.type, precision == "bf16"
        # Folded weights are new in each pass: the cache would keep those of all batches.
        return torch.autocast(device, torch.bfloat16, enabled=bf16, cache_enabled=False)

    def _evaluate(self) -> tuple[float, float]:
        if self.bn_statistics == "batch":
            with self.network.batch_statistics():
                return self._measure()
        if self.bn_statistics == "recalibrate":
            self._recalibrate()
        return self._measure()

    def _measure(self) -> tuple[float, float]:
        total = torch.zeros((), dtype=torch.float64, device=self.network.theta.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.network.theta.device)
        for inputs, labels in self.batches:
            logits = self.pieces.forward(self.measured, inputs)
            total += cross_entropy(logits, labels, reduction="none").double().sum()
            correct += (logits.argmax(1) == labels).sum()
        loss = float(total) / self.count
        return (loss if np.isfinite(loss) else float(np.inf)), int(correct) / self.count

    def _recalibrate(self) -> None:
        norms = [m for m in self.network.module.modules() if isinstance(m, _BatchNorm)]
        kept = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average over the batches
            norm.train()  # not the whole network, whose dropout would draw
        try:
            for inputs, _ in self.batches:
                self.pieces.forward(self.network.module, inputs)
        finally:
            self.network.module.eval()
            for norm, momentum in zip(norms, kept, strict=True):
                norm.momentum = momentum

    def to_device(self, values: np.ndarray) -> torch.Tensor:
        """Return an array as a tensor where the network is; raises LossmapError as `evaluate`."""
        with explain_memory("evaluation"):
            return torch.from_numpy(np.ascontiguousarray(values)).to(self.network.theta.device)


def open_surface(
    trajectory: str | Path, dataset: Dataset, basis: Basis, spec: dict, device: str
) -> Surface:
    """Return the loss surface of a run's network around the center of a basis.

    Parameters
    ----------
    trajectory : the run's artifact: says which network it is and holds the running statistics
    dataset : what the run was trained on
    basis : whose center's running statistics are used where ``bn_statistics`` is ``center``
    spec : ``evaluation``, ``bn_statistics`` and, other than float32, ``precision``
    device : ``cpu`` or ``cuda``

    Raises
    ------
    LossmapError
        The basis has another number of parameters than the network, or ``center`` is asked for and
        the center is the untrained network.
    """
    check_statistics(spec["bn_statistics"], basis.center_epoch, str(trajectory))
    network = describe_network(read_provenance(trajectory).parameters()["network"], dataset)
    precision = spec.get("precision", "float32")
    surface = Surface(
        dataset, network, spec["evaluation"], spec["bn_statistics"], device, precision
    )
    expected = surface.network.layout.size
    if basis.center.size != expected:
        raise LossmapError(
            f"{trajectory}: its network has {expected} parameters, but the basis has "
            f"{basis.center.size}; rebuild the basis of this run"
        )
    with stream(trajectory, Trajectory) as run:
        row = find_snapshot(run["epochs"][()], basis.center_epoch, trajectory)
        surface.set_buffers(run["buffers"][row])
    return surface


def check_statistics(bn_statistics: str, center_epoch: int, name: str) -> None:
    """Refuse the running statistics of a network that was never trained.

    Raises
    ------
    LossmapError
        ``center`` was asked for and the center is the initial point.
    """
    if bn_statistics == "center" and center_epoch == 0:
        raise LossmapError(
            f"{name}: bn_statistics is 'center', but the center is the untrained network, whose "
            "running statistics are still mean 0 and variance 1; use 'batch' or 'recalibrate'"
        )


def spread_positions(resolution: int, extent: float) -> np.ndarray:
    """Return `resolution` equidistant values from −extent to extent, exactly 0 in the middle."""
    half = resolution // 2
    return extent * np.arange(-half, half + 1) / half


def evaluate_grid(
    surface: Surface,
    basis: Basis,
    resolution: int,
    extent: float,
    log: Logger,
    check: dict | None = None,
) -> Grid:
    """Evaluate the landscape at center + α d_0 + β d_1 (ding2023 §3.1).

    Parameters
    ----------
    surface : the loss as a function of θ
    basis : whose first plane is evaluated
    resolution : number of values of α and of β, odd, so that the center is a grid point
    extent : α and β run from −extent to extent
    log : receives a line per row
    check : of a surface in bfloat16: ``points`` to evaluate in float32 as well, and ``bound``, the
        largest deviation of their losses

    Returns
    -------
    Grid
        ``loss[i, j]`` at alphas[i], betas[j]; the point (0, 0) is the plain loss at the center.

    Raises
    ------
    LossmapError
        bfloat16 deviates by more than the bound, or memory is short as in `Surface.evaluate`.
    """
    center = surface.to_device(basis.center)
    first, second = surface.to_device(basis.scaled_directions())
    alphas = betas = spread_positions(resolution, extent)
    loss, accuracy = np.full((2, resolution, resolution), np.nan)

    def evaluate(i: int, j: int, precision: str | None = None) -> tuple[float, float]:
        theta = center + float(alphas[i]) * first + float(betas[j]) * second
        return surface.evaluate(theta, precision)

    advance = _report_progress(log, resolution)
    for i in range(resolution):
        for j in range(resolution):
            loss[i, j], accuracy[i, j] = evaluate(i, j)
        advance()
    grid = Grid(alphas, betas, loss, accuracy)
    if check is None:
        return grid
    grid = check_precision(grid, lambda i, j: evaluate(i, j, "float32")[0], check)
    log.info("bf16: off by %.2g of the loss at %d points", grid.deviation, len(grid.checked))
    return grid


def project_trajectory(
    surface: Surface, basis: Basis, thetas, buffers: np.ndarray, log: Logger
) -> Projection:
    """Evaluate a run's snapshots and their projections onto every plane of a basis.

    Under ``center`` the snapshots are evaluated with their own running statistics and the projected
    points with those of the center.

    Parameters
    ----------
    thetas : float32 (snapshots, params), array or HDF5 dataset
    buffers : float32 (snapshots, buffer_elements)
    """
    advance = _report_progress(log, 1 + 2 * len(basis.seeds))
    loss = np.empty(len(basis.epochs))
    for row in range(len(loss)):
        surface.set_buffers(buffers[row])
        loss[row] = surface.evaluate(surface.to_device(thetas[row]))[0]
    advance()
    surface.set_buffers(buffers[int(np.flatnonzero(basis.epochs == basis.center_epoch)[0])])
    found: dict[str, list] = {f"{n}_{r}": [] for n in _MEASURED for r in READINGS}
    for plane in range(len(basis.seeds)):
        for reading in READINGS:
            projected = _evaluate_projected(surface, basis, plane, reading)
            error, non_finite = measure_fitting_error(loss, projected)
            for name, value in zip(_MEASURED, (projected, error, non_finite), strict=True):
                found[f"{name}_{reading}"].append(value)
            advance()
    arrays = {name: np.asarray(values) for name, values in found.items()}
    return Projection(basis.coordinates[:, :2], basis.epochs, loss, basis.seeds, **arrays)


_MEASURED = ("projected_loss", "fitting_error", "non_finite")


def _evaluate_projected(surface: Surface, basis: Basis, plane: int, reading: str) -> np.ndarray:
    directions = basis.scaled_directions(plane)
    coordinates = plane_coordinates(basis, plane, reading)
    points: Iterable[np.ndarray] = (reconstruct(basis.center, directions, c) for c in coordinates)
    return np.array([surface.evaluate(surface.to_device(point))[0] for point in points])


def _report_progress(log: Logger, total: int) -> Callable[[], None]:
    started, done = time.monotonic(), 0

    def advance() -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - started) / done * (total - done)
        log.info("%d/%d  %s left", done, total, format_seconds(left))

    return advance
