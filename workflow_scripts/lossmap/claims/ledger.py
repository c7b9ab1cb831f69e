"""How a claim is judged, and the words and numbers of a row of the ledger."""

from collections.abc import Iterable, Mapping

import numpy as np

from lossmap.artifacts.claims import NO_SEED, Number

NOT_TESTABLE = "not testable at this scale"
NO_INFORMATION = "the picture carries no information"


def judge(holds: bool, testable: bool, found: str | None = None) -> str:
    """Return the verdict: computed, never typed in.

    Parameters
    ----------
    holds : whether the rule is met
    testable : whether the scale allows verdicts
    found : what the data say instead: `NOT_TESTABLE` or `NO_INFORMATION`
    """
    if not testable:
        return NOT_TESTABLE
    if found is not None:
        return found
    return "reproduced" if holds else "not reproduced"


def span(values: Iterable[float]) -> tuple[float, float]:
    """Return the smallest and the largest value, NaN if any is: no case is left out."""
    found = np.array(list(values))
    return float(found.min()), float(found.max())


def list_numbers(quantity: str, values: Mapping[str, float | Mapping[int, float]]) -> list[Number]:
    """Return rows of the long table: one for each case, or one for each of its seeds."""
    rows = []
    for case, value in values.items():
        seeds = value.items() if isinstance(value, Mapping) else [(NO_SEED, value)]
        rows += [Number(quantity, case, int(seed), float(number)) for seed, number in seeds]
    return rows
