"""The artifact `embedding`: a cloud in two dimensions, with the origins of its points."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossmap.artifacts.distance import ORIGIN_FIELDS, Origins
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import Field, Kind, read_datasets, save_artifact

CONTINUITY = ("long_steps", "longest_gap", "components", "order")
_DIAGNOSTICS = {
    "t": Field("int64", (), required=False),
    "entropy": Field("float64", ("times",), required=False),
    "potential": Field("float64", ("rows", "rows"), required=False),
    "graph_components": Field("int64", (), required=False),
    "kl_divergence": Field("float64", (), required=False),
    "explained_variance_ratio": Field("float64", ("two",), required=False),
}
KIND = Kind(
    "embedding",
    1,
    {
        "points": Field("float64", ("rows", "two")),
        "rows": Field("int64", ("rows",)),
        **ORIGIN_FIELDS,
        **{f"continuity/{name}": Field("float64") for name in CONTINUITY},
        **_DIAGNOSTICS,
    },
)


@dataclass(frozen=True)
class Embedding:
    """A cloud seen in two dimensions.

    Attributes
    ----------
    points : float64 (rows, 2), centered, along their principal axes
    rows : int64 (rows,), the row of the cloud that each point shows
    origins : where each point comes from
    continuity : `long_steps`, `longest_gap`, `components`, `order`; see geometry/continuity.py
    diagnostics : what the method says of itself. phate: `t` int64 (), `entropy` float64 (times,),
        nats, `potential` float64 (rows, rows), `graph_components` int64 (); tsne: `kl_divergence`
        float64 (), nats; pca: `explained_variance_ratio` float64 (2,)
    """

    points: np.ndarray
    rows: np.ndarray
    origins: Origins
    continuity: dict[str, float]
    diagnostics: dict[str, np.ndarray]


def save_embedding(path: str | Path, embedding: Embedding, provenance: Provenance) -> None:
    """Write an embedding."""
    datasets = {
        "points": embedding.points,
        "rows": embedding.rows,
        **embedding.origins.to_datasets(),
        **{f"continuity/{name}": np.float64(embedding.continuity[name]) for name in CONTINUITY},
        **embedding.diagnostics,
    }
    save_artifact(path, KIND, datasets, provenance)


def load_embedding(path: str | Path) -> Embedding:
    """Read an embedding; raises LossmapError when the file is damaged or foreign."""
    found = read_datasets(path, KIND)
    return Embedding(
        found["points"],
        found["rows"],
        Origins(**{name: found[name] for name in ORIGIN_FIELDS}),
        {name: float(found[f"continuity/{name}"]) for name in CONTINUITY},
        {name: found[name] for name in _DIAGNOSTICS if name in found},
    )
