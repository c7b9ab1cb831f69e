"""What techniques share: the distances that they work on, and the refusal of silent changes.

A technique is the module `lossmap.embedding.techniques.<method>`, found by the word under
``method``: `embed_rows` returns the points, and its `SETTINGS` say what a configuration may.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from lossmap.artifacts.distance import Cloud
from lossmap.errors import LossmapError, reason
from lossmap.geometry.distances import center_gram, centered_cosine

Points = tuple[np.ndarray, dict[str, np.ndarray]]
"""Points (rows, 2) and diagnostics."""


def select_distances(cloud: Cloud, rows: np.ndarray, spec: dict) -> np.ndarray:
    """Return the distances that a technique works on.

    Parameters
    ----------
    cloud : what is embedded
    rows : those that are
    spec : `metric`; for cosine `cosine_space`, centered (of the leading `components` principal
        component scores, as PHATE's own default has it) or raw (of the vectors themselves)

    Returns
    -------
    float64 (rows, rows)
    """
    chosen = np.ix_(rows, rows)
    if spec["metric"] == "euclidean":
        return cloud.euclidean[chosen]
    if spec["cosine_space"] == "raw":
        return cloud.cosine[chosen]
    return centered_cosine(center_gram(cloud.gram[chosen]), spec["components"])


def rescale(distances: np.ndarray) -> np.ndarray:
    """Return distances in units of their median.

    Neither t-SNE nor UMAP means a unit, but both compute in float32, bisect from a width of 1, and
    UMAP places separate components by exp(-distance²): cosines of 1e-10 would be lost.
    """
    median = np.median(distances[np.triu_indices(len(distances), 1)])
    return distances / (median or 1.0)


def check_below(spec: dict, setting: str, limit: int, rows: np.ndarray) -> None:
    """Raise LossmapError where a setting is too large for the number of points."""
    if spec[setting] >= limit:
        raise LossmapError(
            f"method '{spec['method']}': {setting} is {spec[setting]}, but only {len(rows)} "
            f"points are embedded; set '{setting}' of this technique below {limit}"
        )


@contextmanager
def refusing_changes(method: str, allowed: Iterable[str] = ()) -> Iterator[None]:
    """Turn a library's warnings, by which it says that it changed a setting, into errors.

    Deprecations are passed on as what they are.

    Parameters
    ----------
    method : named in the error
    allowed : beginnings of warnings that change nothing

    Raises
    ------
    LossmapError
        The library warned.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = reason(warning.message)
        if text.startswith(tuple(allowed)):
            continue
        if issubclass(warning.category, DeprecationWarning | FutureWarning):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
            continue
        raise LossmapError(
            f"method '{method}' does not work with these settings as they are ({text}); "
            "change the setting of this technique that it names"
        )
