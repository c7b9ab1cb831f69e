"""Straight lines in the space of parameters: points on them, and barriers. Arrays in and out."""

import numpy as np


def interpolate(start: np.ndarray, end: np.ndarray, position: float) -> np.ndarray:
    """Return (1 - t) start + t end (Goodfellow et al. 2015), float32 (params,).

    Computed in float64 and rounded once: exactly `start` at t = 0 and `end` at t = 1.
    """
    return ((1.0 - position) * start.astype(np.float64) + position * end.astype(np.float64)).astype(
        np.float32
    )


def move_along(center: np.ndarray, direction: np.ndarray, position: float) -> np.ndarray:
    """Return center + t direction, float32 (params,), computed in float64 and rounded once."""
    return (center.astype(np.float64) + position * direction.astype(np.float64)).astype(np.float32)


def interpolate_ends(positions: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Return what lies linearly between the first and the last loss, float64 (points,)."""
    share = (positions - positions[0]) / (positions[-1] - positions[0])
    with np.errstate(invalid="ignore"):
        chord = (1.0 - share) * loss[0] + share * loss[-1]
    chord[[0, -1]] = loss[[0, -1]]  # exactly, and also where the other end is infinite
    return chord


def measure_barriers(positions: np.ndarray, loss: np.ndarray) -> tuple[float, float, float]:
    """Return how far the loss rises on a line, by three definitions.

    With the ends a and b, L(t) the loss at the share t of the way, max over the given positions:

    - max [L(t) - ((1 - t) L(a) + t L(b))] (Entezari et al. 2022), never below 0;
    - max L(t) - (L(a) + L(b)) / 2 (Frankle et al. 2020, section 2, of the error);
    - max L(t) - max(L(a), L(b)): a saddle above the higher end (after Draxler et al. 2018).

    A convex loss has 0 by the first and the third. A barrier is inf where a loss is, and nan where
    what it is compared with is infinite too.

    Parameters
    ----------
    positions : float64 (points,), increasing
    loss : float64 (points,), nats
    """
    first, last, highest = loss[0], loss[-1], loss.max()
    with np.errstate(invalid="ignore"):
        above = (loss - interpolate_ends(positions, loss)).max()
        return float(above), float(highest - (first + last) / 2), float(highest - max(first, last))
