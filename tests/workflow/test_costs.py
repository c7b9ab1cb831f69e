"""Estimates follow what they depend on; the sizes behind them are those of the real networks."""

from pathlib import Path

import pytest
import yaml

from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.costs import image_counts, measure_cost, network_size, time_limit
from lossmap.workflow.specs import all_targets

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
    from lossmap.network.flops import count_forward_macs

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
    assert measure_cost(load(runs=run), stage, name).macs > measure_cost(load(), stage, name).macs


def test_a_grid_costs_its_points():
    coarse, fine = (load(grid={"resolution": r}) for r in (11, 33))
    ratio = measure_cost(fine, "grid", PLANE).macs / measure_cost(coarse, "grid", PLANE).macs
    assert ratio == 9


@pytest.mark.parametrize("stage", ["grid", "projection"])
def test_recalibration_doubles_the_passes(stage):
    kinds = {n: {"basis": PLANE, "bn_statistics": n} for n in ("batch", "recalibrate")}
    config = load(**{f"{stage}s": kinds})
    plain, twice = (measure_cost(config, stage, name).macs for name in kinds)
    assert twice == 2 * plain


def test_training_costs_grow_with_epochs():
    short, long = (measure_cost(recipe(epochs=e), "trajectory", RUN) for e in (10, 20))
    assert 1.9 < long.macs / short.macs <= 2


@pytest.mark.parametrize(
    ("stage", "name"), [("trajectory", RUN), ("basis", PLANE), ("projection", PROJECTION)]
)
def test_costs_grow_with_snapshots(stage, name):
    few, many = (measure_cost(recipe(snapshot_every=e), stage, name) for e in (10, 1))
    assert many.macs > few.macs
    assert many.memory_mb >= few.memory_mb
    assert many.disk_mb >= few.disk_mb


def test_every_seed_of_a_plane_costs():
    config = load()
    single = measure_cost(config, "projection", PROJECTION).macs  # 1 plane: 1 + 2 passes
    several = measure_cost(config, "projection", "c10-resnet20-fn-batch").macs  # 5: 1 + 10
    assert several / single == 11 / 3


def test_a_trajectory_on_disk_is_its_snapshots():
    assert measure_cost(load(), "trajectory", RUN).disk_mb == 101 * 269722 * 4 / 2**20


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
    from lossmap.network.sources.digits import TEST_PER_DIGIT, TRAIN_PER_DIGIT
    from lossmap.workflow.costs import DIGITS_PER_CLASS

    assert DIGITS_PER_CLASS == (TRAIN_PER_DIGIT, TEST_PER_DIGIT)


@pytest.mark.parametrize("scale", ["demo", "desk", "paper"])
def test_every_job_gets_memory_and_time(scale):
    config = load(scale=scale)
    for target in all_targets(config):
        stage, name = target.split("/")
        cost = measure_cost(config, stage, name)
        limits = [time_limit(config, stage, [name], gpu) for gpu in (True, False)]
        assert isinstance(cost.memory_mb, int)
        assert cost.memory_mb >= 300, "the inner Snakemakes of a SLURM job take 100 MB"
        assert cost.macs >= 0
        assert cost.disk_mb > 0
        assert 0 < limits[0] <= limits[1]


def test_large_jobs_get_more_time_on_a_cpu():
    config = load()
    for stage, name in (("trajectory", RUN), ("grid", PLANE), ("projection", PROJECTION)):
        assert time_limit(config, stage, [name], False) > time_limit(config, stage, [name], True)


def test_threads_shorten_the_limit():
    one, four = (load(resources={"threads": {"trajectory": t}}) for t in (1, 4))
    limits = [time_limit(config, "trajectory", [RUN], False) for config in (one, four)]
    assert limits[0] > limits[1]
