"""The loss of a landscape between its grid points. Arrays in, a number out."""

import numpy as np

from lossmap.artifacts.grid import Grid


def interpolate_loss(grid: Grid, alpha: float, beta: float) -> float:
    """Return a grid's loss at a position: bilinear in the log-loss, exact on grid points.

    NaN outside the grid, and beside a grid point whose loss is not positive and finite.
    """
    inside = grid.alphas[0] <= alpha <= grid.alphas[-1] and grid.betas[0] <= beta <= grid.betas[-1]
    if not inside:
        return float("nan")
    rows, columns = _weigh_neighbors(grid.alphas, alpha), _weigh_neighbors(grid.betas, beta)
    corners = [(grid.loss[i, j], u * v) for i, u in rows for j, v in columns]
    if len(corners) == 1:
        return float(corners[0][0])
    if not all(np.isfinite(loss) and loss > 0 for loss, _ in corners):
        return float("nan")
    return float(np.exp(sum(weight * np.log(loss) for loss, weight in corners)))


def _weigh_neighbors(positions: np.ndarray, position: float) -> list[tuple[int, float]]:
    upper = int(np.searchsorted(positions, position))
    if positions[upper] == position:
        return [(upper, 1.0)]
    lower = upper - 1
    share = (position - positions[lower]) / (positions[upper] - positions[lower])
    return [(lower, 1.0 - share), (upper, share)]
