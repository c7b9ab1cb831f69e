"""Embeddings for a notebook: runs as arrays in, the workflow's own `Embedding` out."""

from collections.abc import Mapping

import numpy as np

from lossmap.artifacts.curves import CURVES
from lossmap.artifacts.distance import Origins
from lossmap.artifacts.embedding import Embedding
from lossmap.embedding.embed import embed as embed_cloud
from lossmap.geometry.distances import measure_cloud_geometry

_COSINE = {"metric": "cosine", "cosine_space": "centered", "components": 100, "seed": 0}
DEFAULTS = {
    "phate": {**_COSINE, "knn": 5, "decay": 40, "t": "auto", "mds_solver": "smacof"},
    "tsne": {**_COSINE, "perplexity": 30, "learning_rate": "auto", "iterations": 1000},
    "umap": {**_COSINE, "neighbors": 15, "min_dist": 0.1},
    "pca": {"metric": "euclidean"},
    "random": {"metric": "euclidean", "seed": 0},
}
"""Those of ``techniques`` in config/defaults.yaml, by method."""


def embed(runs: Mapping[str, np.ndarray], method: str = "phate", **settings: object) -> Embedding:
    """Embed weight vectors of one or more runs in two dimensions.

    Parameters
    ----------
    runs : float32 (snapshots, params) by name, of one network
    method : ``phate``, ``tsne``, ``umap``, ``pca`` or ``random``
    settings : of the method, such as ``knn``; the workflow's defaults hold for others

    Returns
    -------
    Embedding
        ``points`` float64 (snapshots of all runs, 2); ``origins`` says which is which.

    Raises
    ------
    LossmapError
        The numbers of parameters differ, or a setting does not fit the number of points.
    """
    counts = [len(thetas) for thetas in runs.values()]
    number = np.repeat(np.arange(len(counts)), counts)
    unknown = np.full(len(number), np.nan)
    origins = Origins(
        is_optimum=np.zeros(len(number), np.int8),
        trajectory=number,
        source=number,
        direction=np.full(len(number), -1),
        step_size=unknown,
        epoch=np.concatenate([np.arange(count) for count in counts]),
        **dict.fromkeys(CURVES, unknown),
        sources=list(runs),
    )
    cloud = measure_cloud_geometry(runs, origins)
    spec = {"method": method, "include_optimum": False, **DEFAULTS.get(method, {}), **settings}
    return embed_cloud(cloud, spec)
