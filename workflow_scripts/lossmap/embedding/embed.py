"""A cloud in two dimensions, from its distances alone, by one of the techniques.

Owns what all embeddings share: exact distances in, points along their principal axes out, the same
bytes every time. The libraries cost seconds to load: a technique is imported where it is used.
"""

from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from lossmap.artifacts.distance import Cloud
from lossmap.artifacts.embedding import Embedding
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.embedding import techniques
from lossmap.errors import LossmapError
from lossmap.geometry.continuity import measure_continuity
from lossmap.geometry.distances import fix_signs
from lossmap.kinds import find_kind


def save_embedding(cloud: Cloud, path: str | Path, provenance: Provenance) -> None:
    """Embed a cloud and write the artifact; the specification of its provenance is a technique.

    Raises
    ------
    LossmapError
        The technique's settings do not fit the cloud, or the artifact cannot be written.
    """
    try:
        embedding = embed(cloud, provenance.parameters())
    except LossmapError as error:
        raise LossmapError(f"{path}: {error}") from error
    save(path, embedding, provenance)


def embed(cloud: Cloud, spec: dict) -> Embedding:
    """Return a cloud in two dimensions.

    Every method's points are centered, rotated to their principal axes and mirrored so that the
    point farthest out along each axis is on the positive side: a rotated or mirrored picture is the
    same picture, and this makes it the same numbers. One thread only: t-SNE and the linear algebra
    give other low-order bits with another number of threads.

    Parameters
    ----------
    cloud : what is embedded
    spec : `method` (a module of `lossmap.embedding.techniques`), `include_optimum` and what the
        method's own `SETTINGS` require

    Raises
    ------
    LossmapError
        A setting does not fit the cloud, or a library would change it by itself.
    """
    technique = find_kind(techniques, "method", spec["method"])
    rows = np.flatnonzero((cloud.origins.is_optimum == 0) | spec["include_optimum"])
    with threadpool_limits(1):
        points, diagnostics = technique.embed_rows(cloud, rows, spec)
        points = align_axes(np.asarray(points, np.float64))
        origins = cloud.origins.take(rows)
        continuity = measure_continuity(points, origins.trajectory)
    return Embedding(points, rows, origins, continuity, diagnostics)


def align_axes(points: np.ndarray) -> np.ndarray:
    """Return points (rows, axes) centered, along their principal axes, with signs fixed.

    The axes are in descending order of variance; the point that lies farthest out along an axis has
    a positive coordinate there.
    """
    centered = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    return fix_signs(centered @ axes.T)
