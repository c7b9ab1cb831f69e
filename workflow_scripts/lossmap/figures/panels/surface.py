"""The 3-D loss surface, with its contour lines on the floor and what is marked on it.

Finished arrays in, drawn on given axes, axes returned. No data point is interpolated or left out:
one facet per cell of the grid, and a gray hatched cell on the floor where a corner has no finite
loss.
"""

import numpy as np
from matplotlib.axis import Axis
from matplotlib.colors import Normalize
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator
from mpl_toolkits.mplot3d import Axes3D, proj3d
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from lossmap.figures.landscape import marks
from lossmap.figures.landscape.collect import collect_landscape
from lossmap.figures.landscape.family import LANDSCAPE, style_of
from lossmap.figures.panel import Cell, Comparison, Kind, Options
from lossmap.figures.scale import LossScale
from lossmap.figures.sources import Panel
from lossmap.figures.style import (
    COLORMAP,
    GAP,
    GAP_HATCH,
    INK,
    TRAJECTORY_COLORMAP,
    ZORDER,
    points,
    write_notes,
)

SETTINGS = {
    "description": "A landscape as a surface.",
    "with": "landscape",
    "properties": {
        "elevation": {"$ref": "#/$defs/elevation", "absent": "style.elevation"},
        "azimuth": {"$ref": "#/$defs/azimuth", "absent": "style.azimuth"},
    },
}
FLOOR_DEPTH = 0.34
"""Distance of the floor below the lowest loss, as a share of the drawn heights."""
_TICK_OFFSET, _LABEL_OFFSET = 8.0, 21.0
"""Points that mplot3d adds to the pads of ticks and labels, whatever the size of the text."""


def plot_surface(
    axes: Axes3D,
    panel: Panel,
    scale: LossScale,
    *,
    colormap: str = COLORMAP,
    camera: tuple[float, float] = (32.0, -60.0),
    epoch_norm: Normalize | None = None,
    trajectory_colormap: str = TRAJECTORY_COLORMAP,
) -> Axes3D:
    """Draw one landscape panel as a surface.

    Parameters
    ----------
    axes : made with ``computed_zorder=False``, so that marks stay visible behind the surface
    panel : arrays of `lossmap.figures.landscape.collect`
    scale : heights and colors, shared by the panels of a comparison
    camera : elevation and azimuth, degrees
    epoch_norm : colors of the trajectory, its own epochs by default
    """
    heights = scale.to_height(panel["loss"])
    _frame(axes, panel, scale, camera)
    _draw_gaps(axes, panel, heights)
    _draw_floor(axes, panel, scale, heights, colormap)
    _draw_facets(axes, panel, scale, heights, colormap)
    if "trajectory" in panel:
        _draw_trajectory(axes, panel, scale, epoch_norm, trajectory_colormap)
    _draw_marks(axes, panel, scale)
    write_notes(axes, marks.notes_of(panel, scale), left=0.1, bottom=1.0)
    return axes


def floor_of(scale: LossScale) -> float:
    """Return the height of the floor."""
    return scale.bottom - FLOOR_DEPTH * (scale.top - scale.bottom)


def _frame(axes: Axes3D, panel: Panel, scale: LossScale, camera: tuple[float, float]) -> None:
    alpha_limits, beta_limits = marks.extent_of(panel)
    axes.set_xlim(*alpha_limits)
    axes.set_ylim(*beta_limits)
    axes.set_zlim(floor_of(scale), scale.top + 0.02 * (scale.top - scale.bottom))
    axes.set_box_aspect((1, 1, 0.82), zoom=0.98)
    axes.view_init(elev=camera[0], azim=camera[1])
    _tick(axes.xaxis, *alpha_limits)
    _tick(axes.yaxis, beta_limits[0] + 0.02 * np.ptp(beta_limits), beta_limits[1])  # shared corner
    inches = axes.get_position().height * axes.figure.get_figheight() / points(1.0)
    number = int(np.clip(inches / 0.33, 4, 6))
    scale.set_ticks(axes.zaxis, scale.bottom, scale.top, at_most=number, at_least=4)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((0.97, 0.97, 0.97, 1.0))
    axes.tick_params(pad=points(4.0) - _TICK_OFFSET)
    axes.tick_params(axis="z", pad=points(6.0) - _TICK_OFFSET)
    axes.set_xlabel("α", labelpad=points(11.0) - _LABEL_OFFSET)
    axes.set_ylabel("β", labelpad=points(11.0) - _LABEL_OFFSET)
    axes.set_zlabel(scale.label, labelpad=points(17.0) - _LABEL_OFFSET)


def _tick(axis: Axis, low: float, high: float) -> None:
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)
    inside = [float(tick) for tick in ticks if low <= tick <= high]
    axis.set_major_locator(FixedLocator(inside))
    axis.set_major_formatter(FixedFormatter([f"{tick:g}".replace("-", "−") for tick in inside]))


def _quads(panel: Panel, heights: np.ndarray) -> np.ndarray:
    """Return the corners of every cell, (cells, 4, 3), in the order of the flattened grid."""
    alphas, betas = np.meshgrid(panel["alphas"], panel["betas"], indexing="ij")
    points_ = np.stack([alphas, betas, heights], axis=-1)
    corners = [points_[:-1, :-1], points_[1:, :-1], points_[1:, 1:], points_[:-1, 1:]]
    return np.stack(corners, axis=2).reshape(-1, 4, 3)


def _draw_gaps(axes: Axes3D, panel: Panel, heights: np.ndarray) -> None:
    missing = marks.missing_cells(heights).ravel()
    if not missing.any():
        return
    floor = np.full_like(heights, axes.get_zlim()[0])
    gaps = Poly3DCollection(
        _quads(panel, floor)[missing], facecolor=GAP, edgecolor=GAP, linewidth=points(0.1)
    )
    gaps.set(hatch=GAP_HATCH, gid="gaps", zorder=ZORDER["gap"], label="not finite")
    axes.add_collection3d(gaps, autolim=False)


def _draw_floor(
    axes: Axes3D, panel: Panel, scale: LossScale, heights: np.ndarray, colormap: str
) -> None:
    levels = scale.choose_contours(heights, at_most=14)
    if not levels.size:
        return
    alphas, betas = np.meshgrid(panel["alphas"], panel["betas"], indexing="ij")
    style = {"cmap": colormap, "norm": scale.norm, "linewidths": points(0.7)}
    flat = {"zdir": "z", "offset": axes.get_zlim()[0]}
    losses = np.ma.masked_invalid(heights)
    lines = axes.contour(alphas, betas, losses, levels=levels, **flat, **style)
    lines.set(gid="floor", zorder=ZORDER["floor"])


def _draw_facets(
    axes: Axes3D, panel: Panel, scale: LossScale, heights: np.ndarray, colormap: str
) -> None:
    quads = _quads(panel, heights)[~marks.missing_cells(heights).ravel()]
    if not len(quads):
        return
    edge = {"edgecolor": (0.0, 0.0, 0.0, 0.28), "linewidth": points(0.15), "antialiased": True}
    facets = Poly3DCollection(quads, cmap=colormap, norm=scale.norm, **edge)
    facets.set_array(quads[:, :, 2].mean(axis=1))
    facets.set(gid="surface", zorder=ZORDER["surface"])
    axes.add_collection3d(facets, autolim=False)


def _draw_marks(axes: Axes3D, panel: Panel, scale: LossScale) -> None:
    floor = axes.get_zlim()[0]
    for name, (alpha, beta, loss) in marks.marks_of(panel).items():
        height = float(scale.to_height(loss))
        known = bool(np.isfinite(height))
        if known and name in marks.POINTS:
            stem = {"color": INK, "linewidth": points(0.6), "linestyle": (0, (2, 1.5))}
            stem |= {"zorder": ZORDER["stem"], "gid": f"{name}-stem"}
            axes.plot([alpha, alpha], [beta, beta], [floor, height], **stem)
        height = height if known else floor  # noted in words: it stands there hollow
        axes.plot([alpha], [beta], [height], **marks.style_mark(name, known))


class _Arrow(FancyArrowPatch):
    """An arrow between two points in space, its head of one size on paper."""

    def __init__(self, tail: np.ndarray, head: np.ndarray, **style: object) -> None:
        super().__init__((0, 0), (0, 0), **style)
        self.ends = np.array([tail, head])

    def do_3d_projection(self, renderer: object = None) -> float:
        """Project both ends with the camera of the axes; return the depth."""
        x, y, z = proj3d.proj_transform(*self.ends.T, self.axes.M)
        self.set_positions((x[0], y[0]), (x[1], y[1]))
        return float(np.min(z))


def _draw_trajectory(
    axes: Axes3D, panel: Panel, scale: LossScale, epoch_norm: Normalize | None, colormap: str
) -> None:
    trajectory, epochs = np.asarray(panel["trajectory"]), np.asarray(panel["epochs"])
    path = np.column_stack([trajectory[:, :2], scale.to_height(trajectory[:, 2])])
    floor = axes.get_zlim()[0]
    shadow = {"color": INK, "linewidth": points(0.7), "linestyle": (0, (1, 1))}
    shadow |= {"zorder": ZORDER["shadow"], "gid": "shadow"}
    axes.plot(path[:, 0], path[:, 1], np.full(len(path), floor), **shadow)
    axes.plot(*path.T, **marks.style_casing())
    segments = np.stack([path[:-1], path[1:]], axis=1)
    whole = np.isfinite(segments).all(axis=(1, 2))
    line = Line3DCollection(segments[whole], **marks.style_trajectory(epochs, epoch_norm, colormap))
    line.set_array(((epochs[:-1] + epochs[1:]) / 2.0)[whole])
    line.set(gid="trajectory", zorder=ZORDER["path"] + 0.5)
    axes.add_collection3d(line, autolim=False)
    ranges = np.array([np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim()), np.ptp(axes.get_zlim())])
    for tail, head in marks.place_arrows(path, ranges):
        axes.add_artist(_Arrow(tail, head, **marks.style_arrow()))


def _plot_cell(axes: Axes3D, cell: Cell, comparison: Comparison, options: Options) -> Axes3D:
    axes.patch.set_visible(False)
    camera = tuple(
        float(cell.spec.get(angle, options[angle])) for angle in ("elevation", "azimuth")
    )
    style = style_of(comparison, options)
    return plot_surface(axes, cell.panel, comparison.shared[0], camera=camera, **style)


# A surface leaves room to the left of its box by itself; its loss axis needs some to the right.
KIND = Kind(
    LANDSCAPE,
    collect_landscape,
    _plot_cell,
    aspect=0.9,
    inset=(-0.12, 0.10, 0.20, 0.0),
    axes={"projection": "3d", "computed_zorder": False},
)
