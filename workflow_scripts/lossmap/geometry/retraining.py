"""Where retraining goes: straight back, or outward first; and how runs move as a whole.

Everything follows from a cloud, without the weights: in the full space from its distances, in an
embedding from its points.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lossmap.artifacts.distance import Cloud, Origins
from lossmap.errors import LossmapError
from lossmap.geometry.paths import trajectory_rows


@dataclass(frozen=True)
class Retraining:
    """What the retraining after each jump does, seen from where it should lead.

    With r_e the vector from there to the point after epoch e, r_0 the jump:

    Attributes
    ----------
    direction : int64 (jumps,), seed of the jump's direction
    step_size : float64 (jumps,)
    outward : float64 (jumps,), max over e of ‖r_e‖ / ‖r_0‖; 1 = never farther than the jump point
    monotone : float64 (jumps,), share of epochs in which ‖r_e‖ falls
    cosine : float64 (jumps,), mean over e >= 1 of cos(r_e, r_0); 1 = along the jump's line
    angle : float64 (jumps,), radians, sum over e of the angle between r_e and r_{e+1}
    remaining : float64 (jumps,), ‖r_e‖ / ‖r_0‖ at the last epoch; 0 = all the way back
    """

    direction: np.ndarray
    step_size: np.ndarray
    outward: np.ndarray
    monotone: np.ndarray
    cosine: np.ndarray
    angle: np.ndarray
    remaining: np.ndarray


def measure_retraining(cloud: Cloud) -> Retraining:
    """Return how retraining moves relative to the optimum, in the full space.

    Inner products of the displacements come from distances: r_i·r_j = ½(‖r_i‖² + ‖r_j‖² − d_ij²).

    Raises
    ------
    LossmapError
        The cloud has no optimum, or a trajectory has no epoch or no length.
    """
    paths, products = _products_around_optimum(cloud)
    return _summarize(products, paths, cloud.origins)


@dataclass(frozen=True)
class Return:
    """How far retraining has come back along its jump, and how far it has strayed from it.

    With r_e = θ_e − θo for the point after epoch e, r_0 the jump:

    Attributes
    ----------
    direction : int64 (jumps,), seed of the jump's direction
    step_size : float64 (jumps,)
    along : float64 (jumps, epochs + 1), ⟨r_e, r_0⟩ / ‖r_0‖²; 1 = as far out as the jump, 0 = back
    across : float64 (jumps, epochs + 1), ‖r_e − along · r_0‖ / ‖r_0‖
    """

    direction: np.ndarray
    step_size: np.ndarray
    along: np.ndarray
    across: np.ndarray


def measure_return(cloud: Cloud) -> Return:
    """Return how retraining moves along and across its jump, in the full space.

    Raises
    ------
    LossmapError
        The cloud has no optimum, jumps differ in their number of epochs, or one has no length.
    """
    return _follow(*_products_around_optimum(cloud), cloud.origins)


def measure_embedded_return(points: np.ndarray, origins: Origins) -> Return:
    """Return the same in an embedding, around the centroid of the last points.

    Raises
    ------
    LossmapError
        As `measure_return`; a jump that starts at the centroid has no length.
    """
    return _follow(*_products_around_ends(points, origins), origins)


def _follow(
    paths: Sequence[np.ndarray], products: Iterable[np.ndarray], origins: Origins
) -> Return:
    if len({len(rows) for rows in paths}) != 1:
        raise LossmapError("the jumps of a cloud differ in their number of epochs")
    along, across = [], []
    for product in products:
        length = product[0, 0]
        if length == 0.0:
            raise LossmapError("a jump has no length: it starts at the optimum")
        along.append(product[0] / length)
        rest = np.diagonal(product) / length - along[-1] ** 2
        across.append(np.sqrt(np.maximum(rest, 0.0)))
    starts = [rows[0] for rows in paths]
    return Return(
        origins.direction[starts], origins.step_size[starts], np.array(along), np.array(across)
    )


def _products_around_optimum(cloud: Cloud) -> tuple[list[np.ndarray], Iterator[np.ndarray]]:
    """Return the rows of each trajectory and the inner products of its displacements r_e."""
    optima = np.flatnonzero(cloud.origins.is_optimum)
    if len(optima) != 1:
        raise LossmapError(
            f"retraining is measured around one optimum; the cloud of "
            f"{', '.join(cloud.origins.sources)} has {len(optima)}"
        )
    squares = cloud.euclidean[optima[0]] ** 2
    paths = list(trajectory_rows(cloud.origins.trajectory))
    products = (
        (squares[rows, None] + squares[rows] - cloud.euclidean[np.ix_(rows, rows)] ** 2) / 2
        for rows in paths
    )
    return paths, products


def measure_embedded_retraining(points: np.ndarray, origins: Origins) -> Retraining:
    """Return how retraining moves in an embedding.

    Embeddings leave the optimum out, so its place is taken by the centroid of the last points of
    all trajectories. In a plane `angle` is the angle swept around it, turns back included.

    Parameters
    ----------
    points : float64 (rows, axes)
    origins : where each point comes from

    Raises
    ------
    LossmapError
        A trajectory has no epoch, or starts at the centroid.
    """
    paths, products = _products_around_ends(points, origins)
    return _summarize(products, paths, origins)


def _products_around_ends(
    points: np.ndarray, origins: Origins
) -> tuple[list[np.ndarray], Iterator[np.ndarray]]:
    """Return as `_products_around_optimum` in an embedding, which leaves the optimum out."""
    paths = list(trajectory_rows(origins.trajectory))
    centroid = points[[rows[-1] for rows in paths]].mean(axis=0)
    products = ((points[rows] - centroid) @ (points[rows] - centroid).T for rows in paths)
    return paths, products


def measure_enclosed_areas(points: np.ndarray, trajectory: np.ndarray) -> np.ndarray:
    """Return the area that each trajectory encloses in the plane over its length squared.

    By the shoelace formula of the closed polygon; 0 = out and back on one ray, 1 / (4π) = a circle.
    A trajectory that does not move encloses nothing.

    Returns
    -------
    float64 (trajectories,)
    """
    areas = []
    for rows in trajectory_rows(trajectory):
        x, y = (points[rows] - points[rows].mean(axis=0)).T
        area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
        length = np.linalg.norm(np.diff(points[rows], axis=0), axis=1).sum()
        areas.append(area / length**2 if length > 0 else 0.0)
    return np.array(areas)


def measure_turns(distances: np.ndarray, trajectory: np.ndarray) -> np.ndarray:
    """Return the mean angle between consecutive steps of each trajectory, radians; 0 = straight.

    For consecutive points a, b, c: cos = (|ac|² − |ab|² − |bc|²) / (2 |ab| |bc|), so that distances
    tell it in any space. A step of no length has no direction and is left out.

    Parameters
    ----------
    distances : float64 (rows, rows)
    trajectory : int64 (rows,), -1 for points of none

    Returns
    -------
    float64 (trajectories,), NaN where no turn is left
    """
    found = []
    for rows in trajectory_rows(trajectory):
        steps, across = distances[rows[:-1], rows[1:]], distances[rows[:-2], rows[2:]]
        scale = 2 * steps[:-1] * steps[1:]
        cosines = (across**2 - steps[:-1] ** 2 - steps[1:] ** 2)[scale != 0] / scale[scale != 0]
        turns = np.arccos(np.clip(cosines, -1, 1))
        found.append(float(turns.mean()) if len(turns) else float("nan"))
    return np.array(found)


def _summarize(
    products: Iterable[np.ndarray], paths: Sequence[np.ndarray], origins: Origins
) -> Retraining:
    """Return the statistics of trajectories given as inner products of the r_e."""
    starts = [rows[0] for rows in paths]
    found = [
        _describe(product, f"direction {origins.direction[row]}, step {origins.step_size[row]:g}")
        for product, row in zip(products, starts, strict=True)
    ]
    columns = np.asarray(found).reshape(len(paths), 5).T
    return Retraining(origins.direction[starts], origins.step_size[starts], *columns)


def _describe(products: np.ndarray, name: str) -> tuple[float, ...]:
    lengths = np.sqrt(np.diagonal(products))
    if len(lengths) < 2 or lengths[0] == 0.0:
        raise LossmapError(
            f"{name}: {len(lengths)} points, the first {lengths[0]:g} from the end of retraining; "
            "expected a jump and at least one epoch"
        )
    cosines = _cosines(products, lengths)
    turns = np.arccos(np.clip(np.diagonal(cosines, 1), -1, 1))
    return (
        float(lengths.max() / lengths[0]),
        float(np.mean(np.diff(lengths) < 0)),
        float(np.nanmean(cosines[0, 1:])) if lengths[1:].any() else float("nan"),
        float(np.nansum(turns)),
        float(lengths[-1] / lengths[0]),
    )


def _cosines(products: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return cosines between the r_e, NaN where one is exactly zero and has no direction."""
    scale = np.outer(lengths, lengths)
    return np.divide(products, scale, out=np.full_like(products, np.nan), where=scale > 0)


def measure_net_cosines(cloud: Cloud) -> np.ndarray:
    """Return cosines between the net displacements (last minus first point) of trajectories.

    Returns
    -------
    float64 (trajectories, trajectories), NaN where one ends exactly where it began
    """
    first, last = _ends(cloud)
    squared = cloud.euclidean**2
    products = (
        squared[np.ix_(last, first)]
        + squared[np.ix_(first, last)]
        - squared[np.ix_(last, last)]
        - squared[np.ix_(first, first)]
    ) / 2
    return _cosines(products, cloud.euclidean[first, last])


def measure_detours(cloud: Cloud) -> np.ndarray:
    """Return path length over net displacement of each trajectory; 1 = straight.

    Returns
    -------
    float64 (trajectories,), infinite where one ends exactly where it began
    """
    paths = list(trajectory_rows(cloud.origins.trajectory))
    lengths = np.array([cloud.euclidean[rows[:-1], rows[1:]].sum() for rows in paths])
    first, last = _ends(cloud)
    net = cloud.euclidean[first, last]
    return np.divide(lengths, net, out=np.full_like(lengths, np.inf), where=net > 0)


def measure_final_spread(
    cloud: Cloud, groups: Mapping[str, Sequence[str]], metric: str = "euclidean"
) -> dict[str, float]:
    """Return the mean pairwise distance between the last points of each group of sources.

    Parameters
    ----------
    cloud : of whole runs
    groups : names of sources, by label
    metric : ``euclidean`` or ``cosine`` (1 - cosine of the angle, not centered)

    Raises
    ------
    LossmapError
        A source is not in the cloud, or a group has fewer than two.
    """
    _, last = _ends(cloud)
    names = [cloud.origins.sources[index] for index in cloud.origins.source[last]]
    spread, distances = {}, getattr(cloud, metric)
    for label, members in groups.items():
        missing = sorted(set(members) - set(names))
        if missing or len(members) < 2:
            raise LossmapError(
                f"group '{label}': expected two or more of {', '.join(names)}; "
                f"got {', '.join(members) or 'none'}"
            )
        rows = last[[names.index(member) for member in members]]
        pairs = distances[np.ix_(rows, rows)][np.triu_indices(len(rows), 1)]
        spread[label] = float(pairs.mean())
    return spread


def _ends(cloud: Cloud) -> tuple[np.ndarray, np.ndarray]:
    paths = list(trajectory_rows(cloud.origins.trajectory))
    return np.array([rows[0] for rows in paths]), np.array([rows[-1] for rows in paths])
