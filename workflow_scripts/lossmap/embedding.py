"""A cloud in two dimensions: PHATE, t-SNE, UMAP, PCA and a random plane, from its distances alone.

Owns what each library must be told so that it sees exact distances, changes no setting by itself
and gives the same bytes every time. The libraries cost seconds to load: each is imported where it
is used.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from lossmap.artifacts.distance import CURVES, Cloud, Origins
from lossmap.artifacts.embedding import Embedding, save_embedding
from lossmap.artifacts.provenance import Provenance
from lossmap.errors import LossmapError
from lossmap.geometry.continuity import measure_continuity
from lossmap.geometry.distances import (
    center_gram,
    centered_cosine,
    fix_signs,
    measure_cloud_geometry,
    measure_scores,
)

TIMES = 100
"""Diffusion times at which PHATE's entropy is computed, PHATE's own default."""
Points = tuple[np.ndarray, dict[str, np.ndarray]]
"""Points (rows, 2) and diagnostics."""


def save_embeddings(cloud: Cloud, artifacts: Mapping[Path, Provenance]) -> None:
    """Embed a cloud in several ways and write one artifact for each.

    Parameters
    ----------
    cloud : what is embedded
    artifacts : what is stored with each artifact, by its path; the specifications are techniques

    Raises
    ------
    LossmapError
        A technique's settings do not fit the cloud, or an artifact cannot be written.
    """
    for path, provenance in artifacts.items():
        try:
            embedding = embed(cloud, provenance.parameters())
        except LossmapError as error:
            raise LossmapError(f"{path}: {error}") from error
        save_embedding(path, embedding, provenance)


def embed(cloud: Cloud, spec: dict) -> Embedding:
    """Return a cloud in two dimensions.

    Every method's points are centered, rotated to their principal axes and mirrored so that the
    point farthest out along each axis is on the positive side: a rotated or mirrored picture is the
    same picture, and this makes it the same numbers. One thread only: t-SNE and the linear algebra
    give other low-order bits with another number of threads.

    Parameters
    ----------
    cloud : what is embedded
    spec : `method` (phate | tsne | umap | pca | random), `include_optimum` and the method's own
        settings; for phate, tsne and umap `metric` (cosine | euclidean), `cosine_space` (centered |
        raw) and `components`

    Raises
    ------
    LossmapError
        A setting does not fit the cloud, or a library would change it by itself.
    """
    methods: dict[str, Callable[[Cloud, np.ndarray, dict], Points]] = {
        "phate": embed_phate,
        "tsne": embed_tsne,
        "umap": embed_umap,
        "pca": embed_pca,
        "random": embed_random,
    }
    if spec["method"] not in methods:
        raise LossmapError(f"method '{spec['method']}' is unknown; allowed: {', '.join(methods)}")
    rows = np.flatnonzero((cloud.origins.is_optimum == 0) | spec["include_optimum"])
    with threadpool_limits(1):
        points, diagnostics = methods[spec["method"]](cloud, rows, spec)
        points = align_axes(np.asarray(points, np.float64))
        origins = cloud.origins.take(rows)
        continuity = measure_continuity(points, origins.trajectory)
    return Embedding(points, rows, origins, continuity, diagnostics)


def align_axes(points: np.ndarray) -> np.ndarray:
    """Return points (rows, axes) centered, along their principal axes, with signs fixed.

    The axes are in descending order of variance; the point that lies farthest out along an axis has
    a positive coordinate there.
    """
    centered = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    return fix_signs(centered @ axes.T)


def select_distances(cloud: Cloud, rows: np.ndarray, spec: dict) -> np.ndarray:
    """Return the distances that a technique works on.

    Parameters
    ----------
    cloud : what is embedded
    rows : those that are
    spec : `metric`; for cosine `cosine_space`, centered (of the leading `components` principal
        component scores, as PHATE's own default has it) or raw (of the vectors themselves)

    Returns
    -------
    float64 (rows, rows)
    """
    chosen = np.ix_(rows, rows)
    if spec["metric"] == "euclidean":
        return cloud.euclidean[chosen]
    if spec["cosine_space"] == "raw":
        return cloud.cosine[chosen]
    return centered_cosine(center_gram(cloud.gram[chosen]), spec["components"])


def embed_phate(cloud: Cloud, rows: np.ndarray, spec: dict) -> Points:
    """Return PHATE's points, t, entropy curve, potential and number of graph components.

    With `metric` as `mds_dist` too, as the published code of horoi2021 calls it. Several graph
    components are no error, but PHATE then places them relative to each other by nothing but the
    1e-7 that it adds to every probability, which is why their number is kept.

    Raises
    ------
    LossmapError
        `knn` is too large for the cloud or not above the number of points that coincide, or PHATE
        or its graph library warns of anything else.
    """
    import phate
    from phate import vne

    _check_below(spec, "knn", len(rows) - 1, rows)
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
        points = operator.transform()
    return points, {
        "t": np.int64(operator.t),
        "entropy": entropy,
        "potential": operator.diff_potential,
        "graph_components": np.int64(operator.graph.n_connected_components),
    }


def embed_tsne(cloud: Cloud, rows: np.ndarray, spec: dict) -> Points:
    """Return scikit-learn's t-SNE from a random start, and its Kullback-Leibler divergence (nats).

    Raises
    ------
    LossmapError
        `perplexity` is not below the number of points, or scikit-learn warns.
    """
    from sklearn.manifold import TSNE

    _check_below(spec, "perplexity", len(rows), rows)
    model = TSNE(
        metric="precomputed",
        init="random",
        perplexity=spec["perplexity"],
        learning_rate=spec["learning_rate"],
        max_iter=spec["iterations"],
        random_state=spec["seed"],
        n_jobs=1,
    )
    with refusing_changes("tsne"):
        points = model.fit_transform(_rescale(select_distances(cloud, rows, spec)))
    return points, {"kl_divergence": np.float64(model.kl_divergence_)}


def embed_umap(cloud: Cloud, rows: np.ndarray, spec: dict) -> Points:
    """Return UMAP's points.

    Raises
    ------
    LossmapError
        `neighbors` is not below the number of points, or UMAP warns.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        import umap

    _check_below(spec, "neighbors", len(rows), rows)
    model = umap.UMAP(
        metric="precomputed",
        n_neighbors=spec["neighbors"],
        min_dist=spec["min_dist"],
        random_state=spec["seed"],
        n_jobs=1,
    )
    allowed = ["using precomputed metric; inverse_transform", "n_jobs value"]
    with refusing_changes("umap", allowed):
        return model.fit_transform(_rescale(select_distances(cloud, rows, spec))), {}


def embed_pca(cloud: Cloud, rows: np.ndarray, spec: dict) -> Points:
    """Return the first two principal component scores and the variance that they explain."""
    scores, ratios = measure_scores(center_gram(cloud.gram[np.ix_(rows, rows)]), 2)
    return scores, {"explained_variance_ratio": ratios}


def embed_random(cloud: Cloud, rows: np.ndarray, spec: dict) -> Points:
    """Return the projection onto two Gaussian directions.

    Without the weights: a projection of centered rows X onto g ~ N(0, 1) has the distribution
    N(0, X Xᵀ), so V √λ g' with a Gaussian g' of as many numbers as there are rows, V and λ from the
    Gram matrix X Xᵀ, is exact in distribution, though it is no projection of given directions.
    """
    scores, _ = measure_scores(center_gram(cloud.gram[np.ix_(rows, rows)]), len(rows))
    generator = np.random.default_rng(spec["seed"])
    return scores @ generator.standard_normal((scores.shape[1], 2)), {}


def _check_below(spec: dict, setting: str, limit: int, rows: np.ndarray) -> None:
    if spec[setting] >= limit:
        raise LossmapError(
            f"method '{spec['method']}': {setting} is {spec[setting]}, but only {len(rows)} "
            f"points are embedded; set '{setting}' of this technique below {limit}"
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


def _rescale(distances: np.ndarray) -> np.ndarray:
    """Return distances in units of their median.

    Neither t-SNE nor UMAP means a unit, but both compute in float32, bisect from a width of 1, and
    UMAP places separate components by exp(-distance²): cosines of 1e-10 would be lost.
    """
    median = np.median(distances[np.triu_indices(len(distances), 1)])
    return distances / (median or 1.0)


@contextmanager
def refusing_changes(method: str, allowed: Iterable[str] = ()) -> Iterator[None]:
    """Turn a library's warnings, by which it says that it changed a setting, into errors.

    Deprecations are passed on as what they are.

    Parameters
    ----------
    method : named in the error
    allowed : beginnings of warnings that change nothing

    Raises
    ------
    LossmapError
        The library warned.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = " ".join(str(warning.message).split())
        if text.startswith(tuple(allowed)):
            continue
        if issubclass(warning.category, DeprecationWarning | FutureWarning):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
            continue
        raise LossmapError(
            f"method '{method}' does not work with these settings as they are ({text}); "
            "change the setting of this technique that it names"
        )


def grow_tree(spec: dict) -> Cloud:
    """Return the artificial tree of horoi2021 Fig. 1C, one trajectory per branch.

    Parameters
    ----------
    spec : `dimensions`, `branches`, `length` (points per branch), `sigma` (noise), `seed`

    Notes
    -----
    phate.tree.gen_dla seeds NumPy's global generator; its state is restored.
    """
    import phate.tree

    state = np.random.get_state()  # noqa: NPY002
    try:
        points, branch = phate.tree.gen_dla(
            n_dim=spec["dimensions"],
            n_branch=spec["branches"],
            branch_length=spec["length"],
            seed=spec["seed"],
            sigma=spec["sigma"],
        )
    finally:
        np.random.set_state(state)  # noqa: NPY002
    count = len(points)
    origins = Origins(
        is_optimum=np.zeros(count, np.int8),
        trajectory=branch.astype(np.int64),
        source=np.zeros(count, np.int64),
        direction=np.full(count, -1),
        step_size=np.full(count, np.nan),
        epoch=np.tile(np.arange(spec["length"]), spec["branches"]),
        **{name: np.full(count, np.nan) for name in CURVES},
        sources=["tree"],
    )
    return measure_cloud_geometry({"tree": points}, origins)
