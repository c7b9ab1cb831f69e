"""The L2 norm of the weights during training: a mean over runs and the range of the runs.

A norm panel holds for each series i `epochs_<i>` (epochs,) and `norm_<i>` (runs, epochs), and the
words `label_names`.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from lossmap.artifacts.store import load_part
from lossmap.artifacts.trajectory import Trajectory
from lossmap.errors import LossmapError
from lossmap.figures.hues import ramp
from lossmap.figures.panel import Cell, Comparison, Family, Kind, LegendLine, Options
from lossmap.figures.scale import fit_scale, format_loss
from lossmap.figures.sources import Panel, Sources, Spec, find_artifact, words
from lossmap.figures.style import GAP, points, write_notes

SETTINGS = {
    "description": "The L2 norm of the weights over the epochs.",
    "with": "panel_shared",
    "required": ["series"],
    "properties": {
        "series": {
            "type": "array",
            "minItems": 1,
            "description": "groups of runs, each with a mean and a range",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["label", "runs"],
                "properties": {
                    "label": {"type": "string", "description": "in the legend"},
                    "runs": {
                        "$ref": "#/$defs/names",
                        "items": {"refers": "runs"},
                        "description": "runs of one group, with the same epochs",
                    },
                },
            },
        }
    },
}
SHADE = 0.55
"""Where on the ramp of its hue a series is drawn."""
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
"""Line styles by series, so that a print in gray can be read."""
TICKS = 6


def collect_norm(panel: Spec, spec: Spec, sources: Sources, where: str) -> Panel:
    """Return the arrays of a norm panel.

    Raises
    ------
    LossmapError
        No series or run is named, a run is not among the sources, or the runs of a series kept
        different epochs.
    """
    if not panel.get("series"):
        raise LossmapError(f"{where}: 'norm' needs 'series', but none is named")
    found: Panel = {"label_names": [series["label"] for series in panel["series"]]}
    for index, series in enumerate(panel["series"]):
        if not series["runs"]:
            raise LossmapError(f"{where}: series '{series['label']}' names no run")
        histories = [
            load_part(find_artifact(f"trajectory/{run}", sources, where), Trajectory, "history")
            for run in series["runs"]
        ]
        epochs = histories[0].epochs
        for run, history in zip(series["runs"], histories, strict=True):
            if not np.array_equal(history.epochs, epochs):
                raise LossmapError(
                    f"{where}: run '{run}' kept {len(history.epochs)} epochs up to "
                    f"{history.epochs[-1]}, but '{series['runs'][0]}' of the same series "
                    f"{len(epochs)} up to {epochs[-1]}; a band needs the same epochs"
                )
        found[f"epochs_{index}"] = epochs
        found[f"norm_{index}"] = np.stack([history.theta_norm for history in histories])
    return found


def plot_norm(axes: Axes, panel: Panel) -> Axes:
    """Draw the mean norm of each series over its runs as a line, their range as a band.

    Epochs at which a run's norm is not finite or zero are left out of that run's mean and range,
    and counted in a note.

    Parameters
    ----------
    axes : two-dimensional axes
    panel : arrays of `collect_norm`
    """
    labels = words(panel, "label_names")
    for index, label in enumerate(labels):
        epochs, norms = np.asarray(panel[f"epochs_{index}"]), drawable(panel[f"norm_{index}"])
        known = np.isfinite(norms).any(axis=0)
        epochs, norms = epochs[known], norms[:, known]
        style = series_style(index, len(labels))
        if len(norms) > 1:
            band = (np.nanmin(norms, axis=0), np.nanmax(norms, axis=0))
            band_style = {"color": style["color"], "alpha": 0.22, "linewidth": 0.0}
            axes.fill_between(epochs, *band, gid=f"range-{index}", **band_style)
        mean = np.nanmean(norms, axis=0)
        axes.plot(epochs, mean, gid=f"mean-{index}", label=label, **style)
    _frame(axes, panel)
    return axes


def drawable(norms: np.ndarray) -> np.ndarray:
    """Return norms with NaN for those that a logarithmic axis cannot show."""
    norms = np.asarray(norms, np.float64)
    return np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)


def series_style(index: int, number: int) -> dict[str, object]:
    """Return the look of a series' line."""
    return {
        "color": ramp(index, number)(SHADE)[:3],
        "linestyle": DASHES[index % len(DASHES)],
        "linewidth": points(1.1),
    }


def notes_of(panel: Panel) -> list[str]:
    """Return how many norms cannot be drawn, in words."""
    norms = _norms_of(panel)
    missing = sum(int(np.isnan(drawable(values)).sum()) for values in norms)
    return [f"not finite: {missing} of {sum(n.size for n in norms)} norms"] if missing else []


def _norms_of(panel: Panel) -> list[np.ndarray]:
    return [np.asarray(norms) for name, norms in panel.items() if name.startswith("norm_")]


def _frame(axes: Axes, panel: Panel) -> None:
    epochs = np.concatenate([panel[name] for name in panel if name.startswith("epochs_")])
    low, high = float(epochs.min()), float(epochs.max())
    axes.set_xlim(low, max(high, low + 1.0))
    axes.set_yscale("log")
    scale = fit_scale("log", _norms_of(panel))
    room = 0.06 * (scale.top - scale.bottom)
    bottom, top = scale.bottom - room, scale.top + room
    axes.set_ylim(10.0**bottom, 10.0**top)
    ticks = scale.choose_levels(bottom, top, TICKS)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FixedFormatter([format_loss(tick) for tick in ticks]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("L2 norm of the weights")
    axes.spines[["top", "right"]].set_visible(False)
    write_notes(axes, notes_of(panel))


def _explain(comparisons: list[Comparison]) -> list[LegendLine]:
    lines: dict[tuple[str, ...], list[Line2D]] = {}
    cells = [cell for comparison in comparisons for cell in comparison.cells]
    for cell in cells:
        labels = words(cell.panel, "label_names")
        lines[tuple(labels)] = [
            Line2D([], [], label=label, **series_style(index, len(labels)))
            for index, label in enumerate(labels)
        ]
    several = any(len(norms) > 1 for cell in cells for norms in _norms_of(cell.panel))
    band = [Patch(color=GAP, label="range of the runs")] if several else []
    return [[*handles, *band] for handles in lines.values()]


def _plot_cell(axes: Axes, cell: Cell, comparison: Comparison, options: Options) -> Axes:
    return plot_norm(axes, cell.panel)


KIND = Kind(
    Family("norm", explain=_explain, note=lambda cell, comparison: notes_of(cell.panel)),
    collect_norm,
    _plot_cell,
    aspect=0.75,
    inset=(0.36, 0.30, 0.08, 0.04),
)
