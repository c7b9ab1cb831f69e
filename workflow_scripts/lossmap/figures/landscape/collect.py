"""Collects what surfaces and contour maps draw: artifacts in, finished arrays out.

A landscape panel holds `alphas` (n_alpha,), `betas` (n_beta,), `loss` (n_alpha, n_beta), in nats
unless `loss_label` says otherwise, and, where asked for, `center`, `converged`, `second` and
`third` (3,) as (alpha, beta, loss), `trajectory` (snapshots, 3) likewise and `epochs` (snapshots,).
A loss that is not known at a point is NaN.
"""

import numpy as np

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.store import load, load_part
from lossmap.errors import LossmapError
from lossmap.figures.sources import Panel, Sources, Spec, find_source, name_loss
from lossmap.geometry.interpolation import interpolate_loss
from lossmap.kinds import check_choice

MARKS = ("center", "converged", "points")
HEIGHTS = ("true", "projected")


def collect_landscape(panel: Spec, spec: Spec, sources: Sources, where: str) -> Panel:
    """Return the arrays of a landscape panel.

    Raises
    ------
    LossmapError
        The panel asks for something unknown, or for an artifact that is not among the sources.
    """
    grid = load(find_source(panel, "grid", sources, where), Grid)
    found = {"alphas": grid.alphas, "betas": grid.betas, "loss": grid.loss}
    found |= name_loss(grid.loss_label)
    projection = None
    if "projection" in panel:
        projection = load(find_source(panel, "projection", sources, where), Projection)
    for mark in panel.get("marks", ()):
        check_choice(f"{where}: marks", mark, MARKS)
        if mark == "center":
            found["center"] = np.array([0.0, 0.0, interpolate_loss(grid, 0.0, 0.0)])
        elif mark == "points":
            places = load_part(find_source(panel, "basis", sources, where), Basis, "points")
            for name, place in zip(("second", "third"), places[1:], strict=True):
                found[name] = np.array([*place, interpolate_loss(grid, *place)])
        else:
            path = find_source(panel, "basis", sources, where)
            coordinates = load_part(path, Basis, "coordinates")
            found["converged"] = _locate_converged(grid, coordinates, projection)
    if panel.get("trajectory", False):
        if projection is None:
            raise LossmapError(f"{where}: 'trajectory' needs 'projection', but none is named")
        heights = panel.get("heights", spec.get("options", {}).get("heights", "true"))
        check_choice(f"{where}: heights", heights, HEIGHTS)
        found |= _trace(projection, heights)
    return found


def _locate_converged(
    grid: Grid, coordinates: np.ndarray, projection: Projection | None
) -> np.ndarray:
    alpha, beta = coordinates[-1, :2]
    if projection is None:
        return np.array([alpha, beta, interpolate_loss(grid, alpha, beta)])
    return np.array([alpha, beta, projection.projected_loss_orthogonal[0, -1]])


def _trace(projection: Projection, heights: str) -> Panel:
    loss = projection.loss if heights == "true" else projection.projected_loss_orthogonal[0]
    return {
        "trajectory": np.column_stack([projection.coordinates, loss]),
        "epochs": projection.epochs,
    }
