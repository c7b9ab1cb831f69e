"""The spectral density of the Hessian at a snapshot, and its largest eigenvalues.

A spectrum panel holds `curvature` and `density` (points,), the eigenvalues per unit of curvature,
`eigenvalues` (modes,), and the numbers `trace` and `trace_error`.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lossmap.artifacts.curvature import Curvature
from lossmap.artifacts.store import load_part, stream
from lossmap.figures.panel import Cell, Comparison, Family, Kind, Options
from lossmap.figures.sources import Panel, Sources, Spec, find_source, loss_label_of, name_loss
from lossmap.figures.style import CENTER, FAINT, LINE, points, write_notes

SETTINGS = {
    "description": "The spectral density of a Hessian, its largest eigenvalues marked.",
    "with": "panel_shared",
    "required": ["curvature"],
    "properties": {
        "curvature": {"type": "string", "refers": "curvatures", "description": "what is drawn"},
    },
}
POINTS = 800
WIDTH = 0.01
"""Standard deviation of the Gaussian that stands for an eigenvalue, as a share of all that is
drawn."""
LEAST = 0.1
"""Height at which the axis ends, as a share of the peak that one eigenvalue makes."""


def collect_spectrum(panel: Spec, spec: Spec, sources: Sources, where: str) -> Panel:
    """Return the arrays of a spectrum panel; raises LossmapError where its source is missing."""
    path = find_source(panel, "curvature", sources, where)
    with stream(path, Curvature) as file:
        names = ("nodes", "weights", "eigenvalues", "trace", "trace_error")
        found = {name: file[name][()] for name in names}
        parameters = file["eigenvectors"].shape[1]
    nodes, weights = found.pop("nodes"), found.pop("weights")
    at, density = smooth_density(nodes, parameters * weights, found["eigenvalues"])
    label = name_loss(load_part(path, Curvature, "loss_label"))
    return {"curvature": at, "density": density, **found, **label}


def smooth_density(
    nodes: np.ndarray, weights: np.ndarray, eigenvalues: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the density is drawn, and its values: a Gaussian of `WIDTH` for every node.

    Parameters
    ----------
    nodes, weights : float64 (quadratures, steps)
    eigenvalues : float64 (modes,), which are to be seen too
    """
    reached = np.append(nodes[weights > 0], eigenvalues)
    low, high = float(reached.min()), float(reached.max())
    width = WIDTH * ((high - low) or abs(high) or 1.0)
    at = np.linspace(low - 4 * width, high + 4 * width, POINTS)
    bells = np.exp(-0.5 * ((at - nodes[..., None]) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return at, np.einsum("pk,pkx->x", weights, bells) / len(nodes)


def plot_spectrum(axes: Axes, panel: Panel) -> Axes:
    """Draw the density on a logarithmic axis, and a red line for each leading eigenvalue.

    Parameters
    ----------
    axes : two-dimensional axes
    panel : arrays of `collect_spectrum`
    """
    at, density = np.asarray(panel["curvature"]), np.asarray(panel["density"])
    width = WIDTH / (1 + 8 * WIDTH) * np.ptp(at)
    bottom = LEAST / (width * np.sqrt(2 * np.pi))
    axes.set_yscale("log")
    axes.fill_between(at, bottom, np.maximum(density, bottom), color=FAINT, linewidth=0.0)
    axes.plot(at, density, color=LINE, linewidth=points(0.8), gid="density")
    axes.set_xlim(at[0], at[-1])
    axes.set_ylim(bottom, 2.0 * max(float(density.max()), 10 * bottom))
    for value in np.asarray(panel["eigenvalues"]):
        line = {"color": CENTER, "linewidth": points(0.7), "gid": "eigenvalue"}
        axes.axvline(value, 0.0, 0.08, **line)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(f"eigenvalue of the Hessian of the {loss_label_of(panel)}")
    axes.set_ylabel("eigenvalues per unit")
    axes.spines[["top", "right"]].set_visible(False)
    write_notes(axes, notes_of(panel))
    return axes


def notes_of(panel: Panel) -> list[str]:
    """Return the largest eigenvalue and the trace, in words."""
    trace, error = float(panel["trace"]), float(panel["trace_error"])
    spread = f" ± {error:.2g}" if np.isfinite(error) else ""
    return [f"largest {np.max(panel['eigenvalues']):.3g}, trace {trace:.3g}{spread}"]


def _plot_cell(axes: Axes, cell: Cell, comparison: Comparison, options: Options) -> Axes:
    return plot_spectrum(axes, cell.panel)


KIND = Kind(
    Family("spectrum", note=lambda cell, comparison: notes_of(cell.panel)),
    collect_spectrum,
    _plot_cell,
    aspect=0.8,
    inset=(0.36, 0.30, 0.08, 0.04),
)
