"""The artifacts `figure`, `table` and `animation`: the arrays that are drawn or printed."""

from collections.abc import Mapping
from pathlib import Path

from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import Kind, open_artifact, read_values, save_artifact

FIGURE = Kind("figure", 1, {})
TABLE = Kind("table", 1, {})
ANIMATION = Kind("animation", 1, {})


def save_panels(
    path: str | Path, kind: Kind, panels: Mapping[str, Mapping[str, object]], provenance: Provenance
) -> None:
    """Write the source data of a figure or table as one group per panel."""
    datasets = {
        f"{panel}/{name}": v for panel, found in panels.items() for name, v in found.items()
    }
    save_artifact(path, kind, datasets, provenance)


def load_panels(path: str | Path, kind: Kind) -> dict[str, dict[str, object]]:
    """Read the source data of a figure or table."""
    with open_artifact(path, kind) as file:
        return {
            panel: {name: read_values(values) for name, values in group.items()}
            for panel, group in file.items()
        }
