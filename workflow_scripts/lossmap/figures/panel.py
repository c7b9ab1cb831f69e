"""What a kind of panel is, and the parts that a figure is laid out from.

A kind is the module `lossmap.figures.panels.<draw>`, found by the word under ``draw``: its `KIND`
says what is collected from artifacts, how it is drawn, and by its family what a comparison shares:
the scale, the color bars under it and the lines of the legend. Compose gives every panel a place.
What a configuration may say for it, its `SETTINGS` say.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossmap.errors import LossmapError
from lossmap.figures.sources import Panel, Sources, Spec, loss_label_of
from lossmap.figures.style import FONT_SIZE

Options = Mapping[str, Any]
Box = tuple[float, float, float, float]
"""Left, bottom, width, height; inches from the lower left corner at scale 1."""
LegendLine = list[Artist]
"""The entries of one line of the legend; a word before them is an entry without a mark."""


@dataclass
class Cell:
    """One panel with its place in the figure."""

    name: str
    spec: Spec
    panel: Mapping[str, Any]
    kind: "Kind"
    row: int
    column: int
    group: str = ""
    title: str = ""
    title_height: float = 0.0
    notes: int = 0
    box: Box = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Bar:
    """A bar that explains colors: the label of its axes, and what draws it there.

    `draw` receives the figure, the axes and their length in inches at scale 1.
    """

    label: str
    draw: Callable[[Figure, Axes, float], None]
    height: float = 0.07


@dataclass
class Comparison:
    """The panels that share one scale, and the bars under them."""

    cells: list[Cell]
    shared: Any = None
    bars: Sequence[Bar] = ()
    strip: Box = field(default=(0.0, 0.0, 0.0, 0.0))


def shared_label(cells: Sequence[Cell]) -> str:
    """Return what the losses of a comparison are called.

    Raises
    ------
    LossmapError
        They are different losses.
    """
    first = loss_label_of(cells[0].panel)
    for cell in cells[1:]:
        found = loss_label_of(cell.panel)
        if found != first:
            raise LossmapError(
                f"{cell.name}: its loss is '{found}', but it shares '{cell.spec['share']}' with "
                f"{cells[0].name}, whose loss is '{first}'; name another share"
            )
    return first


def begin_with(word: str, handles: Sequence[Artist]) -> LegendLine:
    """Return a line of the legend that begins with a word, if there is one."""
    if not word or not handles:
        return list(handles)
    return [Line2D([], [], linestyle="none", label=f"{word}:"), *handles]


def wrap_line(handles: LegendLine, width: float) -> list[LegendLine]:
    """Return the entries of one line as lines of the legend that fit a width in inches."""
    lines: list[LegendLine] = []
    room = 0.0
    for handle in handles:
        if not lines or room < _width_of(handle.get_label()):
            lines.append([])
            room = width - 0.3
        lines[-1].append(handle)
        room -= _width_of(handle.get_label())
    return lines


def _width_of(text: str) -> float:
    """Return about how wide an entry of the legend is, in inches."""
    return 0.42 + 0.56 * len(text) * FONT_SIZE / 72


@dataclass(frozen=True)
class Family:
    """Panels that can share a scale; by default they share none, with no bar, legend or note.

    Attributes
    ----------
    name : panels of two families never share
    compare : the comparisons of a whole figure, one per group of cells, in their order
    explain : the legend of all comparisons of a figure
    note : what a panel writes above itself, line by line
    """

    name: str
    compare: Callable[[list[list[Cell]], Options], list[Comparison]] = lambda groups, options: [
        Comparison(cells) for cells in groups
    ]
    explain: Callable[[list[Comparison]], list[LegendLine]] = lambda comparisons: []
    note: Callable[[Cell, Comparison], list[str]] = lambda cell, comparison: []


@dataclass(frozen=True)
class Kind:
    """A kind of panel.

    Attributes
    ----------
    collect : from the panel's and the figure's entries, the artifacts and the words that name the
        panel in a message, to the arrays that are drawn; raises LossmapError
    plot : draws a cell of a comparison on its axes
    aspect : height of a panel by its width; the tallest panel sets the height of its row
    inset : inches kept free for labels inside a panel: left, bottom, right, top
    axes : further arguments for making the axes
    """

    family: Family
    collect: Callable[[Spec, Spec, Sources, str], Panel]
    plot: Callable[[Axes, Cell, Comparison, Options], Axes]
    aspect: float
    inset: Box
    axes: Mapping[str, Any] = field(default_factory=dict)
