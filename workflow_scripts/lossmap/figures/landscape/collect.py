"""Collects what surfaces and contour maps draw: artifacts in, finished arrays out.

A landscape panel holds `alphas` (n_alpha,), `betas` (n_beta,), `loss` (n_alpha, n_beta) in nats
and, where asked for, `center` and `converged` (3,) as (alpha, beta, loss), `trajectory`
(snapshots, 3) likewise and `epochs` (snapshots,). A loss that is not known at a point is NaN.
"""

import numpy as np

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.store import load, load_part
from lossmap.errors import LossmapError
from lossmap.figures.sources import Panel, Sources, Spec, find_source
from lossmap.kinds import check_choice

MARKS = ("center", "converged")
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
    projection = None
    if "projection" in panel:
        projection = load(find_source(panel, "projection", sources, where), Projection)
    for mark in panel.get("marks", ()):
        check_choice(f"{where}: marks", mark, MARKS)
        if mark == "center":
            found["center"] = np.array([0.0, 0.0, interpolate_loss(grid, 0.0, 0.0)])
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


def interpolate_loss(grid: Grid, alpha: float, beta: float) -> float:
    """Return a grid's loss at a position: bilinear in the log-loss, exact on grid points.

    NaN outside the grid, and beside a grid point whose loss is not positive and finite.
    """
    inside = grid.alphas[0] <= alpha <= grid.alphas[-1] and grid.betas[0] <= beta <= grid.betas[-1]
    if not inside:
        return float("nan")
    rows, columns = _weigh(grid.alphas, alpha), _weigh(grid.betas, beta)
    corners = [(grid.loss[i, j], u * v) for i, u in rows for j, v in columns]
    if len(corners) == 1:
        return float(corners[0][0])
    if not all(np.isfinite(loss) and loss > 0 for loss, _ in corners):
        return float("nan")
    return float(np.exp(sum(weight * np.log(loss) for loss, weight in corners)))


def _weigh(positions: np.ndarray, position: float) -> list[tuple[int, float]]:
    upper = int(np.searchsorted(positions, position))
    if positions[upper] == position:
        return [(upper, 1.0)]
    lower = upper - 1
    share = (position - positions[lower]) / (positions[upper] - positions[lower])
    return [(lower, 1.0 - share), (upper, share)]
