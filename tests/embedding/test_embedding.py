import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import phate
import pytest
from phate import tree
from sklearn.decomposition import PCA

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.curves import CURVES
from lossmap.artifacts.distance import Origins
from lossmap.artifacts.embedding import Embedding
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load, read_provenance
from lossmap.embedding.embed import align_axes, embed, save_embedding
from lossmap.embedding.technique import refusing_changes, select_distances
from lossmap.embedding.techniques.phate import TIMES
from lossmap.embedding.tree import grow_tree
from lossmap.errors import LossmapError
from lossmap.geometry.distances import measure_cloud_geometry

SOURCES = Path(__file__).parents[2] / "workflow_scripts"
COMMON = {"metric": "euclidean", "cosine_space": "centered", "components": 100}
COMMON |= {"include_optimum": False, "seed": 0}
SPECS = {
    "phate": {"method": "phate", "knn": 5, "decay": 40, "t": "auto", "mds_solver": "smacof"},
    "tsne": {"method": "tsne", "perplexity": 30, "learning_rate": "auto", "iterations": 500},
    "umap": {"method": "umap", "neighbors": 15, "min_dist": 0.1},
    "pca": {"method": "pca"},
    "random": {"method": "random"},
}
SPECS = {name: COMMON | spec for name, spec in SPECS.items()}
TREE = {"dimensions": 100, "branches": 6, "length": 40, "sigma": 4, "seed": 37}


def make_cloud(rows, trajectory):
    """Return the cloud of given rows; those of trajectory -1 are the optimum."""
    count = len(rows)
    origins = Origins(
        is_optimum=(trajectory < 0).astype(np.int8),
        trajectory=trajectory,
        source=np.zeros(count, np.int64),
        direction=np.arange(count),
        step_size=np.full(count, np.nan),
        epoch=np.arange(count),
        **{name: np.full(count, np.nan) for name in CURVES},
        sources=["run"],
    )
    return measure_cloud_geometry({"run": rows}, origins)


def jump_rows(rank=None, trajectories=6, epochs=30, params=300):
    """Return an optimum and trajectories that wander back to it, nearly parallel to each other."""
    generator = np.random.default_rng(1)
    mixing = np.eye(params) if rank is None else generator.standard_normal((rank, params))
    optimum = 10 * generator.standard_normal(len(mixing))
    rows = [optimum]
    for _ in range(trajectories):
        away = generator.standard_normal(len(mixing))
        for epoch in range(epochs):
            rows.append(optimum + away * 0.9**epoch)
            away = away + 0.3 * generator.standard_normal(len(mixing))
    return np.array(rows) @ mixing, np.r_[-1, np.repeat(np.arange(trajectories), epochs)]


@pytest.fixture(scope="module")
def jumps():
    return make_cloud(*jump_rows())


@pytest.fixture(scope="module")
def branches():
    return grow_tree(TREE)


def plain_phate(rows, metric, **settings):
    """Return what PHATE makes of the rows themselves, and the operator."""
    operator = phate.PHATE(
        knn_dist=metric,
        mds_dist=metric,
        n_landmark=None,
        mds_solver="smacof",
        random_state=0,
        n_jobs=1,
        verbose=0,
        **settings,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return align_axes(operator.fit_transform(rows)), operator


def assert_same_picture(found, wanted, tolerance=1e-5):
    """Compare aligned points; an axis whose two ends lie equally far out may be mirrored."""
    signs = np.sign(np.sum(found * wanted, axis=0))
    assert np.abs(found * signs - wanted).max() < tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_phate_on_exact_distances_is_phate_on_the_points(metric):
    points, _ = tree.gen_dla(n_dim=100, n_branch=6, branch_length=40, seed=37, sigma=4)
    wanted, operator = plain_phate(points, metric, knn=10, n_pca=None)
    spec = SPECS["phate"] | {"metric": metric, "cosine_space": "raw", "knn": 10}
    found = embed(grow_tree(TREE), spec)

    assert found.diagnostics["graph_components"] == 1
    assert found.diagnostics["t"] == operator.optimal_t
    np.testing.assert_allclose(found.diagnostics["potential"], operator.diff_potential, rtol=1e-6)
    assert_same_picture(found.points, wanted)


def test_centered_cosine_is_what_phate_does_by_default():
    rows, trajectory = jump_rows(rank=60)
    wanted, operator = plain_phate(rows[1:], "cosine", knn=15)
    spec = SPECS["phate"] | {"metric": "cosine", "knn": 15}
    found = embed(make_cloud(rows, trajectory), spec)

    assert operator.graph.n_pca == 100  # fewer than rows, at least the rank: nothing is lost
    assert found.diagnostics["graph_components"] == 1
    assert_same_picture(found.points, wanted)


def test_fixed_t_is_used_and_entropy_is_kept(branches):
    auto = embed(branches, SPECS["phate"])
    fixed = embed(branches, SPECS["phate"] | {"t": 3})

    assert auto.diagnostics["entropy"].shape == (TIMES,)
    assert np.array_equal(auto.diagnostics["entropy"], fixed.diagnostics["entropy"])
    assert fixed.diagnostics["t"] == 3
    assert not np.allclose(auto.points, fixed.points)


def test_several_graph_components_are_counted_and_no_error():
    rows, trajectory = jump_rows()
    rows += 1e3 * (trajectory > 2)[:, None] * np.arange(300)
    found = embed(make_cloud(rows, trajectory), SPECS["phate"])

    assert found.diagnostics["graph_components"] > 1
    assert np.isfinite(found.points).all()


@pytest.mark.parametrize("name", SPECS)
class TestEveryMethod:
    def test_same_seed_gives_the_same_bytes(self, jumps, name):
        first, again = (embed(jumps, SPECS[name]) for _ in range(2))

        assert first.points.tobytes() == again.points.tobytes()
        assert first.continuity == again.continuity

    def test_points_are_centered_and_aligned(self, jumps, name):
        points = embed(jumps, SPECS[name]).points
        covariance = points.T @ points
        farthest = np.abs(points).argmax(axis=0)

        assert points.dtype == np.float64
        np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-9 * np.abs(points).max())
        assert abs(covariance[0, 1]) < 1e-9 * covariance[0, 0]
        assert covariance[0, 0] >= covariance[1, 1]
        assert (points[farthest, [0, 1]] > 0).all()

    def test_optimum_is_left_out_unless_asked_for(self, jumps, name):
        without = embed(jumps, SPECS[name])
        within = embed(jumps, SPECS[name] | {"include_optimum": True})

        assert without.rows.tolist() == list(range(1, 181))
        assert within.rows.tolist() == list(range(181))
        assert within.origins.is_optimum.tolist() == [1] + [0] * 180
        assert without.origins.direction.tolist() == list(range(1, 181))
        assert len(within.points) == 181

    def test_global_random_state_is_left_alone(self, jumps, name):
        np.random.seed(5)  # noqa: NPY002
        wanted = np.random.get_state()[1].copy()  # noqa: NPY002
        embed(jumps, SPECS[name])

        assert np.array_equal(np.random.get_state()[1], wanted)  # noqa: NPY002


@pytest.mark.parametrize("name", ["tsne", "umap", "random"])
def test_another_seed_gives_another_picture(jumps, name):
    first, other = (embed(jumps, SPECS[name] | {"seed": seed}).points for seed in (0, 1))

    assert not np.allclose(first, other, atol=1e-3 * np.abs(first).max())


def test_smacof_does_not_depend_on_the_seed(jumps):
    first, other = (embed(jumps, SPECS["phate"] | {"seed": seed}).points for seed in (0, 1))

    assert_same_picture(first, other, 1e-3)


@pytest.mark.parametrize("name", ["phate", "tsne", "umap"])
def test_unit_of_distance_does_not_matter(name):
    rows, trajectory = jump_rows(params=80)
    spec = SPECS[name] | {"metric": "euclidean"}
    first, other = (embed(make_cloud(f * rows, trajectory), spec).points for f in (1.0, 2.0**-20))

    np.testing.assert_array_equal(first, other)


def test_pca_is_that_of_the_rows(jumps):
    rows, _ = jump_rows()
    pca = PCA(2, svd_solver="full")
    wanted = align_axes(pca.fit_transform(rows[1:]))
    found = embed(jumps, SPECS["pca"])

    np.testing.assert_allclose(found.points, wanted, atol=1e-8)
    np.testing.assert_allclose(
        found.diagnostics["explained_variance_ratio"], pca.explained_variance_ratio_, rtol=1e-9
    )


def test_pca_with_the_optimum_is_centered_on_all_rows(jumps):
    rows, _ = jump_rows()
    found = embed(jumps, SPECS["pca"] | {"include_optimum": True})

    wanted = align_axes(PCA(2, svd_solver="full").fit_transform(rows))
    np.testing.assert_allclose(found.points, wanted, atol=1e-8)


def test_random_planes_show_the_mean_spread_of_all_directions(jumps):
    spreads = [
        np.sum(embed(jumps, SPECS["random"] | {"seed": seed}).points ** 2) for seed in range(150)
    ]

    assert np.mean(spreads) == pytest.approx(2 * np.trace(jumps.gram[1:, 1:]), rel=0.15)


def test_distances_follow_metric_and_space(jumps):
    rows = np.arange(1, 181)
    chosen = np.ix_(rows, rows)
    raw, centered = (
        select_distances(jumps, rows, COMMON | {"metric": "cosine", "cosine_space": space})
        for space in ("raw", "centered")
    )

    assert np.array_equal(select_distances(jumps, rows, COMMON), jumps.euclidean[chosen])
    assert np.array_equal(raw, jumps.cosine[chosen])
    assert centered.max() > 100 * raw.max()


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [("phate", "knn", 179), ("tsne", "perplexity", 180), ("umap", "neighbors", 180)],
)
def test_setting_too_large_for_the_cloud_is_named(jumps, name, setting, value):
    message = f"'{name}': {setting} is {value}.*set '{setting}'"
    with pytest.raises(LossmapError, match=message):
        embed(jumps, SPECS[name] | {setting: value})


def test_largest_knn_is_kept_by_phate():
    rows, trajectory = jump_rows(trajectories=2, epochs=10)
    embed(make_cloud(rows, trajectory), SPECS["phate"] | {"knn": 18})
    with pytest.raises(LossmapError, match="knn is 19"):
        embed(make_cloud(rows, trajectory), SPECS["phate"] | {"knn": 19})


def test_points_that_coincide_with_all_neighbors_are_named(jumps):
    rows, trajectory = jump_rows()
    rows[20:28] = rows[20]
    cloud = make_cloud(rows, trajectory)

    with pytest.raises(LossmapError, match="point 19 coincides with 7 others; set 'knn'"):
        embed(cloud, SPECS["phate"])
    assert np.isfinite(embed(cloud, SPECS["phate"] | {"knn": 8}).points).all()


def test_distances_over_many_orders_of_magnitude_are_embedded():
    rows, trajectory = jump_rows()
    rows[31:61] = rows[31] + 1e-12 * (rows[31:61] - rows[31])
    distances = (cloud := make_cloud(rows, trajectory)).euclidean

    assert distances.max() / distances[31, 32] > 1e9  # to the power of 40 that is no float64
    for name in ("phate", "tsne", "umap"):
        assert np.isfinite(embed(cloud, SPECS[name]).points).all()


def test_changed_parameter_is_an_error_and_a_deprecation_is_not():
    with pytest.raises(LossmapError, match="Setting knn=3"), refusing_changes("phate"):
        warnings.warn("Cannot set knn (9) to be greater than 3. Setting knn=3", stacklevel=1)
    with refusing_changes("phate", ["Graph is disconnected with"]):
        warnings.warn("Graph is disconnected with 2 components", RuntimeWarning, stacklevel=1)
    with pytest.warns(FutureWarning, match="old"), refusing_changes("phate"):
        warnings.warn("old", FutureWarning, stacklevel=1)


def test_unknown_method_is_named(jumps):
    with pytest.raises(LossmapError, match="method is 'isomap', expected one of pca, phate"):
        embed(jumps, COMMON | {"method": "isomap"})


def test_tree_is_that_of_phate(branches):
    points, branch = tree.gen_dla(n_dim=100, n_branch=6, branch_length=40, seed=37, sigma=4)
    wide = points.astype(np.longdouble)
    wanted = np.sqrt(np.sum((wide[:, None] - wide[::60]) ** 2, axis=2)).astype(float)

    np.testing.assert_allclose(branches.euclidean[:, ::60], wanted, rtol=1e-12)
    assert branches.origins.trajectory.tolist() == branch.tolist()
    assert branches.origins.epoch.tolist() == [*range(40)] * 6
    assert branches.origins.sources == ["tree"]
    assert not branches.origins.is_optimum.any()


def test_tree_leaves_global_random_state_alone():
    np.random.seed(5)  # noqa: NPY002
    wanted = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    grow_tree(TREE | {"branches": 2})

    assert np.random.random() == wanted  # noqa: NPY002


def test_phate_keeps_the_order_along_branches_and_a_plain_projection_does_not():
    cloud = grow_tree(TREE | {"branches": 20})
    found = {name: embed(cloud, SPECS[name]).continuity for name in ("phate", "umap", "pca")}

    assert found["phate"]["order"] > found["umap"]["order"] > found["pca"]["order"]
    assert found["phate"]["long_steps"] == found["pca"]["long_steps"] == 0
    assert found["phate"]["components"] == found["pca"]["components"] == 1
    assert found["phate"]["components"] < found["umap"]["components"]
    assert found["phate"]["longest_gap"] < found["umap"]["longest_gap"]


@pytest.mark.parametrize("name", ["pca", "phate"])
def test_an_embedding_is_saved_with_its_own_spec(tmp_path, jumps, name):
    path, spec = tmp_path / f"good-{name}.h5", SPECS[name]
    save_embedding(jumps, path, Provenance(canonical_json(spec), "c0de", {"distance/good": "abc"}))

    kept = read_provenance(path)
    assert kept.parameters() == spec
    assert (kept.code, kept.inputs) == ("c0de", {"distance/good": "abc"})
    assert load(path, Embedding).points.tobytes() == embed(jumps, spec).points.tobytes()
    reported = {"t", "entropy", "potential", "graph_components"}
    own = {"phate": reported, "pca": {"explained_variance_ratio"}}
    assert load(path, Embedding).diagnostics.keys() == own[name]


def test_error_names_the_embedding(tmp_path, jumps):
    made = Provenance(canonical_json(SPECS["phate"] | {"knn": 999}), "", {})
    with pytest.raises(LossmapError, match=r"good-phate\.h5: method 'phate': knn is 999"):
        save_embedding(jumps, tmp_path / "good-phate.h5", made)


SCRIPT = """
import sys
import lossmap.clouds
from lossmap.embedding.embed import embed
print("before", *({"phate", "umap", "sklearn", "torch"} & set(sys.modules)))
from lossmap.embedding.tree import grow_tree
spec = {"include_optimum": False, "metric": "euclidean", "seed": 0}
cloud = grow_tree({"dimensions": 9, "branches": 2, "length": 12, "sigma": 1, "seed": 0})
print("tree", *({"umap", "torch"} & set(sys.modules)))
embed(cloud, spec | {"method": "phate", "knn": 5, "decay": 40, "t": 5, "mds_solver": "smacof"})
embed(cloud, spec | {"method": "umap", "neighbors": 5, "min_dist": 0.1})
embed(cloud, spec | {"method": "tsne", "perplexity": 3, "learning_rate": 9, "iterations": 250})
print("after", *({"torch", "tensorflow"} & set(sys.modules)))
"""


def test_no_embedding_loads_torch_and_none_loads_what_it_does_not_use():
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.split() == ["before", "tree", "after"], result.stdout + result.stderr
