"""The claims of ding2023, one function each."""

import math
from collections.abc import Sequence

import numpy as np

from lossmap.artifacts.ring import Ring
from lossmap.claims.cases import BasisCase, ProjectionCase, RingCase
from lossmap.claims.declare import Bases, Measured, Projections, Reading, Rings, claim
from lossmap.claims.ledger import NOT_TESTABLE, list_numbers, span
from lossmap.geometry.fitting import measure_fitting_error

MARGIN = 0.95
"""Half of any small ring lies below a center that is not exactly stationary: by how much counts."""
SIGNIFICANT = 0.05
CONVERGED = 0.1
"""A run counts as converged when its last loss is at most this share of its first."""
MIN_SEEDS = 3


def measure_descent_shares(ring: Ring) -> dict[int, float]:
    """Return by plane the share of a ring whose loss is below `MARGIN` of the center's.

    share = #{k : loss_k < 0.95 loss_center} / points, on the ring itself: no grid decides. NaN
    where a loss is none.
    """
    unknown = np.isnan(ring.loss) | np.isnan(ring.center_loss)
    shares = np.where(unknown, np.nan, ring.loss < MARGIN * ring.center_loss).mean(axis=1)
    return dict(zip(ring.seeds.tolist(), shares.tolist(), strict=True))


def measure_descent_angle(ring: Ring) -> float:
    """Return the angle in the plane from the converged point to the steepest way down, radians.

    With G the Gram matrix of d_0, d_1 and s the gradient's inner products with them, minus the
    gradient has the part −(d_0, d_1) G⁻¹s in the plane. Coordinates c become lengths by Lᵀc,
    G = L Lᵀ. NaN where one of the two vectors is zero or not finite.
    """
    try:
        lengths = np.linalg.cholesky(ring.gram[0]).T
    except np.linalg.LinAlgError:
        return float("nan")
    down = lengths @ -np.linalg.solve(ring.gram[0], ring.slope[0])
    ahead = lengths @ ring.converged[0]
    if not (np.isfinite([*down, *ahead]).all() and down.any() and ahead.any()):
        return float("nan")
    return math.remainder(math.atan2(*down[::-1]) - math.atan2(*ahead[::-1]), 2 * math.pi)


def measure_v_test(angles: Sequence[float]) -> float:
    """Return the probability of angles at least so concentrated around 0, were they uniform.

    The V-test (Zar, Biostatistical Analysis, §27.1): u = √(2/n) Σ cos a_i is about standard normal.
    """
    u = math.sqrt(2 / len(angles)) * sum(map(math.cos, angles))
    return math.erfc(u / math.sqrt(2)) / 2


def _name_of(case: RingCase) -> str:
    return f"{case.of} seed {case.seed}, epoch {case.ring.center_epoch}"


@claim(
    "ding-fn-local-minimum",
    says="On filter-normalized landscapes every center looks like a local minimum, at any epoch",
    statistic="largest share, over epochs and planes, of a ring of radius 0.2 whose loss is below "
    f"{MARGIN:g} of the center's",
    rule="the share is 0 at every epoch in every plane",
    on={"rings": Rings(), "initial_rings": Rings()},
)
def fn_local_minimum(rings: Sequence[RingCase], initial_rings: Sequence[RingCase]) -> Measured:
    """Measure whether every center is a local minimum on FN, at any epoch (§1, Fig. 1).

    The untrained center is read by batch statistics, and by running statistics 0 and 1, as
    ``net.eval()`` of Li et al. has them.
    """
    shares, initial = (
        {_name_of(case): measure_descent_shares(case.ring) for case in cases}
        for cases in (rings, initial_rings)
    )
    low, high = _span_of(shares)
    _, other = _span_of(shares | initial)
    return Measured(
        high,
        low,
        high,
        [
            *list_numbers("share of the ring below", shares),
            *list_numbers("the same by running statistics 0 and 1", initial),
        ],
        high == 0.0,
        other=Reading("epoch 0 by running statistics 0 and 1", other, other == 0.0),
    )


def _span_of(found: dict[str, dict[int, float]]) -> tuple[float, float]:
    return span(value for each in found.values() for value in each.values())


@claim(
    "ding-pca-descent",
    says="On PCA landscapes there is a way down at the start of training and none at convergence",
    statistic="share of a ring of radius 0.2 whose loss is below "
    f"{MARGIN:g} of the center's: smallest at first centers minus largest at last centers",
    rule="the share is above 0 at every first center and 0 at every last",
    on={"first_rings": Rings(), "last_rings": Rings(pairs="first_rings")},
)
def pca_descent(first_rings: Sequence[RingCase], last_rings: Sequence[RingCase]) -> Measured:
    """Measure whether PCA shows a way down at the start and none at the end (§4.3, Fig. 5)."""
    first, last = (
        {_name_of(case): measure_descent_shares(case.ring) for case in cases}
        for cases in (first_rings, last_rings)
    )
    (lowest, _), (_, highest) = _span_of(first), _span_of(last)
    return Measured(
        lowest - highest,
        *span([*_span_of(first), *_span_of(last)]),
        list_numbers("share of the ring below", first | last),
        lowest > 0.0 and highest == 0.0,
    )


@claim(
    "ding-pca-direction",
    says="The way down on PCA landscapes points to the converged point",
    statistic="V-test of the angles, over centers before the last, from the plane's part of minus "
    "the exact gradient to the converged point: probability if they were uniform",
    rule=f"it is below {SIGNIFICANT:g}, and the loss at every projected converged point is below "
    "its center's",
    on={"rings": Rings()},
)
def pca_direction(rings: Sequence[RingCase]) -> Measured:
    """Measure whether the way down on PCA points to the converged point (§4.3, Fig. 7)."""
    angles = {_name_of(case): measure_descent_angle(case.ring) for case in rings}
    losses = {
        _name_of(case): float(case.ring.converged_loss[0] / case.ring.center_loss) for case in rings
    }
    probability = measure_v_test(list(angles.values()))
    degrees = {name: math.degrees(angle) for name, angle in angles.items()}
    return Measured(
        probability,
        float("nan"),
        float("nan"),
        [
            *list_numbers("angle in degrees", degrees),
            *list_numbers("loss at the converged point over the center's", losses),
        ],
        probability < SIGNIFICANT and span(losses.values())[1] < 1.0,
    )


@claim(
    "ding-fitting-error",
    says="PCA planes fit the trajectory better than FN planes, for four data sets and networks",
    paper="FN/PCA: 2.16, 10.16, 5.50, 8.16",
    statistic="ratio of the Fitting Errors FN / PCA (FN: mean over planes) by batch statistics, as "
    "the surfaces are drawn: smallest over cells of Table 1 and training seeds",
    rule=f"every ratio is finite and above 1, from {MIN_SEEDS} training seeds or more a cell; not "
    f"testable while a run's last loss is above {CONVERGED:g} of its first",
    on={
        "fn_projections": Projections(),
        "pca_projections": Projections(pairs="fn_projections"),
        "fn_center_projections": Projections(),
        "pca_center_projections": Projections(pairs="fn_center_projections"),
    },
)
def fitting_error(
    fn_projections: Sequence[ProjectionCase],
    pca_projections: Sequence[ProjectionCase],
    fn_center_projections: Sequence[ProjectionCase],
    pca_center_projections: Sequence[ProjectionCase],
) -> Measured:
    """Measure whether PCA planes fit the trajectory better than FN planes (§4.4, Table 1).

    By the center's running statistics the untrained snapshot is left out: its own are 0 and 1.
    """
    ratios = _divide_errors(fn_projections, pca_projections, first_epoch=0)
    center = _divide_errors(fn_center_projections, pca_center_projections, first_epoch=1)
    left: dict[str, dict[int, float]] = {}
    for case in pca_projections:
        loss = case.projection.loss
        left.setdefault(case.of, {})[case.seed] = float(loss[-1] / loss[0])
    low, high = _span_of(ratios)
    testable = _span_of(left)[1] <= CONVERGED and min(map(len, ratios.values())) >= MIN_SEEDS
    found = None if testable else NOT_TESTABLE
    least, most = _span_of(center)
    return Measured(
        low,
        low,
        high,
        [
            *list_numbers("FN / PCA by batch statistics", ratios),
            *list_numbers("FN / PCA by the center's statistics, untrained left out", center),
            *list_numbers("last loss over the first", left),
        ],
        low > 1.0 and math.isfinite(high),
        verdict=found,
        other=Reading(
            "by the center's statistics", least, least > 1.0 and math.isfinite(most), found
        ),
    )


def _divide_errors(
    fn: Sequence[ProjectionCase], pca: Sequence[ProjectionCase], first_epoch: int
) -> dict[str, dict[int, float]]:
    """Return FN / PCA by cell of Table 1 and training seed."""
    found: dict[str, dict[int, float]] = {}
    for above, below in zip(fn, pca, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.divide(*(_mean_error(case, first_epoch) for case in (above, below)))
        found.setdefault(below.of, {})[below.seed] = float(ratio)
    return found


def _mean_error(case: ProjectionCase, first_epoch: int) -> float:
    """Return the Fitting Error, mean over planes, of the snapshots from an epoch on."""
    seen = case.projection
    chosen = seen.epochs >= first_epoch
    errors = [
        measure_fitting_error(seen.loss[chosen], projected[chosen])[0]
        for projected in seen.projected_loss_orthogonal
    ]
    return float(np.mean(errors))


@claim(
    "ding-low-dimensional",
    says="The training trajectory is low-dimensional",
    statistic="share of the trajectory's variance in its first 2 and 10 principal components minus "
    "that of a walk of orthogonal steps as long as the run's: smallest over runs and both",
    rule="it is above 0: both shares of every run are above its walk's",
    on={"bases": Bases("pca"), "fn_bases": Bases("fn")},
)
def low_dimensional(bases: Sequence[BasisCase], fn_bases: Sequence[BasisCase]) -> Measured:
    """Measure whether the training trajectory is low-dimensional (§1, §2.2)."""
    numbers, gaps = [], []
    for count in (2, 10):
        run, walk = (
            {case.name: float(case.part(part)[:count].sum()) for case in bases}
            for part in ("explained_variance_ratio", "walk_variance_ratio")
        )
        gaps += [run[name] - walk[name] for name in run]
        numbers += list_numbers(f"variance in {count} components", run)
        numbers += list_numbers(f"variance in {count} components of the walk", walk)
    planes = {case.name: float(np.mean(case.part("plane_variance_ratio"))) for case in fn_bases}
    low, high = span(gaps)
    return Measured(
        low, low, high, [*numbers, *list_numbers("variance in the FN planes", planes)], low > 0.0
    )
