"""The contour map of a loss surface: filled by loss, its level lines labeled in nats.

Finished arrays in, drawn on given axes, axes returned.
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.contour import ContourSet
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import MaxNLocator

from lossmap.figures.landscape import marks
from lossmap.figures.landscape.collect import collect_landscape
from lossmap.figures.landscape.family import LANDSCAPE, style_of
from lossmap.figures.panel import Cell, Comparison, Kind, Options
from lossmap.figures.scale import LossScale, format_loss
from lossmap.figures.sources import Panel
from lossmap.figures.style import (
    COLORMAP,
    GAP,
    GAP_HATCH,
    INK,
    NOTE_SIZE,
    TRAJECTORY_COLORMAP,
    ZORDER,
    points,
    write_notes,
)

SETTINGS = {
    "description": "A landscape as a contour map.",
    "with": "landscape",
    "properties": {},
}
SHADES = 128
LABEL_MARGIN = 0.07
"""Share of the map's width and height next to its edges in which no level line is labeled."""


def plot_contour(
    axes: Axes,
    panel: Panel,
    scale: LossScale,
    *,
    colormap: str = COLORMAP,
    epoch_norm: Normalize | None = None,
    trajectory_colormap: str = TRAJECTORY_COLORMAP,
) -> Axes:
    """Draw one landscape panel as a contour map, alpha to the right and beta upwards.

    Parameters
    ----------
    axes : two-dimensional axes
    panel : arrays of `lossmap.figures.landscape.collect`
    scale : heights and colors, shared by the panels of a comparison
    epoch_norm : colors of the trajectory, its own epochs by default
    """
    heights = scale.to_height(panel["loss"])
    _frame(axes, panel)
    if marks.missing_cells(heights).any():
        _draw_gap(axes, panel)
    _draw_map(axes, panel, scale, heights, colormap)
    lines = _draw_levels(axes, panel, scale, heights, colormap)
    if lines is not None:
        _label_levels(axes, panel, scale, lines)
    if "trajectory" in panel:
        _draw_trajectory(axes, panel, epoch_norm, trajectory_colormap)
    _draw_marks(axes, panel, scale)
    write_notes(axes, marks.notes_of(panel, scale), bottom=1.02)
    return axes


def _frame(axes: Axes, panel: Panel) -> None:
    alpha_limits, beta_limits = marks.extent_of(panel)
    axes.set_xlim(*alpha_limits)
    axes.set_ylim(*beta_limits)
    widths = np.ptp(alpha_limits), np.ptp(beta_limits)
    axes.set_aspect("equal" if 0.5 <= widths[0] / widths[1] <= 2 else "auto", adjustable="box")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.set_xlabel("α")
    axes.set_ylabel("β")


def _draw_gap(axes: Axes, panel: Panel) -> None:
    """Lay a hatched ground under the grid, which shows wherever the map leaves a gap."""
    (left, right), (bottom, top) = panel["alphas"][[0, -1]], panel["betas"][[0, -1]]
    ground = Rectangle((left, bottom), right - left, top - bottom, facecolor=GAP, edgecolor=GAP)
    ground.set(hatch=GAP_HATCH, hatchcolor="#8c8c8c", zorder=ZORDER["gap"], gid="gaps")
    axes.add_patch(ground)


def _draw_map(
    axes: Axes, panel: Panel, scale: LossScale, heights: np.ndarray, colormap: str
) -> None:
    if marks.missing_cells(heights).all():
        return
    filled = axes.contourf(
        panel["alphas"],
        panel["betas"],
        np.ma.masked_invalid(heights).T,
        levels=np.linspace(scale.norm.vmin, scale.norm.vmax, SHADES + 1),
        cmap=colormap,
        norm=scale.norm,
        corner_mask=False,
        zorder=ZORDER["surface"],
    )
    filled.set(gid="map", edgecolor="face", linewidth=points(0.2))  # no white seams in viewers


def _draw_levels(
    axes: Axes, panel: Panel, scale: LossScale, heights: np.ndarray, colormap: str
) -> ContourSet | None:
    levels = scale.choose_contours(heights, at_most=10)
    if not levels.size or marks.missing_cells(heights).all():
        return None
    lines = axes.contour(
        panel["alphas"],
        panel["betas"],
        np.ma.masked_invalid(heights).T,
        levels=levels,
        colors=[_contrast(level, scale, colormap) for level in levels],
        linestyles="solid",
        linewidths=points(0.6),
        corner_mask=False,
        zorder=ZORDER["surface"] + 0.5,
    )
    lines.set_gid("levels")
    return lines


def _label_levels(axes: Axes, panel: Panel, scale: LossScale, lines: ContourSet) -> None:
    """Write each level on its line, off the edges and away from what else stands on the map."""
    low, high = np.transpose([axes.get_xlim(), axes.get_ylim()])
    taken = [mark[:2] for mark in marks.marks_of(panel).values()]
    taken.extend(np.asarray(panel["trajectory"])[:, :2] if "trajectory" in panel else ())
    places = []
    for path in lines.get_paths():
        inside = np.abs((path.vertices - low) / (high - low) - 0.5).max(axis=1, initial=0.0)
        candidates = path.vertices[inside < 0.5 - LABEL_MARGIN]
        if len(candidates):
            offsets = (candidates[:, None] - np.array([*taken, *places, high])) / (high - low)
            places.append(candidates[np.linalg.norm(offsets, axis=2).min(axis=1).argmax()])
    if not places:
        return
    names = {level: format_loss(float(scale.to_loss(level))) for level in lines.levels}
    labels = axes.clabel(
        lines, fmt=names, fontsize=points(NOTE_SIZE), inline_spacing=points(2), manual=places
    )
    for label in labels:
        label.set(gid="level", clip_on=True)


def _contrast(level: float, scale: LossScale, colormap: str) -> str:
    """Return the color that is legible on the map at a height, by its relative luminance."""
    red, green, blue, _ = colormaps[colormap](scale.norm(level))
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5 else INK


def _draw_marks(axes: Axes, panel: Panel, scale: LossScale) -> None:
    for name, (alpha, beta, loss) in marks.marks_of(panel).items():
        known = bool(np.isfinite(scale.to_height(loss)))
        axes.plot([alpha], [beta], clip_on=False, **marks.style_mark(name, known))


def _draw_trajectory(axes: Axes, panel: Panel, epoch_norm: Normalize | None, colormap: str) -> None:
    path, epochs = np.asarray(panel["trajectory"])[:, :2], np.asarray(panel["epochs"])
    axes.plot(*path.T, **marks.style_casing())
    segments = np.stack([path[:-1], path[1:]], axis=1)
    line = LineCollection(segments, **marks.style_trajectory(epochs, epoch_norm, colormap))
    line.set_array((epochs[:-1] + epochs[1:]) / 2.0)
    line.set(gid="trajectory", zorder=ZORDER["path"] + 0.5)
    axes.add_collection(line, autolim=False)
    ranges = np.array([np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())])
    for tail, head in marks.place_arrows(path, ranges):
        axes.add_patch(FancyArrowPatch(tail, head, **marks.style_arrow()))


def _plot_cell(axes: Axes, cell: Cell, comparison: Comparison, options: Options) -> Axes:
    return plot_contour(axes, cell.panel, comparison.shared[0], **style_of(comparison, options))


KIND = Kind(LANDSCAPE, collect_landscape, _plot_cell, aspect=1.0, inset=(0.36, 0.30, 0.04, 0.02))
