"""The artifacts `figure`, `table` and `animation`: the arrays that are drawn or printed."""

from collections.abc import Mapping
from pathlib import Path

from lossmap.artifacts.declare import artifact
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import open_artifact, read_values, save_artifact


@artifact("figure", version=1)
class Figure:
    """Every array that a figure draws, one HDF5 group per panel.

    The groups are ``panel-a``, ``panel-b`` … Which datasets a panel has depends on what it draws
    and stands with its code; losses are in nats per image, positions in units of the directions,
    words are text.
    """


@artifact("table", version=1)
class Table:
    """The columns of a table, one dataset each, in the group ``table``.

    They are those of the CSV file beside it, with the same names; words are strings.
    """


@artifact("animation", version=1)
class Animation:
    """Every array that an animation draws, as in a figure."""


def save_panels(
    path: str | Path, kind: type, panels: Mapping[str, Mapping[str, object]], provenance: Provenance
) -> None:
    """Write the source data of a figure, table or animation as one group per panel."""
    datasets = {
        f"{panel}/{name}": v for panel, found in panels.items() for name, v in found.items()
    }
    save_artifact(path, kind.KIND, datasets, provenance)


def load_panels(path: str | Path, kind: type) -> dict[str, dict[str, object]]:
    """Read the source data of a figure, table or animation."""
    with open_artifact(path, kind.KIND) as file:
        return {
            panel: {name: read_values(values) for name, values in group.items()}
            for panel, group in file.items()
        }
