"""t-SNE on exact distances."""

import numpy as np
from sklearn.manifold import TSNE

from lossmap.artifacts.distance import Cloud
from lossmap.embedding.technique import (
    Points,
    check_below,
    refusing_changes,
    rescale,
    select_distances,
)

SETTINGS = {
    "description": "t-SNE.",
    "with": "distances",
    "required": ["perplexity", "learning_rate", "iterations"],
    "properties": {
        "perplexity": {
            "$ref": "#/$defs/positive",
            "description": "effective number of neighbors",
        },
        "learning_rate": {
            "anyOf": [{"const": "auto"}, {"$ref": "#/$defs/positive"}],
            "expected": "auto or a number more than 0",
            "description": "as of scikit-learn",
        },
        "iterations": {
            "type": "integer",
            "minimum": 250,
            "description": "steps of gradient descent",
        },
    },
}


def embed_rows(cloud: Cloud, rows: np.ndarray, spec: dict) -> Points:
    """Return scikit-learn's t-SNE from a random start, and its Kullback-Leibler divergence (nats).

    Raises
    ------
    LossmapError
        `perplexity` is not below the number of points, or scikit-learn warns.
    """
    check_below(spec, "perplexity", len(rows), rows)
    model = TSNE(
        metric="precomputed",
        init="random",
        perplexity=spec["perplexity"],
        learning_rate=spec["learning_rate"],
        max_iter=spec["iterations"],
        random_state=spec["seed"],
        n_jobs=1,
    )
    with refusing_changes("tsne"):
        points = model.fit_transform(rescale(select_distances(cloud, rows, spec)))
    return points, {"kl_divergence": np.float64(model.kl_divergence_)}
