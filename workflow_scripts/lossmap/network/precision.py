"""How far bfloat16 or TF32 is from float32: of a landscape at some of its points, and bounded."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lossmap.artifacts.grid import Grid
from lossmap.errors import LossmapError


def check_precision(
    grid: Grid, evaluate: Callable[[int, int], float], check: dict, precision: str = "bf16"
) -> Grid:
    """Return the grid with the float32 losses of a sample of its points and the deviation there.

    Parameters
    ----------
    grid : evaluated in `precision`
    evaluate : returns the float32 loss at point (i, j)
    check : ``points``, spread evenly over the grid from its first corner to its last, and
        ``bound`` of |loss − float32 loss| / float32 loss

    Raises
    ------
    LossmapError
        A deviation exceeds the bound, or only one of the two losses is finite.
    """
    shape, size = grid.loss.shape, grid.loss.size
    rows = np.linspace(0, size - 1, min(check["points"], size)).round().astype(np.int64)
    checked = np.stack(np.unravel_index(rows, shape), axis=1)
    exact = np.array([evaluate(int(i), int(j)) for i, j in checked])
    deviations = measure_deviations(grid.loss[tuple(checked.T)], exact)
    worst = int(deviations.argmax())
    if not deviations[worst] <= check["bound"]:
        i, j = checked[worst]
        raise LossmapError(
            f"{precision} gives a loss of {grid.loss[i, j]:.6g} at alpha {grid.alphas[i]:g}, beta "
            f"{grid.betas[j]:g}, float32 {exact[worst]:.6g}: off by {deviations[worst]:.2g}, more "
            f"than bf16.bound = {check['bound']:g}; set precision: float32 for this grid"
        )
    return replace(
        grid, checked=checked, checked_loss=exact, deviation=np.float64(deviations[worst])
    )


def measure_deviations(values: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return |values − exact| / exact, 0 where both are inf and inf where one of them is."""
    with np.errstate(invalid="ignore"):
        found = np.abs(values - exact) / np.maximum(exact, np.finfo(np.float64).tiny)
    found[np.isinf(values) ^ np.isinf(exact)] = np.inf
    found[values == exact] = 0.0
    return found
