"""The plane through three snapshots of any runs (Garipov et al. 2018, appendix A.1)."""

import numpy as np

from lossmap.artifacts.layout import Layout
from lossmap.errors import LossmapError

SETTINGS = {
    "description": "Through the center and two further snapshots, of any runs of its network.",
    "with": "plane",
    "required": ["through"],
    "properties": {
        "through": {
            "type": "array",
            "items": {"$ref": "#/$defs/snapshot"},
            "minItems": 2,
            "maxItems": 2,
            "uniqueItems": True,
            "description": "the two snapshots besides the center that the plane goes through",
        },
    },
}
FLAT = 1e-6
"""Share of its distance from the center by which the third point must leave the line of two."""


def span(
    thetas, rows: np.ndarray, gram: np.ndarray, center: np.ndarray, layout: Layout, spec: dict
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return one plane whose unit of length is the distance of the first two points.

    ``through`` holds the second and the third point themselves, float32 (params,) each; the first
    is the center.
    """
    directions, length = orthonormalize(center, *spec["through"])
    return directions, np.full(2, length), [-1]


def orthonormalize(
    center: np.ndarray, second: np.ndarray, third: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the orthonormal directions of the plane through three points (Gram-Schmidt).

    u is second - center, v is third - center without its part along u, both normalized; in float64.

    Parameters
    ----------
    center, second, third : float32 (params,)

    Returns
    -------
    directions : float32 (2, params); the third point has a positive coordinate along the second
    length : distance of the second point from the center

    Raises
    ------
    LossmapError
        A point is not finite, or the three lie on one line.
    """
    along, aside = (point.astype(np.float64) - center for point in (second, third))
    length, distance = (float(np.linalg.norm(moved)) for moved in (along, aside))
    if length > 0.0:
        along /= length
    for _ in range(2):  # again: what rounding left of nearly equal vectors
        aside -= (aside @ along) * along
    width = float(np.linalg.norm(aside))
    if not (length > 0.0 and width > FLAT * distance):
        raise LossmapError(
            "plane through three points: expected finite points that do not lie on one line, got "
            f"distances from the first of {length:.4g} and {distance:.4g}, the third {width:.4g} "
            "off the line of the others; name another snapshot"
        )
    return np.stack([along, aside / width]).astype(np.float32), length
