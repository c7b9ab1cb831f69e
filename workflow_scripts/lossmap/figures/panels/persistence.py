"""The persistence diagram of a landscape or a cloud: where minima and loops appear and are gone.

A persistence panel holds `dimension`, `birth` and `death` (classes,), losses in nats unless
`loss_label` says otherwise, and the numbers `highest`, `is_log`, `threshold` and `minima`, see
artifacts/topology.py.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lossmap.artifacts.store import load
from lossmap.artifacts.topology import Topology
from lossmap.figures.panel import Cell, Comparison, Family, Kind, LegendLine, Options
from lossmap.figures.scale import LossScale, fit_scale
from lossmap.figures.sources import Panel, Sources, Spec, find_source, loss_label_of, name_loss
from lossmap.figures.style import CENTER, FAINT, INK, LINE, points, write_notes

SETTINGS = {
    "description": "At which loss minima and loops appear, and at which they are gone.",
    "with": "panel_shared",
    "required": ["topology"],
    "properties": {
        "topology": {"type": "string", "refers": "topologies", "description": "what is drawn"},
    },
}
KINDS = {
    0: ("minimum", {"marker": "o", "color": LINE}),
    1: ("loop around higher loss", {"marker": "^", "color": CENTER, "markerfacecolor": "white"}),
}
"""What a class of each dimension is, and its mark."""
ROOM = 0.06
TICKS = 4


def collect_persistence(panel: Spec, spec: Spec, sources: Sources, where: str) -> Panel:
    """Return the arrays of a persistence panel; raises LossmapError where its source is missing."""
    found = load(find_source(panel, "topology", sources, where), Topology)
    names = ("dimension", "birth", "death", "highest", "is_log", "threshold", "minima")
    return name_loss(found.loss_label) | {name: getattr(found, name) for name in names}


def plot_persistence(axes: Axes, panel: Panel) -> Axes:
    """Draw every class at its birth and death, and the band of those too short to count.

    Classes that never die lie on the upper edge. Axes are those of the persistence: logarithmic
    or linear in the loss.

    Parameters
    ----------
    axes : two-dimensional axes
    panel : arrays of `collect_persistence`
    """
    scale, low, high = _limits(panel)
    birth, death = scale.to_height(panel["birth"]), scale.to_height(panel["death"])
    ends = np.array([low, high])
    band = {"color": FAINT, "alpha": 0.35, "linewidth": 0.0, "gid": "threshold"}
    axes.fill_between(ends, ends, ends + float(panel["threshold"]), **band)
    axes.plot(ends, ends, color=INK, linewidth=points(0.5), gid="diagonal")
    for dimension, (_, mark) in KINDS.items():
        chosen = np.asarray(panel["dimension"]) == dimension
        shown = np.where(np.isfinite(death[chosen]), death[chosen], high)
        axes.plot(birth[chosen], shown, gid=f"dimension-{dimension}", **_style(mark))
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        scale.set_ticks(axis, low, high, TICKS, at_least=2)
    axes.set_xlabel(f"birth: {loss_label_of(panel)}")
    axes.set_ylabel(f"death: {loss_label_of(panel)}")
    axes.spines[["top", "right"]].set_visible(False)
    write_notes(axes, notes_of(panel))
    return axes


def _style(mark: dict) -> dict[str, object]:
    size = {"markersize": points(3.0), "markeredgewidth": points(0.6)}
    return {"linestyle": "none", "clip_on": False, "zorder": 3, **size, **mark}


def _limits(panel: Panel) -> tuple[LossScale, float, float]:
    """Return the scale and the heights between which all losses lie."""
    losses = np.array([*panel["birth"], float(panel["highest"])])
    scale = fit_scale("log" if panel["is_log"] else "linear", [losses])
    room = ROOM * ((scale.top - scale.bottom) or 1.0)
    return scale, scale.bottom - room, scale.top + room


def notes_of(panel: Panel) -> list[str]:
    """Return how many minima there are and how many persist, in words."""
    every = int(np.sum(np.asarray(panel["dimension"]) == 0))
    endless = int(np.sum(np.isinf(panel["death"]) & (np.asarray(panel["dimension"]) == 0)))
    parts = f", {endless} apart" if endless > 1 else ""
    return [f"{every} minim{'a' if every > 1 else 'um'}, {int(panel['minima'])} deep{parts}"]


def _explain(comparisons: list[Comparison]) -> list[LegendLine]:
    cells = [cell for comparison in comparisons for cell in comparison.cells]
    there = {int(each) for cell in cells for each in cell.panel["dimension"]}
    handles = [
        Line2D([], [], label=word, **_style(mark))
        for dimension, (word, mark) in KINDS.items()
        if dimension in there
    ]
    return [[*handles, Patch(color=FAINT, alpha=0.35, label="too shallow to count")]]


def _plot_cell(axes: Axes, cell: Cell, comparison: Comparison, options: Options) -> Axes:
    return plot_persistence(axes, cell.panel)


KIND = Kind(
    Family("persistence", explain=_explain, note=lambda cell, comparison: notes_of(cell.panel)),
    collect_persistence,
    _plot_cell,
    aspect=1.0,
    inset=(0.40, 0.30, 0.08, 0.04),
)
