"""A loss landscape to turn, read and walk through: one figure, a slider over its centers.

Arrays in, a plotly figure out; the same in a notebook and on the page. Colors are always
logarithmic, because a loss spans decades; the height can be either.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from plotly import graph_objects as go

from lossmap.artifacts.curves import LOSS_LABEL
from lossmap.geometry.interpolation import interpolate_loss
from lossmap.interactive.style import GRID, INK, TRAIL, lay_out, slider, switch, tick_losses

SURFACE, MAP = (0, 1, 2), (3, 4, 5)
"""Traces of the surface with its path and its points, and of the map with the same."""
POINTS = ("center", "second point", "third point")


@dataclass(frozen=True)
class Center:
    """A landscape around one center.

    Attributes
    ----------
    name : shown at the slider, such as ``epoch 20``
    alphas, betas : positions along both directions, (n_alpha,), (n_beta,)
    loss : (n_alpha, n_beta); not finite where it is not known
    accuracy : (n_alpha, n_beta), or None; NaN where there is none
    path : the run in this plane, (snapshots, 2) as (alpha, beta), or None
    epochs : of the path, (snapshots,)
    points : what the plane was laid through, (three, 2) as (alpha, beta), or None
    """

    name: str
    alphas: np.ndarray
    betas: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray | None = None
    path: np.ndarray | None = None
    epochs: np.ndarray | None = None
    points: np.ndarray | None = None


def draw_landscape(
    centers: Sequence[Center], title: str = "", loss_label: str = LOSS_LABEL
) -> go.Figure:
    """Return one figure of the landscapes of a run, in the order of their centers.

    The path is drawn on the surface, at the loss of its place in the plane; parts of it that lie
    outside of the square are left out. All centers share one scale of color; the height is each
    one's own, so that a flat one is seen as well.
    """
    losses = np.concatenate([_known(center.loss).ravel() for center in centers])
    lowest, highest = np.nanmin(losses), np.nanmax(losses)
    bar = {"title": {"text": loss_label}, "len": 0.8, **tick_losses(lowest, highest)}
    figure = go.Figure([*_traces(centers[0])])
    figure.update_traces(selector={"type": "surface"}, colorbar=bar)
    figure.update_traces(selector={"type": "heatmap"}, colorbar=bar)
    colors = {"cmin": np.log10(lowest), "cmax": np.log10(highest)}
    figure.update_traces(selector={"type": "surface"}, **colors)
    figure.update_traces(
        selector={"type": "heatmap"}, zmin=colors["cmin"], zmax=colors["cmax"], visible=False
    )
    for trace in MAP[1:]:
        figure.data[trace].visible = False
    figure.frames = [go.Frame(name=center.name, data=_traces(center)) for center in centers]
    lay_out(figure, title)
    figure.update_layout(
        scene={
            "xaxis": {"title": "α", **GRID},
            "yaxis": {"title": "β", **GRID},
            "zaxis": {"title": loss_label, "type": "log", **GRID},
            "aspectratio": {"x": 1, "y": 1, "z": 0.7},
            "camera": {"eye": {"x": 1.35, "y": -1.35, "z": 1.2}},
        },
        xaxis={"title": "α", "constrain": "domain", "visible": False},
        yaxis={"title": "β", "scaleanchor": "x", "constrain": "domain", "visible": False},
        updatemenus=[_views(), _heights()],
        sliders=[slider("center", [center.name for center in centers])],
    )
    return figure


def _views() -> dict:
    def show(shown: tuple[int, ...], flat: bool) -> list[dict]:
        visible = [trace in shown for trace in (*SURFACE, *MAP)]
        axes = {"xaxis.visible": flat, "yaxis.visible": flat}
        return [{"visible": visible}, axes]

    return switch(
        "view", "update", [("surface", show(SURFACE, False)), ("contour map", show(MAP, True))]
    )


def _heights() -> dict:
    kinds = [(name, [{"scene.zaxis.type": kind}]) for name, kind in _HEIGHTS]
    return switch("height", "relayout", kinds, row=1)


_HEIGHTS = (("logarithmic", "log"), ("linear", "linear"))


def _known(loss: np.ndarray) -> np.ndarray:
    """Return losses that a logarithm can show; NaN elsewhere."""
    return np.where(np.isfinite(loss) & (loss > 0), loss, np.nan).astype(np.float32)


def _traces(center: Center) -> list[go.Surface | go.Scatter3d | go.Heatmap | go.Scatter]:
    # plotly's z[y][x]: rows are beta.
    loss = _known(center.loss).T
    hover = "α %{x:.2f}  β %{y:.2f}<br>loss %{customdata[0]:.4g}"
    numbers = [loss]
    if center.accuracy is not None and np.isfinite(center.accuracy).any():
        hover += "<br>accuracy %{customdata[1]:.1%}"
        numbers.append(center.accuracy.T)
    shared = {
        "x": center.alphas,
        "y": center.betas,
        "customdata": np.stack(numbers, axis=-1),
        "hovertemplate": hover + "<extra></extra>",
        "colorscale": "Viridis",
    }
    places, on_surface = _follow(center, center.path)
    points, heights = _follow(center, center.points)
    words = [] if center.epochs is None else [f"epoch {epoch}" for epoch in center.epochs]
    path = {
        "x": places[:, 0],
        "y": places[:, 1],
        "text": words,
        "mode": "lines+markers",
        "hovertemplate": "%{text}<br>α %{x:.2f}  β %{y:.2f}<extra>run</extra>",
        "showlegend": False,
    }
    marks = {
        "x": points[:, 0],
        "y": points[:, 1],
        "text": POINTS,
        "mode": "markers",
        "hovertemplate": "%{text}<br>α %{x:.2f}  β %{y:.2f}<extra></extra>",
        "showlegend": False,
    }
    diamond = {"symbol": "diamond", "color": INK, "line": {"color": "white", "width": 1}}
    return [
        go.Surface(z=loss, surfacecolor=np.log10(loss), **shared),
        go.Scatter3d(
            z=on_surface,
            line={"color": TRAIL, "width": 5},
            marker={"color": TRAIL, "size": 3},
            **path,
        ),
        go.Scatter3d(z=heights, marker=diamond | {"size": 5}, **marks),
        go.Heatmap(z=np.log10(loss), zsmooth=False, **shared),
        go.Scatter(
            line={"color": TRAIL, "width": 2},
            marker={"color": TRAIL, "size": 6, "line": {"color": INK, "width": 1}},
            **path,
        ),
        go.Scatter(marker=diamond | {"size": 9}, **marks),
    ]


def _follow(center: Center, places: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return places (rows, 2) and the landscape's loss under them; NaN outside the square."""
    if places is None:
        return np.empty((0, 2)), np.empty(0)
    heights = np.array([interpolate_loss(center, *place) for place in places])
    inside = np.isfinite(heights)
    return np.where(inside[:, None], places, np.nan), np.where(inside, heights, np.nan)
