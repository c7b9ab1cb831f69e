"""Loss or accuracy along straight lines, and the barrier of each.

A line panel holds for each line i `positions_<i>` and `values_<i>` (points,), the words
`label_names`, and of losses `barriers` (lines,): the largest rise above the linear interpolation
between the ends, 0 where no point is above both ends.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
)

from lossmap.artifacts.line import Line
from lossmap.artifacts.store import load
from lossmap.errors import LossmapError
from lossmap.figures.panel import Cell, Comparison, Family, Kind, Options
from lossmap.figures.panels.norm import series_style
from lossmap.figures.scale import fit_scale, format_loss
from lossmap.figures.sources import (
    Panel,
    Sources,
    Spec,
    find_artifact,
    loss_label_of,
    name_loss,
    words,
)
from lossmap.figures.style import points, write_notes
from lossmap.geometry.lines import interpolate_ends, measure_barriers

SETTINGS = {
    "description": "Curves along lines.",
    "with": "panel_shared",
    "required": ["lines"],
    "properties": {
        "lines": {
            "$ref": "#/$defs/names",
            "items": {"refers": "lines"},
            "description": "the lines",
        },
        "measure": {
            "enum": ["loss", "test_loss", "accuracy", "test_accuracy"],
            "default": "loss",
            "description": "what is drawn",
        },
        "y_scale": {
            "enum": ["linear", "log"],
            "absent": "log where losses span a wide range",
            "description": "scale of the values",
        },
    },
}
LABELS = {
    "loss": "training {loss}",
    "test_loss": "test {loss}",
    "accuracy": "training accuracy",
    "test_accuracy": "test accuracy",
}
"""What each measure is called; {loss} is the loss's own name."""
WIDE = 30.0
"""Losses of which the largest is so many times the smallest get a logarithmic axis."""
LEAST = 0.01
"""Barriers below this share of the highest loss in the panel are not drawn."""
TICKS = 6


def collect_line(panel: Spec, spec: Spec, sources: Sources, where: str) -> Panel:
    """Return the arrays of a line panel.

    Raises
    ------
    LossmapError
        A line is not among the sources, lacks the measure, or has another loss than the first.
    """
    measure, labels = panel.get("measure", "loss"), panel.get("labels", {})
    found: Panel = {"label_names": [labels.get(name, name) for name in panel["lines"]]}
    lines = [load(find_artifact(f"line/{name}", sources, where), Line) for name in panel["lines"]]
    barriers = []
    for index, (name, line) in enumerate(zip(panel["lines"], lines, strict=True)):
        values = getattr(line, measure)
        if values is None:
            raise LossmapError(f"{where}: line '{name}' has no {measure}: its run has no test data")
        if line.loss_label != lines[0].loss_label:
            raise LossmapError(
                f"{where}: line '{name}' is of another loss than '{panel['lines'][0]}'; draw them "
                "in panels of their own"
            )
        found |= {f"positions_{index}": line.positions, f"values_{index}": values}
        above, _, end = measure_barriers(line.positions, values)
        barriers.append(above if end > 0 else 0.0)
    found |= name_loss(lines[0].loss_label)
    return found | ({"barriers": np.array(barriers)} if measure.endswith("loss") else {})


def plot_line(axes: Axes, panel: Panel, measure: str = "loss", y_scale: str | None = None) -> Axes:
    """Draw values by position, one line each, and from the ends' interpolation up to the barrier.

    Parameters
    ----------
    axes : two-dimensional axes
    panel : arrays of `collect_line`
    measure : one of `LABELS`
    y_scale : ``linear`` or ``log``; by default whichever suits the range
    """
    labels = words(panel, "label_names")
    curves = [(panel[f"positions_{i}"], panel[f"values_{i}"]) for i in range(len(labels))]
    highest = max((value for _, each in curves for value in each if np.isfinite(value)), default=0)
    barriers = np.atleast_1d(panel.get("barriers", np.zeros(len(labels))))
    for index, (positions, values) in enumerate(curves):
        style = series_style(index, len(labels)) | {"label": labels[index], "gid": f"line-{index}"}
        if LEAST * highest < barriers[index] < np.inf:
            _draw_barrier(axes, positions, values, style["color"], index)
            style["label"] += f", barrier {barriers[index]:.2g}"
        known = np.where(np.isfinite(values), values, np.nan)
        axes.plot(positions, known, marker="o", markersize=points(2.0), **style)
    _frame(axes, [values for _, values in curves], measure, y_scale)
    axes.set_ylabel(LABELS[measure].format(loss=loss_label_of(panel)))
    frame = {"facecolor": "white", "edgecolor": "none", "framealpha": 0.9, "borderpad": 0.2}
    axes.legend(loc="best", handlelength=2.4, **frame)
    return axes


def _draw_barrier(
    axes: Axes, positions: np.ndarray, values: np.ndarray, color: object, index: int
) -> None:
    chord = interpolate_ends(positions, values)
    top = int((values - chord).argmax())
    style = {"color": color, "linewidth": points(0.6), "marker": "_", "markersize": points(5)}
    axes.plot([positions[top]] * 2, [chord[top], values[top]], gid=f"barrier-{index}", **style)


def _frame(axes: Axes, curves: list[np.ndarray], measure: str, y_scale: str | None) -> None:
    values = np.concatenate(curves)
    finite = values[np.isfinite(values)]
    if measure.endswith("accuracy"):
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        wide = finite.size and 0 < WIDE * finite.min() <= finite.max()
        scale = fit_scale(y_scale or ("log" if wide else "linear"), curves)
        room = 0.06 * (scale.top - scale.bottom)
        bottom, top = scale.bottom - room, scale.top + room
        axes.set_yscale(scale.name)
        axes.set_ylim(float(scale.to_loss(bottom)), float(scale.to_loss(top)))
        ticks = scale.choose_levels(bottom, top, TICKS)
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_major_formatter(FixedFormatter([format_loss(tick) for tick in ticks]))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("position on the line")
    axes.spines[["top", "right"]].set_visible(False)
    missing = values.size - finite.size
    write_notes(axes, [f"not finite: {missing} of {values.size} points"] if missing else [])


def _plot_cell(axes: Axes, cell: Cell, comparison: Comparison, options: Options) -> Axes:
    measure = cell.spec.get("measure", "loss")
    return plot_line(axes, cell.panel, measure, cell.spec.get("y_scale"))


KIND = Kind(Family("line"), collect_line, _plot_cell, aspect=0.75, inset=(0.4, 0.3, 0.08, 0.06))
