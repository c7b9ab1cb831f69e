"""Curves of training runs: one line for each, the measure to choose. Arrays in, a figure out."""

from collections.abc import Mapping

import numpy as np
from plotly import graph_objects as go

from lossmap.interactive.style import GRID, lay_out, switch


def draw_curves(
    curves: Mapping[str, Mapping[str, np.ndarray]], measures: Mapping[str, str], title: str = ""
) -> go.Figure:
    """Return a figure of one line per run.

    Parameters
    ----------
    curves : by run, its ``epochs`` and each measure, (snapshots,)
    measures : name of each measure and the label of its axis; the first is shown at first
    """
    first = next(iter(measures))
    lines = [
        go.Scatter(x=found["epochs"], y=found[first], mode="lines+markers", name=name)
        for name, found in curves.items()
    ]
    figure = go.Figure(lines)
    lay_out(figure, title)
    logs = [name for name in measures if name.endswith("loss")]
    menu = [
        (
            label,
            [
                {"y": [np.asarray(found[name]) for found in curves.values()]},
                {"yaxis.title.text": label, "yaxis.type": "log" if name in logs else "linear"},
            ],
        )
        for name, label in measures.items()
    ]
    figure.update_layout(
        xaxis={"title": "epoch", **GRID},
        yaxis={"title": measures[first], "type": "log" if first in logs else "linear", **GRID},
        updatemenus=[switch("measure", "update", menu)],
        legend={"orientation": "h", "y": -0.15},
        margin={"l": 60, "b": 50},
    )
    return figure
