"""Collects what embedding panels draw: artifacts in, finished arrays out.

An embedding panel holds `points` (n, 2), and for each point `trajectory`, `epoch`, `direction`,
`step_size`, `source`, `train_loss` and `label`, an index into the words `label_names`; and
the one word `method`. Row order is the embedding's; an optimum has trajectory -1.
"""

import numpy as np

from lossmap.artifacts.embedding import Embedding
from lossmap.artifacts.store import load
from lossmap.errors import LossmapError
from lossmap.figures.sources import Panel, Sources, Spec, find_source, name_loss
from lossmap.kinds import check_choice

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
    check_choice(f"{where}: color", panel.get("color", "epoch"), COLORS)
    check_choice(f"{where}: hue", panel.get("hue", "ascending"), HUES)
    for mark in panel.get("marks", ()):
        check_choice(f"{where}: marks", mark, MARKS)
    embedding = load(find_source(panel, "embedding", sources, where), Embedding)
    origins = embedding.origins
    found = {name: np.asarray(getattr(origins, name)) for name in _COPIED}
    label, names = _label(found["source"], list(origins.sources), panel.get("labels", {}))
    found |= {"points": embedding.points, "label": label, "label_names": names}
    found |= name_loss(origins.loss_label)
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
