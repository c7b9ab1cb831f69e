"""Networks in a notebook: the workflow's own evaluation, of a module and its batches.

The module that is given is never changed: all work is done on a copy.
"""

import copy
from collections.abc import Iterable, Mapping

import numpy as np
from torch import nn

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.checkpoints import find_checkpoints
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.line import Line
from lossmap.errors import LossmapError
from lossmap.geometry.planes.fn import draw_filter_normalized
from lossmap.kinds import check_choice
from lossmap.logs import logger
from lossmap.network.line import connect
from lossmap.network.line import evaluate_line as measure_line
from lossmap.network.own_task import OwnTask, move
from lossmap.network.parameters import FlatNetwork
from lossmap.network.reading import put_into, read_checkpoint
from lossmap.network.surface import LossSurface, evaluate_grid
from lossmap.network.task import Batch


def flatten(model: nn.Module) -> np.ndarray:
    """Return the trainable parameters as one vector, float32 (params,), in their own order."""
    return _copy(model).theta.cpu().numpy()


def _copy(model: nn.Module) -> FlatNetwork:
    device = next(model.parameters()).device
    return FlatNetwork(copy.deepcopy(model), device.type)


def load_run(checkpoints: str | list[str], model: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Read the checkpoints of a run, of any format that the workflow imports.

    Parameters
    ----------
    checkpoints : pattern or list of patterns, such as ``ckpt/epoch_*.pt``, or a recorder's file
    model : a network of the same form

    Returns
    -------
    epochs : int64 (snapshots,)
        Of the snapshots, ascending.
    thetas : float32 (snapshots, params)
        Trainable parameters, one snapshot a row.

    Raises
    ------
    LossmapError
        A checkpoint is missing, cannot be read, or is of another network.
    """
    found, network = find_checkpoints(checkpoints, "checkpoints"), _copy(model)
    thetas = np.empty((len(found), network.layout.size), np.float32)
    for row, snapshot in enumerate(found):
        where = f"{snapshot.files[0]} (epoch {snapshot.epoch})"
        put_into(network.module, read_checkpoint(snapshot.files, snapshot.epoch), where)
        thetas[row] = network.theta.cpu().numpy()
    return np.array([snapshot.epoch for snapshot in found]), thetas


def filter_normalized_plane(model: nn.Module, *, seed: int = 0, ignore: str = "bias_bn") -> Basis:
    """Return a plane of two random directions, filter by filter as long as the model's own.

    Li et al. 2018. Needs no trajectory: the model is the center, and the only snapshot.

    Parameters
    ----------
    model : whose parameters are the center
    seed : of the Gaussian draw
    ignore : ``bias_bn`` leaves parameters with one axis alone, ``none`` moves them too
    """
    network = _copy(model)
    center = network.theta.cpu().numpy()
    directions = draw_filter_normalized(center, network.layout, seed, 2, ignore)
    unknown = np.full(1, np.nan)
    return Basis(
        center,
        0,
        directions,
        np.ones(2),
        np.array([seed]),
        unknown,
        unknown,
        np.zeros((1, 2)),
        np.zeros(1, np.int64),
        unknown,
    )


def evaluate_landscape(
    model: nn.Module,
    batches: Iterable[Batch],
    plane: Basis,
    *,
    resolution: int = 51,
    extent: float = 1.0,
    bn_statistics: str = "batch",
    task: object | None = None,
) -> Grid:
    """Evaluate the mean loss over a plane (ding2023 Eq. 2): cross-entropy (nats), or a task's.

    Parameters
    ----------
    model : the network; its device is used
    batches : inputs, and labels as int64, or what `task` understands; fixed, because batch norm by
        ``batch`` depends on them
    plane : of `fit_plane` or `filter_normalized_plane`
    resolution : points along each side, odd, so that the center is one of them
    extent : the plane's coordinates run from −extent to extent
    bn_statistics : ``batch``, each batch's own; ``center``, the model's running statistics;
        ``recalibrate``, estimated anew at each point
    task : an object with ``loss(network, batch)``, each sample's loss (n,), ``loss_label``, and
        perhaps ``measures(network, batch)``, a dict with each sample's ``accuracy``; cross-entropy
        of logits by default

    Returns
    -------
    Grid
        ``loss[i, j]`` and ``accuracy[i, j]`` at center + alphas[i] d₀ + betas[j] d₁.

    Raises
    ------
    LossmapError
        The plane is of another network, or a setting or the task's loss is not possible.
    """
    if resolution < 3 or resolution % 2 == 0:
        raise LossmapError(f"resolution is {resolution}, expected an odd number of at least 3")
    if bn_statistics not in ("batch", "center", "recalibrate"):
        raise LossmapError(
            f"bn_statistics is '{bn_statistics}', expected batch, center or recalibrate"
        )
    surface = _open(model, batches, bn_statistics, task, {"plane": plane.center})
    return evaluate_grid(surface, plane, resolution, extent, logger)


def _open(
    model: nn.Module,
    batches: Iterable[Batch],
    bn_statistics: str,
    task: object | None,
    given: Mapping[str, np.ndarray],
) -> LossSurface:
    """Return the loss surface of a copy of a model; refuse weights that are not its own."""
    network = _copy(model)
    for name, theta in given.items():
        if network.layout.size != theta.size:
            raise LossmapError(
                f"{name}: {theta.size} parameters, but the model has {network.layout.size}; "
                f"give the model that the {name} was made of"
            )
    fixed = [move(batch, network.theta.device) for batch in batches]
    own = None if task is None else OwnTask.of(task)
    return LossSurface.over(network, fixed, bn_statistics, own)


def evaluate_line(
    model: nn.Module,
    batches: Iterable[Batch],
    start: np.ndarray,
    end: np.ndarray,
    *,
    resolution: int = 25,
    bn_statistics: str = "batch",
    task: object | None = None,
) -> Line:
    """Evaluate the mean loss on the straight line between two weight vectors.

    Parameters
    ----------
    model : the network; its device is used
    batches : inputs, and labels as int64, or what `task` understands; fixed, because batch norm by
        ``batch`` depends on them
    start, end : float32 (params,), for example of `flatten` or `load_run`
    resolution : number of points, both ends among them
    bn_statistics : ``batch``, each batch's own, or ``recalibrate``, estimated anew at each point:
        no running statistics belong to both ends
    task : as that of `evaluate_landscape`

    Returns
    -------
    Line
        ``loss`` and ``accuracy`` at ``positions``, ``barrier`` by the definition there.

    Raises
    ------
    LossmapError
        An end is of another network, or a setting is not possible.
    """
    if resolution < 2:
        raise LossmapError(f"resolution is {resolution}, expected at least 2: both ends")
    check_choice("bn_statistics", bn_statistics, ("batch", "recalibrate"))
    surface = _open(model, batches, bn_statistics, task, {"start": start, "end": end})
    return measure_line(connect(start, end, resolution), surface)
