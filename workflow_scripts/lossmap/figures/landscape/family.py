"""The family of landscape panels: surfaces and contour maps that share heights, bars and marks."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossmap.figures.landscape.marks import MARKS, is_known, marks_of, notes_of, style_mark
from lossmap.figures.panel import Bar, Cell, Comparison, Family, LegendLine, Options, shared_label
from lossmap.figures.scale import LossScale, draw_loss_bar, fit_scale, tick_epochs
from lossmap.figures.style import INK, points


def compare_landscapes(groups: list[list[Cell]], options: Options) -> list[Comparison]:
    """Give each group one scale of heights and one range of epochs, with their bars."""
    found = []
    for cells in groups:
        scale, epochs = _fit_scale(cells, options["z_scale"]), _epoch_norm(cells)
        bars = [Bar("loss", partial(draw_loss_bar, scale=scale, colormap=options["colormap"]))]
        if epochs is not None:
            colormap = options["trajectory_colormap"]
            bars.append(Bar("epochs", partial(_draw_epoch_bar, epochs=epochs, colormap=colormap)))
        found.append(Comparison(cells, (scale, epochs), bars))
    return found


def _fit_scale(cells: list[Cell], name: str) -> LossScale:
    others = [np.array([mark[2] for mark in marks_of(cell.panel).values()]) for cell in cells]
    others += [cell.panel["trajectory"][:, 2] for cell in cells if "trajectory" in cell.panel]
    return fit_scale(name, [cell.panel["loss"] for cell in cells], others, shared_label(cells))


def _epoch_norm(cells: list[Cell]) -> Normalize | None:
    epochs = [cell.panel["epochs"] for cell in cells if "epochs" in cell.panel]
    if not epochs:
        return None
    return Normalize(float(min(e.min() for e in epochs)), float(max(e.max() for e in epochs)))


def _draw_epoch_bar(
    figure: Figure, axes: Axes, length: float, *, epochs: Normalize, colormap: str
) -> None:
    mappable = ScalarMappable(epochs, colormap)
    bar = figure.colorbar(
        mappable, cax=axes, orientation="horizontal", label="epoch of the trajectory"
    )
    bar.set_ticks(tick_epochs(epochs.vmin, epochs.vmax, length))
    bar.minorticks_off()


def explain_marks(comparisons: list[Comparison]) -> list[LegendLine]:
    """Return one legend entry for each mark that occurs, and the arrow of a trajectory."""
    present = {
        (name, is_known(cell.panel, name, comparison.shared[0]))
        for comparison in comparisons
        for cell in comparison.cells
        for name in marks_of(cell.panel)
    }
    handles = [
        Line2D([], [], **_explain(name, known))
        for name in MARKS
        for known in (True, False)
        if (name, known) in present
    ]
    for handle in handles:
        if handle.get_markeredgecolor() == "white":  # which white paper would swallow
            handle.set_markeredgecolor("none")
    if any(name == "start" for name, _ in present):
        arrow = {"marker": ">", "markersize": points(4), "color": INK, "markerfacecolor": "white"}
        handles.append(Line2D([], [], label="direction of training", **arrow))
    return [handles] if handles else []


def _explain(name: str, known: bool) -> dict[str, object]:
    """Return the look of a legend's mark; a hollow one says why it is."""
    style = style_mark(name, known)
    return style if known else style | {"label": f"{style['label']}, loss unknown"}


def style_of(comparison: Comparison, options: Options) -> dict[str, object]:
    """Return what a surface and a contour map of one comparison are both drawn with."""
    return {
        "colormap": options["colormap"],
        "epoch_norm": comparison.shared[1],
        "trajectory_colormap": options["trajectory_colormap"],
    }


LANDSCAPE = Family(
    "landscape",
    compare_landscapes,
    explain_marks,
    lambda cell, comparison: notes_of(cell.panel, comparison.shared[0]),
)
