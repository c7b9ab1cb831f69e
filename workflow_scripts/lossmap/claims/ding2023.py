"""The claims of ding2023, one function each."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lossmap.artifacts.grid import Grid
from lossmap.claims.cases import BasisCase, GridCase, TableCase
from lossmap.claims.declare import Bases, Grids, Measured, Tables, claim
from lossmap.claims.ledger import list_cases, span

MIN_COSINE = math.cos(math.pi / 4)
TWO_COMPONENTS, TEN_COMPONENTS = 0.5, 0.9


def measure_descent_share(grid: Grid) -> float:
    """Return the share of the smallest ring around the center whose loss is below the center's.

    share = #{(i, j) : max(|i − c|, |j − c|) = 1, loss[i, j] < loss[c, c]} / 8, with c the center's
    index: 0 is a local minimum at the grid's resolution. NaN where a point was not evaluated.
    """
    ring, center = _ring(grid)
    return float(np.where(np.isnan(ring) | np.isnan(center), np.nan, ring < center).mean())


def _ring(grid: Grid) -> tuple[np.ndarray, float]:
    i, j = len(grid.alphas) // 2, len(grid.betas) // 2
    block = grid.loss[i - 1 : i + 2, j - 1 : j + 2].ravel()
    return np.delete(block, 4), float(block[4])


def measure_descent_cosine(grid: Grid, converged: np.ndarray) -> float:
    """Return the cosine between the way down at the center and the displacement to `converged`.

    cos = −∇L · c / (‖∇L‖ ‖c‖), with ∇L the central difference of the loss at the center in the
    plane's coordinates (α, β) and c the coordinates of the converged point, (2,). NaN where one of
    them is zero or not finite.
    """
    i, j = len(grid.alphas) // 2, len(grid.betas) // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = grid.loss[[i + 1, i], [j, j + 1]] - grid.loss[[i - 1, i], [j, j - 1]]
        run = grid.alphas[i + 1] - grid.alphas[i - 1], grid.betas[j + 1] - grid.betas[j - 1]
        slope = rise / np.array(run)
        return float(-slope @ converged / (np.linalg.norm(slope) * np.linalg.norm(converged)))


def _shares(grids: Sequence[GridCase]) -> tuple[list[float], str]:
    shares = [measure_descent_share(case.grid) for case in grids]
    return shares, list_cases([case.name for case in grids], shares)


@claim(
    "ding-fn-local-minimum",
    says="On filter-normalized landscapes every center looks like a local minimum, at any epoch",
    statistic="largest share, over epochs, of the 8 nearest grid points whose loss is below the "
    "center's",
    rule="the share is 0 at every epoch",
    on={"grids": Grids()},
)
def fn_local_minimum(grids: Sequence[GridCase]) -> Measured:
    """Measure whether every center is a local minimum on FN, at any epoch (§1, Fig. 1)."""
    shares, details = _shares(grids)
    low, high = span(shares)
    return Measured(high, low, high, details, high == 0.0)


@claim(
    "ding-pca-descent",
    says="On PCA landscapes there is a way down at the start of training and none at convergence",
    statistic="share of the 8 nearest grid points whose loss is below the center's: first center "
    "minus last center",
    rule="the share is above 0 at the first center and 0 at the last",
    on={"grids": Grids()},
)
def pca_descent(grids: Sequence[GridCase]) -> Measured:
    """Measure whether PCA shows a way down at the start and none at the end (§4.3, Fig. 5)."""
    shares, details = _shares(grids)
    holds = shares[0] > 0.0 and shares[-1] == 0.0
    return Measured(shares[0] - shares[-1], *span(shares), details, holds)


@claim(
    "ding-pca-direction",
    says="The way down on PCA landscapes points to the converged point",
    statistic="smallest cosine, over centers before the last, between minus the grid's gradient at "
    "the center and the projected displacement to the last epoch",
    rule=f"every cosine is at least {MIN_COSINE:.3f} (45 degrees)",
    on={"grids": Grids()},
)
def pca_direction(grids: Sequence[GridCase]) -> Measured:
    """Measure whether the way down on PCA points to the converged point (§4.3, Fig. 7)."""
    cosines = [
        measure_descent_cosine(case.grid, case.basis.part("coordinates")[-1, :2]) for case in grids
    ]
    low, high = span(cosines)
    details = list_cases([case.name for case in grids], cosines)
    return Measured(low, low, high, details, low >= MIN_COSINE)


@claim(
    "ding-fitting-error",
    says="PCA planes fit the trajectory better than FN planes, for four data sets and networks",
    statistic="smallest ratio of the Fitting Errors FN / PCA over the cells of Table 1 (FN: mean "
    "over the planes' seeds)",
    rule="every ratio is finite and above 1",
    on={"tables": Tables(count=1)},
)
def fitting_error(tables: Sequence[TableCase]) -> Measured:
    """Measure whether PCA planes fit the trajectory better than FN planes (§4.4, Table 1)."""
    (table,) = (case.columns for case in tables)
    cells = read_fitting_errors(table)
    ratios, batch = _divide_cells(cells), _divide_cells(read_fitting_errors(table, "batch"))
    low, high = span(ratios.values())
    return Measured(
        low,
        low,
        high,
        f"{list_cases(list(ratios), list(ratios.values()))}; "
        f"with batch statistics: {list_cases(list(batch), list(batch.values()))}",
        low > 1.0 and bool(np.isfinite(high)),
        paper="FN/PCA: " + ", ".join(f"{fn / pca:.2f}" for _, _, fn, pca in cells.values()),
    )


def _divide_cells(cells: Mapping[str, tuple[float, float, float, float]]) -> dict[str, float]:
    """Return our FN / PCA for each cell of a table."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {cell: float(np.divide(fn, pca)) for cell, (fn, pca, _, _) in cells.items()}


def read_fitting_errors(
    table: Mapping[str, Sequence], statistics: str = "center"
) -> dict[str, tuple[float, float, float, float]]:
    """Return FN and PCA by the orthogonal reading, ours then the paper's, for each cell of a table.

    Parameters
    ----------
    table : columns of the long table
    statistics : batch-norm statistics, ``center`` for the table's default reading
    """
    cells: dict[str, dict[str, tuple[float, float]]] = {}
    for row in range(len(table["method"])):
        if table["reading"][row] == "orthogonal" and table["bn_statistics"][row] == statistics:
            cell = f"{table['dataset'][row]} {table['network'][row]}"
            found = (float(table["fitting_error"][row]), float(table["paper"][row]))
            cells.setdefault(cell, {})[table["method"][row].lower()] = found
    return {cell: (m["fn"][0], m["pca"][0], m["fn"][1], m["pca"][1]) for cell, m in cells.items()}


@claim(
    "ding-low-dimensional",
    says="The training trajectory is low-dimensional",
    statistic="smallest share, over runs, of the trajectory's variance in its first 2 principal "
    "components",
    rule=f"2 components hold at least {TWO_COMPONENTS:.0%} and 10 at least {TEN_COMPONENTS:.0%} "
    "of the variance of every run",
    on={"bases": Bases("pca"), "fn_bases": Bases("fn")},
)
def low_dimensional(bases: Sequence[BasisCase], fn_bases: Sequence[BasisCase]) -> Measured:
    """Measure whether the training trajectory is low-dimensional (§1, §2.2)."""
    ratios = [case.part("explained_variance_ratio") for case in bases]
    planes = [float(np.mean(case.part("plane_variance_ratio"))) for case in fn_bases]
    low, high = span(float(r[:2].sum()) for r in ratios)
    ten = min(float(r[:10].sum()) for r in ratios)
    cumulative = "; ".join(
        f"{case.name}: 1 … 10 components "
        + " ".join(f"{share:.3f}" for share in np.cumsum(found[:10]))
        for case, found in zip(bases, ratios, strict=True)
    )
    fn = list_cases([case.name for case in fn_bases], planes)
    return Measured(
        low,
        low,
        high,
        f"{cumulative}; inside the FN planes: {fn}",
        low >= TWO_COMPONENTS and ten >= TEN_COMPONENTS,
    )
