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
) -> tuple[float, float, float]:
    """Return the difference of the means over groups, first minus second, and its interval.

    Cases of one group, such as the directions of one minimum, are no independent ones.

    Parameters
    ----------
    first, second : float64 (cases,) each, one array a group

    Returns
    -------
    difference, low, high : the interval holds `COVERAGE` of the draws; NaN where a side has one
        case only, or a case is NaN
    """
    generator = np.random.default_rng(seed)
    difference = _mean(first) - _mean(second)
    drawn = resample_mean(first, generator) - resample_mean(second, generator)
    if np.isnan(difference) or min(map(_count, (first, second))) < 2:
        return difference, float("nan"), float("nan")
    return difference, *_interval(drawn)


def bootstrap_mean(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean of independent cases and its interval, as `bootstrap_difference` does."""
    mean = float(values.mean())
    if np.isnan(mean) or len(values) < 2:
        return mean, float("nan"), float("nan")
    return mean, *_interval(resample_mean([values], np.random.default_rng(seed)))


def _mean(groups: Sequence[np.ndarray]) -> float:
    return float(np.mean([group.mean() for group in groups]))


def _count(groups: Sequence[np.ndarray]) -> int:
    return sum(map(len, groups))


def _interval(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
