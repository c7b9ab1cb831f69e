"""How every figure looks and is saved: sizes, fonts, colors, deterministic files.

Owns each constant of appearance. Knows nothing of what a panel shows, never touches pyplot.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lossmap.artifacts.files import replacing

PDF_DOTS = 2
"""How much finer than in the PNG what a PDF holds as pixels is."""
PAGE_WIDTH = 17.145
"""Width of a page's text in centimeters (PMLR and ICML lie within 6 mm of it)."""
FONT_SIZE = 7.0
"""Points at scale 1; every other length in points is a multiple of it."""
NOTE_SIZE = 5.5
"""Points of the remarks and level labels inside a panel, at scale 1."""

CENTER = "#e8112d"
"""Red of the paper's center bubble. Red and green differ in brightness and shape as well."""
CONVERGED = "#39f06a"
LINE = "#0072b2"
FAINT = "#9ecae1"
INK = "#222222"
GAP = "#d9d9d9"
"""Where a loss is not drawn: this gray under a hatch."""
GAP_HATCH = "////"
COLORMAP = "viridis"
TRAJECTORY_COLORMAP = "YlOrRd"
EPOCH_COLORMAP = "plasma_r"
"""Of points by epoch: darker as training goes on, and no map of losses."""
GOLD = "#ffc91f"

ZORDER = {"gap": 1, "floor": 2, "surface": 3, "shadow": 4, "stem": 5, "path": 6, "mark": 8}


def _settings(scale: float) -> dict[str, object]:
    size = FONT_SIZE * scale
    return {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # shipped with matplotlib: same bytes everywhere
        "mathtext.fontset": "dejavusans",
        "axes.unicode_minus": True,
        "font.size": size,
        "axes.titlesize": size,
        "axes.labelsize": size,
        "xtick.labelsize": 0.86 * size,
        "ytick.labelsize": 0.86 * size,
        "legend.fontsize": 0.93 * size,
        "axes.linewidth": 0.6 * scale,
        "grid.linewidth": 0.4 * scale,
        "lines.linewidth": 1.0 * scale,
        "patch.linewidth": 0.5 * scale,
        "hatch.linewidth": 0.4 * scale,
        "hatch.color": "#8c8c8c",
        **{f"{axis}tick.major.width": 0.6 * scale for axis in "xy"},
        **{f"{axis}tick.major.size": 2.5 * scale for axis in "xy"},
        **{f"{axis}tick.major.pad": 2.0 * scale for axis in "xy"},
        "axes.labelpad": 2.0 * scale,
        "axes.edgecolor": INK,
        "text.color": INK,
        "axes.labelcolor": INK,
    }


@contextmanager
def paper_style(scale: float = 1.0) -> Iterator[None]:
    """Draw with this project's settings, every length multiplied by `scale`.

    The user's own matplotlibrc is ignored, so that a figure does not depend on the account.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_settings(scale))
        yield


def points(length: float) -> float:
    """Return a length in points (at scale 1) in the style that is active."""
    return length * mpl.rcParams["font.size"] / FONT_SIZE


def write_notes(axes: Axes, notes: Sequence[str], left: float = 0.0, bottom: float = 1.01) -> None:
    """Write notes line by line, flat on the paper, from a place in units of the axes upwards."""
    if notes:
        style = {"transform": axes.transAxes, "va": "bottom", "fontsize": points(NOTE_SIZE)}
        Axes.text(axes, left, bottom, "\n".join(notes), gid="notes", **style)


def make_figure(width: float, height: float, dpi: float) -> Figure:
    """Return an empty figure, size in inches, that is not part of pyplot's global state."""
    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, pdf_path: str | Path, png_path: str | Path) -> None:
    """Write a figure as PDF and PNG; equal figures give equal bytes.

    Each file is written under a temporary name in its folder and renamed. No date and no version of
    a library is written.

    Raises
    ------
    LossmapError
        A file cannot be written.
    """
    pdf = {"Creator": None, "Producer": None, "CreationDate": None}
    for path, form, metadata in ((pdf_path, "pdf", pdf), (png_path, "png", {"Software": None})):
        with paper_style(), replacing(path) as stream:
            mpl.rcParams["pdf.fonttype"] = 42  # text stays text for journals and editors
            dots = figure.dpi * (PDF_DOTS if form == "pdf" else 1)
            figure.savefig(stream, format=form, metadata=metadata, dpi=dots)
