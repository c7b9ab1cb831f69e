"""A random plane."""

import numpy as np

from lossmap.artifacts.distance import Cloud
from lossmap.embedding.technique import Points
from lossmap.geometry.distances import center_gram, measure_scores

SETTINGS = {
    "description": "A random plane.",
    "with": "linear",
    "required": ["seed"],
    "properties": {"seed": {"$ref": "#/$defs/seed", "description": "of the plane"}},
}


def embed_rows(cloud: Cloud, rows: np.ndarray, spec: dict) -> Points:
    """Return the projection onto two Gaussian directions.

    Without the weights: a projection of centered rows X onto g ~ N(0, 1) has the distribution
    N(0, X Xᵀ), so V √λ g' with a Gaussian g' of as many numbers as there are rows, V and λ from the
    Gram matrix X Xᵀ, is exact in distribution, though it is no projection of given directions.
    """
    scores, _ = measure_scores(center_gram(cloud.gram[np.ix_(rows, rows)]), len(rows))
    generator = np.random.default_rng(spec["seed"])
    return scores @ generator.standard_normal((scores.shape[1], 2)), {}
