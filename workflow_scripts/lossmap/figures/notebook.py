"""Figures for a notebook: finished arrays in, a matplotlib figure out, drawn as the workflow's."""

import numpy as np
from matplotlib.figure import Figure

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.grid import Grid
from lossmap.figures.collect import panel_names
from lossmap.figures.compose import draw_figure
from lossmap.figures.sources import name_loss
from lossmap.geometry.interpolation import interpolate_loss


def plot_surface(
    grid: Grid, plane: Basis | None = None, losses: np.ndarray | None = None, **options: object
) -> Figure:
    """Draw a landscape as a surface.

    Parameters
    ----------
    grid : of `evaluate_landscape`
    plane : whose trajectory is drawn too
    losses : of the plane's snapshots, the height of the trajectory; on the surface itself
        by default
    options : as under ``style`` in a configuration, such as ``colormap``, ``z_scale``, ``azimuth``

    Returns
    -------
    Figure
        To show or to save; it belongs to no window of pyplot.

    Raises
    ------
    LossmapError
        An option is unknown.
    """
    return _draw("surface", grid, plane, losses, options)


def plot_contour(
    grid: Grid, plane: Basis | None = None, losses: np.ndarray | None = None, **options: object
) -> Figure:
    """Draw a landscape as a contour map; everything as in `plot_surface`."""
    return _draw("contour", grid, plane, losses, options)


def _draw(
    kind: str, grid: Grid, plane: Basis | None, losses: np.ndarray | None, options: dict
) -> Figure:
    panel = {"alphas": grid.alphas, "betas": grid.betas, "loss": grid.loss}
    panel |= name_loss(grid.loss_label)
    panel["center"] = np.array([0.0, 0.0, interpolate_loss(grid, 0.0, 0.0)])
    if plane is not None:
        places = plane.coordinates[:, :2]
        if losses is None:
            losses = np.array([interpolate_loss(grid, *place) for place in places])
        panel |= {"trajectory": np.column_stack([places, losses]), "epochs": plane.epochs}
    spec = {"figure": kind, "columns": 1, "panels": [{"draw": kind}], "options": options}
    (name,) = panel_names(spec)
    return draw_figure(spec, {name: panel})
