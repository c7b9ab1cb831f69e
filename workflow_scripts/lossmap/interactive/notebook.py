"""Interactive figures for a notebook: the page's own."""

from plotly import graph_objects as go

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.curves import LOSS_LABEL
from lossmap.artifacts.grid import Grid
from lossmap.interactive.landscape import Center, draw_landscape


def explore(grid: Grid, plane: Basis | None = None, title: str = "") -> go.Figure:
    """Return a landscape to turn and read in a notebook, a plotly figure.

    Parameters
    ----------
    grid : of `evaluate_landscape`
    plane : whose trajectory, and points that it was laid through, are drawn too
    title : above the figure
    """
    found = {}
    if plane is not None:
        path = plane.coordinates[:, :2]
        found = {"path": path, "epochs": plane.epochs, "points": plane.points}
    center = Center("center", grid.alphas, grid.betas, grid.loss, grid.accuracy, **found)
    return draw_landscape([center], title, grid.loss_label or LOSS_LABEL)
