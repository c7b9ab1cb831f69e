"""Clouds are put together from artifacts in the agreed order."""

import numpy as np
import pytest

from lossmap.artifacts.curves import CURVES, SNAPSHOT_CURVES
from lossmap.artifacts.jumps import Jumps
from lossmap.artifacts.layout import Layout
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import name_of, save
from lossmap.artifacts.trajectory import History, Trajectory
from lossmap.clouds import measure_cloud
from lossmap.errors import LossmapError

PROVENANCE = Provenance("{}", "c0de", {})
PARAMS, SNAPSHOTS, STEPS, EPOCHS = 60, 4, [0.5, 1.0], 3
LAYOUT = Layout(["weight"], ["linear"], [(6, 10)])
NO_BUFFERS = Layout([], [], [])
SEEDS = {"good-d4": 4, "good-d0": 0}


def random(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def write_run(path, seed):
    thetas = random(seed, SNAPSHOTS, PARAMS).astype(np.float32)
    curves = {name: random(seed + 9, SNAPSHOTS) for name in (*CURVES, "theta_norm")}
    history = History(
        epochs=np.array([0, 1, 2, 5]),
        steps=np.arange(SNAPSHOTS),
        iteration_loss=np.zeros(3),
        **curves,
    )
    buffers = np.zeros((SNAPSHOTS, 0), np.float32)
    tensors = (layout.to_tensors() for layout in (LAYOUT, NO_BUFFERS))
    save(path, Trajectory(thetas, buffers, history, *tensors), PROVENANCE)
    return thetas, curves


def write_jumps(path, seed):
    thetas = random(seed + 50, len(STEPS), EPOCHS, PARAMS).astype(np.float32)
    curves = {name: random(seed + 60, len(STEPS), EPOCHS) for name in SNAPSHOT_CURVES}
    direction = (seed, np.zeros(PARAMS, np.float32))
    seed, vector = direction
    found = Jumps(thetas, np.array(STEPS), np.arange(EPOCHS), vector, seed, **curves)
    save(path, found, PROVENANCE)
    return thetas, curves


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder's artifacts by stage/name, and what is in them."""
    root, content = tmp_path_factory.mktemp("results"), {}
    for stage, write, names in (
        ("trajectory", write_run, {"good": 1, "other": 2}),
        ("jumps", write_jumps, SEEDS),
    ):
        (root / stage).mkdir()
        for name, seed in names.items():
            content[f"{stage}/{name}"] = write(root / stage / f"{name}.h5", seed)
    return {name_of(path): path for path in root.glob("*/*.h5")}, content


def test_jump_cloud_is_optimum_then_directions_step_sizes_epochs(made):
    sources, content = made
    spec = {"kind": "jumps", "minimum": "good", "jumps": list(SEEDS)}
    cloud = measure_cloud(spec, sources)
    (run, _), parts = content["trajectory/good"], [content[f"jumps/{name}"][0] for name in SEEDS]
    rows = np.concatenate([run[-1:], *(part.reshape(-1, PARAMS) for part in parts)]).astype(float)
    origins = cloud.origins

    wanted = np.linalg.norm(rows[:, None] - rows, axis=2)
    np.testing.assert_allclose(cloud.euclidean, wanted, atol=1e-10)
    assert origins.is_optimum.tolist() == [1] + [0] * 12
    assert origins.trajectory.tolist() == [-1] + [i for i in range(4) for _ in range(3)]
    assert origins.direction.tolist() == [-1] + [4] * 6 + [0] * 6
    assert origins.step_size[1:].tolist() == 2 * ([0.5] * 3 + [1.0] * 3)
    assert np.isnan(origins.step_size[0])
    assert origins.epoch.tolist() == [-1, *([0, 1, 2] * 4)]
    assert origins.sources == ["good"]
    assert not origins.source.any()


def test_jump_cloud_keeps_the_curves_and_those_of_the_optimum(made):
    sources, content = made
    spec = {"kind": "jumps", "minimum": "good", "jumps": list(SEEDS)}
    origins = measure_cloud(spec, sources).origins

    for name in CURVES:
        parts = [content[f"jumps/{jump}"][1][name].ravel() for jump in SEEDS]
        wanted = np.concatenate([content["trajectory/good"][1][name][-1:], *parts])
        assert getattr(origins, name).tolist() == wanted.tolist()


def test_cloud_of_runs_is_run_after_run_in_the_given_order(made):
    sources, content = made
    cloud = measure_cloud({"kind": "runs", "runs": ["other", "good"]}, sources)
    rows = np.concatenate([content[f"trajectory/{n}"][0] for n in ("other", "good")]).astype(float)

    wanted = np.linalg.norm(rows[:, None] - rows, axis=2)
    np.testing.assert_allclose(cloud.euclidean, wanted, atol=1e-10)
    assert cloud.origins.sources == ["other", "good"]
    assert cloud.origins.source.tolist() == [0] * 4 + [1] * 4
    assert cloud.origins.trajectory.tolist() == [0] * 4 + [1] * 4
    assert cloud.origins.epoch.tolist() == [0, 1, 2, 5] * 2
    assert not cloud.origins.is_optimum.any()


@pytest.mark.parametrize("null", ["walks", "straight", "swapped"])
def test_null_is_drawn_from_the_distances_alone(made, tmp_path, null):
    sources, _ = made
    real = measure_cloud({"kind": "jumps", "minimum": "good", "jumps": list(SEEDS)}, sources)
    (tmp_path / "distance").mkdir()
    save(tmp_path / "distance" / "good.h5", real, PROVENANCE)
    inputs = {
        "distance/good": tmp_path / "distance" / "good.h5",
        "trajectory/good": sources["trajectory/good"],
    }
    spec = {"kind": "null", "null": null, "cloud": "good", "seed": 3}
    spec |= {"lengths": "good"} if null == "swapped" else {}
    drawn = measure_cloud(spec, inputs)

    assert drawn.origins.direction.tolist() == real.origins.direction.tolist()
    np.testing.assert_allclose(drawn.euclidean[0, 1::3], real.euclidean[0, 1::3], rtol=1e-9)
    assert drawn.gram.tobytes() == measure_cloud(spec, inputs).gram.tobytes()


def test_tree_needs_no_input():
    spec = {"kind": "tree", "dimensions": 9, "branches": 3, "length": 5, "sigma": 1, "seed": 0}

    assert measure_cloud(spec, {}).origins.sources == ["tree"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "runs", "runs": ["ghost"]}, "needs trajectory/ghost, but the job's inputs are"),
        ({"kind": "null", "null": "walks", "seed": 0}, "needs one input of stage"),
        ({"kind": "torus"}, "'torus' is unknown; allowed: jumps, runs, null, tree"),
    ],
)
def test_what_does_not_fit_is_named(made, spec, message):
    with pytest.raises(LossmapError, match=message):
        measure_cloud(spec, made[0])
