"""The training loss of a run, iteration by iteration.

A curve panel holds `iteration` and `iteration_loss` (updates,), `mean_iteration` and
`running_mean`, and for the marked epochs `epochs` and `epoch_iterations`.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lossmap.artifacts.store import load_part
from lossmap.artifacts.trajectory import Trajectory, find_snapshot
from lossmap.errors import LossmapError
from lossmap.figures.panel import Cell, Comparison, Family, Kind, Options
from lossmap.figures.scale import format_loss
from lossmap.figures.sources import Panel, Sources, Spec, find_source, loss_label_of, name_loss
from lossmap.figures.style import CENTER, FAINT, LINE, ZORDER, points

SETTINGS = {
    "description": "The training loss of every iteration.",
    "with": "panel_shared",
    "required": ["run"],
    "properties": {
        "run": {"type": "string", "refers": "runs", "description": "the run"},
        "epochs": {
            "type": "array",
            "items": {"type": ["string", "integer"], "refers": "epoch_names"},
            "absent": "none",
            "description": "epochs that are marked",
        },
        "window": {
            "$ref": "#/$defs/count",
            "absent": "one epoch",
            "description": "iterations of the running mean",
        },
        "y_scale": {
            "enum": ["linear", "log"],
            "default": "linear",
            "description": "scale of losses",
        },
    },
}


def collect_curve(panel: Spec, spec: Spec, sources: Sources, where: str) -> Panel:
    """Return the arrays of a curve panel.

    Raises
    ------
    LossmapError
        The run is not among the sources, it kept no such epoch, or the window is too long.
    """
    path = find_source(panel, "run", sources, where, stage="trajectory")
    history = load_part(path, Trajectory, "history")
    losses = history.iteration_loss
    epochs = max(int(history.epochs[-1]), 1)
    window = int(panel.get("window", max(1, len(losses) // epochs)))
    if not 1 <= window <= len(losses):
        raise LossmapError(
            f"{where}: window is {window} iterations, but run '{panel['run']}' has {len(losses)}"
        )
    marked = np.asarray(panel.get("epochs", ()), np.int64)
    rows = [find_snapshot(history.epochs, int(epoch), path) for epoch in marked]
    return name_loss(load_part(path, Trajectory, "loss_label")) | {
        "iteration": np.arange(len(losses)),
        "iteration_loss": losses,
        "mean_iteration": np.arange(window - 1, len(losses)),
        "running_mean": np.lib.stride_tricks.sliding_window_view(losses, window).mean(axis=1),
        "epochs": marked,
        "epoch_iterations": history.steps[rows] if rows else np.zeros(0, np.int64),
    }


def plot_curve(axes: Axes, panel: Panel, *, y_scale: str = "linear") -> Axes:
    """Draw the loss of every mini-batch (thin), its running mean, and the marked epochs.

    Parameters
    ----------
    axes : two-dimensional axes
    panel : arrays of `collect_curve`
    y_scale : ``linear`` or ``log``
    """
    losses = np.asarray(panel["iteration_loss"])
    thin = {"color": FAINT, "linewidth": points(0.35), "gid": "iteration-loss"}
    axes.plot(panel["iteration"], losses, label="mini-batch", **thin)
    thick = {"color": LINE, "linewidth": points(1.1), "gid": "running-mean"}
    axes.plot(panel["mean_iteration"], panel["running_mean"], label="running mean", **thick)
    axes.set_yscale(y_scale)
    axes.set_xlim(0, len(losses))
    _mark_epochs(axes, panel)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    if y_scale == "linear":
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.yaxis.set_major_formatter(lambda loss, _: format_loss(loss))
    axes.set_xlabel("iteration")
    axes.set_ylabel(loss_label_of(panel))
    axes.spines[["top", "right"]].set_visible(False)
    missing = int((~np.isfinite(losses)).sum())
    if missing:
        note = f"not finite: {missing} iterations"
        axes.text(0.98, 0.75, note, transform=axes.transAxes, ha="right", gid="notes")
    frame = {"facecolor": "white", "edgecolor": "none", "framealpha": 0.9, "borderpad": 0.2}
    axes.legend(loc="upper right", handlelength=1.2, borderaxespad=0.1, **frame)
    return axes


def _mark_epochs(axes: Axes, panel: Panel) -> None:
    """Mark the epochs at which landscapes were taken: a dashed line, its epoch above the axes."""
    epochs, iterations = np.asarray(panel["epochs"]), np.asarray(panel["epoch_iterations"])
    dashed = {"color": CENTER, "linewidth": points(0.7), "linestyle": (0, (3, 2))}
    above = {"textcoords": "offset points", "va": "bottom", "fontsize": points(6)}
    for epoch, iteration in zip(epochs, iterations, strict=True):
        axes.axvline(iteration, zorder=ZORDER["floor"], gid="epoch", **dashed)
        over_line = {"xycoords": axes.get_xaxis_transform(), "xytext": (0, points(1.5))}
        label = {"ha": "center", "gid": "epoch-label"}
        axes.annotate(f"{epoch}", (iteration, 1.0), **over_line, **label, **above)
    if len(epochs):
        left = {"xycoords": "axes fraction", "xytext": (points(-2), points(1.5)), "ha": "right"}
        axes.annotate("epoch", (0.0, 1.0), **left, **above)


def _plot_cell(axes: Axes, cell: Cell, comparison: Comparison, options: Options) -> Axes:
    return plot_curve(axes, cell.panel, y_scale=cell.spec.get("y_scale", "linear"))


KIND = Kind(Family("curve"), collect_curve, _plot_cell, aspect=0.8, inset=(0.36, 0.32, 0.08, 0.16))
