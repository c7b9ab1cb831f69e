"""The loss as a function of θ, over a fixed subset of the training data (SPEC: the landscape).

θ is changed in place; data stay on the device in fixed batches; nothing is rebuilt per point.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from logging import Logger
from pathlib import Path

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.store import read_provenance, stream
from lossmap.artifacts.trajectory import Trajectory, find_snapshot, read_snapshot
from lossmap.errors import LossmapError
from lossmap.geometry.fitting import (
    READINGS,
    measure_fitting_error,
    plane_coordinates,
    reconstruct,
)
from lossmap.logs import format_seconds, logger
from lossmap.network.arithmetic import autocast, use_tf32
from lossmap.network.capture import Replayed
from lossmap.network.classification import Classification, as_task
from lossmap.network.memory import explain_memory
from lossmap.network.normalization import computes_its_own_way, find_norms
from lossmap.network.parameters import FlatNetwork
from lossmap.network.precision import check_precision
from lossmap.network.task import Batch, Task

REMEDY = "; or lower evaluation.batch"


class LossSurface:
    """Mean loss and accuracy at any θ.

    Parameters
    ----------
    data : its training samples are evaluated, without augmentation, or those of another `split`
    network : the specification of a network
    evaluation : which of them, and in which batches, see `Task.open_evaluation`
    bn_statistics : ``batch`` normalizes by each evaluation batch itself, so that the loss depends
        on θ and the data alone; ``center`` by given running statistics; ``recalibrate`` by
        statistics re-estimated over the subset at each θ; ``initial`` by those of the untrained
        network, mean 0 and variance 1, as ``net.eval()`` of Li et al. has them at epoch 0
    device : ``cpu`` or ``cuda``
    precision : ``float32``, ``bf16`` for convolutions and linear layers in bfloat16, or ``tf32``
        for those of a GPU in TF32

    Attributes
    ----------
    measured : the network that is evaluated: itself, or with its batch norms folded
    """

    def __init__(
        self,
        data: Dataset | Task,
        network: dict,
        evaluation: dict,
        bn_statistics: str,
        device: str,
        precision: str = "float32",
        split: str = "train",
    ):
        task = as_task(data, {})
        with explain_memory("evaluation, before it began: data and network"):
            made = task.create_network(network, device)
            batches = task.open_evaluation(evaluation, bn_statistics, device, precision, split)
            self._begin(made, task, batches, bn_statistics, precision)

    @classmethod
    def over(
        cls,
        network: FlatNetwork,
        batches: list[Batch],
        bn_statistics: str,
        task: Task | None = None,
    ) -> "LossSurface":
        """Return the surface of a network that is there, over batches that its task understands.

        By default these are inputs and labels.
        """
        surface = cls.__new__(cls)
        surface._begin(network, task or Classification(), batches, bn_statistics, "float32")
        return surface

    def _begin(
        self,
        network: FlatNetwork,
        task: Task,
        batches: list[Batch],
        bn_statistics: str,
        precision: str,
    ) -> None:
        device = network.theta.device
        self.bn_statistics, self.precision = bn_statistics, precision
        self.network, self.task, self.batches = network, task, batches
        self._passes: dict[str, Replayed] = {}
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._correct = torch.zeros_like(self._loss)
        network.module.eval()
        self._buffers = {n: v for n, v in network.keep().items() if n != "thetas"}
        self.count = task.count(network, batches)
        self.measured = network.module
        if bn_statistics != "batch":  # then nothing is known before the pass
            self.measured = task.prepare(network.module, batches)

    def set_buffers(self, buffers: np.ndarray, other_buffers: np.ndarray | None = None) -> None:
        """Evaluate with these buffers, as a snapshot holds them, from now on.

        What ``bn_statistics`` says of the statistics of batch norms holds nevertheless; under
        ``initial`` those of the untrained network stay.
        """
        if self.bn_statistics == "initial":
            return
        given = {"buffers": buffers, "other_buffers": other_buffers}
        for name, values in given.items():
            if values is not None:
                self._buffers[name].copy_(torch.from_numpy(values))
        self.network.load(self._buffers)

    def set_back(self) -> None:
        """Give the network the buffers that are in force, whatever a pass did to them."""
        self.network.load(self._buffers)

    def evaluate(self, theta: torch.Tensor, precision: str | None = None) -> tuple[float, float]:
        """Return loss and accuracy at θ, float32 (params,). A loss that is not finite is inf.

        `precision` is that of the surface unless given.

        Raises
        ------
        LossmapError
            The memory of the GPU is full.
        """
        loss, accuracy = self.read([self.measure(theta, precision)])
        return float(loss[0]), float(accuracy[0])

    @torch.no_grad()
    def measure(self, theta: torch.Tensor, precision: str | None = None) -> torch.Tensor:
        """Return loss and accuracy at θ for `read` to convert, without waiting for the device.

        Raises
        ------
        LossmapError
            The memory of the GPU is full.
        """
        with explain_memory("evaluation", REMEDY):
            self.network.load({"thetas": theta})
            self._pass_in(precision or self.precision)()
            return torch.stack((self._loss, self._correct))

    def read(self, measured: list[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Return losses and accuracies, float64 (points,) each."""
        with explain_memory("evaluation", REMEDY):
            loss, correct = torch.stack(measured, dim=1).cpu().numpy()
        loss = loss / self.count
        return np.where(np.isfinite(loss), loss, np.inf), correct / self.count

    def _pass_in(self, precision: str) -> Replayed:
        if precision not in self._passes:
            first = next(iter(self._passes.values()), None)
            touched = [*self.network.state(), self._loss, self._correct]
            self._passes[precision] = Replayed(partial(self._evaluate, precision), touched, first)
        return self._passes[precision]

    def _evaluate(self, precision: str) -> None:
        """Pass all batches through the network and leave sums of losses and accuracies.

        Every batch meets the same buffers, whatever the batch before did to them.
        """
        buffers = self._buffers
        self.network.load(buffers)
        device = self.network.theta.device.type
        with use_tf32(precision, device), autocast(precision, device), self.normalization():
            if self.bn_statistics == "recalibrate":
                buffers = self._recalibrate()
            self._loss.zero_()
            self._correct.zero_()
            for batch in self.batches:
                self.network.load(buffers)
                losses, accuracies = self.task.measure(self.measured, batch)
                self._loss += losses.double().sum()
                self._correct += accuracies.sum()

    def normalization(self) -> AbstractContextManager[None]:
        """Normalize by the batch under ``batch``, by the running statistics otherwise."""
        return self.network.batch_statistics() if self.bn_statistics == "batch" else nullcontext()

    def _recalibrate(self) -> dict[str, torch.Tensor]:
        """Return the buffers with the running statistics averaged over all batches."""
        norms = set(find_norms(self.network.module).values())
        kept = [norm.momentum for norm in norms]
        hooks = [norm.register_forward_pre_hook(_PlainAverage()) for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.train()  # not the whole network, whose dropout would draw
        try:
            for batch in self.batches:
                self.task.loss(self.network.module, batch)
                self._set_back_all_but(norms)
        finally:
            self.network.module.eval()
            for norm, momentum, hook in zip(norms, kept, hooks, strict=True):
                norm.momentum = momentum
                hook.remove()
        return {name: self.network.vectors[name].clone() for name in self._buffers}

    def _set_back_all_but(self, norms: set[_NormBase]) -> None:
        """Set all buffers back but the statistics that are being averaged."""
        averaged = [held for held in self.network.held_buffers if held.owner in norms]
        for held in averaged:
            held.collect()
        kept = [held.view.clone() for held in averaged]
        self.network.load(self._buffers)
        for held, values in zip(averaged, kept, strict=True):
            held.view.copy_(values)

    def to_device(self, values: np.ndarray) -> torch.Tensor:
        """Return an array as a tensor where the network is; raises LossmapError as `evaluate`."""
        with explain_memory("evaluation", REMEDY):
            return torch.from_numpy(np.ascontiguousarray(values)).to(self.network.theta.device)


class _PlainAverage:
    """Makes a batch norm's running statistics the plain average over its calls.

    A momentum of None does the same, but reads a counter from the device at each call.
    """

    def __init__(self):
        self._calls = 0

    def __call__(self, norm: _BatchNorm, _: tuple) -> None:
        self._calls += 1
        norm.momentum = 1.0 / self._calls


def open_surface(
    trajectory: str | Path, data: Dataset | Task, basis: Basis, spec: dict, device: str
) -> LossSurface:
    """Return the loss surface of a run's network around the center of a basis.

    Parameters
    ----------
    trajectory, data, spec, device : as of `open_surface_at`
    basis : whose center's running statistics are used where ``bn_statistics`` is ``center``

    Raises
    ------
    LossmapError
        The basis has another number of parameters than the network, or as `open_surface_at`.
    """
    surface = open_surface_at(trajectory, data, basis.center_epoch, spec, device)
    expected = surface.network.layout.size
    if basis.center.size != expected:
        raise LossmapError(
            f"{trajectory}: its network has {expected} parameters, but the basis has "
            f"{basis.center.size}; rebuild the basis of this run"
        )
    return surface


def open_surface_at(
    trajectory: str | Path,
    data: Dataset | Task,
    epoch: int,
    spec: dict,
    device: str,
    split: str = "train",
) -> LossSurface:
    """Return the loss surface of a run's network, with the parameters and buffers of a snapshot.

    Parameters
    ----------
    trajectory : the run's artifact: says which network it is and holds the running statistics
    data : what the run was trained on
    epoch : of the snapshot whose running statistics are used where ``bn_statistics`` is ``center``
    spec : ``evaluation``, ``bn_statistics`` and, other than float32, ``precision``
    device : ``cpu`` or ``cuda``
    split : ``train`` or ``test``: what is evaluated

    Raises
    ------
    LossmapError
        ``center`` is asked for and the epoch's network is untrained, or there is no such epoch.
    """
    made = read_provenance(trajectory).parameters()
    if "checkpoints" not in made:  # a network that was loaded was trained before
        check_statistics(spec["bn_statistics"], epoch, str(trajectory))
    task, precision = as_task(data, made), spec.get("precision", "float32")
    statistics = spec["bn_statistics"]
    surface = LossSurface(
        task, made["network"], spec["evaluation"], statistics, device, precision, split
    )
    with stream(trajectory, Trajectory) as run:
        row = find_snapshot(run["epochs"][()], epoch, trajectory)
        first, center = read_snapshot(run, 0), read_snapshot(run, row)
    del first["thetas"]
    surface.set_buffers(**first)
    before = {held.name: held.view.clone() for held in surface.network.held_buffers}
    surface.network.load({"thetas": center.pop("thetas")})
    surface.set_buffers(**center)
    if spec["bn_statistics"] != "center":
        _tell_of_kept_buffers(surface, before, str(trajectory))
    return surface


def _tell_of_kept_buffers(surface: LossSurface, before: dict[str, torch.Tensor], name: str) -> None:
    """Name what training changed that no choice of batch-norm statistics governs."""
    norms = {norm: name for name, norm in find_norms(surface.network.module).items()}
    kept = [
        f"'{held.name}' ({type(held.owner).__name__})"
        for held in surface.network.held_buffers
        if held.owner not in norms and not torch.equal(held.view, before[held.name])
    ]
    own = [f"'{n}' ({type(m).__name__})" for m, n in norms.items() if computes_its_own_way(m)]
    chosen = f"{name}: bn_statistics '{surface.bn_statistics}'"
    if kept:
        logger.warning("%s leaves as at the center: %s", chosen, ", ".join(kept[:5]))
    if own:
        logger.warning(
            "%s puts into training mode, for they have a forward pass of their own: %s",
            chosen,
            ", ".join(own[:5]),
        )


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
            "running statistics are still mean 0 and variance 1; use 'batch' or 'recalibrate', or "
            "'initial' where just that is meant"
        )


def spread_positions(resolution: int, extent: float) -> np.ndarray:
    """Return `resolution` equidistant values from −extent to extent, exactly 0 in the middle."""
    half = resolution // 2
    return extent * np.arange(-half, half + 1) / half


def evaluate_grid(
    surface: LossSurface,
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
    extent : α and β run from −extent to extent, around the plane's middle
    log : receives a line per row
    check : of a surface in bfloat16 or TF32: ``points`` to evaluate in float32 as well, and
        ``bound``, the largest deviation of their losses

    Returns
    -------
    Grid
        ``loss[i, j]`` at alphas[i], betas[j]; the point (0, 0) is the plain loss at the center. Of
        a plane through three points, the middle is their mean.

    Raises
    ------
    LossmapError
        The precision deviates by more than the bound, or memory runs out.
    """
    center = surface.to_device(basis.center)
    first, second = surface.to_device(basis.scaled_directions())
    alphas, betas = basis.middle[:, None] + spread_positions(resolution, extent)
    loss, accuracy = np.full((2, resolution, resolution), np.nan)

    def at(i: int, j: int) -> torch.Tensor:
        return center + float(alphas[i]) * first + float(betas[j]) * second

    advance = _report_progress(log, resolution)
    for i in range(resolution):
        row = [surface.measure(at(i, j)) for j in range(resolution)]
        loss[i], accuracy[i] = surface.read(row)
        advance()
    _check_again(surface, at(0, 0), loss[0, 0])
    grid = Grid(alphas, betas, loss, accuracy, loss_label=surface.task.loss_label)
    if check is None:
        return grid
    precision = surface.precision
    grid = check_precision(
        grid, lambda i, j: surface.evaluate(at(i, j), "float32")[0], check, precision
    )
    log.info(
        "%s: off by %.2g of the loss at %d points", precision, grid.deviation, len(grid.checked)
    )
    return grid


def project_trajectory(
    surface: LossSurface, basis: Basis, thetas, buffers, log: Logger, other_buffers=None
) -> Projection:
    """Evaluate a run's snapshots and their projections onto every plane of a basis.

    Under ``center`` the snapshots are evaluated with their own running statistics and the projected
    points with those of the center.

    Parameters
    ----------
    thetas : float32 (snapshots, params), array or HDF5 dataset
    buffers, other_buffers : float32 (snapshots, buffer_elements), uint8 (snapshots, buffer_bytes)
    """

    def set_row(row: int) -> None:
        surface.set_buffers(buffers[row], None if other_buffers is None else other_buffers[row])

    advance = _report_progress(log, 1 + 2 * len(basis.seeds))
    loss = np.empty(len(basis.epochs))
    for row in range(len(loss)):
        set_row(row)
        loss[row] = surface.evaluate(surface.to_device(thetas[row]))[0]
    set_row(0)
    _check_again(surface, surface.to_device(thetas[0]), loss[0])
    advance()
    set_row(int(np.flatnonzero(basis.epochs == basis.center_epoch)[0]))
    found: dict[str, list] = {f"{n}_{r}": [] for n in _MEASURED for r in READINGS}
    for plane in range(len(basis.seeds)):
        for reading in READINGS:
            projected = _evaluate_projected(surface, basis, plane, reading)
            error, non_finite = measure_fitting_error(loss, projected)
            for name, value in zip(_MEASURED, (projected, error, non_finite), strict=True):
                found[f"{name}_{reading}"].append(value)
            advance()
    arrays = {name: np.asarray(values) for name, values in found.items()}
    arrays["loss_label"] = surface.task.loss_label
    return Projection(basis.coordinates[:, :2], basis.epochs, loss, basis.seeds, **arrays)


_MEASURED = ("projected_loss", "fitting_error", "non_finite")


def _evaluate_projected(surface: LossSurface, basis: Basis, plane: int, reading: str) -> np.ndarray:
    directions = basis.scaled_directions(plane)
    coordinates = plane_coordinates(basis, plane, reading)
    points: Iterable[np.ndarray] = (reconstruct(basis.center, directions, c) for c in coordinates)
    return np.array([surface.evaluate(surface.to_device(point))[0] for point in points])


def _check_again(surface: LossSurface, theta: torch.Tensor, loss: float) -> None:
    """Refuse a landscape on which the first point is elsewhere after all others."""
    found = surface.evaluate(theta)[0]
    if not np.isclose(found, loss, rtol=1e-6, atol=0.0):
        raise LossmapError(
            f"the landscape does not repeat: the loss of its first point was {loss:.6g} and is "
            f"{found:.6g} after all others; the network remembers or draws something: keep what it "
            "remembers in buffers (register_buffer), draw only where self.training is true"
        )


def _report_progress(log: Logger, total: int) -> Callable[[], None]:
    started, done = time.monotonic(), 0

    def advance() -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - started) / done * (total - done)
        log.info("%d/%d  %s left", done, total, format_seconds(left))

    return advance
