"""UMAP on exact distances."""

import warnings

import numpy as np

from lossmap.artifacts.distance import Cloud
from lossmap.embedding.technique import (
    Points,
    check_below,
    refusing_changes,
    rescale,
    select_distances,
)

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
    import umap

SETTINGS = {
    "description": "UMAP.",
    "with": "distances",
    "required": ["neighbors", "min_dist"],
    "properties": {
        "neighbors": {
            "type": "integer",
            "minimum": 2,
            "description": "neighbors in the graph",
        },
        "min_dist": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,  # UMAP's spread
            "description": "least distance of points",
        },
    },
}


def embed_rows(cloud: Cloud, rows: np.ndarray, spec: dict) -> Points:
    """Return UMAP's points.

    Raises
    ------
    LossmapError
        `neighbors` is not below the number of points, or UMAP warns.
    """
    check_below(spec, "neighbors", len(rows), rows)
    model = umap.UMAP(
        metric="precomputed",
        n_neighbors=spec["neighbors"],
        min_dist=spec["min_dist"],
        random_state=spec["seed"],
        n_jobs=1,
    )
    allowed = ["using precomputed metric; inverse_transform", "n_jobs value"]
    with refusing_changes("umap", allowed):
        return model.fit_transform(rescale(select_distances(cloud, rows, spec))), {}
