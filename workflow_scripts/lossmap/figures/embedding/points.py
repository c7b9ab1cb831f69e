"""An embedded cloud: points, the lines that join them along trajectories, and their marks.

Finished arrays in, drawn on given axes, axes returned. An animation draws the same cloud up to an
epoch: nothing else differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgb

from lossmap.artifacts.embedding import AXIS_NAMES
from lossmap.figures.hues import darken, flat_colors, ramp, step_colors, visible_map
from lossmap.figures.scale import LossScale
from lossmap.figures.sources import Panel, words
from lossmap.figures.style import GAP, GOLD, INK, ZORDER, points, write_notes

SHADED = ("direction", "source")
"""Colors whose hue is a category and whose lightness is the epoch."""
MARK_STYLES = {
    "jumps": {"marker": "D", "size": 3.2},
    "starts": {"marker": "*", "size": 6.5, "color": GOLD, "label": "initialization"},
    "ends": {"marker": "s", "size": 3.4, "label": "end of training"},
    "optimum": {"marker": "X", "size": 6.0, "color": INK, "label": "minimum"},
}
EDGE = 0.3
"""How much darker than its point an edge is, so that a light point stays visible."""
LINE_WIDTH = 0.45
DENSE = 1000
"""Points from which on a PDF holds them as pixels; shapes would be megabytes, slow to show."""
FLAT = 0.05
"""A panel whose smaller spread is less than this share of the larger says so: it is a line."""
PRESENT = 2.5
"""Diameter of an animation's current points relative to the others: visible around a diamond."""
FAINTEST, TAIL = 0.3, 0.2
"""An animation's tail fades to this opacity within this share of all epochs."""


@dataclass(frozen=True)
class Coloring:
    """What decides the colors of a comparison's points.

    Attributes
    ----------
    color, hue : as in the panel's entry of the registry
    epochs : the range of epochs, to 0…1
    losses : the scale of training losses
    categories : directions, trajectories or labels of the whole figure; one hue each
    steps : step sizes of the whole figure, ascending; one gray each
    colormaps : of losses and of epochs
    """

    color: str
    hue: str
    epochs: Normalize
    losses: LossScale
    categories: tuple[object, ...]
    steps: tuple[float, ...]
    colormaps: tuple[str, str]

    def shade(self, epochs: np.ndarray) -> np.ndarray:
        """Return the place of epochs on a ramp: 0 lightest, 1 darkest."""
        share = np.clip(np.asarray(self.epochs(epochs), np.float64), 0.0, 1.0)
        return share if self.hue == "ascending" else 1.0 - share


def plot_embedding(
    axes: Axes,
    panel: Panel,
    coloring: Coloring,
    *,
    marks: Sequence[str] = (),
    lines: bool = True,
    point_size: float = 2.2,
    until: int | None = None,
) -> Axes:
    """Draw one embedded cloud.

    Parameters
    ----------
    axes : two-dimensional axes
    panel : arrays of `lossmap.figures.embedding.collect`
    coloring : colors, shared by the panels of a comparison
    marks : of ``jumps``, ``starts``, ``ends``
    lines : whether the points of a trajectory are joined
    point_size : diameter in points at scale 1
    until : last epoch that is drawn, each trajectory's present point emphasized, older ones fading;
        everything by default. Limits, colors and marks are those of the whole cloud.
    """
    _frame(axes, panel)
    colors = color_points(panel, coloring)
    order = draw_order(panel, until)
    opacity, present = _fade(panel, coloring, order, until)
    if lines:
        _draw_lines(axes, panel, colors, opacity, order)
    _draw_points(axes, panel, colors[order], opacity[order], present[order], order, point_size)
    _draw_marks(axes, panel, coloring, colors, marks, order)
    write_notes(axes, notes_of(panel, coloring))
    return axes


def notes_of(panel: Panel, coloring: Coloring) -> list[str]:
    """Return notes on what a panel cannot draw, or what would look like a fault."""
    retrained = np.asarray(panel["trajectory"]) >= 0
    notes = _note_flatness(panel, retrained)
    if coloring.color != "loss":
        return notes
    heights = coloring.losses.to_height(np.asarray(panel["train_loss"])[retrained])
    missing = int((~np.isfinite(heights)).sum())
    if missing:
        notes.append(f"gray: loss not finite, {missing} point{'s' if missing > 1 else ''}")
    return notes


def _note_flatness(panel: Panel, retrained: np.ndarray) -> list[str]:
    wide, narrow = sorted(np.ptp(np.asarray(panel["points"])[retrained], axis=0), reverse=True)
    if not 0 < narrow < FLAT * wide:
        return []
    return [f"the second axis holds {narrow / wide:.1g} of the first's spread"]


def categories_of(panel: Panel, color: str) -> list[object]:
    """Return for each point the category that its hue stands for."""
    if color == "source":
        names = words(panel, "label_names")
        return [names[label] if label >= 0 else None for label in panel["label"]]
    key = "direction" if color == "direction" else "trajectory"
    return [int(value) for value in panel[key]]


def color_points(panel: Panel, coloring: Coloring) -> np.ndarray:
    """Return the color of each point, (n, 3) sRGB."""
    shade = coloring.shade(np.asarray(panel["epoch"]))
    loss_map, epoch_map = coloring.colormaps
    if coloring.color == "epoch":
        return visible_map(epoch_map)(shade)[:, :3]
    if coloring.color == "loss":
        heights = coloring.losses.to_height(panel["train_loss"])
        colors = visible_map(loss_map)(coloring.losses.norm(np.nan_to_num(heights)))[:, :3]
        return np.where(np.isfinite(heights)[:, None], colors, to_rgb(GAP))
    colors = np.tile(to_rgb(GAP), (len(shade), 1))
    categories = categories_of(panel, coloring.color)
    for index, category in enumerate(coloring.categories):
        rows = [row for row, found in enumerate(categories) if found == category]
        colors[rows] = hue_of(coloring, index, shade[rows])
    return colors


def hue_of(coloring: Coloring, index: int, shade: np.ndarray) -> np.ndarray:
    """Return the colors of a category at places on its ramp, (n, 3)."""
    number = len(coloring.categories)
    if coloring.color in SHADED:
        return ramp(index, number)(shade)[:, :3]
    return np.tile(flat_colors(number)[index], (len(shade), 1))


def draw_order(panel: Panel, until: int | None = None) -> np.ndarray:
    """Return the rows of retrained points in the order they are drawn.

    By epoch, then by trajectory: no trajectory lies on top of all others.
    """
    trajectory, epoch = np.asarray(panel["trajectory"]), np.asarray(panel["epoch"])
    order = np.lexsort((trajectory, epoch))
    shown = trajectory[order] >= 0
    if until is not None:
        shown &= epoch[order] <= until
    return order[shown]


def _fade(
    panel: Panel, coloring: Coloring, order: np.ndarray, until: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's opacity, and whether it is the present point of its trajectory."""
    opacity, present = np.ones(len(panel["epoch"])), np.zeros(len(panel["epoch"]), bool)
    if until is None:
        return opacity, present
    trajectory, epoch = np.asarray(panel["trajectory"]), np.asarray(panel["epoch"])
    last = {trajectory[row]: row for row in order}
    newest = np.array([epoch[last.get(index, row)] for row, index in enumerate(trajectory)])
    tail = max(2.0, TAIL * (coloring.epochs.vmax - coloring.epochs.vmin))
    opacity = np.clip(1.0 - (1.0 - FAINTEST) * (newest - epoch) / tail, FAINTEST, 1.0)
    present[list(last.values())] = True
    return opacity, present


def _frame(axes: Axes, panel: Panel) -> None:
    """Show every point in a square, each axis named after the method; no unit, so no ticks."""
    positions = np.asarray(panel["points"])
    low, high = positions.min(axis=0), positions.max(axis=0)
    half = 0.56 * float((high - low).max()) or 1.0
    for limit, middle in zip((axes.set_xlim, axes.set_ylim), (low + high) / 2, strict=True):
        limit(middle - half, middle + half)
    axes.set_aspect("equal", adjustable="box")
    axes.set_xticks([])
    axes.set_yticks([])
    method = words(panel, "method")[0]
    name = AXIS_NAMES.get(method, method)
    style = {"labelpad": points(1.5), "fontsize": points(6.0)}
    axes.set_xlabel(f"{name} 1", **style)
    axes.set_ylabel(f"{name} 2", **style)


def segments_of(panel: Panel, order: np.ndarray) -> np.ndarray:
    """Return the pairs of rows that a line joins, (segments, 2), in the order of their ends."""
    trajectory = np.asarray(panel["trajectory"])
    last: dict[int, int] = {}
    pairs = []
    for row in order:
        if trajectory[row] in last:
            pairs.append((last[trajectory[row]], row))
        last[trajectory[row]] = row
    return np.array(pairs, np.int64).reshape(-1, 2)


def _draw_lines(
    axes: Axes, panel: Panel, colors: np.ndarray, opacity: np.ndarray, order: np.ndarray
) -> None:
    pairs = segments_of(panel, order)
    ends = pairs[:, 1]
    joined = LineCollection(
        np.asarray(panel["points"])[pairs],
        colors=np.column_stack([colors[ends], opacity[ends]]),
        linewidths=points(LINE_WIDTH),
        capstyle="round",
    )
    joined.set(gid="lines", zorder=ZORDER["path"], rasterized=len(order) >= DENSE)
    axes.add_collection(joined, autolim=False)


def _draw_points(
    axes: Axes,
    panel: Panel,
    colors: np.ndarray,
    opacity: np.ndarray,
    present: np.ndarray,
    order: np.ndarray,
    point_size: float,
) -> None:
    edges = np.where(present[:, None], to_rgb(INK), darken(colors, EDGE))
    diameter = points(point_size) * np.where(present, PRESENT, 1.0)
    axes.scatter(
        *np.asarray(panel["points"])[order].T,
        s=diameter**2,
        facecolors=np.column_stack([colors, opacity]),
        edgecolors=np.column_stack([edges, opacity]),
        linewidths=points(0.2) * np.where(present, 2.5, 1.0),
        zorder=ZORDER["path"] + 0.5,
        gid="points",
        rasterized=len(order) >= DENSE,
    )


def _draw_marks(
    axes: Axes,
    panel: Panel,
    coloring: Coloring,
    colors: np.ndarray,
    marks: Sequence[str],
    order: np.ndarray,
) -> None:
    for name in ("ends", "jumps", "starts"):  # golden stars above everything
        if name in marks:
            rows, faces = _marked(panel, coloring, colors, name, order)
            _draw_mark(axes, panel, name, rows, faces)
    optimum = np.flatnonzero(np.asarray(panel["trajectory"]) < 0)
    if len(optimum):
        _draw_mark(axes, panel, "optimum", optimum, INK)


def _marked(
    panel: Panel, coloring: Coloring, colors: np.ndarray, name: str, order: np.ndarray
) -> tuple[np.ndarray, object]:
    """Return the rows that have a mark, and the colors of the marks."""
    trajectory, epoch = np.asarray(panel["trajectory"]), np.asarray(panel["epoch"])
    if name == "starts":
        return order[epoch[order] == 0], GOLD
    if name == "ends":
        final = {trajectory[row]: row for row in draw_order(panel)}
        rows = np.array([row for row in order if final[trajectory[row]] == row], np.int64)
        return rows, colors[rows]
    steps = np.asarray(panel["step_size"])
    rows = order[(epoch[order] == 0) & np.isfinite(steps[order])]
    which = np.searchsorted(coloring.steps, steps[rows])
    return rows, step_colors(len(coloring.steps))[which]


def edge_of(name: str) -> str:
    """Return the color of a mark's edge."""
    return "white" if name == "optimum" else INK


def _layer_of(name: str) -> float:
    """Return how high a mark lies: jumps beneath the paths, of which they would hide the half."""
    if name == "jumps":
        return ZORDER["path"] - 0.5
    return ZORDER["mark"] + (1.0 if name in ("starts", "optimum") else 0.0)


def _draw_mark(axes: Axes, panel: Panel, name: str, rows: np.ndarray, faces: object) -> None:
    style = MARK_STYLES[name]
    axes.scatter(
        *np.asarray(panel["points"])[rows].T,
        marker=style["marker"],
        s=points(style["size"]) ** 2,
        c=faces,
        edgecolors=edge_of(name),
        linewidths=points(0.5),
        zorder=_layer_of(name),
        gid=name,
    )
