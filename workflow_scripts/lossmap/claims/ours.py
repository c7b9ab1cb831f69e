"""What no paper says, and is worth a verdict beside theirs; one function each."""

from collections.abc import Mapping, Sequence

import numpy as np

from lossmap.artifacts.claims import Number
from lossmap.claims.cases import CurvatureCase
from lossmap.claims.declare import Curvatures, Measured, Reading, claim
from lossmap.claims.ledger import NOT_TESTABLE, list_numbers, span
from lossmap.geometry.order import correlate_ranks

ERRORS = 2.0
"""Standard errors by which two traces must differ: each is an estimate from random vectors."""


@claim(
    "ours-flatness",
    says="Good minima are flatter than bad ones (ours)",
    statistic="largest eigenvalue and trace of the Hessian of the loss on the fixed images: bad "
    "over good of the same seed, the smallest of all ratios",
    rule="at every seed the largest eigenvalue is larger at the bad minimum, and so is the trace, "
    f"by more than {ERRORS:g} standard errors",
    on={
        "good_curvatures": Curvatures(pairs="bad_curvatures"),
        "bad_curvatures": Curvatures(),
        "memorization_curvatures": Curvatures(),
    },
)
def flatness(
    good_curvatures: Sequence[CurvatureCase],
    bad_curvatures: Sequence[CurvatureCase],
    memorization_curvatures: Sequence[CurvatureCase],
) -> Measured:
    """Measure whether flatness agrees with test accuracy (Keskar et al. 2017).

    Neither number survives a rescaling of the weights that leaves the loss alone (Dinh et al.
    2017), and weight decay rescales: the other reading takes the trace of the Hessian scaled by
    the weights, sum of θ_i² H_ii, which does. And both go to 0 with the training loss, whatever
    the minimum: cross-entropy is flat where every image is certain.
    """
    pairs = list(zip(good_curvatures, bad_curvatures, strict=True))
    ratios = [_ratio(*pair, name) for pair in pairs for name in ("largest eigenvalue", "trace")]
    # One random vector has no standard error.
    known = all(np.isfinite(_error(*pair, "trace")) for pair in pairs)
    verdict = None if known else NOT_TESTABLE
    holds = min(ratios) > 1.0 and all(_differ(*pair, "trace") for pair in pairs)
    scaled = [_ratio(*pair, "scaled trace") for pair in pairs]
    other = Reading(
        "by the trace that no rescaling of weights changes",
        min(scaled),
        min(scaled) > 1.0 and all(_differ(*pair, "scaled trace") for pair in pairs),
        verdict,
    )
    everyone = {
        case.name: case.measures
        for case in (*good_curvatures, *bad_curvatures, *memorization_curvatures)
    }
    return Measured(
        min(ratios), *span(ratios), _list(everyone), holds, verdict=verdict, other=other
    )


def _ratio(good: CurvatureCase, bad: CurvatureCase, name: str) -> float:
    """Return bad over good, infinite where the good one curves nowhere upwards."""
    flat, sharp = good.measures[name], bad.measures[name]
    return sharp / flat if flat > 0 else float(np.copysign(np.inf, sharp - flat))


def _error(good: CurvatureCase, bad: CurvatureCase, name: str) -> float:
    """Return the standard error of a difference."""
    return float(np.hypot(*(case.measures[f"{name}, standard error"] for case in (good, bad))))


def _differ(good: CurvatureCase, bad: CurvatureCase, name: str) -> bool:
    return bad.measures[name] - good.measures[name] > ERRORS * _error(good, bad, name)


def _list(everyone: Mapping[str, Mapping[str, float]]) -> list[Number]:
    """Return every measure of every minimum, and how each orders them beside test accuracy."""
    names = list(next(iter(everyone.values())))
    columns = {name: [found[name] for found in everyone.values()] for name in names}
    numbers = [
        number
        for name in names
        for number in list_numbers(name, {case: found[name] for case, found in everyone.items()})
    ]
    ranks = {
        name: correlate_ranks(np.array(columns[name]), np.array(columns["test accuracy"]))
        for name in ("largest eigenvalue", "trace", "scaled trace", "training loss")
    }
    return [*numbers, *list_numbers("rank correlation with test accuracy", ranks)]
