"""What surfaces and contour maps have in common: extent, gaps, marks, trajectory, notes.

Finished arrays in; numbers, words and the look of lines and marks out; draws nothing itself.
"""

import numpy as np
from matplotlib.colors import Normalize

from lossmap.figures.scale import LossScale
from lossmap.figures.sources import Panel
from lossmap.figures.style import CENTER, CONVERGED, INK, ZORDER, points

Extent = tuple[float, float]

POINTS = ("center", "converged", "second", "third")
MARKS = {
    "center": ("o", 5.4, CENTER, "white", "center"),
    "converged": ("D", 3.4, CONVERGED, INK, "converged point, projected"),
    "second": ("P", 4.8, "#56b4e9", INK, "second point"),
    "third": ("X", 4.8, "#f0a3d8", INK, "third point"),
    "start": ("^", 4.8, "white", INK, "start of training"),
    "end": ("s", 4.0, INK, "white", "end of training"),
}
"""Shape, diameter in points, color, color of the edge and words of each mark."""
MOST_ARROWS = 4
"""Arrowheads on a trajectory that is as long as an axis or longer; one on a very short one."""


def marks_of(panel: Panel) -> dict[str, np.ndarray]:
    """Return the marked points of a panel by name, each (alpha, beta, loss)."""
    marks = {name: np.asarray(panel[name]) for name in POINTS if name in panel}
    if "trajectory" in panel:
        trajectory = np.asarray(panel["trajectory"])
        marks |= {"start": trajectory[0], "end": trajectory[-1]}
    return marks


def is_known(panel: Panel, name: str, scale: LossScale) -> bool:
    """Return whether the loss of a marked point can be drawn."""
    return bool(np.isfinite(scale.to_height(marks_of(panel)[name][2])))


def style_mark(name: str, known: bool = True) -> dict[str, object]:
    """Return the look of a mark: hollow where its loss is not known."""
    marker, size, color, edge, label = MARKS[name]
    style = {"marker": marker, "color": color, "linestyle": "none", "label": label, "gid": name}
    if not known:
        edge = color if name in POINTS else INK
        style["markerfacecolor"] = "none"
    style |= {"markersize": points(size), "markeredgecolor": edge, "markeredgewidth": points(0.6)}
    return style | {"zorder": ZORDER["mark"]}


def extent_of(panel: Panel) -> tuple[Extent, Extent]:
    """Return the limits of alpha and beta that show the grid, every mark and the trajectory."""
    drawn = [mark[None, :2] for mark in marks_of(panel).values()]
    if "trajectory" in panel:
        drawn.append(np.asarray(panel["trajectory"])[:, :2])
    limits = []
    for axis, positions in enumerate((panel["alphas"], panel["betas"])):
        outer = np.concatenate([np.asarray(positions), *(points[:, axis] for points in drawn)])
        outer = outer[np.isfinite(outer)]
        low, high = float(positions[0]), float(positions[-1])
        margin = 0.06 * (high - low)
        below, above = float(outer.min()), float(outer.max())
        limits.append(
            (below - margin if below < low else low, above + margin if above > high else high)
        )
    return limits[0], limits[1]


def missing_cells(heights: np.ndarray) -> np.ndarray:
    """Return which cells between grid points have a corner that cannot be drawn, (n-1, m-1)."""
    absent = ~np.isfinite(heights)
    return absent[:-1, :-1] | absent[1:, :-1] | absent[:-1, 1:] | absent[1:, 1:]


def notes_of(panel: Panel, scale: LossScale) -> list[str]:
    """Return notes on what a panel cannot draw.

    A mark whose loss is unknown is drawn hollow, on the floor of a surface.
    """
    loss = np.asarray(panel["loss"])
    counts = {
        "not finite": int(np.isinf(loss).sum()),
        "not evaluated": int(np.isnan(loss).sum()),
        "loss of zero": int((loss <= 0).sum()) if scale.name == "log" else 0,
    }
    notes = [f"{what}: {_count(number)}" for what, number in counts.items() if number]
    for name in POINTS:
        if name in panel:
            notes += _note_point(name, np.asarray(panel[name]), panel, scale)
    if "trajectory" in panel:
        trajectory = np.asarray(panel["trajectory"])
        outside = int((~_inside(trajectory, panel)).sum())
        broken = int((~np.isfinite(scale.to_height(trajectory[:, 2]))).sum())
        total = len(trajectory)
        notes += [f"trajectory: {outside} of {total} outside the grid"] if outside else []
        notes += [f"trajectory: {broken} of {total} without finite loss"] if broken else []
    return notes


def _note_point(name: str, point: np.ndarray, panel: Panel, scale: LossScale) -> list[str]:
    outside = not _inside(point[None], panel)[0]
    unknown = not np.isfinite(scale.to_height(point[2]))
    if outside:
        return [f"{name} point outside the grid{', loss unknown' * unknown}"]
    return [f"{name} point without finite loss"] if unknown else []


def _inside(points: np.ndarray, panel: Panel) -> np.ndarray:
    alphas, betas = panel["alphas"], panel["betas"]
    inside = (points[:, 0] >= alphas[0]) & (points[:, 0] <= alphas[-1])
    return inside & (points[:, 1] >= betas[0]) & (points[:, 1] <= betas[-1])


def _count(number: int) -> str:
    return f"{number} point" if number == 1 else f"{number} points"


def place_arrows(path: np.ndarray, ranges: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return tail and head of the arrows that show the direction of a path.

    Parameters
    ----------
    path : (points, axes); points that are not finite are left out
    ranges : (axes,), lengths of the axes: arrows are spread evenly over the drawn length
    """
    path = path[np.isfinite(path).all(axis=1)]
    if len(path) < 2:
        return []
    steps = np.linalg.norm(np.diff(path, axis=0) / ranges, axis=1)
    traveled = np.concatenate([[0.0], np.cumsum(steps)])
    if not traveled[-1] > 0:
        return []

    def at(share: float) -> np.ndarray:
        place = share * traveled[-1]
        return np.array([np.interp(place, traveled, values) for values in path.T])

    number = int(np.clip(np.ceil(MOST_ARROWS * traveled[-1]), 1, MOST_ARROWS))
    shares = (np.arange(number) + 0.5) / number
    return [(at(share - 0.025), at(share + 0.025)) for share in shares]


def style_casing() -> dict[str, object]:
    """Return the look of the dark line under a trajectory."""
    return {"color": INK, "linewidth": points(2.4), "zorder": ZORDER["path"], "gid": "casing"}


def style_trajectory(
    epochs: np.ndarray, epoch_norm: Normalize | None, colormap: str
) -> dict[str, object]:
    """Return the look of a trajectory that is colored by epoch, by its own epochs by default."""
    norm = epoch_norm or Normalize(float(epochs[0]), float(epochs[-1]))
    return {"cmap": colormap, "norm": norm, "linewidth": points(1.4), "capstyle": "round"}


def style_arrow() -> dict[str, object]:
    """Return the look of an arrow on a trajectory."""
    style = {"arrowstyle": "-|>", "mutation_scale": points(7), "shrinkA": 0, "shrinkB": 0}
    style |= {"facecolor": "white", "edgecolor": INK, "linewidth": points(0.5)}
    return style | {"zorder": ZORDER["path"] + 1, "gid": "direction"}
