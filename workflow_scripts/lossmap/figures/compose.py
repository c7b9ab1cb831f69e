"""Lays finished panels out as a figure: rows, letters, titles, shared scales and colour bars.

Sizes are inches at scale 1, from the top down: each row is a strip of titles, its panels and, where
a comparison ends, a strip of colour bars; the legend of marks comes last.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossmap.errors import LossmapError
from lossmap.figures.contour import plot_contour
from lossmap.figures.curve import plot_curve
from lossmap.figures.landscape import MARK_EDGES, MARK_SIZES, MARK_STYLES, marks_of, notes_of
from lossmap.figures.panels import LANDSCAPES, panel_names
from lossmap.figures.scale import LossScale, fit_scale
from lossmap.figures.style import (
    COLORMAP,
    FONT_SIZE,
    INK,
    NOTE_SIZE,
    PAGE_WIDTH,
    TRAJECTORY_COLORMAP,
    make_figure,
    paper_style,
    points,
)
from lossmap.figures.surface import plot_surface

OPTIONS = {
    "colormap": COLORMAP,
    "trajectory_colormap": TRAJECTORY_COLORMAP,
    "z_scale": "log",
    "scale": 1.0,
    "elevation": 32.0,
    "azimuth": -60.0,
    "dpi": 200,
    "heights": "true",
}
"""Every option of a landscape figure with its default."""

GAP = 0.12
LINE_HEIGHT = FONT_SIZE * 1.25 / 72
NOTE_HEIGHT = NOTE_SIZE * 1.25 / 72
BAR_STRIP = 0.5
LEGEND_STRIP = 0.24
ASPECT = {"surface": 0.9, "contour": 1.0, "curve": 0.8}
"""Height of a panel by its width; the tallest panel sets the height of its row."""
INSETS = {
    "surface": (-0.12, 0.10, 0.20, 0.0),
    "contour": (0.36, 0.30, 0.04, 0.02),
    "curve": (0.36, 0.32, 0.08, 0.16),
}
"""Inches kept free for labels inside a panel: left, bottom, right, top.

A surface leaves room to the left of its box by itself; its loss axis needs some to the right.
"""

Panels = Mapping[str, Mapping[str, Any]]


@dataclass
class Cell:
    """One panel with its place in the figure, inches from the lower left corner at scale 1."""

    name: str
    spec: Mapping[str, Any]
    panel: Mapping[str, Any]
    row: int
    column: int
    group: str = ""
    title: str = ""
    notes: int = 0
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @property
    def is_landscape(self) -> bool:
        """Return whether the panel shows a grid."""
        return self.spec["draw"] in LANDSCAPES


@dataclass
class Comparison:
    """The panels that share one scale, and the place of their colour bar."""

    cells: list[Cell]
    scale: LossScale
    epochs: Normalize | None
    bar: tuple[float, float, float, float] = field(default=(0.0, 0.0, 0.0, 0.0))


def draw_figure(spec: Mapping[str, Any], panels: Panels) -> Figure:
    """Draw a figure from its entry of the registry and its finished arrays.

    Panels that name the same ``share`` are drawn with one norm, one range of heights and one colour
    bar; a panel that names none has its own.

    Parameters
    ----------
    spec : the figure's entry of the registry
    panels : what `lossmap.figures.panels.collect_panels` or `load_panels` returned

    Raises
    ------
    LossmapError
        An option is unknown, or the panels are not those of the spec.
    """
    options = _read_options(spec)
    cells = _place_cells(spec, panels)
    groups = _compare(cells, options)
    _count_notes(cells, groups)
    size = _lay_out(cells, list(groups.values()), int(spec.get("columns", len(cells))))
    with paper_style(options["scale"]):
        figure = make_figure(*(side * options["scale"] for side in size), dpi=options["dpi"])
        for cell in cells:
            _draw_cell(figure, size, cell, groups.get(cell.group), options)
        for group in groups.values():
            _draw_bars(figure, size, group, options)
        _draw_legend(figure, size, cells)
    return figure


def _read_options(spec: Mapping[str, Any]) -> dict[str, Any]:
    given = spec.get("options", {})
    unknown = sorted(set(given) - set(OPTIONS))
    if unknown:
        raise LossmapError(
            f"{spec['figure']}: unknown option '{unknown[0]}', expected {', '.join(OPTIONS)}"
        )
    options = OPTIONS | dict(given)
    for name in ("colormap", "trajectory_colormap"):
        if options[name] not in mpl.colormaps:
            raise LossmapError(
                f"{spec['figure']}: matplotlib has no {name} '{options[name]}'; correct it under "
                "style or in the figure's options"
            )
    return options


def _place_cells(spec: Mapping[str, Any], panels: Panels) -> list[Cell]:
    names = panel_names(spec)
    if sorted(panels) != sorted(names):
        raise LossmapError(
            f"{spec['figure']}: {len(names)} panels declared, but the source data hold "
            f"{', '.join(sorted(panels)) or 'none'}; run this figure again"
        )
    columns = int(spec.get("columns", len(names)))
    cells = []
    for index, (name, panel) in enumerate(zip(names, spec["panels"], strict=True)):
        cell = Cell(name, panel, panels[name], *divmod(index, columns))
        cell.group = f"share {panel['share']}" if "share" in panel else name
        cell.title = f"({ascii_lowercase[index]}) {panel.get('title', '')}".strip()
        cells.append(cell)
    return cells


def _compare(cells: list[Cell], options: Mapping[str, Any]) -> dict[str, Comparison]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.is_landscape:
            groups.setdefault(cell.group, []).append(cell)
    return {
        name: Comparison(members, _fit_scale(members, options["z_scale"]), _epoch_norm(members))
        for name, members in groups.items()
    }


def _fit_scale(cells: list[Cell], name: str) -> LossScale:
    others = [np.array([mark[2] for mark in marks_of(cell.panel).values()]) for cell in cells]
    others += [cell.panel["trajectory"][:, 2] for cell in cells if "trajectory" in cell.panel]
    return fit_scale(name, [cell.panel["loss"] for cell in cells], others)


def _epoch_norm(cells: list[Cell]) -> Normalize | None:
    epochs = [cell.panel["epochs"] for cell in cells if "epochs" in cell.panel]
    if not epochs:
        return None
    return Normalize(float(min(e.min() for e in epochs)), float(max(e.max() for e in epochs)))


def _lay_out(cells: list[Cell], groups: list[Comparison], columns: int) -> tuple[float, float]:
    """Give each cell its box and each comparison its bar; return the figure's size."""
    width = (PAGE_WIDTH - (columns + 1) * GAP) / columns
    marked = any(marks_of(cell.panel) for cell in cells)
    places, top = [], GAP / 2
    for row in range(cells[-1].row + 1):
        members = [cell for cell in cells if cell.row == row]
        per_line = max(8, int(width * 72 / (0.56 * FONT_SIZE)))
        for cell in members:
            cell.title = textwrap.fill(cell.title, per_line)
        notes = max(cell.notes for cell in members)
        for cell in members:
            cell.notes = notes  # the titles of a row stand on one line
        titles = max(_title_height(cell) for cell in members) + notes * NOTE_HEIGHT
        height = max(width * ASPECT[cell.spec["draw"]] for cell in members)
        if columns == 1:
            height = min(height, 0.6 * PAGE_WIDTH)
        ending = any(max(c.row for c in group.cells) == row for group in groups)
        places.append((top + titles, height))
        top += titles + height + (BAR_STRIP if ending else 0.0) + GAP / 2
    total = top + (LEGEND_STRIP if marked else 0.0)
    for cell in cells:
        above, height = places[cell.row]
        left = GAP + cell.column * (width + GAP)
        cell.box = (left, total - above - height, width, height)
    for group in groups:
        group.bar = _bar_box(group)
    return PAGE_WIDTH, total


def _title_height(cell: Cell) -> float:
    return (cell.title.count("\n") + 1) * LINE_HEIGHT + 0.04


def _count_notes(cells: list[Cell], groups: Mapping[str, Comparison]) -> None:
    """Count the lines that each panel writes above itself."""
    for cell in cells:
        if cell.is_landscape:
            cell.notes = len(notes_of(cell.panel, groups[cell.group].scale))


def _bar_box(group: Comparison) -> tuple[float, float, float, float]:
    """Return the strip under the last row of a comparison, as wide as its neighbouring panels."""
    last = max(cell.row for cell in group.cells)
    boxes = [cell.box for cell in group.cells if cell.row == last]
    columns = [cell.column for cell in group.cells if cell.row == last]
    run = [box for i, box in enumerate(boxes) if columns[i] - columns[0] == i]
    left, right = run[0][0], run[-1][0] + run[-1][2]
    return left, run[0][1] - BAR_STRIP, right - left, BAR_STRIP


def _relative(
    box: tuple[float, float, float, float], size: tuple[float, float]
) -> tuple[float, float, float, float]:
    left, bottom, width, height = box
    return left / size[0], bottom / size[1], width / size[0], height / size[1]


def _draw_cell(
    figure: Figure,
    size: tuple[float, float],
    cell: Cell,
    group: Comparison | None,
    options: Mapping[str, Any],
) -> None:
    left, bottom, width, height = cell.box
    _draw_title(figure, size, cell)
    inset = INSETS[cell.spec["draw"]]
    inner = (
        left + inset[0],
        bottom + inset[1],
        width - inset[0] - inset[2],
        height - inset[1] - inset[3],
    )
    place = _relative(inner, size)
    if group is None:
        axes = figure.add_axes(place, label=cell.name)
        plot_curve(axes, cell.panel, y_scale=cell.spec.get("y_scale", "linear"))
        return
    style = {
        "colormap": options["colormap"],
        "epoch_norm": group.epochs,
        "trajectory_colormap": options["trajectory_colormap"],
    }
    if cell.spec["draw"] == "contour":
        axes = figure.add_axes(place, label=cell.name)
        plot_contour(axes, cell.panel, group.scale, **style)
    else:
        axes = figure.add_axes(place, label=cell.name, projection="3d", computed_zorder=False)
        axes.patch.set_visible(False)
        camera = tuple(
            float(cell.spec.get(angle, options[angle])) for angle in ("elevation", "azimuth")
        )
        plot_surface(axes, cell.panel, group.scale, camera=camera, **style)


def _draw_title(figure: Figure, size: tuple[float, float], cell: Cell) -> None:
    left, bottom, _, height = cell.box
    figure.text(
        left / size[0],
        (bottom + height + cell.notes * NOTE_HEIGHT + 0.03) / size[1],
        cell.title,
        va="bottom",
        ha="left",
        linespacing=1.1,
        gid=f"{cell.name}-title",
    )


def _draw_bars(
    figure: Figure, size: tuple[float, float], group: Comparison, options: Mapping[str, Any]
) -> None:
    left, bottom, width, height = group.bar
    place = bottom + height - 0.16
    if group.epochs is None:
        length = min(0.8 * width, 3.2)
        box = (left + (width - length) / 2, place, length, 0.07)
        _draw_loss_bar(figure, _relative(box, size), group.scale, options["colormap"], length)
        return
    length = min(0.42 * width, 2.4)
    offset = (width - 2 * length) / 3
    box = (left + offset, place, length, 0.07)
    _draw_loss_bar(figure, _relative(box, size), group.scale, options["colormap"], length)
    box = (left + 2 * offset + length, place, length, 0.07)
    axes = figure.add_axes(_relative(box, size), label="epochs")
    mappable = ScalarMappable(group.epochs, options["trajectory_colormap"])
    figure.colorbar(mappable, cax=axes, orientation="horizontal", label="epoch of the trajectory")


def _draw_loss_bar(
    figure: Figure,
    place: tuple[float, float, float, float],
    scale: LossScale,
    colormap: str,
    length: float,
) -> None:
    axes = figure.add_axes(place, label="loss")
    mappable = ScalarMappable(scale.norm, colormap)
    bar = figure.colorbar(mappable, cax=axes, orientation="horizontal", label="loss (nats)")
    room = 0.28 if scale.name == "log" else 0.45  # inches for one label
    number = max(3, int(length / room))
    scale.set_ticks(bar.ax.xaxis, scale.norm.vmin, scale.norm.vmax, at_most=number)


def _draw_legend(figure: Figure, size: tuple[float, float], cells: list[Cell]) -> None:
    present = {name for cell in cells for name in marks_of(cell.panel)}
    if not present:
        return
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
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.02 / size[1]),
        ncols=len(handles),
        frameon=False,
        handletextpad=0.4,
        columnspacing=1.6,
        borderpad=0.2,
    )
