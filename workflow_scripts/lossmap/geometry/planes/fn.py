"""Planes of filter-normalized random directions (Li et al. 2018)."""

import numpy as np

from lossmap.artifacts.layout import Layout

SETTINGS = {
    "with": "plane",
    "properties": {
        "seeds": {"$ref": "#/$defs/seeds", "default": [0]},
        "ignore": {"enum": ["bias_bn", "none"]},
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
    """
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
