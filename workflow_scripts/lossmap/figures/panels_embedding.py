"""Collects what embedding and norm panels draw: artifacts in, finished arrays out.

An embedding panel holds `points` (n, 2), and for each point `trajectory`, `epoch`, `direction`,
`step_size`, `source`, `train_loss` (nats) and `label`, an index into the words `label_names`; and
the one word `method`. Row order is the embedding's; an optimum has trajectory -1.

A norm panel holds for each series i `epochs_<i>` (epochs,) and `norm_<i>` (runs, epochs), and the
words `label_names`.
"""

import numpy as np

from lossmap.artifacts.embedding import Embedding
from lossmap.artifacts.store import load, load_part
from lossmap.artifacts.trajectory import Trajectory
from lossmap.errors import LossmapError
from lossmap.figures.sources import (
    Panel,
    Sources,
    Spec,
    check_choice,
    find_artifact,
    find_source,
)

METHODS = {"phate": "PHATE", "tsne": "t-SNE", "umap": "UMAP", "pca": "PC", "random": "random"}
"""What the axes of an embedding are called, by technique."""
COLORS = ("epoch", "direction", "loss", "trajectory", "source")
HUES = ("ascending", "descending")
MARKS = ("jumps", "starts", "ends")
_COPIED = ("trajectory", "epoch", "direction", "step_size", "source", "train_loss")


def collect_embedding(panel: Spec, spec: Spec, sources: Sources, where: str) -> Panel:
    """Return the arrays of an embedding panel.

    Raises
    ------
    LossmapError
        The panel asks for something unknown, or for something that its cloud does not have.
    """
    check_choice(where, "color", panel.get("color", "epoch"), COLORS)
    check_choice(where, "hue", panel.get("hue", "ascending"), HUES)
    check_choice(where, "method", panel.get("method"), tuple(METHODS))
    for mark in panel.get("marks", ()):
        check_choice(where, "marks", mark, MARKS)
    embedding = load(find_source(panel, "embedding", sources, where), Embedding)
    origins = embedding.origins
    found = {name: np.asarray(getattr(origins, name)) for name in _COPIED}
    label, names = _label(found["source"], list(origins.sources), panel.get("labels", {}))
    found |= {"points": embedding.points, "label": label, "label_names": names}
    _check_content(found, panel, where)
    return found | {"method": [panel["method"]]}


def _label(
    source: np.ndarray, sources: list[str], labels: dict[str, str]
) -> tuple[np.ndarray, list[str]]:
    """Return the label of each point and the labels, in the order of their first source."""
    named = [labels.get(name, name) for name in sources]
    names = list(dict.fromkeys(named))
    index = np.array([names.index(name) for name in named], np.int64)
    return np.where(source >= 0, index[source], -1), names


def _check_content(found: Panel, panel: Spec, where: str) -> None:
    retrained = found["trajectory"] >= 0
    jumped = retrained & (found["direction"] >= 0)
    lacking = {
        "color: direction": not (jumped == retrained).all(),
        "color: loss": not np.isfinite(found["train_loss"]).any(),
        "marks: jumps": not np.isfinite(found["step_size"]).any(),
    }
    asked = {f"color: {panel.get('color', 'epoch')}"}
    asked |= {f"marks: {mark}" for mark in panel.get("marks", ())}
    for what in sorted(asked):
        if lacking.get(what, False):
            raise LossmapError(
                f"{where}: '{what}' needs what embedding '{panel['embedding']}' does not hold "
                "(jump directions and step sizes come with jump clouds, losses with trained "
                "networks); choose another color or mark"
            )


def collect_norm(panel: Spec, spec: Spec, sources: Sources, where: str) -> Panel:
    """Return the arrays of a norm panel.

    Raises
    ------
    LossmapError
        No series or run is named, a run is not among the sources, or the runs of a series kept
        different epochs.
    """
    if not panel.get("series"):
        raise LossmapError(f"{where}: 'norm' needs 'series', but none is named")
    found: Panel = {"label_names": [series["label"] for series in panel["series"]]}
    for index, series in enumerate(panel["series"]):
        if not series["runs"]:
            raise LossmapError(f"{where}: series '{series['label']}' names no run")
        histories = [
            load_part(find_artifact(f"trajectory/{run}", sources, where), Trajectory, "history")
            for run in series["runs"]
        ]
        epochs = histories[0].epochs
        for run, history in zip(series["runs"], histories, strict=True):
            if not np.array_equal(history.epochs, epochs):
                raise LossmapError(
                    f"{where}: run '{run}' kept {len(history.epochs)} epochs up to "
                    f"{history.epochs[-1]}, but '{series['runs'][0]}' of the same series "
                    f"{len(epochs)} up to {epochs[-1]}; a band needs the same epochs"
                )
        found[f"epochs_{index}"] = epochs
        found[f"norm_{index}"] = np.stack([history.theta_norm for history in histories])
    return found
