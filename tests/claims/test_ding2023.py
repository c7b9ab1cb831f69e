import math
from dataclasses import replace

import numpy as np
import pytest

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.figure import Table, load_panels, save_panels
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.claims.ding2023 import (
    fitting_error,
    fn_local_minimum,
    low_dimensional,
    measure_descent_cosine,
    measure_descent_share,
    pca_descent,
    pca_direction,
    read_fitting_errors,
)
from lossmap.claims.papers import SHIPPED, measure_claims

OURS = [name for name in SHIPPED if name.startswith("ding-")]
PROVENANCE = Provenance("{}", "c0de", {})
ALPHAS, BETAS = np.linspace(-1, 1, 7), np.linspace(-1, 1, 5)
BOTH = pytest.mark.parametrize("testable", [True, False])


def landscape(function):
    """Return the grid of loss = function(alpha, beta)."""
    loss = np.array([[float(function(a, b)) for b in BETAS] for a in ALPHAS])
    return Grid(ALPHAS, BETAS, loss, np.zeros_like(loss))


BOWL = landscape(lambda a, b: 1 + a**2 + 3 * b**2)
HILL = landscape(lambda a, b: 9 - a**2 - 3 * b**2)
SADDLE = landscape(lambda a, b: 5 + a**2 - b**2)
FLAT = landscape(lambda a, b: 2)
FALLS_ALONG_ALPHA = landscape(lambda a, b: 5 - 2 * a)
FALLS_ALONG_BETA = landscape(lambda a, b: 5 - 2 * b)
HEAVY = landscape(lambda a, b: np.inf if (a, b) != (0, 0) else 1)


@pytest.mark.parametrize(
    ("grid", "share"),
    [
        (BOWL, 0),
        (HILL, 1),
        (FLAT, 0),
        (HEAVY, 0),
        (FALLS_ALONG_ALPHA, 3 / 8),
        (FALLS_ALONG_BETA, 3 / 8),
        (landscape(lambda a, b: 5 - a - 10 * b), 4 / 8),
        (landscape(lambda a, b: 5 - 6 * a * b), 2 / 8),
        (SADDLE, 6 / 8),  # all but (±1/3, 0): at the corners α² − β² = 1/9 − 1/4
    ],
)
def test_descent_share_counts_the_lower_of_the_eight_neighbors(grid, share):
    assert measure_descent_share(grid) == share


def test_descent_share_looks_at_the_smallest_ring_alone():
    loss = BOWL.loss.copy()
    loss[[0, 1, -2, -1]], loss[:, [0, -1]] = -100.0, -100.0

    assert measure_descent_share(replace(BOWL, loss=loss)) == 0


@pytest.mark.parametrize("point", [(3, 2), (2, 1), (4, 2)])
def test_descent_share_of_points_that_were_not_evaluated_is_no_number(point):
    loss = BOWL.loss.copy()
    loss[point] = np.nan

    assert math.isnan(measure_descent_share(replace(BOWL, loss=loss)))


@pytest.mark.parametrize("angle", np.deg2rad([0, 30, 45, 90, 135, 180]))
@pytest.mark.parametrize("length", [1e-3, 0.4, 30])
def test_descent_cosine_of_a_tilted_plane_is_that_of_the_angle(angle, length):
    tilted = landscape(lambda a, b: 9 - 3 * a - 4 * b)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    found = measure_descent_cosine(tilted, length * turn @ [3.0, 4.0])

    assert math.isclose(found, np.cos(angle), abs_tol=1e-12)


def test_descent_cosine_is_exactly_one_along_an_axis():
    assert measure_descent_cosine(FALLS_ALONG_ALPHA, np.array([0.5, 0.0])) == 1
    assert measure_descent_cosine(FALLS_ALONG_BETA, np.array([0.0, 0.5])) == 1
    assert measure_descent_cosine(FALLS_ALONG_BETA, np.array([0.0, -0.5])) == -1


def test_descent_cosine_takes_the_gradient_of_a_bowl_at_the_center():
    """L = ‖diag(1, 2)(x − m)‖², so −∇L(0) = (2 m_0, 8 m_1): central differences are exact."""
    bowl = landscape(lambda a, b: (a - 0.3) ** 2 + 4 * (b - 0.2) ** 2)
    down, wanted = np.array([0.6, 1.6]), np.array([0.3, 0.2])

    found = measure_descent_cosine(bowl, wanted)

    assert math.isclose(
        found, down @ wanted / np.linalg.norm(down) / np.linalg.norm(wanted), rel_tol=1e-12
    )


@pytest.mark.parametrize(
    ("grid", "converged"), [(FALLS_ALONG_ALPHA, [0.0, 0.0]), (FLAT, [1.0, 0.0]), (HEAVY, [1.0, 0])]
)
def test_descent_cosine_without_a_direction_is_no_number(grid, converged):
    assert math.isnan(measure_descent_cosine(grid, np.array(converged)))


class Folder:
    """Artifacts in a folder, known by ``stage/name``."""

    def __init__(self, folder):
        self.folder, self.sources = folder, {}

    def path(self, name):
        self.sources[name] = self.folder / f"{name}.h5"
        return self.sources[name]

    def grids(self, *grids):
        for index, grid in enumerate(grids):
            save(self.path(f"grid/g{index}"), grid, PROVENANCE)
        return {"grids": [{"grid": f"g{i}", "basis": f"b{i}"} for i in range(len(grids))]}

    def basis(self, name, converged=(1.0, 0.0), ratios=None, shares=(0.01, 0.03)):
        planes = len(shares)
        coordinates = np.zeros((3, 2 * planes))
        coordinates[-1, :2] = converged
        basis = Basis(
            np.ones(4, np.float32),
            0,
            np.ones((2 * planes, 4), np.float32),
            np.ones(2 * planes),
            np.arange(planes),
            np.asarray([0.1] * 10 if ratios is None else ratios),
            np.asarray(shares),
            coordinates,
            np.arange(3),
            np.asarray([0.1] * 10 if ratios is None else ratios),
        )
        save(self.path(f"basis/{name}"), basis, PROVENANCE)

    def table(self, rows):
        columns = ("dataset", "network", "reading", "bn_statistics", "method")
        numbers = ("fitting_error", "paper")
        found = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
        found |= {n: np.array([row[5 + i] for row in rows]) for i, n in enumerate(numbers)}
        save_panels(self.path("table/t"), Table, {"table": found}, PROVENANCE)
        return {"tables": ["t"]}


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def verdict(holds, testable):
    if not testable:
        return "not testable at this scale"
    return "reproduced" if holds else "not reproduced"


@BOTH
@pytest.mark.parametrize(
    ("grids", "share", "holds"),
    [
        ([BOWL, BOWL], 0, True),
        ([BOWL, FALLS_ALONG_ALPHA, BOWL], 3 / 8, False),
        ([HILL, BOWL], 1, False),
    ],
)
def test_local_minimum_needs_a_share_of_zero_at_every_epoch(folder, grids, share, holds, testable):
    claim = fn_local_minimum.measure(folder.grids(*grids), folder.sources, testable)

    assert (claim.value, claim.high, claim.low) == (share, share, 0)
    assert claim.verdict == verdict(holds, testable)
    assert claim.id == "ding-fn-local-minimum"


@pytest.mark.parametrize("order", [1, -1])
def test_local_minimum_that_was_not_evaluated_is_not_reproduced(folder, order):
    unknown = replace(BOWL, loss=np.full_like(BOWL.loss, np.nan))
    spec = folder.grids(*[BOWL, unknown][::order])

    assert fn_local_minimum.measure(spec, folder.sources, True).verdict == "not reproduced"


@BOTH
@pytest.mark.parametrize(
    ("grids", "difference", "holds"),
    [
        ([FALLS_ALONG_ALPHA, HILL, BOWL], 3 / 8, True),
        ([BOWL, BOWL], 0, False),
        ([HILL, FALLS_ALONG_ALPHA], 5 / 8, False),
        ([BOWL, HILL], -1, False),
    ],
)
def test_descent_needs_a_way_down_at_the_start_and_none_at_the_end(
    folder, grids, difference, holds, testable
):
    claim = pca_descent.measure(folder.grids(*grids), folder.sources, testable)

    assert claim.value == difference
    assert claim.verdict == verdict(holds, testable)


@BOTH
@pytest.mark.parametrize(
    ("ways", "cosine", "holds"),
    [
        ([(1, 0), (2, 0)], 1, True),
        ([(1, 0), (1, 0.999)], 1 / math.hypot(1, 0.999), True),
        ([(1, 0), (1, 1.001)], 1 / math.hypot(1, 1.001), False),
        ([(-1, 0), (1, 0)], -1, False),
    ],
)
def test_way_down_must_point_within_45_degrees_of_every_converged_point(
    folder, ways, cosine, holds, testable
):
    spec = folder.grids(*[FALLS_ALONG_ALPHA] * len(ways))
    for index, way in enumerate(ways):
        folder.basis(f"b{index}", way)
    claim = pca_direction.measure(spec, folder.sources, testable)

    assert math.isclose(claim.value, cosine, rel_tol=1e-12)
    assert claim.high == 1
    assert claim.verdict == verdict(holds, testable)


@pytest.mark.parametrize("order", [1, -1])
def test_way_down_that_is_no_number_is_not_reproduced(folder, order):
    spec = folder.grids(*[FALLS_ALONG_ALPHA, FLAT][::order])
    for index in range(2):
        folder.basis(f"b{index}")
    claim = pca_direction.measure(spec, folder.sources, True)

    assert math.isnan(claim.value)
    assert claim.verdict == "not reproduced"


def cells(*errors):
    """Return rows of a table with the given (FN, PCA) errors, and others that do not count."""
    rows = []
    for index, (fn, pca) in enumerate(errors):
        for reading, statistics, factor in (
            ("orthogonal", "center", 1),
            ("literal", "center", 1e-3),
            ("orthogonal", "batch", 1e-6),
        ):
            cell = ("CIFAR-10", f"net{index}", reading, statistics)
            rows.append((*cell, "FN", fn * factor, 8.0))
            rows.append((*cell, "PCA", pca, 2.0 + index))
    return rows


@BOTH
@pytest.mark.parametrize(
    ("errors", "low", "high", "holds"),
    [
        ([(4.0, 2.0), (9.0, 3.0)], 2, 3, True),
        ([(9.0, 3.0), (2.0, 4.0)], 0.5, 3, False),
        ([(2.0, 2.0)], 1, 1, False),
    ],
)
def test_pca_must_fit_better_in_every_cell(folder, errors, low, high, holds, testable):
    claim = fitting_error.measure(folder.table(cells(*errors)), folder.sources, testable)

    assert (claim.value, claim.low, claim.high) == (low, low, high)
    assert claim.verdict == verdict(holds, testable)
    assert claim.paper_value.startswith("FN/PCA: 4.00")


@pytest.mark.parametrize("order", [1, -1])
def test_fitting_errors_that_are_not_finite_are_not_reproduced(folder, order):
    errors = [(4.0, 2.0), (math.inf, math.inf)][::order]
    claim = fitting_error.measure(folder.table(cells(*errors)), folder.sources, True)

    assert math.isnan(claim.value)
    assert claim.verdict == "not reproduced"


def test_fitting_errors_are_those_of_the_default_reading(folder):
    folder.table(cells((4.0, 2.0), (9.0, 3.0)))

    assert read_fitting_errors(load_panels(folder.sources["table/t"], Table)["table"]) == {
        "CIFAR-10 net0": (4.0, 2.0, 8.0, 2.0),
        "CIFAR-10 net1": (9.0, 3.0, 8.0, 3.0),
    }


LOW = [0.4, 0.2, *[0.05] * 7, 0.04, 0.01]
TWO_ARE_TOO_LITTLE = [0.3, 0.19, *[0.06] * 8, 0.03]
TEN_ARE_TOO_LITTLE = [0.4, 0.2, *[0.03] * 8, *[0.016] * 10]


@BOTH
@pytest.mark.parametrize(
    ("runs", "share", "holds"),
    [
        ([LOW, LOW], 0.6, True),
        ([LOW, TWO_ARE_TOO_LITTLE], 0.49, False),
        ([LOW, TEN_ARE_TOO_LITTLE], 0.6, False),
    ],
)
def test_low_dimension_needs_half_in_two_and_most_in_ten_components(
    folder, runs, share, holds, testable
):
    names = [f"pca{index}" for index in range(len(runs))]
    for name, ratios in zip(names, runs, strict=True):
        folder.basis(name, ratios=ratios)
    folder.basis("fn", shares=(0.01, 0.03))
    claim = low_dimensional.measure({"bases": names, "fn_bases": ["fn"]}, folder.sources, testable)

    assert math.isclose(claim.value, share, rel_tol=1e-12)
    assert claim.verdict == verdict(holds, testable)
    assert "pca0: 1 … 10 components 0.400 0.600" in claim.details
    assert claim.details.endswith("inside the FN planes: fn: 0.02")


@BOTH
def test_every_claim_is_a_row_in_the_order_of_the_paper(folder, testable):
    grids = folder.grids(FALLS_ALONG_ALPHA, BOWL)
    for name in ("b0", "b1"):
        folder.basis(name, ratios=LOW)
    entries = {
        "ding-low-dimensional": {"bases": ["b0"], "fn_bases": ["b1"]},
        "ding-fitting-error": folder.table(cells((4.0, 2.0))),
        "ding-pca-direction": {"grids": grids["grids"][:1]},
        "ding-pca-descent": grids,
        "ding-fn-local-minimum": grids,
    }

    found = measure_claims({"judge": testable, "claims": entries}, folder.sources)

    assert set(entries) == set(OURS)
    assert [claim.id for claim in found] == OURS
    assert [claim.verdict for claim in found] == [
        verdict(holds, testable) for holds in (False, True, True, True, True)
    ]
