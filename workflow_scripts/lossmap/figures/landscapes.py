"""The family of landscape panels: surfaces and contour maps that share heights, bars and marks."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossmap.figures.contour import plot_contour
from lossmap.figures.families import Bar, Cell, Comparison, Drawing, Family, LegendLine, Options
from lossmap.figures.landscape import MARK_EDGES, MARK_SIZES, MARK_STYLES, marks_of, notes_of
from lossmap.figures.scale import LossScale, fit_scale
from lossmap.figures.style import INK, points
from lossmap.figures.surface import plot_surface


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
    return fit_scale(name, [cell.panel["loss"] for cell in cells], others)


def _epoch_norm(cells: list[Cell]) -> Normalize | None:
    epochs = [cell.panel["epochs"] for cell in cells if "epochs" in cell.panel]
    if not epochs:
        return None
    return Normalize(float(min(e.min() for e in epochs)), float(max(e.max() for e in epochs)))


def draw_loss_bar(
    figure: Figure, axes: Axes, length: float, *, scale: LossScale, colormap: object
) -> None:
    """Draw the color bar of a scale of losses, ticked at round losses in nats."""
    mappable = ScalarMappable(scale.norm, colormap)
    bar = figure.colorbar(mappable, cax=axes, orientation="horizontal", label="loss (nats)")
    room = 0.28 if scale.name == "log" else 0.45  # inches for one label
    number = max(3, int(length / room))
    scale.set_ticks(bar.ax.xaxis, scale.norm.vmin, scale.norm.vmax, at_most=number)


def _draw_epoch_bar(
    figure: Figure, axes: Axes, length: float, *, epochs: Normalize, colormap: str
) -> None:
    mappable = ScalarMappable(epochs, colormap)
    figure.colorbar(mappable, cax=axes, orientation="horizontal", label="epoch of the trajectory")


def explain_marks(comparisons: list[Comparison]) -> list[LegendLine]:
    """Return one legend entry for each mark that occurs, and the arrow of a trajectory."""
    cells = [cell for comparison in comparisons for cell in comparison.cells]
    present = {name for cell in cells for name in marks_of(cell.panel)}
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            markersize=points(MARK_SIZES[name]),
            markeredgecolor=MARK_EDGES[name] if MARK_EDGES[name] != "white" else "none",
            markeredgewidth=points(0.6),
            **style,
        )
        for name, style in MARK_STYLES.items()
        if name in present
    ]
    if "start" in present:
        arrow = {"marker": ">", "markersize": points(4), "color": INK, "markerfacecolor": "white"}
        handles.append(Line2D([], [], label="direction of training", **arrow))
    return [LegendLine(handles)] if handles else []


def _note(cell: Cell, comparison: Comparison) -> list[str]:
    return notes_of(cell.panel, comparison.shared[0])


def _style(comparison: Comparison, options: Options) -> dict[str, object]:
    return {
        "colormap": options["colormap"],
        "epoch_norm": comparison.shared[1],
        "trajectory_colormap": options["trajectory_colormap"],
    }


def _plot_contour(axes: Axes, cell: Cell, comparison: Comparison, options: Options) -> Axes:
    return plot_contour(axes, cell.panel, comparison.shared[0], **_style(comparison, options))


def _plot_surface(axes: Axes, cell: Cell, comparison: Comparison, options: Options) -> Axes:
    axes.patch.set_visible(False)
    camera = tuple(
        float(cell.spec.get(angle, options[angle])) for angle in ("elevation", "azimuth")
    )
    style = _style(comparison, options)
    return plot_surface(axes, cell.panel, comparison.shared[0], camera=camera, **style)


LANDSCAPE = Family("landscape", compare_landscapes, explain_marks, _note)
# A surface leaves room to the left of its box by itself; its loss axis needs some to the right.
SURFACE = Drawing(
    LANDSCAPE,
    _plot_surface,
    aspect=0.9,
    inset=(-0.12, 0.10, 0.20, 0.0),
    axes={"projection": "3d", "computed_zorder": False},
)
CONTOUR = Drawing(LANDSCAPE, _plot_contour, aspect=1.0, inset=(0.36, 0.30, 0.04, 0.02))
