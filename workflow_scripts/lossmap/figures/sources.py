"""How a panel names the artifacts that it draws, and the errors where they are missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lossmap.artifacts.curves import LOSS_LABEL
from lossmap.artifacts.provenance import Sources
from lossmap.errors import LossmapError

Spec = Mapping[str, Any]
Panel = dict[str, Any]
"""Finished arrays and lists of words, by name."""


def find_source(
    panel: Spec, key: str, sources: Sources, where: str, stage: str | None = None
) -> Path:
    """Return the path of the artifact that a panel names under `key`.

    Raises
    ------
    LossmapError
        The panel names none, or the artifact is not among the sources.
    """
    if key not in panel:
        raise LossmapError(f"{where}: '{panel['draw']}' needs '{key}', but none is named")
    return find_artifact(f"{stage or key}/{panel[key]}", sources, where)


def find_artifact(name: str, sources: Sources, where: str) -> Path:
    """Return the path of ``stage/name``; raises LossmapError where it is not among the sources."""
    if name not in sources:
        raise LossmapError(f"{where}: {name} is not among the inputs of this figure")
    return sources[name]


def loss_label_of(panel: Mapping[str, Any]) -> str:
    """Return what the losses of a panel are called, with their unit."""
    return words(panel, "loss_label")[0] if "loss_label" in panel else LOSS_LABEL


def name_loss(label: str | None) -> Panel:
    """Return what a panel holds of the name of its loss: nothing, where the artifact has none."""
    return {} if label is None else {"loss_label": [label]}


def words(panel: Mapping[str, Any], name: str) -> list[str]:
    """Return a dataset of words as a list, whether collected or read back."""
    return [str(word) for word in np.atleast_1d(panel[name])]
