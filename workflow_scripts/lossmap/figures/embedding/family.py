"""The family of embedding panels: what a comparison shares, its bar and the legend."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossmap.artifacts.curves import LOSS_LABEL
from lossmap.errors import LossmapError
from lossmap.figures.embedding.points import (
    MARK_STYLES,
    SHADED,
    Coloring,
    categories_of,
    edge_of,
    hue_of,
    notes_of,
)
from lossmap.figures.hues import MIDDLE, STEPS, step_colors, visible_map
from lossmap.figures.panel import (
    Bar,
    Cell,
    Comparison,
    Family,
    LegendLine,
    Options,
    begin_with,
    shared_label,
)
from lossmap.figures.scale import LossScale, draw_loss_bar, fit_scale, tick_epochs
from lossmap.figures.style import points

CATEGORIES = {"direction": "direction", "source": "", "trajectory": None}
"""The colors that are categories, and the word before them in the legend; None: not explained,
because nobody looks up one of twenty branches."""


def compare_embeddings(groups: list[list[Cell]], options: Options) -> list[Comparison]:
    """Give each group one range of epochs and losses with its bar.

    Hues and grays are those of the whole figure: a direction, label or step size has one color in
    all its panels.

    Raises
    ------
    LossmapError
        The panels of one share differ in their color or hue.
    """
    cells = [cell for group in groups for cell in group]
    steps = {float(s) for cell in cells for s in cell.panel["step_size"] if np.isfinite(s)}
    found = []
    for group in groups:
        color, hue = _agree(group)
        coloring = Coloring(
            color,
            hue,
            _epoch_norm(group),
            _fit_losses(group, color),
            _categories(cells, color),
            tuple(sorted(steps)),
            (options["colormap"], options["epoch_colormap"]),
        )
        found.append(Comparison(group, coloring, _bars(group, coloring)))
    return found


def _fit_losses(cells: list[Cell], color: str) -> LossScale:
    label = shared_label(cells) if color == "loss" else LOSS_LABEL
    return fit_scale("log", [_retrained(cell, "train_loss") for cell in cells], label=label)


def _agree(cells: list[Cell]) -> tuple[str, str]:
    asked = [(_color_of(cell), cell.spec.get("hue", "ascending")) for cell in cells]
    for cell, got in zip(cells, asked, strict=True):
        if got != asked[0]:
            raise LossmapError(
                f"{cell.name}: color {got[0]} ({got[1]}) shares '{cell.spec['share']}' with "
                f"{cells[0].name}, whose color is {asked[0][0]} ({asked[0][1]}); panels that "
                "share have one color bar: name another share"
            )
    return asked[0]


def _color_of(cell: Cell) -> str:
    return cell.spec.get("color", "epoch")


def _retrained(cell: Cell, name: str) -> np.ndarray:
    return np.asarray(cell.panel[name])[np.asarray(cell.panel["trajectory"]) >= 0]


def _epoch_norm(cells: list[Cell]) -> Normalize:
    epochs = np.concatenate([_retrained(cell, "epoch") for cell in cells])
    low, high = float(epochs.min()), float(epochs.max())
    return Normalize(low, max(high, low + 1.0))


def _categories(cells: list[Cell], color: str) -> tuple[object, ...]:
    """Return the categories of a figure: labels as they first occur, numbers ascending."""
    if color not in CATEGORIES:
        return ()
    found: dict[object, None] = {}
    for cell in cells:
        if _color_of(cell) == color:
            categories = categories_of(cell.panel, color)
            drawn = np.asarray(cell.panel["trajectory"]) >= 0
            found |= {c: None for c, own in zip(categories, drawn, strict=True) if own}
    return tuple(found) if color == "source" else tuple(sorted(found))


def _bars(cells: list[Cell], coloring: Coloring) -> list[Bar]:
    jumped = any(np.isfinite(cell.panel["step_size"]).any() for cell in cells)
    label = "epoch of retraining" if jumped else "epoch of training"
    if coloring.color == "loss":
        colormap = visible_map(coloring.colormaps[0])
        draw = partial(draw_loss_bar, scale=coloring.losses, colormap=colormap)
        return [Bar("loss", draw)]
    if coloring.color == "epoch":
        return [Bar("epochs", partial(_draw_epoch_bar, coloring=coloring, label=label))]
    if coloring.color in SHADED:
        drawn = {c for cell in cells for c in categories_of(cell.panel, coloring.color)}
        rows = [i for i, category in enumerate(coloring.categories) if category in drawn]
        draw = partial(_draw_shade_bar, coloring=coloring, rows=rows, label=label)
        return [Bar("epochs", draw, height=0.04 + 0.02 * len(rows))]
    return []


def _draw_epoch_bar(
    figure: Figure, axes: Axes, length: float, *, coloring: Coloring, label: str
) -> None:
    colormap = visible_map(coloring.colormaps[1])
    colormap = colormap if coloring.hue == "ascending" else colormap.reversed()
    mappable = ScalarMappable(coloring.epochs, colormap)
    bar = figure.colorbar(mappable, cax=axes, orientation="horizontal", label=label)
    bar.set_ticks(tick_epochs(coloring.epochs.vmin, coloring.epochs.vmax, length))


def _draw_shade_bar(
    figure: Figure, axes: Axes, length: float, *, coloring: Coloring, rows: list[int], label: str
) -> None:
    """Draw the ramps of all hues above each other along the epochs."""
    low, high = coloring.epochs.vmin, coloring.epochs.vmax
    shade = coloring.shade(np.linspace(low, high, STEPS))
    image = np.stack([hue_of(coloring, row, shade) for row in rows])
    axes.imshow(image, extent=(low, high, 0, len(rows)), aspect="auto", interpolation="nearest")
    axes.set_yticks([])
    axes.set_xticks(tick_epochs(low, high, length))
    axes.set_xlabel(label)


def explain_colors(comparisons: list[Comparison]) -> list[LegendLine]:
    """Return the legend: hues by color, then step sizes, with the marks after the last line."""
    lines: dict[str, list[Line2D]] = {}
    for comparison in comparisons:
        coloring = comparison.shared
        if CATEGORIES.get(coloring.color) is not None:
            lines[CATEGORIES[coloring.color]] = _hue_entries(coloring)
    cells = [cell for comparison in comparisons for cell in comparison.cells]
    present = {mark for cell in cells for mark in cell.spec.get("marks", ())}
    if any((np.asarray(cell.panel["trajectory"]) < 0).any() for cell in cells):
        present.add("optimum")
    if "jumps" in present:
        steps = comparisons[0].shared.steps
        grays = zip(steps, step_colors(len(steps)), strict=True)
        lines["step size of the jump"] = [_entry("jumps", f"{s:g}", gray) for s, gray in grays]
    last = lines.setdefault(next(reversed(lines), ""), [])
    last += [
        _entry(name, style["label"], style.get("color", "white"))
        for name, style in MARK_STYLES.items()
        if name in present and name != "jumps"
    ]
    return [begin_with(word, entries) for word, entries in lines.items()]


def _hue_entries(coloring: Coloring) -> list[Line2D]:
    middle = np.array([MIDDLE])
    style = {"marker": "o", "linewidth": points(0.9), "markersize": points(3.4)}
    return [
        Line2D([], [], color=hue_of(coloring, index, middle)[0], label=str(category), **style)
        for index, category in enumerate(coloring.categories)
    ]


def _entry(name: str, label: str, face: object) -> Line2D:
    mark = MARK_STYLES[name]
    style = {"linestyle": "none", "marker": mark["marker"], "markersize": points(mark["size"])}
    style |= {"markeredgecolor": edge_of(name), "markeredgewidth": points(0.5)}
    return Line2D([], [], markerfacecolor=face, label=label, **style)


EMBEDDING = Family(
    "embedding",
    compare_embeddings,
    explain_colors,
    lambda cell, comparison: notes_of(cell.panel, comparison.shared),
)
