"""Estimates follow what they depend on; the sizes behind them are those of the real networks."""

from pathlib import Path

import pytest
import yaml

from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.costs import (
    METHOD_SECONDS,
    START_SECONDS,
    cloud_size,
    image_counts,
    network_size,
)
from lossmap.workflow.specs import distance_spec
from lossmap.workflow.stages import cost_of, job_seconds, time_limit
from lossmap.workflow.targets import all_targets

CONFIG = Path(__file__).resolve().parents[2] / "config"
REGISTRIES = [yaml.safe_load((CONFIG / f"{n}.yaml").read_text()) for n in ("defaults", "horoi2021")]
NETWORKS = {name: known for found in REGISTRIES for name, known in found["networks"].items()}
RUN, PLANE, PROJECTION = "c10-resnet20", "c10-resnet20-pca-last", "c10-resnet20-pca-batch"


def load(**given: object) -> dict:
    return load_configuration(CONFIG, {"scale": "paper"} | given)


def recipe(**leaves: object) -> dict:
    return load(recipes={"ding2023": leaves})


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_in_the_defaults_are_those_of_the_real_networks(name):
    from lossmap.network.factory import build_network
    from lossmap.network.throughput import count_forward_macs

    known = NETWORKS[name]
    network = build_network(known["factory"], classes=10, channels=3, width=1.0, seed=0)
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    macs = count_forward_macs(network, (3, 32, 32))
    assert (known["parameters"], known["macs"]) == (parameters, macs)


def test_a_networks_size_grows_with_the_square_of_its_width():
    half_width = {"resnet20": {"width": 0.5}}
    full, half = network_size(load(), RUN), network_size(load(networks=half_width), RUN)
    assert full == (269722, 40551040)
    assert half == (269722 // 4, 40551040 / 4)


@pytest.mark.parametrize("stage", ["grid", "projection", "trajectory", "basis"])
def test_an_unknown_network_is_assumed_large(stage):
    run = {RUN: {"network": "my.module:build"}}
    name = {"grid": PLANE, "projection": PROJECTION, "trajectory": RUN, "basis": PLANE}[stage]
    assert cost_of(load(runs=run), stage, name).macs > cost_of(load(), stage, name).macs


def test_a_grid_costs_its_points():
    coarse, fine = (load(grid={"resolution": r}) for r in (11, 33))
    ratio = cost_of(fine, "grid", PLANE).macs / cost_of(coarse, "grid", PLANE).macs
    assert ratio == 9


def test_a_ring_costs_its_points_planes_and_gradient():
    """On PCA's one plane 16 points and the last snapshot, the center, and a gradient for three."""
    ring = load(rings={"mine": {"basis": PLANE}})
    points = cost_of(ring, "ring", "mine").macs / cost_of(ring, "grid", PLANE).macs
    assert points == pytest.approx((16 + 1 + 1 + 3) / ring["grid"]["resolution"] ** 2)


@pytest.mark.parametrize(
    "kind",
    [
        {"basis": PLANE},
        {end: {"run": RUN, "epoch": epoch} for end, epoch in (("from", "start"), ("to", "last"))},
    ],
    ids=["through", "between"],
)
def test_a_line_costs_its_points_on_training_and_on_test_images(kind):
    config = load(lines={"mine": kind | {"resolution": 11}})
    points = cost_of(config, "line", "mine").macs / cost_of(config, "grid", PLANE).macs
    assert points == pytest.approx(2 * 11 / config["grid"]["resolution"] ** 2)


def test_a_curvature_costs_its_products():
    """A probe takes two, for both traces; a quadrature one per step."""
    given = (
        {"probes": 1, "quadratures": 1, "steps": 30},
        {"probes": 6, "quadratures": 4, "steps": 30},
    )
    one, many = (load(curvature=leaves) for leaves in given)
    few, more = (cost_of(found, "curvature", "c10-good").macs for found in (one, many))
    network = network_size(one, "c10-wresnet-good")[1] * one["evaluation"]["images"]
    assert more - few == pytest.approx((2 * 5 + 3 * 30) * 7 * network)


@pytest.mark.parametrize("stage", ["grid", "projection"])
def test_recalibration_doubles_the_passes(stage):
    kinds = {n: {"basis": PLANE, "bn_statistics": n} for n in ("batch", "recalibrate")}
    config = load(**{f"{stage}s": kinds})
    plain, twice = (cost_of(config, stage, name).macs for name in kinds)
    assert twice == 2 * plain


def test_training_costs_grow_with_epochs():
    short, long = (cost_of(recipe(epochs=e), "trajectory", RUN) for e in (10, 20))
    assert 1.9 < long.macs / short.macs <= 2


@pytest.mark.parametrize(
    ("stage", "name"), [("trajectory", RUN), ("basis", PLANE), ("projection", PROJECTION)]
)
def test_costs_grow_with_snapshots(stage, name):
    few, many = (cost_of(recipe(snapshot_every=e), stage, name) for e in (10, 1))
    assert many.macs > few.macs
    assert many.memory_mb >= few.memory_mb
    assert many.disk_mb >= few.disk_mb


def test_a_basis_costs_the_square_of_its_snapshots_times_the_parameters():
    few, many = (cost_of(recipe(snapshot_every=e), "basis", PLANE).macs for e in (2, 1))
    assert many / few == pytest.approx((101 / 51) ** 2)
    half, full = (
        cost_of(load(networks={"resnet20": {"width": w}}), "basis", PLANE).macs for w in (0.5, 1.0)
    )
    assert full / half == pytest.approx(4, rel=1e-4)


def test_every_seed_of_a_plane_costs():
    config = load()
    single = cost_of(config, "projection", PROJECTION).macs  # 1 plane: 1 + 2 passes
    several = cost_of(config, "projection", "c10-resnet20-fn-batch").macs  # 5: 1 + 10
    assert several / single == 11 / 3


def test_a_trajectory_on_disk_is_its_snapshots():
    assert cost_of(load(), "trajectory", RUN).disk_mb == 101 * 269722 * 4 / 2**20


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"source": "digits", "classes": 10}, (1300, 440)),
        ({"source": "digits", "classes": 100}, (13000, 4400)),
        ({"source": "digits", "classes": 10, "train": 7, "test": 3}, (7, 3)),
        ({"source": "cifar100"}, (50000, 10000)),
    ],
)
def test_image_counts_are_those_asked_or_all(dataset, expected):
    assert image_counts({"datasets": {"mine": dataset}}, "mine") == expected


def test_all_digits_are_as_many_as_the_source_gives():
    from lossmap.network.loaders.digits import TEST_PER_DIGIT, TRAIN_PER_DIGIT
    from lossmap.workflow.costs import DIGITS_PER_CLASS

    assert DIGITS_PER_CLASS == (TRAIN_PER_DIGIT, TEST_PER_DIGIT)


@pytest.mark.parametrize("scale", ["demo", "desk", "paper"])
def test_every_job_gets_memory_and_time(scale):
    config = load(scale=scale)
    for target in all_targets(config):
        stage, name = target.split("/")
        cost = cost_of(config, stage, name)
        limits = [time_limit(config, stage, [name], gpu) for gpu in (True, False)]
        assert isinstance(cost.memory_mb, int)
        assert cost.memory_mb >= 300, "the inner Snakemakes of a SLURM job take 100 MB"
        assert cost.macs >= 0
        assert cost.disk_mb > 0
        assert min(limits) > 0
        if scale == "paper":  # small networks take a GPU no less time than to launch them
            assert limits[0] <= limits[1]


def test_large_jobs_get_more_time_on_a_cpu():
    config = load()
    for stage, name in (("trajectory", RUN), ("grid", PLANE), ("projection", PROJECTION)):
        assert time_limit(config, stage, [name], False) > time_limit(config, stage, [name], True)


@pytest.mark.parametrize("stage", ["grid", "projection"])
def test_a_landscape_costs_its_images(stage):
    name = {"grid": PLANE, "projection": PROJECTION}[stage]
    few, many = (cost_of(load(evaluation={"images": n}), stage, name) for n in (1000, 3000))
    assert (many.macs, many.calls) == (3 * few.macs, 3 * few.calls)


def test_distances_cost_the_square_of_the_rows_times_the_parameters():
    half, full = (cost_of(wide(w), "distance", CLOUD).macs for w in (0.5, 1.0))
    assert full / half == pytest.approx(4, rel=1e-5)
    short, long = (load(jumps={"epochs": e}) for e in (24, 49))
    rows = [cloud_size(config, CLOUD)[0] for config in (short, long)]
    costs = [cost_of(config, "distance", CLOUD).macs for config in (short, long)]
    assert costs[1] / costs[0] == pytest.approx((rows[1] / rows[0]) ** 2)


def test_small_networks_take_a_gpu_the_time_to_launch_them():
    rates = {"evaluation": {"resnet20": 1e6}}
    config = load(
        evaluation={"images": 5000, "batch": 250},
        resources={"gpu_gflops": rates, "gpu_call_ms": 3},
    )
    seconds = job_seconds(config, "grid", [PLANE], gpu=True)
    assert seconds == pytest.approx(START_SECONDS + 51**2 * 20 * 0.003)


@pytest.mark.parametrize(("measured", "used"), [({"resnet20": 1000}, 1000), ({"other": 3}, 7600)])
def test_a_gpu_takes_the_rate_that_was_measured_of_the_network(measured, used):
    config = load(resources={"gpu_gflops": {"evaluation": measured}})
    flop = 2 * 51**2 * config["evaluation"]["images"] * 40551040
    expected = START_SECONDS + flop / (1e9 * used)
    assert job_seconds(config, "grid", [PLANE], gpu=True) == pytest.approx(expected)


def test_a_network_that_was_not_measured_takes_the_assumed_rate():
    config = load(resources={"gpu_gflops": {"training": {"other": 1}}})
    cost = cost_of(config, "trajectory", "c100-googlenet")
    seconds = job_seconds(config, "trajectory", ["c100-googlenet"], gpu=True)
    assert seconds == pytest.approx(START_SECONDS + 2 * cost.macs / 1e9)


def test_embedding_grows_with_the_cube_of_its_points():
    few, many = (load(jumps={"epochs": e}) for e in (24, 49))
    rows = [cloud_size(config, CLOUD)[0] for config in (few, many)]
    name = "c10-good-phate-cosine"
    seconds = [
        cost_of(config, "embedding", name).seconds - METHOD_SECONDS for config in (few, many)
    ]
    assert seconds[1] / seconds[0] == pytest.approx((rows[1] / rows[0]) ** 3)


def test_threads_shorten_the_limit():
    one, four = (load(resources={"threads": {"trajectory": t}}) for t in (1, 4))
    limits = [time_limit(config, "trajectory", [RUN], False) for config in (one, four)]
    assert limits[0] > limits[1]


JUMP, CLOUD = "c10-good-d0", "c10-good"
WRESNET = 1467610


def jumps(**leaves: object) -> dict:
    return load(jumps=leaves)


def wide(width: float) -> dict:
    return load(networks={"wresnet": {"width": width}})


def test_jumps_cost_their_steps():
    one, four = (cost_of(jumps(step_sizes=s), "jumps", JUMP) for s in ([1], [1, 2, 3, 4]))
    assert four.macs == 4 * one.macs
    assert four.disk_mb == 4 * one.disk_mb
    assert four.memory_mb == one.memory_mb  # one after the other


def test_jumps_cost_their_epochs():
    short, long = (cost_of(jumps(epochs=e), "jumps", JUMP) for e in (10, 20))
    assert 1.8 < long.macs / short.macs < 2  # the jump itself is measured too
    assert long.disk_mb / short.disk_mb == 21 / 11
    assert long.memory_mb == short.memory_mb


def test_jumps_of_one_minimum_cost_its_own_steps():
    config = load(minima={"c10-bad": {"step_sizes": [1]}})
    assert cost_of(config, "jumps", JUMP).macs == 4 * (cost_of(config, "jumps", "c10-bad-d0").macs)


def test_a_jump_on_disk_is_its_snapshots():
    assert cost_of(load(), "jumps", JUMP).disk_mb == 4 * 51 * 4 * WRESNET / 2**20


def test_a_jump_costs_what_training_does():
    """As many epochs of the same images, measured as often."""
    same = load(
        jumps={"step_sizes": [1], "epochs": 200},
        recipes={"horoi2021": {"schedule": {"milestones": [150]}}},
    )
    trained = cost_of(same, "trajectory", "c10-wresnet-good")
    retrained = cost_of(same, "jumps", JUMP)
    assert (retrained.macs, retrained.memory_mb) == (trained.macs, trained.memory_mb)


@pytest.mark.parametrize("gpu", [True, False])
def test_each_direction_of_a_pack_gets_its_time(gpu):
    config = load()
    limits = [
        time_limit(config, "jumps", [f"c10-good-d{d}" for d in range(n)], gpu) - 10
        for n in range(1, 6)
    ]
    assert limits == sorted(set(limits))
    for count, limit in enumerate(limits, 1):
        assert abs(limit - count * limits[0]) <= count


def test_memory_for_distances_does_not_grow_with_the_parameters():
    small, large = (cost_of(wide(w), "distance", CLOUD) for w in (0.25, 4))
    assert cloud_size(wide(4), CLOUD)[1] == 16 * WRESNET
    assert small.memory_mb == large.memory_mb
    assert small.disk_mb == large.disk_mb
    assert large.macs / small.macs == pytest.approx(256, rel=1e-4)


@pytest.mark.parametrize("stage", ["distance", "embedding"])
def test_memory_and_disk_of_clouds_grow_with_their_rows(stage):
    name = CLOUD if stage == "distance" else "c10-good-phate-cosine"
    few, many = (cost_of(jumps(epochs=e), stage, name) for e in (10, 100))
    assert many.memory_mb > few.memory_mb
    assert many.disk_mb > few.disk_mb


def test_distances_on_disk_are_three_matrices():
    rows = 1 + 5 * 4 * 51
    matrices = 3 * 8 * rows**2 / 2**20
    assert matrices < cost_of(load(), "distance", CLOUD).disk_mb < matrices + 2


@pytest.mark.parametrize(
    ("given", "cloud", "rows"),
    [
        ({}, "c10-good", 1 + 5 * 4 * 51),
        ({"jumps": {"directions": [3], "step_sizes": [1], "epochs": 2}}, "c10-good", 1 + 3),
        ({"minima": {"c10-bad": {"directions": [0, 7]}}}, "c10-bad", 1 + 2 * 4 * 51),
        ({"minima": {"c10-bad": {"directions": [0, 7]}}}, "c10-bad-walks", 1 + 2 * 4 * 51),
        ({}, "adam", 5 * 201),
        ({"recipes": {"horoi2021-adam": {"snapshot_every": 7}}}, "adam", 5 * (29 + 1)),
        ({"recipes": {"horoi2021-adam": {"snapshot_every": 8}}}, "adam", 5 * 26),
        ({}, "optimizers", 15 * 201),
        ({}, "tree", 20 * 100),
    ],
)
def test_the_size_of_a_cloud_is_its_rows(given, cloud, rows):
    params = 100 if cloud == "tree" else WRESNET
    assert cloud_size(load(**given), cloud) == (rows, params)


def test_the_size_of_the_tree_is_that_of_what_grows():
    from lossmap.clouds import measure_cloud

    config = load(clouds={"tree": {"tree": {"branches": 3, "length": 7, "dimensions": 9}}})
    grown = measure_cloud(distance_spec(config, "tree"), {})
    assert cloud_size(config, "tree") == (len(grown.norms), 9) == (21, 9)


def test_a_null_model_costs_what_its_cloud_does():
    config = load()
    assert cost_of(config, "distance", "c10-good-walks") == (
        cost_of(config, "distance", "c10-good")
    )
