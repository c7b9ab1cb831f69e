"""An embedded cloud to explore: colors to choose, a slider that plays retraining.

Arrays in, a plotly figure out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from plotly import graph_objects as go

from lossmap.artifacts.curves import LOSS_LABEL
from lossmap.interactive.style import FAINT, GRAY, lay_out, slider, switch, tick_losses

MOST_FRAMES, MOST_POINTS = 26, 4000
"""At most so many stops of the slider and so many points: of more, every second epoch, every third…
The first and the last epoch of each trajectory always stay."""
LABELS = {
    "epoch": "epoch",
    "loss": "training {loss}",
    "accuracy": "training accuracy",
    "direction": "direction",
    "step_size": "step size",
    "run": "run",
}
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a", "#8b5e3c")


def draw_embedding(
    points: np.ndarray,
    columns: Mapping[str, Sequence],
    title: str = "",
    axis: str = "PHATE",
    loss_label: str = LOSS_LABEL,
) -> go.Figure:
    """Return a figure of an embedded cloud.

    Parameters
    ----------
    points : (n, 2)
    columns : for each point: ``trajectory`` (-1 for what belongs to none) and ``epoch``; where
        known ``loss``, ``accuracy``, ``direction``, ``step_size``, ``run`` (words)
    title : above the figure
    axis : what the axes are called
    loss_label : what the loss is called, with its unit
    """
    rows = thin(np.asarray(columns["trajectory"]), np.asarray(columns["epoch"]))
    points = np.asarray(points, np.float32)[rows]
    known = {n: np.asarray(columns[n])[rows] for n in columns if _is_known(columns[n])}
    epochs = known["epoch"]
    labels = {name: words.format(loss=loss_label) for name, words in LABELS.items()}
    colors = {n: _color(n, known[n], label) for n, label in labels.items() if n in known}
    figure = go.Figure(
        [
            _lines(points, known["trajectory"]),
            go.Scatter(
                x=points[:, 0],
                y=points[:, 1],
                mode="markers",
                marker={"size": 7, "line": {"color": GRAY, "width": 0.6}, **colors["epoch"]},
                unselected={"marker": {"opacity": 0.06}},
                showlegend=False,
                **_describe(known, labels),
            ),
        ]
    )
    stops = np.unique(epochs[epochs >= 0])
    stops = stops[:: -(-len(stops) // MOST_FRAMES)] if len(stops) > MOST_FRAMES else stops
    stops = np.unique(np.append(stops, epochs.max()))
    figure.frames = [
        go.Frame(
            name=str(stop),
            data=[{"type": "scatter", "selectedpoints": np.flatnonzero(epochs <= stop).tolist()}],
            traces=[1],
        )
        for stop in stops
    ]
    lay_out(figure, title)
    bare = {"showticklabels": False, "zeroline": False, "showgrid": False, "constrain": "domain"}
    menu = [(labels[name], [_restyle(color), [1]]) for name, color in colors.items()]
    figure.update_layout(
        xaxis={"title": f"{axis} 1", **bare},
        yaxis={"title": f"{axis} 2", "scaleanchor": "x", **bare},
        updatemenus=[switch("color", "restyle", menu)],
        sliders=[slider("up to epoch", [str(s) for s in stops], active=len(stops) - 1)],
    )
    return figure


def thin(trajectory: np.ndarray, epoch: np.ndarray) -> np.ndarray:
    """Return the rows that are drawn: all, or every k-th epoch with the first and the last."""
    stride = -(-len(epoch) // MOST_POINTS)
    if stride == 1:
        return np.arange(len(epoch))
    keep = epoch % stride == 0
    for index in np.unique(trajectory):
        rows = np.flatnonzero(trajectory == index)
        keep[[rows[epoch[rows].argmin()], rows[epoch[rows].argmax()]]] = True
    return np.flatnonzero(keep)


def _is_known(values: Sequence) -> bool:
    values = np.asarray(values)
    return values.dtype.kind not in "f" or bool(np.isfinite(values).any())


def _lines(points: np.ndarray, trajectory: np.ndarray) -> go.Scatter:
    """Return one trace of all trajectories, apart from each other."""
    parts = [points[trajectory == index] for index in np.unique(trajectory[trajectory >= 0])]
    gap = np.full((1, 2), np.nan)
    joined = np.concatenate([part for each in parts for part in (each, gap)] or [gap])
    line = {"color": FAINT, "width": 1}
    return go.Scatter(
        x=joined[:, 0], y=joined[:, 1], mode="lines", line=line, hoverinfo="skip", showlegend=False
    )


def _color(name: str, values: np.ndarray, label: str) -> dict:
    """Return what colors the points by one column."""
    bar = {"title": {"text": label, "side": "right"}, "len": 0.8}
    if name in ("direction", "run"):
        return _color_by_category(values, bar)
    shown = np.asarray(values, np.float32)
    if name == "loss":
        shown = np.log10(np.where(shown > 0, shown, np.nan))
        finite = shown[np.isfinite(shown)]
        bar |= tick_losses(10 ** finite.min(), 10 ** finite.max()) if len(finite) else {}
    return {"color": shown, "colorscale": "Viridis", "colorbar": bar, "showscale": True}


def _color_by_category(values: np.ndarray, bar: dict) -> dict:
    names, index = np.unique(values, return_inverse=True)
    count = len(names)
    hues = [HUES[i % len(HUES)] for i in range(count)]
    stops = [(edge / count, hue) for i, hue in enumerate(hues) for edge in (i, i + 1)]
    bar |= {"tickvals": list(range(count)), "ticktext": [str(name) for name in names]}
    limits = {"cmin": -0.5, "cmax": count - 0.5}
    return {"color": index, "colorscale": stops, "colorbar": bar, "showscale": True, **limits}


def _restyle(color: dict) -> dict:
    """Return the change of the points to another coloring; limits that are None are automatic."""
    color = {"cmin": None, "cmax": None} | color
    bar = {"tickvals": None, "ticktext": None} | color.pop("colorbar")
    leaves = color | {f"colorbar.{key}": value for key, value in bar.items()}
    return {f"marker.{key}": [value] for key, value in leaves.items()}


def _describe(known: Mapping[str, np.ndarray], labels: Mapping[str, str]) -> dict:
    """Return what is said of each point when it is pointed at."""
    forms = {"loss": ":.4g", "accuracy": ":.1%", "step_size": ":g"}
    names = [name for name in LABELS if name in known and name != "run"]
    numbers = np.stack([np.asarray(known[name], np.float32) for name in names], axis=-1)
    lines = [
        f"{labels[name]} %{{customdata[{column}]{forms.get(name, '')}}}"
        for column, name in enumerate(names)
    ]
    runs = known.get("run")
    lines = lines if runs is None else ["%{text}", *lines]
    shown = {"customdata": numbers, "hovertemplate": "<br>".join(lines) + "<extra></extra>"}
    return shown if runs is None else {"text": runs, **shown}
