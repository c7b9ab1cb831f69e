"""The plane of the first two principal components."""

import numpy as np

from lossmap.artifacts.distance import Cloud
from lossmap.embedding.technique import Points
from lossmap.geometry.distances import center_gram, measure_scores

SETTINGS = {
    "description": "The first two principal components.",
    "with": "linear",
    "properties": {},
}


def embed_rows(cloud: Cloud, rows: np.ndarray, spec: dict) -> Points:
    """Return the first two principal component scores and the variance that they explain."""
    scores, ratios = measure_scores(center_gram(cloud.gram[np.ix_(rows, rows)]), 2)
    return scores, {"explained_variance_ratio": ratios}
