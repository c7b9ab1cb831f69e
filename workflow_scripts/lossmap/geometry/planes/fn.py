"""Planes of filter-normalized random directions (Li et al. 2018)."""

import numpy as np

from lossmap.artifacts.layout import Layout
from lossmap.errors import LossmapError

SETTINGS = {
    "description": "Filter-normalized random directions (Li et al. 2018).",
    "with": "plane",
    "properties": {
        "seeds": {
            "$ref": "#/$defs/seeds",
            "default": [0],
            "description": "seeds of the directions, one plane each; landscapes use the first",
        },
        "ignore": {
            "enum": ["bias_bn", "none"],
            "absent": "fn.ignore",
            "description": "as `fn.ignore`",
        },
    },
}


def span(
    thetas, rows: np.ndarray, gram: np.ndarray, center: np.ndarray, layout: Layout, spec: dict
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return a plane for each of ``seeds``, its directions as long as they are drawn."""
    seeds, ignore = spec["seeds"], spec["ignore"]
    drawn = [draw_filter_normalized(center, layout, seed, 2, ignore) for seed in seeds]
    return np.concatenate(drawn), np.ones(2 * len(seeds)), seeds


def draw_filter_normalized(
    center: np.ndarray, layout: Layout, seed: int, axes: int = 2, ignore: str = "bias_bn"
) -> np.ndarray:
    """Return Gaussian directions, each filter scaled to the norm of the center's (Li et al. 2018).

    Parameters
    ----------
    center : float32 (params,)
    layout : where each tensor lies; a filter is one index along a tensor's first axis
    seed : of the Gaussian draw, one number per parameter in order
    axes : number of directions
    ignore : ``bias_bn`` gives parameters with one axis a zero direction, ``none`` copies the
        center's values there, as the published code of Li et al. does

    Returns
    -------
    float32 (axes, params)

    Raises
    ------
    LossmapError
        No parameter has a filter, so that no direction, or no plane, comes of it.
    """
    if all(len(shape) <= 1 for shape in layout.shapes) and (axes > 1 or ignore == "bias_bn"):
        remedy = "write method: pca" if axes > 1 else "write ignore: none"
        raise LossmapError(
            "filter normalization: expected a parameter with two axes or more, got "
            f"{len(layout.shapes)} with one at most, such as '{layout.names[0]}', which have no "
            f"filters; {remedy}, or train the weights of a layer too"
        )
    generator = np.random.default_rng(seed)
    directions = generator.standard_normal((axes, center.size), dtype=np.float32)
    for _, _, shape, part in layout.parts():
        if len(shape) <= 1:
            directions[:, part] = 0.0 if ignore == "bias_bn" else center[part]
            continue
        filters = center[part].reshape(shape[0], -1).astype(np.float64)
        drawn = directions[:, part].reshape(axes, shape[0], -1).astype(np.float64)
        scale = np.linalg.norm(filters, axis=1) / np.linalg.norm(drawn, axis=2)
        directions[:, part] = (drawn * scale[..., None]).reshape(axes, -1)
    return directions
