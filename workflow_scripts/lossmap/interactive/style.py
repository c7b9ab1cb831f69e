"""What the interactive figures share: colors, margins, switches, sliders, ticks of losses."""

from collections.abc import Sequence

import numpy as np
from plotly import graph_objects as go

INK, TRAIL, FAINT, GRAY = "#1c2128", "#d5482c", "rgba(128,128,128,0.35)", "#a0a7b0"
GRID = {
    "gridcolor": "#a0a7b0",
    "zerolinecolor": "#a0a7b0",
    "linecolor": "#a0a7b0",
    "showgrid": True,
}
CLEAR = "rgba(0,0,0,0)"


def lay_out(figure: go.Figure, title: str) -> None:
    """Give a figure its margins and a ground that is the page's."""
    figure.update_layout(
        title={"text": title},
        margin={"l": 10, "r": 10, "t": 40 if title else 10, "b": 10},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        hoverlabel={"align": "left"},
        uirevision="same",  # a camera that was turned stays where it is
        template="none",
    )


def switch(name: str, method: str, choices: Sequence[tuple[str, list]], row: int = 0) -> dict:
    """Return a menu of choices, each a label and the arguments of a method of plotly."""
    buttons = [{"label": label, "method": method, "args": args} for label, args in choices]
    place = {"x": 0.0, "y": 1.12 - 0.1 * row, "xanchor": "left", "yanchor": "top"}
    return {"name": name, "type": "dropdown", "buttons": buttons, "showactive": True, **place}


def slider(name: str, frames: Sequence[str], active: int = 0) -> dict:
    """Return a slider over the frames of a figure."""
    at_once = {
        "mode": "immediate",
        "frame": {"duration": 0, "redraw": True},
        "transition": {"duration": 0},
    }
    steps = [{"label": f, "method": "animate", "args": [[f], at_once]} for f in frames]
    return {
        "name": name,
        "active": active,
        "steps": steps,
        "visible": len(frames) > 1,
        "currentvalue": {"prefix": f"{name}: "},
    }


def tick_losses(lowest: float, highest: float) -> dict:
    """Return the ticks of a color bar of log10 losses, labeled with the losses themselves."""
    candidates = [m * 10.0**e for e in range(-8, 9) for m in (1, 2, 5)]
    inside = [value for value in candidates if lowest <= value <= highest]
    shown = inside if len(inside) >= 2 else [lowest, highest]
    return {"tickvals": np.log10(shown), "ticktext": [f"{value:.3g}" for value in shown]}
