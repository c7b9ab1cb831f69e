"""PHATE on exact distances."""

import numpy as np
import phate
from phate import vne

from lossmap.artifacts.distance import Cloud
from lossmap.embedding.technique import Points, check_below, refusing_changes, select_distances
from lossmap.errors import LossmapError

SETTINGS = {
    "description": "PHATE.",
    "with": "distances",
    "required": ["knn", "decay", "t", "mds_solver"],
    "properties": {
        "knn": {
            "$ref": "#/$defs/count",
            "description": "neighbor whose distance is the bandwidth of the kernel",
        },
        "decay": {"$ref": "#/$defs/positive", "description": "exponent of the kernel"},
        "t": {
            "anyOf": [{"const": "auto"}, {"$ref": "#/$defs/count"}],
            "expected": "auto or an integer of at least 1",
            "description": "steps of the diffusion; auto is the knee of the entropy",
        },
        "mds_solver": {
            "enum": ["smacof", "sgd"],
            "description": "last step: to convergence, or PHATE's default",
        },
    },
}
TIMES = 100
"""Diffusion times at which PHATE's entropy is computed, PHATE's own default."""
REST = 0.01
"""Potentials, logarithms of probabilities, that differ by less everywhere are one potential."""


def embed_rows(cloud: Cloud, rows: np.ndarray, spec: dict) -> Points:
    """Return PHATE's points, t, entropy curve, potential and number of graph components.

    With `metric` as `mds_dist` too, as the published code of horoi2021 calls it. Several graph
    components are no error, but PHATE then places them relative to each other by nothing but the
    1e-7 that it adds to every probability, which is why their number is kept.

    Raises
    ------
    LossmapError
        `t` is so large that diffusion has come to rest, `knn` is too large for the cloud or not
        above the number of points that coincide, or PHATE or its graph library warns of anything
        else.
    """
    check_below(spec, "knn", len(rows) - 1, rows)
    distances = select_distances(cloud, rows, spec)
    _check_spread(distances, spec)
    operator = phate.PHATE(
        knn=spec["knn"],
        decay=spec["decay"],
        t=spec["t"],
        n_landmark=None,
        knn_dist="precomputed_distance",
        mds_dist=spec["metric"],
        mds_solver=spec["mds_solver"],
        random_state=spec["seed"],
        n_jobs=1,
        verbose=0,
    )
    with refusing_changes("phate", allowed=["Graph is disconnected with"]):
        with np.errstate(over="ignore"):  # so far apart that the affinity is 0: exp(-∞)
            operator.fit(distances)
        entropy = vne.compute_von_neumann_entropy(operator.diff_op, t_max=TIMES)
        if spec["t"] == "auto":  # what PHATE would do, which computes the entropy but keeps it not
            operator.set_params(t=int(vne.find_knee_point(y=entropy, x=np.arange(TIMES))))
        else:
            _check_rest(operator, spec["t"])
        points = operator.transform()
    return points, {
        "t": np.int64(operator.t),
        "entropy": entropy,
        "potential": operator.diff_potential,
        "graph_components": np.int64(operator.graph.n_connected_components),
    }


def _check_rest(operator: phate.PHATE, t: int) -> None:
    """Refuse so many steps that points of one part of the graph cannot be told apart any more."""
    potential, parts = operator.diff_potential, operator.graph.component_labels
    ranges = [np.ptp(potential[parts == part], axis=0).max() for part in np.unique(parts)]
    if max(ranges) < REST:
        raise LossmapError(
            f"method 'phate': t is {t}, but after so many steps of diffusion all points that hang "
            f"together have one potential (they differ by {max(ranges):.0e} at most, expected "
            f"{REST} or more), so that nothing of their arrangement is left to draw; write "
            "'t: auto' or a smaller number"
        )


def _check_spread(distances: np.ndarray, spec: dict) -> None:
    """Refuse points that coincide with all their neighbors: the kernel has no width there."""
    nearest = np.partition(distances, spec["knn"], axis=1)[:, spec["knn"]]
    if not nearest.all():
        equal = int(np.count_nonzero(distances[nearest.argmin()] == 0)) - 1
        raise LossmapError(
            f"method '{spec['method']}': point {nearest.argmin()} coincides with {equal} others; "
            f"set 'knn' of this technique, now {spec['knn']}, above {equal}"
        )
