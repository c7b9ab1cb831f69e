"""Null models of jump-and-retrain: clouds like a given one where there is no landscape.

None needs the weights. Independent Gaussian directions in `params` dimensions are fully
described by their inner products, which are drawn from their exact distribution.
"""

from dataclasses import replace

import numpy as np

from lossmap.artifacts.curves import CURVES
from lossmap.artifacts.distance import Cloud
from lossmap.errors import LossmapError
from lossmap.geometry.distances import measure_cloud_geometry
from lossmap.geometry.paths import trajectory_rows

MODELS = ("walks", "straight", "swapped")
REST = 0.1
"""Share of the jump that is left at the end of the straight model."""


def draw_gaussians(count: int, params: int, seed: int) -> np.ndarray:
    """Return `count` iid standard Gaussian vectors of `params` dimensions, up to a rotation.

    Their inner products have exactly the distribution of those of such vectors (Wishart): by
    Bartlett's decomposition they are L Lᵀ, L lower triangular with independent entries,
    L_ii² ~ χ²(params − i) for i from 0 and L_ij ~ N(0, 1) below the diagonal.

    Parameters
    ----------
    count : number of vectors
    params : their dimension
    seed : of the draw

    Returns
    -------
    float64 (count, min(count, params))
    """
    generator = np.random.default_rng(seed)
    if count > params:
        return generator.standard_normal((count, params))
    vectors = np.tril(generator.standard_normal((count, count)), -1)
    np.fill_diagonal(vectors, np.sqrt(generator.chisquare(params - np.arange(count))))
    return vectors


def draw_null(
    cloud: Cloud, params: int, null: str, seed: int, lengths: Cloud | None = None
) -> Cloud:
    """Return a null model of a cloud of jumps.

    Each keeps the distance of the optimum from the origin, the lengths of the jumps, the direction
    that the step sizes of one jump direction share, and the origins without the losses. In walks
    and straight returns the optimum and the directions are drawn at random.

    Parameters
    ----------
    cloud : the real one, of jumps around one optimum
    params : number of parameters of its vectors
    null : one of `MODELS`
        walks: from the jump point on, every step goes in a random direction of its own and is as
        long as the real trajectory's. straight: the displacement from the optimum shrinks without
        turning, in proportion to the lengths of the real steps, to `REST` of the jump. swapped:
        every step goes where the real one goes and is as long as that of `lengths`; the jumps and
        epochs that both have.
    seed : of the draw; nothing of swapped steps is drawn
    lengths : the cloud that lends its step lengths; for swapped

    Raises
    ------
    LossmapError
        The cloud has no optimum, `null` is no model, or `lengths` has none of the jumps.
    """
    if cloud.origins.is_optimum.sum() != 1:
        raise LossmapError(
            f"a null model needs a cloud of jumps around one optimum; this one, of "
            f"{', '.join(cloud.origins.sources)}, has {cloud.origins.is_optimum.sum()} optima"
        )
    if null not in MODELS:
        raise LossmapError(f"null model '{null}' is unknown; allowed: {', '.join(MODELS)}")
    rows = np.arange(len(cloud.norms))
    if null == "swapped":
        rows, positions = _swap(cloud, lengths)
    else:
        positions = {"walks": _walk, "straight": _shrink}[null](cloud, params, seed)
    unknown = {name: np.full(len(positions), np.nan) for name in CURVES}
    numbers = np.unique(cloud.origins.trajectory[rows], return_inverse=True)[1] - 1
    origins = replace(cloud.origins.take(rows), trajectory=numbers, **unknown)
    return measure_cloud_geometry({f"null model '{null}'": positions}, origins)


def step_lengths(cloud: Cloud, rows: np.ndarray) -> np.ndarray:
    """Return the lengths of the steps between consecutive rows, float64 (rows - 1,)."""
    return cloud.euclidean[rows[:-1], rows[1:]]


def _walk(cloud: Cloud, params: int, seed: int) -> np.ndarray:
    """Return positions (rows, dimensions) of the optimum, the jump points and random walks."""
    optimum, seeds, paths = _parts_of(cloud)
    steps = sum(len(rows) - 1 for rows in paths)
    drawn = _normalize(draw_gaussians(1 + len(seeds) + steps, params, seed))
    moves = np.split(drawn[1 + len(seeds) :], np.cumsum([len(rows) - 1 for rows in paths[:-1]]))
    positions = np.empty((len(cloud.norms), drawn.shape[1]))
    positions[optimum] = cloud.norms[optimum] * drawn[0]
    for rows, units in zip(paths, moves, strict=True):
        jump = cloud.euclidean[optimum, rows[0]] * drawn[1 + _seed_of(cloud, rows, seeds)]
        walk = np.cumsum(step_lengths(cloud, rows)[:, None] * units, axis=0)
        positions[rows] = positions[optimum] + jump
        positions[rows[1:]] += walk
    return positions


def _shrink(cloud: Cloud, params: int, seed: int) -> np.ndarray:
    """Return positions (rows, dimensions) of the optimum and of shrinking displacements."""
    optimum, seeds, paths = _parts_of(cloud)
    drawn = _normalize(draw_gaussians(1 + len(seeds), params, seed))
    positions = np.empty((len(cloud.norms), drawn.shape[1]))
    positions[optimum] = cloud.norms[optimum] * drawn[0]
    for rows in paths:
        gone = np.concatenate([[0.0], np.cumsum(step_lengths(cloud, rows))])
        shares = 1 - (1 - REST) * gone / (gone[-1] or 1.0)
        unit = drawn[1 + _seed_of(cloud, rows, seeds)]
        lengths = cloud.euclidean[optimum, rows[0]] * shares
        positions[rows] = positions[optimum] + lengths[:, None] * unit
    return positions


def _swap(cloud: Cloud, lengths: Cloud) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of a cloud and their positions (rows, dimensions) with the others' lengths."""
    found = {_jump_of(lengths, rows): rows for rows in trajectory_rows(lengths.origins.trajectory)}
    kept, positions = [np.flatnonzero(cloud.origins.is_optimum)], _place(cloud)
    for path in trajectory_rows(cloud.origins.trajectory):
        if (others := found.get(_jump_of(cloud, path))) is None:
            continue
        common = min(len(path), len(others))
        rows, others = path[:common], others[:common]
        steps, real = np.diff(positions[rows], axis=0), step_lengths(cloud, rows)
        wanted = step_lengths(lengths, others)
        factors = np.divide(wanted, real, out=np.zeros_like(real), where=real > 0)
        positions[rows[1:]] = positions[rows[0]] + np.cumsum(factors[:, None] * steps, axis=0)
        kept.append(rows)
    if not kept[1:]:
        raise LossmapError(
            "swapped step lengths need two clouds with a direction and a step size in common; name "
            "another under 'lengths'"
        )
    rows = np.concatenate(kept)
    return rows, positions[rows]


def _jump_of(cloud: Cloud, rows: np.ndarray) -> tuple[int, float]:
    return int(cloud.origins.direction[rows[0]]), float(cloud.origins.step_size[rows[0]])


def _place(cloud: Cloud) -> np.ndarray:
    """Return positions (rows, dimensions) with the distances of a cloud, and its norms."""
    squares = cloud.norms**2
    inner = (squares[:, None] + squares - cloud.euclidean**2) / 2
    values, vectors = np.linalg.eigh(inner)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _parts_of(cloud: Cloud) -> tuple[int, list[int], list[np.ndarray]]:
    """Return the optimum's row, the seeds of the directions and the rows of each trajectory."""
    optimum = int(cloud.origins.is_optimum.argmax())
    directions = cloud.origins.direction[cloud.origins.is_optimum == 0]
    seeds = list(dict.fromkeys(directions.tolist()))
    return optimum, seeds, list(trajectory_rows(cloud.origins.trajectory))


def _seed_of(cloud: Cloud, rows: np.ndarray, seeds: list[int]) -> int:
    return seeds.index(int(cloud.origins.direction[rows[0]]))


def _normalize(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
