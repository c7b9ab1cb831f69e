"""The plane of the two sharpest directions: the Hessian's leading eigenvectors at the center."""

import numpy as np

from lossmap.artifacts.layout import Layout

SETTINGS = {
    "description": "The two leading eigenvectors of the Hessian at a snapshot.",
    "required": ["curvature"],
    "properties": {
        "curvature": {
            "type": "string",
            "refers": "curvatures",
            "description": "the curvature, which names run and center",
        },
    },
}


def span(
    thetas, rows: np.ndarray, gram: np.ndarray, center: np.ndarray, layout: Layout, spec: dict
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return one plane of ``eigenvectors``, as long as the center on the landscape (Eq. 2)."""
    length = float(np.linalg.norm(center.astype(np.float64)))
    return spec["eigenvectors"][:2], np.full(2, length), [-1]
