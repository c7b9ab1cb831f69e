"""Each specification holds what its artifact depends on, and nothing else."""

from copy import deepcopy
from pathlib import Path

import pytest

from lossmap.artifacts.store import canonical_json
from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.specs import (
    all_targets,
    animation_spec,
    basis_spec,
    claims_spec,
    closure,
    dataset_spec,
    distance_spec,
    embedding_spec,
    factory_of,
    figure_spec,
    grid_spec,
    jumps_spec,
    named_targets,
    projection_spec,
    run_of,
    sources,
    table_spec,
    trajectory_spec,
)

CONFIG = Path(__file__).resolve().parents[2] / "config"
MAKERS = {
    "dataset": dataset_spec,
    "trajectory": trajectory_spec,
    "basis": basis_spec,
    "grid": grid_spec,
    "projection": projection_spec,
    "jumps": jumps_spec,
    "distance": distance_spec,
    "embedding": embedding_spec,
    "figure": figure_spec,
    "animation": animation_spec,
    "table": table_spec,
    "claims": claims_spec,
}
SCALES = ("demo", "desk", "paper")


def load(**given: object) -> dict:
    return load_configuration(CONFIG, {"scale": "demo"} | given)


def all_specs(config: dict) -> dict[str, str]:
    """Return the canonical JSON of every artifact's specification, by ``stage/name``."""
    found = {}
    for target in all_targets(config):
        stage, name = target.split("/")
        if target != "claims/claims":  # joins the papers' and has no parameters
            found[target] = canonical_json(MAKERS[stage](config, name))
    return found


def changed(**given: object) -> set[str]:
    """Return the artifacts whose specification a change of the configuration enters."""
    before, after = all_specs(load()), all_specs(load(**given))
    assert before.keys() == after.keys()
    return {target for target in before if before[target] != after[target]}


def reverse(value: object) -> object:
    if isinstance(value, dict):
        return {key: reverse(value[key]) for key in reversed(value)}
    return [reverse(item) for item in value] if isinstance(value, list) else value


def test_the_order_of_keys_enters_no_specification():
    config = load()
    assert all_specs(reverse(config)) == all_specs(config)


def test_making_specifications_changes_no_configuration():
    config = load()
    kept = deepcopy(config)
    all_specs(config)
    assert config == kept


def test_a_colour_map_enters_figures_alone():
    config = load()
    drawn = {f"{kind}/{n}" for kind in ("figure", "animation") for n in config[f"{kind}s"]}
    assert changed(style={"colormap": "magma"}) == drawn


def test_a_figures_own_colour_map_enters_that_figure_alone():
    own = {"ding2023_fig3": {"options": {"colormap": "magma"}}}
    assert changed(figures=own) == {"figure/ding2023_fig3"}


def test_a_resolution_enters_that_grid_alone():
    assert changed(grids={"c10-resnet20-pca-last": {"resolution": 5}}) == {
        "grid/c10-resnet20-pca-last"
    }


def test_a_runs_rate_enters_that_run_alone():
    run = {"c10-resnet20": {"optimizer": {"lr": 0.05}}}
    assert changed(runs=run) == {"trajectory/c10-resnet20"}


def test_a_recipe_enters_its_runs_alone():
    recipe = {"ding2023": {"optimizer": {"weight_decay": 0.0}}}
    runs = load()["runs"]
    named = {name for name, run in runs.items() if run["recipe"] == "ding2023"}
    assert changed(recipes=recipe) == {f"trajectory/{name}" for name in named}


def test_titles_sizes_for_estimates_and_devices_enter_nothing():
    given = {
        "datasets": {"c10": {"title": "other"}},
        "networks": {"resnet20": {"macs": 1}},
        "resources": {"threads": {"grid": 2}, "gflops": 7},
        "device": "cpu",
        "jobs_per_gpu": 3,
    }
    assert changed(**given) == set()


def test_the_place_of_the_data_enters_nothing(tmp_path):
    specs = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "cifar10.h5").touch()
        specs.append(all_specs(load(scale="paper", data_dir=str(folder))))
    assert specs[0] == specs[1]
    assert str(tmp_path) not in "".join(specs[0].values())


def test_an_image_file_is_known_by_its_name(tmp_path):
    (tmp_path / "mine.h5").touch()
    file = str(tmp_path / "mine.h5")
    config = load(datasets={"mine": {"source": "hdf5", "file": file}})
    expected = {"source": "hdf5", "file": "mine.h5", "train": None, "test": None}
    assert dataset_spec(config, "mine") == expected


def test_what_an_optimiser_or_schedule_ignores_enters_nothing():
    adam = {"c10-resnet20": {"optimizer": {"name": "adam"}}}
    spec = trajectory_spec(load(runs=adam), "c10-resnet20")
    assert spec["optimizer"] == {"name": "adam", "lr": 0.1, "weight_decay": 1e-4}
    assert spec["schedule"] == {"name": "constant"}


def test_a_value_given_as_its_default_changes_nothing():
    same = load()["grid"] | {"bn_statistics": "batch"}
    assert changed(grids={"c10-resnet20-pca-last": same}) == set()


@pytest.mark.parametrize("scale", SCALES)
def test_every_source_is_an_artifact_of_the_registry(scale):
    config = load(scale=scale)
    targets = all_targets(config)
    assert len(targets) == len(set(targets))
    for target in targets:
        assert set(sources(config, *target.split("/"))) <= set(targets), target


def test_a_closure_holds_every_ancestor_sorted():
    config = load()
    assert closure(config, ["figure/ding2023_fig3"]) == [
        "basis/c10-resnet20-fn-start",
        "basis/c10-resnet20-pca-start",
        "dataset/c10",
        "figure/ding2023_fig3",
        "grid/c10-resnet20-fn-start",
        "grid/c10-resnet20-pca-start",
        "trajectory/c10-resnet20",
    ]


def test_a_closure_is_closed():
    config = load()
    found = closure(config, ["claims/claims"])
    assert found == sorted(set(found))
    assert all(set(sources(config, *target.split("/"))) <= set(found) for target in found)


def test_the_dataset_has_no_sources():
    assert sources(load(), "dataset", "c10") == []


def test_every_figure_table_and_paper_is_a_target():
    config = load()
    found = named_targets(config)
    shown = ("figure", "table", "animation")
    single = {f"{stage}/{name}" for stage in shown for name in config[f"{stage}s"]}
    papers = {"ding2023", "horoi2021"}
    assert set(found) == {target.split("/")[1] for target in single} | papers
    for paper in papers:
        own = {target for target in single if f"/{paper}_" in target}
        assert set(found[paper]) == own | {f"claims/{paper}"}
    assert found["ding2023_fig3"] == ["figure/ding2023_fig3"]


def test_titles_say_the_epoch_of_the_centre():
    panels = figure_spec(load(scale="paper"), "ding2023_fig5")["panels"]
    titles = [panel["title"] for panel in panels]
    assert titles == ["epoch 0", "epoch 20", "epoch 50", "epoch 100"]


def test_run_and_factory_of_an_artifact():
    config = load()
    for stage in ("grid", "projection"):
        for name in config[f"{stage}s"]:
            assert sources(config, stage, name)[1] == f"trajectory/{run_of(config, stage, name)}"
    assert factory_of(config, "c10-resnet20") == "lossmap.network.models.resnet:resnet20"


def test_a_network_may_be_named_by_its_factory():
    run = {"dataset": "c10", "network": "my.module:build", "recipe": "ding2023", "width": 2}
    network = trajectory_spec(load(runs={"mine": run}), "mine")["network"]
    assert network == {"factory": "my.module:build", "width": 2.0, "seed": 0}
