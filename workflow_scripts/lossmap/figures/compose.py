"""Lays finished panels out as a figure: rows, letters, titles, color bars and the legend.

Sizes are inches at scale 1, from the top down: each row is a strip of titles, its panels and, where
a comparison ends, a strip of color bars; the lines of the legend come last. What goes into
these places, each kind of panel decides (`lossmap.figures.panel`).
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from lossmap.errors import LossmapError
from lossmap.figures.collect import kind_of, panel_names
from lossmap.figures.panel import Box, Cell, Comparison, Family, LegendLine, wrap_line
from lossmap.figures.style import (
    COLORMAP,
    EPOCH_COLORMAP,
    FONT_SIZE,
    NOTE_SIZE,
    PAGE_WIDTH,
    TRAJECTORY_COLORMAP,
    make_figure,
    paper_style,
)

OPTIONS = {
    "colormap": COLORMAP,
    "trajectory_colormap": TRAJECTORY_COLORMAP,
    "epoch_colormap": EPOCH_COLORMAP,
    "z_scale": "log",
    "scale": 1.0,
    "width": PAGE_WIDTH,
    "elevation": 32.0,
    "azimuth": -60.0,
    "dpi": 200,
    "heights": "true",
    "lines": True,
    "point_size": 2.2,
}
"""Every option of a figure with its default; `point_size` is a diameter in points, `width` in
centimeters that of the paper's column, at which fonts have their size."""
CM = 2.54
"""Centimeters in an inch."""

GAP = 0.12
LINE_HEIGHT = FONT_SIZE * 1.25 / 72
NOTE_HEIGHT = NOTE_SIZE * 1.25 / 72
BAR_STRIP = 0.5
LEGEND_STRIP = 0.24
LEGEND_LINE = 0.16

Panels = Mapping[str, Mapping[str, Any]]


@dataclass
class Plan:
    """A figure laid out: everything but the drawing.

    Attributes
    ----------
    cells, comparisons : the panels, and by group what each shares
    options : every option, defaults filled in
    size : width and height in inches at scale 1
    """

    cells: list[Cell]
    comparisons: dict[str, Comparison]
    options: dict[str, Any]
    size: tuple[float, float]

    def comparison_of(self, cell: Cell) -> Comparison:
        """Return the comparison that a cell belongs to."""
        return self.comparisons[cell.group]

    @property
    def legend(self) -> list[LegendLine]:
        """Return the lines of the legend, family by family; made while a style is active."""
        found: dict[Family, list[Comparison]] = {}
        for comparison in self.comparisons.values():
            found.setdefault(comparison.cells[0].kind.family, []).append(comparison)
        lines = (line for family, members in found.items() for line in family.explain(members))
        return [part for line in lines for part in wrap_line(line, self.options["width"] / CM)]


def draw_figure(spec: Mapping[str, Any], panels: Panels) -> Figure:
    """Draw a figure from its entry of the registry and its finished arrays.

    Panels of one family that name the same ``share`` are drawn with one scale and one set of color
    bars; a panel that names none has its own.

    Parameters
    ----------
    spec : the figure's entry of the registry
    panels : what `lossmap.figures.collect.collect_panels` or `load_panels` returned

    Raises
    ------
    LossmapError
        An option is unknown, or the panels are not those of the spec.
    """
    return draw_plan(plan_figure(spec, panels))


def plan_figure(
    spec: Mapping[str, Any],
    panels: Panels,
    *,
    known: Mapping[str, Any] = OPTIONS,
    headline: float = 0.0,
) -> Plan:
    """Lay out a figure without drawing it; raises LossmapError as `draw_figure` does.

    Parameters
    ----------
    spec, panels : as for `draw_figure`
    known : the options that may be given, with their defaults
    headline : inches kept free above the first row
    """
    options = _read_options(spec, known)
    cells = _place_cells(spec, panels)
    plan = Plan(cells, _compare(cells, options), options, (0.0, 0.0))
    for cell in cells:
        cell.notes = len(cell.kind.family.note(cell, plan.comparison_of(cell)))
    columns = int(spec.get("columns", len(cells)))
    plan.size = _lay_out(plan, columns, options["width"] / CM, headline)
    return plan


def draw_plan(plan: Plan) -> Figure:
    """Draw a figure that has been laid out."""
    options, size = plan.options, plan.size
    with paper_style(options["scale"]):
        figure = make_figure(*(side * options["scale"] for side in size), dpi=options["dpi"])
        for cell in plan.cells:
            _draw_title(figure, size, cell)
            axes = figure.add_axes(
                _relative(_inner_box(cell), size), label=cell.name, **cell.kind.axes
            )
            cell.kind.plot(axes, cell, plan.comparison_of(cell), options)
        for comparison in plan.comparisons.values():
            _draw_bars(figure, size, comparison)
        _draw_legend(figure, size, plan.legend)
    return figure


def _read_options(spec: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    given = spec.get("options", {})
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise LossmapError(
            f"{spec['figure']}: unknown option '{unknown[0]}', expected {', '.join(known)}"
        )
    options = dict(known) | dict(given)
    for name in ("colormap", "trajectory_colormap", "epoch_colormap"):
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
        kind = kind_of(panel, f"{spec['figure']} {name}")
        cell = Cell(name, panel, panels[name], kind, *divmod(index, columns))
        share = f"share {panel['share']}" if "share" in panel else name
        cell.group = f"{kind.family.name} {share}"
        letter = panel.get("letter", ascii_lowercase[index] if len(names) > 1 else "")
        cell.title = f"{f'({letter})' if letter else ''} {panel.get('title', '')}".strip()
        cells.append(cell)
    return cells


def _compare(cells: list[Cell], options: Mapping[str, Any]) -> dict[str, Comparison]:
    """Return what each group of panels shares, in the order of their first panels."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    found = {}
    for family in dict.fromkeys(cell.kind.family for cell in cells):
        own = {group: each for group, each in groups.items() if each[0].kind.family == family}
        found |= dict(zip(own, family.compare(list(own.values()), options), strict=True))
    return {group: found[group] for group in groups}


def _lay_out(plan: Plan, columns: int, page: float, headline: float) -> tuple[float, float]:
    """Give each cell its box and each comparison its strip of bars; return the figure's size."""
    cells, comparisons = plan.cells, list(plan.comparisons.values())
    width = (page - (columns + 1) * GAP) / columns
    places, top = [], headline + GAP / 2
    for row in range(cells[-1].row + 1):
        members = [cell for cell in cells if cell.row == row]
        per_line = max(8, int(width * 72 / (0.56 * FONT_SIZE)))
        for cell in members:
            cell.title = textwrap.fill(cell.title, per_line)
        notes = max(cell.notes for cell in members)
        title = max(_title_height(cell) for cell in members)
        for cell in members:
            cell.notes, cell.title_height = notes, title  # the titles of a row begin on one line
        titles = title + notes * NOTE_HEIGHT
        height = max(width * cell.kind.aspect for cell in members)
        if columns == 1:
            height = min(height, 0.6 * page)
        ending = any(c.bars and max(cell.row for cell in c.cells) == row for c in comparisons)
        places.append((top + titles, height))
        top += titles + height + (BAR_STRIP if ending else 0.0) + GAP / 2
    lines = len(plan.legend)
    total = top + (LEGEND_STRIP + (lines - 1) * LEGEND_LINE if lines else 0.0)
    for cell in cells:
        above, height = places[cell.row]
        left = GAP + cell.column * (width + GAP)
        cell.box = (left, total - above - height, width, height)
    for comparison in comparisons:
        comparison.strip = _bar_strip(comparison)
    return page, total


def _title_height(cell: Cell) -> float:
    return (cell.title.count("\n") + 1) * LINE_HEIGHT + 0.04


def _bar_strip(comparison: Comparison) -> Box:
    """Return the strip under the last row of a comparison, as wide as its neighboring panels."""
    last = max(cell.row for cell in comparison.cells)
    boxes = [cell.box for cell in comparison.cells if cell.row == last]
    columns = [cell.column for cell in comparison.cells if cell.row == last]
    run = [box for i, box in enumerate(boxes) if columns[i] - columns[0] == i]
    left, right = run[0][0], run[-1][0] + run[-1][2]
    return left, run[0][1] - BAR_STRIP, right - left, BAR_STRIP


def _inner_box(cell: Cell) -> Box:
    """Return the place of a cell's axes, with room for labels around them."""
    left, bottom, width, height = cell.box
    west, south, east, north = cell.kind.inset
    return left + west, bottom + south, width - west - east, height - south - north


def _relative(box: Box, size: tuple[float, float]) -> Box:
    left, bottom, width, height = box
    return left / size[0], bottom / size[1], width / size[0], height / size[1]


def _draw_title(figure: Figure, size: tuple[float, float], cell: Cell) -> None:
    left, bottom, _, height = cell.box
    above = bottom + height + cell.notes * NOTE_HEIGHT + cell.title_height - 0.01
    style = {"va": "top", "ha": "left", "linespacing": 1.1, "gid": f"{cell.name}-title"}
    figure.text(left / size[0], above / size[1], cell.title, **style)


def _draw_bars(figure: Figure, size: tuple[float, float], comparison: Comparison) -> None:
    """Draw the bars of a comparison side by side, evenly spaced under its panels."""
    left, bottom, width, height = comparison.strip
    number = len(comparison.bars)
    length = min(0.8 * width, 3.2) if number == 1 else min(0.42 * width, 2.4)
    offset = (width - number * length) / (number + 1)
    for index, bar in enumerate(comparison.bars):
        start = left + offset + index * (offset + length)
        box = (start, bottom + height - 0.09 - bar.height, length, bar.height)
        bar.draw(figure, figure.add_axes(_relative(box, size), label=bar.label), length)


def _draw_legend(figure: Figure, size: tuple[float, float], lines: list[LegendLine]) -> None:
    style = {"frameon": False, "handletextpad": 0.4, "columnspacing": 1.6, "borderpad": 0.2}
    for number, handles in enumerate(lines, 1):
        place = (0.5, (0.02 + (len(lines) - number) * LEGEND_LINE) / size[1])
        figure.legend(
            handles=handles, ncols=len(handles), loc="lower center", bbox_to_anchor=place, **style
        )
