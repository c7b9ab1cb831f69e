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
    plane : whose trajectory is drawn too
    title : above the figure
    """
    path = {} if plane is None else {"path": plane.coordinates[:, :2], "epochs": plane.epochs}
    center = Center("center", grid.alphas, grid.betas, grid.loss, grid.accuracy, **path)
    return draw_landscape([center], title, grid.loss_label or LOSS_LABEL)
