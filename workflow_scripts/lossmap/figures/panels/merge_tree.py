"""The merge tree of a landscape or a cloud: which minima meet, and at which loss.

A merge-tree panel holds `birth`, `death`, `parent` and `persistence` (minima,), the deepest first,
and the numbers `highest`, `is_log` and `threshold`, see artifacts/topology.py.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from lossmap.artifacts.store import load
from lossmap.artifacts.topology import Topology
from lossmap.figures.panel import Cell, Comparison, Family, Kind, Options
from lossmap.figures.scale import fit_scale
from lossmap.figures.sources import Panel, Sources, Spec, find_source, loss_label_of, name_loss
from lossmap.figures.style import FAINT, LINE, points

SETTINGS = {
    "description": "Minima as branches that join where a path between them is lowest.",
    "with": "panel_shared",
    "required": ["topology"],
    "properties": {
        "topology": {"type": "string", "refers": "topologies", "description": "what is drawn"},
    },
}
ROOM = 0.06
TICKS = 5


def collect_merge_tree(panel: Spec, spec: Spec, sources: Sources, where: str) -> Panel:
    """Return the arrays of a merge-tree panel; raises LossmapError where its source is missing."""
    found = load(find_source(panel, "topology", sources, where), Topology)
    minima = found.dimension == 0
    names = ("birth", "death", "parent", "persistence")
    arrays = {name: getattr(found, name)[minima] for name in names}
    arrays |= {name: getattr(found, name) for name in ("highest", "is_log", "threshold")}
    return arrays | name_loss(found.loss_label)


def place_minima(parent: np.ndarray, death: np.ndarray) -> np.ndarray:
    """Return the place of each minimum from left to right, int64 (minima,), so that no lines cross.

    To the right of a minimum lies what merges into it, what does so at the lowest loss nearest.
    """
    order: list[int] = []
    waiting = [int(row) for row in np.flatnonzero(parent < 0)[::-1]]
    while waiting:
        row = waiting.pop()
        order.append(row)
        below = np.flatnonzero(parent == row)
        waiting += [int(each) for each in below[np.argsort(-death[below], kind="stable")]]
    places = np.empty(len(parent), np.int64)
    places[order] = np.arange(len(parent))
    return places


def plot_merge_tree(axes: Axes, panel: Panel) -> Axes:
    """Draw a line for every minimum from its loss up to where it merges; shallow ones pale.

    Parameters
    ----------
    axes : two-dimensional axes
    panel : arrays of `collect_merge_tree`
    """
    birth, death, parent = (np.asarray(panel[name]) for name in ("birth", "death", "parent"))
    scale = fit_scale(
        "log" if panel["is_log"] else "linear", [birth, np.array([float(panel["highest"])])]
    )
    room = ROOM * ((scale.top - scale.bottom) or 1.0)
    low, high = scale.bottom - room, scale.top + 2 * room
    place, start, end = place_minima(parent, death), scale.to_height(birth), scale.to_height(death)
    end = np.where(np.isfinite(end), end, high)
    deep = np.asarray(panel["persistence"]) >= panel["threshold"]
    for gid, color, chosen in (("shallow", FAINT, ~deep), ("deep", LINE, deep)):
        lines = [
            [(place[row], start[row]), (place[row], end[row])]
            + ([(place[parent[row]], end[row])] if parent[row] >= 0 else [])
            for row in np.flatnonzero(chosen)
        ]
        width = points(1.1 if gid == "deep" else 0.5)
        axes.add_collection(LineCollection(lines, colors=color, linewidths=width, gid=gid))
    axes.set_xlim(-0.5, len(birth) - 0.5)
    axes.set_ylim(low, high)
    scale.set_ticks(axes.yaxis, low, high, TICKS, at_least=2)
    axes.set_xticks([])
    axes.set_xlabel("minima")
    axes.set_ylabel(loss_label_of(panel))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _plot_cell(axes: Axes, cell: Cell, comparison: Comparison, options: Options) -> Axes:
    return plot_merge_tree(axes, cell.panel)


KIND = Kind(
    Family("merge-tree"),
    collect_merge_tree,
    _plot_cell,
    aspect=0.8,
    inset=(0.40, 0.18, 0.08, 0.04),
)
