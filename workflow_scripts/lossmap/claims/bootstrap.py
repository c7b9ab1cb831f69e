"""Intervals of means whose cases are not independent: resampled by group, then within it."""

from collections.abc import Sequence

import numpy as np

DRAWS, COVERAGE = 2000, 0.95


def resample_mean(groups: Sequence[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """Return the mean over groups of their means, resampled `DRAWS` times, float64 (draws,).

    Parameters
    ----------
    groups : float64 (cases,) each, such as directions by minimum
    generator : source of the draws
    """
    count = len(groups)
    means = np.stack(
        [
            group[generator.integers(len(group), size=(DRAWS * count, len(group)))].mean(axis=1)
            for group in groups
        ],
        axis=1,
    ).reshape(DRAWS, count, count)
    chosen = generator.integers(count, size=(DRAWS, count))
    # Slot k of a draw has its own resampling of each group, so that a group drawn twice varies.
    return means[np.arange(DRAWS)[:, None], np.arange(count), chosen].mean(axis=1)


def bootstrap_difference(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], seed: int = 0
) -> tuple[float, float]:
    """Return the interval that holds `COVERAGE` of the differences of means, first minus second.

    NaN where a case is none.
    """
    generator = np.random.default_rng(seed)
    drawn = resample_mean(first, generator) - resample_mean(second, generator)
    if not all(np.isfinite(group).all() for group in (*first, *second)):
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
