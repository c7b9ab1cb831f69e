"""Claims of ding2023 on rings, projections and planes whose statistics are known in closed form."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.ring import Ring
from lossmap.artifacts.store import save
from lossmap.claims.ding2023 import (
    fitting_error,
    fn_local_minimum,
    low_dimensional,
    measure_descent_angle,
    measure_descent_shares,
    measure_v_test,
    pca_descent,
    pca_direction,
)
from lossmap.claims.papers import SHIPPED, measure_claims

OURS = [name for name in SHIPPED if name.startswith("ding-")]
PROVENANCE = Provenance("{}", "c0de", {})
BOTH = pytest.mark.parametrize("testable", [True, False])
ORDERS = pytest.mark.parametrize("order", [1, -1])
RADIUS = 0.2


def landscape(function, points=16, converged=(0.5, 0.0), gram=None, epoch=0):
    """Return the ring of loss = function(alpha, beta), its gradient by central differences."""
    angles = 2 * np.pi * np.arange(points) / points
    loss = [float(function(RADIUS * np.cos(a), RADIUS * np.sin(a))) for a in angles]
    step = 1e-6
    slope = [
        (function(step, 0.0) - function(-step, 0.0)) / (2 * step),
        (function(0.0, step) - function(0.0, -step)) / (2 * step),
    ]
    return Ring(
        RADIUS,
        angles,
        np.array([-1]),
        epoch,
        float(function(0.0, 0.0)),
        np.array([loss]),
        float(np.linalg.norm(slope)),
        np.array([slope]),
        np.array([np.eye(2) if gram is None else gram]),
        np.array([converged], float),
        np.array([float(function(*converged))]),
    )


def bowl(a, b):
    return 1 + a**2 + 3 * b**2


def hill(a, b):
    return 9 - 40 * a**2 - 40 * b**2


def saddle(a, b):
    return 1 + 3 * a**2 - 3 * b**2


def falls(a, b):
    return 5 - 3 * a


def flat(a, b):
    return 2.0


def heavy(a, b):
    return 1.0 if a == b == 0 else np.inf


@pytest.mark.parametrize(
    ("function", "share"),
    [
        (bowl, 0),
        (hill, 1),
        (flat, 0),
        (heavy, 0),
        (falls, 5 / 16),  # 5 - 0.6 cos(a) is below 4.75 where cos(a) is above 0.417
        (saddle, 6 / 16),  # 1 + 0.12 cos(2a) is below 0.95 where cos(2a) is below -0.417
        (lambda a, b: 1 - a, 7 / 16),
        (lambda a, b: 1 - 0.24 * a, 0),  # a way down of less than the margin
    ],
)
def test_descent_share_counts_what_is_below_the_margin(function, share):
    assert measure_descent_shares(landscape(function)) == {-1: share}


@pytest.mark.parametrize("points", [8, 16, 64, 360])
def test_share_does_not_depend_on_how_many_points_the_ring_has(points):
    for function, share in ((bowl, 0), (hill, 1), (falls, np.arccos(0.25 / 0.6) / np.pi)):
        found = measure_descent_shares(landscape(function, points))[-1]
        assert found == pytest.approx(share, abs=2 / points)


def test_share_of_points_that_were_not_evaluated_is_no_number():
    ring = landscape(bowl)
    ring.loss[0, 3] = np.nan

    assert math.isnan(measure_descent_shares(ring)[-1])


@pytest.mark.parametrize("degrees", [0, 30, 90, 150, -60])
@pytest.mark.parametrize("length", [1e-3, 30])
def test_angle_is_from_the_converged_point_to_the_way_down(degrees, length):
    angle = math.radians(degrees)
    ahead = 0.7
    converged = length * math.cos(ahead), length * math.sin(ahead)
    down = math.cos(ahead + angle), math.sin(ahead + angle)
    ring = landscape(lambda a, b: 9 - down[0] * a - down[1] * b, converged=converged)

    assert measure_descent_angle(ring) == pytest.approx(angle, abs=1e-6)


def test_angle_is_that_of_the_weights_where_the_directions_are_not_orthogonal():
    """In 2 weights w with d_0 = (2, 0), d_1 = (1, 1): loss = -w_0 - 3 w_1, converged at (1, 1)."""
    directions = np.array([[2.0, 0.0], [1.0, 1.0]])
    ring = replace(
        landscape(flat, converged=np.linalg.solve(directions.T, [1.0, 1.0])),
        slope=np.array([directions @ [-1.0, -3.0]]),
        gram=np.array([directions @ directions.T]),
    )

    expected = math.atan2(3, 1) - math.atan2(1, 1)
    assert abs(measure_descent_angle(ring)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "ring",
    [
        landscape(flat),
        landscape(falls, converged=(0.0, 0.0)),
        landscape(falls, gram=np.zeros((2, 2))),
        replace(landscape(falls), slope=np.array([[np.nan, 0.0]])),
    ],
)
def test_angle_without_a_direction_is_no_number(ring):
    assert math.isnan(measure_descent_angle(ring))


def test_v_test_keeps_its_level_where_angles_are_uniform():
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (4000, 6))
    rejected = np.mean([measure_v_test(row) < 0.05 for row in angles])

    assert rejected == pytest.approx(0.05, abs=0.01)
    assert measure_v_test([math.pi] * 6) > 0.99
    assert measure_v_test([0.0] * 6) < 0.001


class Folder:
    """Artifacts in a folder, known by ``stage/name``."""

    def __init__(self, folder):
        self.folder, self.sources = folder, {}

    def path(self, name):
        self.sources[name] = self.folder / f"{name}.h5"
        return self.sources[name]

    def rings(self, *rings):
        entries = []
        for epoch, ring in enumerate(rings):
            name = f"r{len(self.sources)}"
            save(self.path(f"ring/{name}"), replace(ring, center_epoch=epoch), PROVENANCE)
            entries.append({"ring": name, "of": "net", "seed": 0})
        return entries

    def basis(self, name, ratios, walk):
        basis = Basis(
            np.ones(4, np.float32),
            0,
            np.ones((4, 4), np.float32),
            np.ones(4),
            np.arange(2),
            np.asarray(ratios),
            np.asarray([0.01, 0.03]),
            np.zeros((3, 4)),
            np.arange(3),
            np.asarray(walk),
        )
        save(self.path(f"basis/{name}"), basis, PROVENANCE)
        return name

    def projections(self, method, errors, last=0.05, first_term=0.0):
        """Save projections whose Fitting Errors are given, by cell and seed."""
        entries = []
        for (cell, seed), error in errors.items():
            name = f"p{len(self.sources)}-{method}"
            loss = np.array([1.0, 0.5, last])
            # ln² of a ratio is the error in each of the two trained snapshots.
            off = np.exp(np.sqrt([first_term, error, error]))
            one, none = np.ones(1), np.zeros(1, np.int64)
            projected = (loss * off)[None]
            found = Projection(
                np.zeros((3, 2)), np.arange(3), loss, np.array([-1]), projected, projected, one,
                one, none, none,
            )  # fmt: skip
            save(self.path(f"projection/{name}"), found, PROVENANCE)
            entries.append({"projection": name, "of": cell, "seed": seed})
        return entries


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def verdict(holds, testable=True):
    if not testable:
        return "not testable at this scale"
    return "reproduced" if holds else "not reproduced"


@BOTH
@pytest.mark.parametrize(
    ("functions", "share", "holds"),
    [
        ([bowl, bowl], 0, True),
        ([bowl, heavy, bowl], 0, True),
        ([bowl, falls, bowl], 5 / 16, False),
        ([bowl, saddle], 6 / 16, False),
        ([hill, bowl], 1, False),
    ],
)
def test_local_minimum_needs_a_share_of_zero_at_every_epoch(
    folder, functions, share, holds, testable
):
    spec = {
        "rings": folder.rings(*map(landscape, functions)),
        "initial_rings": folder.rings(landscape(functions[0])),
    }
    claim = fn_local_minimum.measure(spec, folder.sources, testable)

    assert (claim.value, claim.high, claim.low) == (share, share, 0)
    assert claim.verdict == claim.other_verdict == verdict(holds, testable)
    numbers = [n.value for n in claim.numbers if n.quantity == "share of the ring below"]
    assert max(numbers) == share
    assert len(numbers) == len(functions)


@pytest.mark.parametrize(("first", "initial"), [(saddle, bowl), (bowl, saddle), (bowl, bowl)])
def test_reading_of_batch_norm_at_epoch_0_has_a_verdict_of_its_own(folder, first, initial):
    spec = {
        "rings": folder.rings(landscape(first), landscape(bowl)),
        "initial_rings": folder.rings(landscape(initial)),
    }
    claim = fn_local_minimum.measure(spec, folder.sources, True)

    assert claim.verdict == verdict(first is bowl)
    assert claim.other_verdict == verdict(initial is bowl)
    assert "running statistics 0 and 1" in claim.other_reading


@ORDERS
def test_local_minimum_that_was_not_evaluated_is_not_reproduced(folder, order):
    unknown = landscape(bowl)
    unknown.loss[:] = np.nan
    rings = folder.rings(*[landscape(bowl), unknown][::order])
    spec = {"rings": rings, "initial_rings": rings[:1]}

    assert fn_local_minimum.measure(spec, folder.sources, True).verdict == "not reproduced"


@BOTH
@pytest.mark.parametrize(
    ("first", "last", "difference", "holds"),
    [
        ([falls, hill], [bowl, bowl], 5 / 16, True),
        ([bowl], [bowl], 0, False),  # no descent at the start
        ([falls, bowl], [bowl, bowl], 0, False),  # nor in one of two runs
        ([hill], [falls], 11 / 16, False),
        ([falls, falls], [bowl, hill], -11 / 16, False),
    ],
)
def test_descent_needs_a_way_down_at_the_start_and_none_at_the_end(
    folder, first, last, difference, holds, testable
):
    spec = {
        "first_rings": folder.rings(*map(landscape, first)),
        "last_rings": [
            entry | {"of": f"net at the end {index}"}
            for index, entry in enumerate(folder.rings(*map(landscape, last)))
        ],
    }
    claim = pca_descent.measure(spec, folder.sources, testable)

    assert claim.value == pytest.approx(difference)
    assert claim.verdict == verdict(holds, testable)


def toward(degrees, lower=True):
    """Return a landscape whose way down is at an angle from the converged point."""
    angle = math.radians(degrees)
    level = 9.0

    def plane(a, b):
        if (a, b) == (0.5, 0.0):
            return level - 1 if lower else level
        return level - math.cos(angle) * a - math.sin(angle) * b

    return landscape(plane)


@BOTH
@pytest.mark.parametrize(
    ("ways", "holds"),
    [
        ([0] * 6, True),
        ([30, -45, 60, 10, -70, 20], True),
        ([90, -90] * 3, False),
        ([0, 180] * 3, False),
        ([180] * 6, False),
        ([0], False),  # one center cannot tell
    ],
)
def test_way_down_must_point_to_the_converged_point_more_than_by_chance(
    folder, ways, holds, testable
):
    spec = {"rings": folder.rings(*map(toward, ways))}
    claim = pca_direction.measure(spec, folder.sources, testable)

    assert claim.verdict == verdict(holds, testable)
    angles = [n.value for n in claim.numbers if n.quantity == "angle in degrees"]
    np.testing.assert_allclose(np.cos(np.radians(angles)), np.cos(np.radians(ways)), atol=1e-6)


def test_converged_points_must_lie_lower_than_their_centers(folder):
    rings = folder.rings(*[toward(0)] * 5, toward(0, lower=False))
    claim = pca_direction.measure({"rings": rings}, folder.sources, True)

    assert claim.value < 0.05
    assert claim.verdict == "not reproduced"


@ORDERS
def test_way_down_that_is_no_number_is_not_reproduced(folder, order):
    rings = folder.rings(*[*[toward(0)] * 5, landscape(flat)][::order])
    claim = pca_direction.measure({"rings": rings}, folder.sources, True)

    assert math.isnan(claim.value)
    assert claim.verdict == "not reproduced"


def cells(*ratios, seeds=3):
    return {(f"net{i}", seed): ratio for i, ratio in enumerate(ratios) for seed in range(seeds)}


def errors_of(folder, batch, center=None, **options):
    """Return what the claim is told of cells whose FN / PCA are given; PCA's error is 0.5."""
    center = batch if center is None else center
    return {
        f"{method}{name}_projections": folder.projections(
            method, {k: 0.5 * (v if method == "fn" else 1) for k, v in ratios.items()}, **options
        )
        for name, ratios in (("", batch), ("_center", center))
        for method in ("fn", "pca")
    }


@BOTH
@pytest.mark.parametrize(
    ("ratios", "low", "high", "holds"),
    [((2, 3), 2, 3, True), ((3, 0.5), 0.5, 3, False), ((1,), 1, 1, False)],
)
def test_pca_must_fit_better_in_every_cell(folder, ratios, low, high, holds, testable):
    claim = fitting_error.measure(errors_of(folder, cells(*ratios)), folder.sources, testable)

    assert (claim.value, claim.low, claim.high) == pytest.approx((low, low, high))
    assert claim.verdict == verdict(holds, testable)
    assert claim.paper_value == "FN/PCA: 2.16, 10.16, 5.50, 8.16"


def test_pca_must_fit_better_from_every_seed(folder):
    ratios = cells(2) | {("net0", 1): 0.9}
    claim = fitting_error.measure(errors_of(folder, ratios), folder.sources, True)

    assert claim.verdict == "not reproduced"
    assert {n.seed for n in claim.numbers} == {0, 1, 2}


@pytest.mark.parametrize(
    ("last", "seeds", "testable"), [(0.09, 3, True), (0.11, 3, False), (0.05, 2, False)]
)
def test_fitting_errors_are_judged_of_converged_runs_and_three_seeds(folder, last, seeds, testable):
    spec = errors_of(folder, cells(2, seeds=seeds), last=last)

    assert fitting_error.measure(spec, folder.sources, True).verdict == verdict(True, testable)


def test_center_s_statistics_are_another_reading_without_the_untrained_snapshot(folder):
    spec = errors_of(folder, cells(2), cells(0.5), first_term=0.5)
    claim = fitting_error.measure(spec, folder.sources, True)

    assert (claim.verdict, claim.other_verdict) == ("reproduced", "not reproduced")
    assert claim.value == pytest.approx((0.5 + 2 * 1.0) / (0.5 + 2 * 0.5))
    assert claim.other_value == pytest.approx(0.5)


@ORDERS
def test_fitting_errors_that_are_not_finite_are_not_reproduced(folder, order):
    ratios = cells(*[2, math.inf][::order])
    with np.errstate(invalid="ignore"):
        claim = fitting_error.measure(errors_of(folder, ratios), folder.sources, True)

    assert not math.isfinite(claim.high)
    assert claim.verdict == "not reproduced"


WALK = [0.6, 0.15, *[0.02] * 8, 0.09]
STRAIGHT = [0.8, 0.1, *[0.01] * 8, 0.02]
TEN_ARE_TOO_LITTLE = [0.7, 0.1, *[0.001] * 8, *[0.0192] * 10]


@BOTH
@pytest.mark.parametrize(
    ("runs", "gap", "holds"),
    [
        ([STRAIGHT, STRAIGHT], 0.98 - 0.91, True),
        ([WALK], 0, False),  # a random walk must not pass
        ([STRAIGHT, WALK], 0, False),
        ([TEN_ARE_TOO_LITTLE], 0.808 - 0.91, False),
    ],
)
def test_low_dimension_needs_more_than_a_walk_has(folder, runs, gap, holds, testable):
    names = [folder.basis(f"pca{i}", r, (WALK + [0] * 9)[: len(r)]) for i, r in enumerate(runs)]
    spec = {"bases": names, "fn_bases": [folder.basis("fn", STRAIGHT, WALK)]}
    claim = low_dimensional.measure(spec, folder.sources, testable)

    assert claim.value == pytest.approx(gap, abs=1e-12)
    assert claim.verdict == verdict(holds, testable)
    planes = [n.value for n in claim.numbers if n.quantity == "variance in the FN planes"]
    assert planes == [0.02]


@BOTH
def test_every_claim_is_a_row_in_the_order_of_the_paper(folder, testable):
    down, up, *ways = folder.rings(*map(landscape, [falls, bowl, falls, falls, falls]))
    bases = [folder.basis(name, STRAIGHT, WALK) for name in ("b0", "b1")]
    entries = {
        "ding-low-dimensional": {"bases": bases[:1], "fn_bases": bases[1:]},
        "ding-fitting-error": errors_of(folder, cells(2.0)),
        "ding-pca-direction": {"rings": ways},
        "ding-pca-descent": {"first_rings": [down], "last_rings": [up]},
        "ding-fn-local-minimum": {"rings": [down, up], "initial_rings": [up]},
    }

    found = measure_claims({"judge": testable, "claims": entries}, folder.sources)

    assert set(entries) == set(OURS)
    assert [claim.id for claim in found] == OURS
    assert [claim.verdict for claim in found] == [
        verdict(holds, testable) for holds in (False, True, True, True, True)
    ]
