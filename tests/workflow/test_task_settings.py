"""Runs of tasks and imported minima in the configuration: what is refused, what enters a spec."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from lossmap.errors import LossmapError
from lossmap.workflow.configuration import load_configuration, own_runs
from lossmap.workflow.preflight import describe_run
from lossmap.workflow.stages import cost_of, maker_of, sources, spec_of, time_limit

CONFIG = Path(__file__).resolve().parents[2] / "config"
TASK = {"mine": {"factory": "mytask:make_task", "arguments": {"size": 3}, "batches": 4}}
IMAGES = {"dataset": "c10", "network": "nets:net", "checkpoints": "epoch_*.pt"}


@pytest.fixture(autouse=True)
def _checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for epoch in range(4):
        Path(f"epoch_{epoch}.pt").touch()


def load(run: dict, **given) -> dict:
    entries = {"tasks": TASK, "runs": {"mine": run}}
    return load_configuration(CONFIG, entries | given)


def test_spec_of_a_task_holds_its_factory_and_nothing_of_images():
    config = load({"task": "mine", "recipe": "plain", "epochs": 5, "seed": 2})
    spec = spec_of(config, "trajectory", "mine")
    assert spec["task"] == {"factory": "mytask:make_task", "arguments": {"size": 3}}
    assert spec["network"] == {"factory": "mytask:make_task", "seed": 2}
    assert not {"batch_size", "augmentation", "metrics", "normalize"} & set(spec)
    assert sources(config, "trajectory", "mine") == []
    assert maker_of(config, "trajectory", "mine").reached(config, "mine") == ("mytask:make_task",)


def test_landscapes_and_jumps_of_a_task_need_no_data_set():
    plane = {"run": "mine", "method": "pca", "center": "last"}
    minimum = {"run": "mine", "recipe": "plain", "directions": [3], "epochs": 7}
    config = load(
        {"task": "mine", "checkpoints": "epoch_*.pt"},
        bases={"mine": plane},
        grids={"mine": {"basis": "mine"}},
        minima={"mine": minimum},
    )
    assert spec_of(config, "grid", "mine")["evaluation"] == {"batches": 4, "seed": 0}
    assert sources(config, "grid", "mine") == ["basis/mine", "trajectory/mine"]
    assert sources(config, "jumps", "mine-d3") == ["trajectory/mine"]
    spec = spec_of(config, "jumps", "mine-d3")
    assert (spec["epochs"], spec["optimizer"]["weight_decay"]) == (7, 0.0)
    for stage, name in (("grid", "mine"), ("jumps", "mine-d3"), ("trajectory", "mine")):
        assert cost_of(config, stage, name).memory_mb > 0
        assert time_limit(config, stage, [name], gpu=True) > 0


def test_an_imported_run_of_images_is_retrained_with_the_augmentation_of_the_named_recipe():
    minimum = {"run": "mine", "recipe": "ding2023", "directions": [0]}
    config = load(IMAGES, minima={"mine": minimum})
    spec = spec_of(config, "jumps", "mine-d0")
    assert spec["augmentation"] == config["recipes"]["ding2023"]["augmentation"]
    assert (
        spec["optimizer"]["weight_decay"]
        == config["recipes"]["ding2023"]["optimizer"]["weight_decay"]
    )
    assert spec["metrics"] is None  # all images
    assert sources(config, "jumps", "mine-d0") == ["trajectory/mine", "dataset/c10"]
    assert cost_of(config, "jumps", "mine-d0").memory_mb > 0


TRAINED = {"task": "mine", "recipe": "plain"}
REFUSED = [
    ({"recipe": "plain", "network": "resnet20"}, {}, "runs.mine: key 'dataset' is missing"),
    ({"recipe": "plain", "dataset": "c10"}, {}, "runs.mine: key 'network' is missing"),
    (TRAINED | {"dataset": "c10"}, {}, "runs.mine.dataset means nothing beside 'task'"),
    (TRAINED | {"batch_size": 8}, {}, "runs.mine.batch_size means nothing beside 'task'"),
    (TRAINED | {"task": "other"}, {}, "runs.mine.task names 'other', which is not defined"),
    (TRAINED | {"recipe": "ding2023"}, {}, "which augments images, .*such as plain"),
    (IMAGES, {"minima": {"m": {"run": "mine"}}}, r"add minima.m.recipe, by which it is retrained"),
    (
        TRAINED,
        {"minima": {"m": {"run": "mine", "recipe": "plain"}}},
        "minima.m.recipe means nothing for run 'mine', which has a recipe",
    ),
    (
        {"task": "mine", "checkpoints": "epoch_*.pt"},
        {"minima": {"m": {"run": "mine", "recipe": "ding2023"}}},
        "minima.m.recipe is 'ding2023', which augments images",
    ),
]


@pytest.mark.parametrize(("run", "given", "message"), REFUSED)
def test_what_means_nothing_is_refused(run, given, message):
    with pytest.raises(LossmapError, match=message):
        load(run, **given)


def test_own_runs_are_not_those_of_the_papers_nor_their_repeats():
    assert own_runs(CONFIG, load(TRAINED)) == ["mine"]
    config = load_configuration(CONFIG, {"runs": {"c10-resnet20": {"repeats": 3}}})
    assert "c10-resnet20-2" in config["runs"]
    assert own_runs(CONFIG, config) == []


def test_more_images_than_a_file_has_are_refused_before_any_job(tmp_path):
    with h5py.File("own.h5", "w") as file:
        file["train/images"] = np.zeros((70, 9, 8), np.uint8)
    own = {"datasets": {"own": {"source": "hdf5", "file": "own.h5"}}}
    run = {"dataset": "own", "network": "nets:net", "recipe": "plain"}
    with pytest.raises(LossmapError, match=r"metrics.images is 71, but datasets.own has 70 train"):
        load(run, **own, metrics={"images": 71})


def test_a_line_says_what_a_run_is(tmp_path):
    with h5py.File("own.h5", "w") as file:
        file["train/images"] = np.zeros((70, 9, 8, 1), np.uint8)
    own = {"datasets": {"own": {"source": "hdf5", "file": "own.h5"}}}
    sizes = {"evaluation": {"images": 60, "batch": 10}, "metrics": {"images": 60}}
    for run, given, expected in (
        (TRAINED, {}, "task mytask:make_task, 30 epochs of recipe plain, landscape on 4 of its"),
        (
            {"dataset": "own", "network": "nets:net", "recipe": "plain"},
            own,
            "network nets:net, 30 epochs of recipe plain, 70 training images 9x8x1 of own, no "
            "test images, no augmentation, landscape on ",
        ),
        (
            {"dataset": "own", "network": "resnet20", "recipe": "ding2023", "width": 1.0},
            own,
            "network about 269,722 parameters (lossmap.network.models.resnet:resnet20), ",
        ),
        (IMAGES, {}, "network nets:net, 4 checkpoints, "),
    ):
        config = load(run, **given, **sizes)
        assert describe_run(config, "mine").startswith(f"own run mine: {expected}")
