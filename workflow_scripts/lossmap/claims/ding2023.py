"""The claims of ding2023, one function each: artifacts in, a row of the ledger out."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.claims import Claim
from lossmap.artifacts.figure import Table, load_panels
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.store import load, load_part
from lossmap.claims.ledger import judge, list_cases, span

Sources = Mapping[str, Path]
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


def claim_fn_local_minimum(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether every center is a local minimum on FN, at any epoch (§1, Fig. 1)."""
    shares = [
        measure_descent_share(load(sources[f"grid/{g['grid']}"], Grid)) for g in spec["grids"]
    ]
    low, high = span(shares)
    return Claim(
        "ding-fn-local-minimum",
        "On filter-normalized landscapes every center looks like a local minimum, at any epoch",
        "",
        "largest share, over epochs, of the 8 nearest grid points whose loss is below the center's",
        high,
        low,
        high,
        list_cases([g["grid"] for g in spec["grids"]], shares),
        "the share is 0 at every epoch",
        judge(high == 0.0, testable),
    )


def claim_pca_descent(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether PCA shows a way down at the start and none at the end (§4.3, Fig. 5)."""
    shares = [
        measure_descent_share(load(sources[f"grid/{g['grid']}"], Grid)) for g in spec["grids"]
    ]
    low, high = span(shares)
    return Claim(
        "ding-pca-descent",
        "On PCA landscapes there is a way down at the start of training and none at convergence",
        "",
        "share of the 8 nearest grid points whose loss is below the center's: first center minus "
        "last center",
        shares[0] - shares[-1],
        low,
        high,
        list_cases([g["grid"] for g in spec["grids"]], shares),
        "the share is above 0 at the first center and 0 at the last",
        judge(shares[0] > 0.0 and shares[-1] == 0.0, testable),
    )


def claim_pca_direction(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether the way down on PCA points to the converged point (§4.3, Fig. 7)."""
    cosines = []
    for entry in spec["grids"]:
        converged = load_part(sources[f"basis/{entry['basis']}"], Basis, "coordinates")[-1, :2]
        grid = load(sources[f"grid/{entry['grid']}"], Grid)
        cosines.append(measure_descent_cosine(grid, converged))
    low, high = span(cosines)
    return Claim(
        "ding-pca-direction",
        "The way down on PCA landscapes points to the converged point",
        "",
        "smallest cosine, over centers before the last, between minus the grid's gradient at the "
        "center and the projected displacement to the last epoch",
        low,
        low,
        high,
        list_cases([g["grid"] for g in spec["grids"]], cosines),
        f"every cosine is at least {MIN_COSINE:.3f} (45 degrees)",
        judge(low >= MIN_COSINE, testable),
    )


def claim_fitting_error(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether PCA planes fit the trajectory better than FN planes (§4.4, Table 1)."""
    table = sources[f"table/{spec['tables'][0]}"]
    cells = load_fitting_errors(table)
    ratios, batch = _divide_cells(cells), _divide_cells(load_fitting_errors(table, "batch"))
    low, high = span(ratios.values())
    return Claim(
        "ding-fitting-error",
        "PCA planes fit the trajectory better than FN planes, for four data sets and networks",
        "FN/PCA: " + ", ".join(f"{fn / pca:.2f}" for _, _, fn, pca in cells.values()),
        "smallest ratio of the Fitting Errors FN / PCA over the cells of Table 1 (FN: mean over "
        "the planes' seeds)",
        low,
        low,
        high,
        list_cases(list(ratios), list(ratios.values()))
        + "; with batch statistics: "
        + list_cases(list(batch), list(batch.values())),
        "every ratio is finite and above 1",
        judge(low > 1.0 and np.isfinite(high), testable),
    )


def _divide_cells(cells: Mapping[str, tuple[float, float, float, float]]) -> dict[str, float]:
    """Return our FN / PCA for each cell of a table."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {cell: float(np.divide(fn, pca)) for cell, (fn, pca, _, _) in cells.items()}


def load_fitting_errors(
    path: Path, statistics: str = "center"
) -> dict[str, tuple[float, float, float, float]]:
    """Return FN and PCA by the orthogonal reading, ours then the paper's, for each cell of a table.

    ``statistics`` are the batch-norm statistics, ``center`` for the table's default reading.
    """
    table = load_panels(path, Table)["table"]
    cells: dict[str, dict[str, tuple[float, float]]] = {}
    for row in range(len(table["method"])):
        if table["reading"][row] == "orthogonal" and table["bn_statistics"][row] == statistics:
            cell = f"{table['dataset'][row]} {table['network'][row]}"
            found = (float(table["fitting_error"][row]), float(table["paper"][row]))
            cells.setdefault(cell, {})[table["method"][row].lower()] = found
    return {cell: (m["fn"][0], m["pca"][0], m["fn"][1], m["pca"][1]) for cell, m in cells.items()}


def claim_low_dimensional(spec: dict, sources: Sources, testable: bool) -> Claim:
    """Measure whether the training trajectory is low-dimensional (§1, §2.2)."""
    ratios = [
        load_part(sources[f"basis/{name}"], Basis, "explained_variance_ratio")
        for name in spec["bases"]
    ]
    planes = [
        load_part(sources[f"basis/{name}"], Basis, "plane_variance_ratio")
        for name in spec["fn_bases"]
    ]
    two, ten = [float(r[:2].sum()) for r in ratios], [float(r[:10].sum()) for r in ratios]
    low, high = span(two)
    cumulative = "; ".join(
        f"{name}: 1 … 10 components " + " ".join(f"{share:.3f}" for share in np.cumsum(r[:10]))
        for name, r in zip(spec["bases"], ratios, strict=True)
    )
    fn = list_cases(spec["fn_bases"], [float(np.mean(shares)) for shares in planes])
    return Claim(
        "ding-low-dimensional",
        "The training trajectory is low-dimensional",
        "",
        "smallest share, over runs, of the trajectory's variance in its first 2 principal "
        "components",
        low,
        low,
        high,
        f"{cumulative}; inside the FN planes: {fn}",
        f"2 components hold at least {TWO_COMPONENTS:.0%} and 10 at least {TEN_COMPONENTS:.0%} "
        "of the variance of every run",
        judge(low >= TWO_COMPONENTS and min(ten) >= TEN_COMPONENTS, testable),
    )


CLAIMS = {
    "ding-fn-local-minimum": claim_fn_local_minimum,
    "ding-pca-descent": claim_pca_descent,
    "ding-pca-direction": claim_pca_direction,
    "ding-fitting-error": claim_fitting_error,
    "ding-low-dimensional": claim_low_dimensional,
}
