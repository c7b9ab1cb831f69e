"""How a claim is judged, and the words and numbers of a row of the ledger."""

from collections.abc import Iterable, Sequence

import numpy as np

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


def list_cases(names: Sequence[str], values: Sequence[float]) -> str:
    """Return the numbers behind a value, each with its name."""
    return ", ".join(f"{name}: {value:.4g}" for name, value in zip(names, values, strict=True))
