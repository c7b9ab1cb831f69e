"""Curves of runs or along lines: one each, the measure to choose. Arrays in, a figure out."""

from collections.abc import Mapping

import numpy as np
from plotly import graph_objects as go

from lossmap.interactive.style import GRID, lay_out, switch


def draw_curves(
    curves: Mapping[str, Mapping[str, np.ndarray]],
    measures: Mapping[str, str],
    title: str = "",
    along: tuple[str, str] = ("epochs", "epoch"),
) -> go.Figure:
    """Return a figure of one curve per run or line.

    Parameters
    ----------
    curves : by run, its ``epochs`` and each measure, (snapshots,)
    measures : name of each measure and the label of its axis; the first is shown at first
    along : name of what takes the place of ``epochs``, and the label of its axis
    """
    first = next(iter(measures))
    lines = [
        go.Scatter(x=found[along[0]], y=found[first], mode="lines+markers", name=name)
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
        xaxis={"title": along[1], **GRID},
        yaxis={"title": measures[first], "type": "log" if first in logs else "linear", **GRID},
        updatemenus=[switch("measure", "update", menu)],
        legend={"orientation": "h", "y": -0.15},
        margin={"l": 60, "b": 50},
    )
    return figure
