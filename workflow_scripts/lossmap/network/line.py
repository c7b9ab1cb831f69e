"""Loss and accuracy along a straight line: between two snapshots, or through a center."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.line import Line
from lossmap.artifacts.provenance import Sources
from lossmap.artifacts.store import load, read_provenance
from lossmap.artifacts.trajectory import load_layouts, load_points
from lossmap.errors import LossmapError
from lossmap.geometry.lines import interpolate, measure_barriers, move_along
from lossmap.network.classification import as_task
from lossmap.network.own_task import load_data
from lossmap.network.surface import LossSurface, open_surface_at, spread_positions


@dataclass(frozen=True)
class Segment:
    """A part of a straight line: positions on it, increasing, and the weights at each."""

    positions: np.ndarray
    at: Callable[[float], np.ndarray]


def connect(start: np.ndarray, end: np.ndarray, points: int) -> Segment:
    """Return the segment between two weight vectors, float32 (params,), both among its points."""
    return Segment(np.linspace(0.0, 1.0, points), partial(interpolate, start, end))


def evaluate_line(segment: Segment, surface: LossSurface, test: LossSurface | None = None) -> Line:
    """Evaluate loss and accuracy at every position (Goodfellow et al. 2015).

    Parameters
    ----------
    segment : where
    surface : the loss as a function of θ
    test : the same over test samples, if there are any

    Raises
    ------
    LossmapError
        The memory of the GPU is full.
    """
    surfaces = [each for each in (surface, test) if each is not None]
    found = [
        each.read([each.measure(each.to_device(segment.at(t))) for t in segment.positions])
        for each in surfaces
    ]
    origin, unit = (segment.at(t).astype(np.float64) for t in (0.0, 1.0))
    length = float(np.linalg.norm(unit - origin))
    barriers = measure_barriers(segment.positions, found[0][0])
    tested = found[1] if test else (None, None)
    label = surface.task.loss_label
    return Line(segment.positions, *found[0], length, *barriers, *tested, loss_label=label)


def open_line(
    sources: Sources, spec: dict, device: str
) -> tuple[Segment, LossSurface, LossSurface | None]:
    """Return what a line is evaluated with: its segment, and the surface of each split there is.

    Buffers that ``bn_statistics`` does not govern are those of the first snapshot, or the center.

    Parameters
    ----------
    sources : the data set, and two trajectories or a basis and its trajectory
    spec : ``from`` and ``to``, a ``run`` and an ``epoch`` each, or ``basis``, ``direction`` (row of
        its directions) and ``extent``; ``resolution``, ``bn_statistics`` and ``evaluation``
    device : ``cpu`` or ``cuda``

    Raises
    ------
    LossmapError
        The runs or the basis have other parameters than the network, or as `open_surface_at`.
    """
    lay = _lay_along if "basis" in spec else _lay_between
    segment, trajectory, epoch = lay(sources, spec)
    made = read_provenance(trajectory).parameters()
    task = as_task(load_data(_find(sources, "dataset"), made), made)
    surface = open_surface_at(trajectory, task, epoch, spec, device)
    given, expected = segment.at(0.0).size, surface.network.layout.size
    if given != expected:
        raise LossmapError(
            f"{trajectory}: its network has {expected} parameters, but the basis has {given}; "
            "rebuild the basis of this run"
        )
    if not task.has("test"):
        return segment, surface, None
    return segment, surface, open_surface_at(trajectory, task, epoch, spec, device, "test")


def _lay_between(sources: Sources, spec: dict) -> tuple[Segment, Path, int]:
    start, end = spec["from"], spec["to"]
    trajectory = sources[f"trajectory/{start['run']}"]
    thetas = load_points(sources, (start, end), load_layouts(trajectory)[0])
    return connect(*thetas, spec["resolution"]), trajectory, start["epoch"]


def _lay_along(sources: Sources, spec: dict) -> tuple[Segment, Path, int]:
    basis = load(_find(sources, "basis"), Basis)
    plane, row = divmod(spec["direction"], 2)
    direction = basis.scaled_directions(plane)[row]
    positions = spread_positions(spec["resolution"], spec["extent"])
    segment = Segment(positions, partial(move_along, basis.center, direction))
    return segment, _find(sources, "trajectory"), basis.center_epoch


def _find(sources: Sources, stage: str) -> Path | None:
    return next((path for name, path in sources.items() if name.startswith(f"{stage}/")), None)
