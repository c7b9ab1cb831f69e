"""Each specification holds what its artifact depends on, and nothing else."""

from copy import deepcopy
from pathlib import Path

import pytest

from lossmap.artifacts.canonical import canonical_json
from lossmap.code.reach import SCRIPTS
from lossmap.workflow.configuration import embedding_names, jump_names, load_configuration
from lossmap.workflow.expected import Expected
from lossmap.workflow.specs import (
    dataset_spec,
    distance_spec,
    factory_of,
    figure_spec,
    jumps_spec,
    network_spec,
    table_spec,
    trajectory_spec,
)
from lossmap.workflow.stages import maker_of, packs, sources, spec_of
from lossmap.workflow.targets import all_targets, closure, named_targets

CONFIG = Path(__file__).resolve().parents[2] / "config"
SCALES = ("demo", "desk", "paper")


def load(**given: object) -> dict:
    return load_configuration(CONFIG, {"scale": "demo"} | given)


def all_specs(config: dict) -> dict[str, str]:
    """Return the canonical JSON of every artifact's specification, by ``stage/name``."""
    found = {}
    for target in all_targets(config):
        stage, name = target.split("/")
        found[target] = canonical_json(spec_of(config, stage, name))
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


def test_a_color_map_enters_figures_alone():
    config = load()
    drawn = {f"{kind}/{n}" for kind in ("figure", "animation") for n in config[f"{kind}s"]}
    assert changed(style={"colormap": "magma"}) == drawn


def test_a_figures_own_color_map_enters_that_figure_alone():
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


def test_sizes_for_estimates_and_devices_enter_nothing():
    given = {
        "networks": {"resnet20": {"macs": 1}},
        "resources": {"threads": {"grid": 2}, "gflops": 7},
        "device": "cpu",
        "jobs_per_gpu": 3,
        "cluster": {"account": "mine", "gpu_partition": "gpus"},
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


def test_what_an_optimizer_or_schedule_ignores_enters_nothing():
    adam = {"c10-resnet20": {"optimizer": {"name": "adam"}}}
    spec = trajectory_spec(load(runs=adam), "c10-resnet20")
    assert spec["optimizer"] == {"name": "adam", "lr": 0.1, "weight_decay": 1e-4}
    assert spec["schedule"] == {"name": "constant"}


def test_a_value_given_as_its_default_changes_nothing():
    same = load()["grid"] | {"bn_statistics": "batch"}
    assert changed(grids={"c10-resnet20-pca-last": same}) == set()


def test_precision_of_a_grid_is_its_own_and_how_it_is_checked_matters_to_bf16_alone():
    bf16 = {"c10-resnet20-pca-last": {"precision": "bf16"}}
    assert changed(grids=bf16) == {"grid/c10-resnet20-pca-last"}
    assert changed(bf16={"bound": 0.5}) == set()
    spec = spec_of(load(precision="bf16"), "grid", "c10-resnet20-pca-last")
    assert (spec["precision"], spec["bf16"]) == ("bf16", {"points": 9, "bound": 0.02})


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


def test_titles_say_the_epoch_of_the_center():
    panels = figure_spec(load(scale="paper"), "ding2023_fig5")["panels"]
    titles = [panel["title"] for panel in panels]
    assert titles == ["epoch 0", "epoch 20", "epoch 50", "epoch 100"]


def test_run_and_factory_of_an_artifact():
    config = load()
    for stage in ("grid", "projection", "ring", "line"):
        for name in config[f"{stage}s"]:
            run = maker_of(config, stage, name).run(config, name)
            assert f"trajectory/{run}" in sources(config, stage, name)
    for name in config["curvatures"]:
        run = maker_of(config, "curvature", name).run(config, name)
        assert sources(config, "curvature", name)[0] == f"trajectory/{run}"
    assert factory_of(config, "c10-resnet20") == "lossmap.network.models.resnet:resnet20"


def test_a_line_is_made_from_its_ends_and_says_which_is_which():
    good, other = "c10-wresnet-good", "c10-wresnet-good-seed1"
    between = {"from": {"run": other, "epoch": "last"}, "to": {"run": good, "epoch": 3}}
    within = {"from": {"run": good, "epoch": "last"}, "to": {"run": good, "epoch": "start"}}
    through = {"basis": "c10-resnet20-fn-last", "direction": 5, "resolution": 5, "extent": 2}
    config = load(lines={"between": between, "within": within, "through": through})
    data = "dataset/horoi-c10"
    assert sources(config, "line", "between") == [f"trajectory/{other}", f"trajectory/{good}", data]
    assert sources(config, "line", "within") == [f"trajectory/{good}", data]
    assert sources(config, "line", "through") == [
        "basis/c10-resnet20-fn-last",
        "trajectory/c10-resnet20",
        "dataset/c10",
    ]
    spec = spec_of(config, "line", "between")
    assert spec["from"] == {"run": other, "epoch": 24}
    assert spec["to"] == {"run": good, "epoch": 3}
    assert spec["bn_statistics"] == "batch"
    spec = spec_of(config, "line", "through")
    assert (spec["direction"], spec["extent"], spec["resolution"]) == (5, 2.0, 5)


def test_a_resolution_enters_that_line_alone_and_its_title_the_figures_that_show_it():
    name = "c10-good-bad"
    assert changed(lines={name: {"resolution": 5}}) == {f"line/{name}"}
    assert changed(lines={name: {"title": "mine"}}) == {"figure/horoi2021_barriers"}
    drawn = {"line/c10-resnet20-fn-start", "line/c10-resnet20-fn-last"}
    assert changed(line={"extent": 2.0}) == drawn


def test_a_plane_through_points_is_made_from_their_runs():
    assert sources(load(), "basis", "c10-good-good-bad") == [
        "trajectory/c10-wresnet-good",
        "trajectory/c10-wresnet-good-seed1",
        "trajectory/c10-wresnet-bad",
    ]
    other = {
        "c10-good-good-bad": {"through": [{"run": "c10-wresnet-bad", "epoch": e} for e in (3, 4)]}
    }
    assert changed(bases=other) == {"basis/c10-good-good-bad"}


def test_a_network_may_be_named_by_its_factory():
    run = {"dataset": "c10", "network": "my.module:build", "recipe": "ding2023", "width": 2}
    network = trajectory_spec(load(runs={"mine": run}), "mine")["network"]
    assert network == {"factory": "my.module:build", "width": 2.0, "seed": 0}


# --- horoi2021 ----------------------------------------------------------------------------------

LEDGER = "claims/horoi2021"
"""Its specification names the settings of the embeddings that it compares."""


def embedded_by(technique: str) -> set[str]:
    """Return the embeddings made by a technique, with the ledger where it compares one of them."""
    config = load()
    found = {
        f"embedding/{name}" for name, (_, t) in embedding_names(config).items() if t == technique
    }
    return found | ({LEDGER} if found & set(sources(config, *LEDGER.split("/"))) else set())


def jumps_of(*minima: str) -> set[str]:
    """Return the jumps of some minima, of all where none is named."""
    names = jump_names(load()).items()
    return {f"jumps/{name}" for name, (minimum, _) in names if not minima or minimum in minima}


@pytest.mark.parametrize(
    ("technique", "leaf"),
    [
        ("phate-cosine", {"decay": 20}),
        ("phate-raw-knn15", {"knn": 16}),
        ("phate-euclidean", {"t": 20}),
        ("tsne-cosine", {"perplexity": 12}),
        ("umap-euclidean", {"min_dist": 0.2}),
        ("pca", {"include_optimum": True}),
        ("random", {"seed": 4}),
    ],
)
def test_a_setting_enters_the_embeddings_of_its_technique(technique, leaf):
    expected = embedded_by(technique)
    assert any(name.startswith("embedding/") for name in expected)
    assert changed(techniques={technique: leaf}) == expected


@pytest.mark.parametrize("cloud", ["c10-bad", "adam", "tree"])
def test_a_setting_of_one_cloud_enters_that_clouds_embedding_alone(cloud):
    technique = "phate-euclidean" if cloud == "tree" else "phate-cosine"
    own = {cloud: {"embeddings": {technique: {"knn": 7}}}}
    expected = {f"embedding/{cloud}-{technique}"}
    judged = set(sources(load(), *LEDGER.split("/")))
    assert changed(clouds=own) == expected | ({LEDGER} if expected & judged else set())


def test_a_setting_given_as_its_default_enters_nothing():
    own = {"c10-bad": {"embeddings": {"phate-cosine": {"knn": 3, "t": "auto"}}}}
    assert changed(clouds=own) == set()


@pytest.mark.parametrize(
    "leaf",
    [
        {"step_sizes": [0.25, 0.5]},
        {"epochs": 3},
        {"lr": 0.002},
        {"momentum": 0.5},
        {"ignore": "none"},
        {"seed": 4},
    ],
    ids=str,
)
def test_how_is_retrained_enters_all_jumps_and_a_minimums_own_only_its(leaf):
    judged = {LEDGER} if "lr" in leaf else set()  # no verdict where it is hotter than training
    assert changed(jumps=leaf) == jumps_of() | judged
    assert changed(minima={"c10-bad": leaf}) == jumps_of("c10-bad") | judged


def test_an_overridden_leaf_shields_its_minimum():
    lr = {"c10-bad": {"lr": 0.5}}
    before, after = all_specs(load(minima=lr)), all_specs(load(minima=lr, jumps={"lr": 0.25}))
    others = jumps_of() - jumps_of("c10-bad")
    assert {name for name in before if before[name] != after[name]} == others | {LEDGER}


def test_directions_enter_the_clouds_that_hold_them_alone():
    before = all_specs(load())
    after = all_specs(load(minima={"c10-bad": {"directions": [0, 1, 2, 3, 4, 9]}}))
    assert set(after) - set(before) == {"jumps/c10-bad-d9"}
    assert set(before) - set(after) == set()
    assert {n for n in before if before[n] != after[n]} == {"distance/c10-bad"}


def test_weight_decay_of_a_run_enters_its_trajectory_and_its_jumps():
    run = {"c10-wresnet-bad": {"optimizer": {"weight_decay": 0.5}}}
    assert changed(runs=run) == {"trajectory/c10-wresnet-bad"} | jumps_of("c10-bad")


@pytest.mark.parametrize(
    ("leaf", "retrains"),
    [
        ({"augmentation": {"rotation": 5}}, True),
        ({"batch_size": 30}, True),
        ({"metrics": {"images": 50}}, True),
        ({"optimizer": {"lr": 0.2}}, False),  # retraining has a rate and a schedule of its own
        ({"optimizer": {"momentum": 0.5}}, False),
        ({"schedule": {"factor": 0.5}}, False),
        ({"epochs": 30}, False),
        ({"snapshot_every": 2}, False),
    ],
    ids=str,
)
def test_retraining_takes_the_recipe_of_the_minimum_but_for_rate_and_length(leaf, retrains):
    own = {"trajectory/c10-wresnet-bad"}
    if leaf in ({"optimizer": {"lr": 0.2}}, {"schedule": {"factor": 0.5}}):
        own |= {LEDGER}  # the last rate of training, which retraining must not exceed
    if leaf == {"epochs": 30}:  # another epoch is the last
        own |= {"line/c10-good-bad", "line/c10-bad-bad", "basis/c10-good-good-bad"}
        own |= {"curvature/c10-bad", "basis/c10-bad-hessian", "figure/horoi2021_curvature"}
    assert changed(runs={"c10-wresnet-bad": leaf}) == (
        own | jumps_of("c10-bad") if retrains else own
    )


def test_a_runs_seed_enters_what_its_network_is_built_for():
    """Jumps load the weights of the minimum, but the network is built before."""
    found = changed(runs={"c10-wresnet-bad": {"seed": 8}})
    told = {LEDGER, "claims/ours", "table/horoi2021_flatness"}
    assert (
        {"trajectory/c10-wresnet-bad"}
        <= found
        <= ({"trajectory/c10-wresnet-bad"} | told | jumps_of("c10-bad"))
    )


def test_how_many_directions_one_job_trains_enters_nothing():
    assert changed(jumps={"per_job": 2}) == set()
    assert changed(minima={"c10-bad": {"per_job": 1}}) == set()


def test_random_labels_enter_their_data_set_alone():
    assert changed(datasets={"horoi-c10-random": {"random_labels": 3}}) == {
        "dataset/horoi-c10-random"
    }


def test_the_seed_of_a_null_model_enters_it_its_repeats_and_the_ledger():
    assert changed(clouds={"c10-bad-walks": {"seed": 3}}) == {
        "distance/c10-bad-walks",
        "distance/c10-bad-walks-1",
        LEDGER,
    }


def test_labels_of_figures_are_the_titles_of_their_runs():
    config = load(runs={"sgd-seed1": {"title": "plain"}})
    panel = figure_spec(config, "horoi2021_fig4")["panels"][0]
    assert panel["labels"]["sgd-seed1"] == "plain"
    assert panel["labels"]["sgd-seed0"] == "SGD"
    assert panel["labels"]["momentum-seed4"] == "SGD with momentum"
    assert list(panel["labels"]) == config["clouds"]["sgd-momentum"]["runs"]


def test_the_title_of_a_run_enters_the_figures_that_name_it():
    found = changed(runs={"sgd-seed1": {"title": "plain"}})
    assert found - {LEDGER} == {"figure/horoi2021_fig4", "figure/horoi2021_fig10"}


def test_panels_of_jumps_and_of_the_tree_have_no_labels():
    config = load()
    for name in ("horoi2021_fig1", "horoi2021_fig2"):
        assert all("labels" not in panel for panel in figure_spec(config, name)["panels"])


def test_a_panel_knows_its_method():
    panels = figure_spec(load(), "horoi2021_fig1")["panels"]
    methods = ["phate", "tsne", "umap", "pca", "phate", "tsne", "umap", "random"]
    assert [panel["method"] for panel in panels] == [*methods, *methods[:4]]


def test_lines_enter_figures_and_animations_alone():
    config = load()
    drawn = {f"{kind}/{n}" for kind in ("figure", "animation") for n in config[f"{kind}s"]}
    assert changed(style={"lines": False}) == drawn


def test_frames_enter_their_animation_alone():
    own = {"horoi2021_animation": {"options": {"fps": 3}}}
    assert changed(animations=own) == {"animation/horoi2021_animation"}


@pytest.mark.parametrize("per_job", range(1, 8))
@pytest.mark.parametrize("scale", SCALES)
def test_packs_hold_every_artifact_once_and_few_enough(scale, per_job):
    config = load(scale=scale, jumps={"per_job": per_job})
    jumps = packs(config, "jumps")

    assert [name for pack in jumps for name in pack.names] == list(jump_names(config))
    for pack in jumps:
        assert 1 <= len(pack.names) <= per_job
        assert len({jump_names(config)[name][0] for name in pack.names}) == 1


def test_a_technique_shares_its_job_with_no_other():
    config = load()
    made = [pack.names for pack in packs(config, "embedding")]
    assert made == [[name] for name in embedding_names(config)]


def test_as_few_jobs_as_the_size_allows():
    config = load(minima={"c10-bad": {"directions": [0, 1, 2, 3, 4, 5, 9], "per_job": 3}})
    made = [pack.names for pack in packs(config, "jumps")]
    assert [names for names in made if names[0].startswith("c10-bad-d")] == [
        ["c10-bad-d0", "c10-bad-d1", "c10-bad-d2"],
        ["c10-bad-d3", "c10-bad-d4", "c10-bad-d5"],
        ["c10-bad-d9"],
    ]


def test_the_closure_of_figure_2_is_what_it_needs():
    config = load()
    clouds = ("c10-good", "c10-bad", "c10-memorization")
    runs = ("c10-wresnet-good", "c10-wresnet-bad", "c10-wresnet-memorization")
    expected = {"figure/horoi2021_fig2", "dataset/horoi-c10", "dataset/horoi-c10-random"}
    expected |= {f"trajectory/{run}" for run in runs} | {f"distance/{cloud}" for cloud in clouds}
    expected |= {f"jumps/{cloud}-d{direction}" for cloud in clouds for direction in range(5)}
    expected |= {f"embedding/{cloud}-phate-cosine" for cloud in clouds}

    assert closure(config, ["figure/horoi2021_fig2"]) == sorted(expected)


@pytest.mark.parametrize(
    ("target", "stages"),
    [
        ("horoi2021_fig9", {"figure", "trajectory", "dataset"}),
        ("horoi2021_fig3", {"figure", "embedding", "distance", "trajectory", "dataset"}),
        (
            "horoi2021_null",
            {"figure", "embedding", "distance", "jumps", "trajectory", "dataset"},
        ),
    ],
)
def test_a_closure_goes_through_the_stages_that_are_needed(target, stages):
    found = closure(load(), [f"figure/{target}"])
    assert {name.split("/")[0] for name in found} == stages


@pytest.mark.parametrize(("paper", "other"), [("ding2023", "horoi2021"), ("horoi2021", "ding2023")])
def test_the_papers_have_nothing_in_common(paper, other):
    config = load()
    named = named_targets(config)
    mine, others = (set(closure(config, named[p])) for p in (paper, other))
    assert mine & others == set()
    assert f"claims/{other}" not in mine
    assert not any(f"/{other}_" in name for name in mine)
    ledgers = {"claims/ours", "claims/claims"}
    assert mine | others | ledgers == set(all_targets(config))


def test_ding2023_needs_no_jump_no_distance_and_no_embedding():
    config = load()
    stages = {name.split("/")[0] for name in closure(config, named_targets(config)["ding2023"])}
    assert stages.isdisjoint({"jumps", "distance", "embedding", "animation"})


@pytest.mark.parametrize("model", ["walks", "straight"])
def test_a_null_model_is_made_from_the_cloud_and_a_run_of_its_network(model):
    config = load()
    name = f"c10-bad-{model}"
    assert distance_spec(config, name)["null"] == model
    assert sources(config, "distance", name) == ["distance/c10-bad", "trajectory/c10-wresnet-bad"]


def test_an_initialization_enters_the_runs_of_its_network_where_it_is_given():
    given = {"networks": {"resnet20": {"initialization": "published"}}}
    found = {name for name in changed(**given) if name.startswith("trajectory/")}
    assert {name.split("/")[1].split("-")[1] for name in found} == {"resnet20"}
    assert network_spec(load(**given), "c10-resnet20")["initialization"] == "published"
    assert "initialization" not in network_spec(load(), "c10-resnet20")


def test_swapped_steps_are_made_from_both_clouds():
    config = load()
    assert distance_spec(config, "c10-bad-swapped")["lengths"] == "c10-good"
    made_from = ["distance/c10-bad", "distance/c10-good", "trajectory/c10-wresnet-bad"]
    assert sources(config, "distance", "c10-bad-swapped") == made_from


def test_jumps_are_retrained_at_a_constant_rate_with_a_fresh_optimizer():
    spec = jumps_spec(load(scale="paper"), "c10-good-d3")
    assert spec["optimizer"] == {
        "name": "sgd",
        "lr": 0.001,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 1e-4,
    }
    assert spec["schedule"] == {"name": "constant"}
    assert (spec["direction"], spec["step_sizes"], spec["epochs"]) == (
        3,
        [0.25, 0.5, 0.75, 1.0],
        50,
    )
    assert spec["augmentation"]["flip"]


def test_jumps_of_adams_minimum_keep_its_weight_decay_alone():
    run = {"adam-seed0": {"optimizer": {"weight_decay": 0.25}}}
    config = load(runs=run, minima={"mine": {"run": "adam-seed0", "directions": [2]}})
    assert jumps_spec(config, "mine-d2")["optimizer"]["name"] == "sgd"
    assert jumps_spec(config, "mine-d2")["optimizer"]["weight_decay"] == 0.25


def test_a_table_says_where_its_data_are_not_the_papers():
    demo, paper = (
        table_spec(load(scale=s), "ding2023_table1")["columns"] for s in ("demo", "paper")
    )
    # The ledger's numbers name their cases, and a legend the data of its lines.
    shown = {"table/ding2023_table1", "claims/ding2023", "figure/ding2023_lines"}
    assert changed(datasets={"c10": {"title": "other"}}) == shown
    assert demo[0]["dataset"] == "digits (10 classes) for CIFAR-10"
    assert [column["dataset"] for column in paper] == ["CIFAR-10"] * 2 + ["CIFAR-100"] * 2


def test_titles_say_the_data_of_the_scale():
    titles = {
        scale: [p["title"] for p in figure_spec(load(scale=scale), "horoi2021_fig5")["panels"]]
        for scale in ("demo", "paper")
    }
    assert titles["paper"][0] == "bad, CIFAR-10"
    assert titles["paper"][-1] == "good, CIFAR-100"
    assert titles["demo"][0] == "bad, digits (10 classes)"


OWN_CLAIM = """
from lossmap.claims.declare import Clouds, Grids, Measured, claim


@claim("own", says="It holds", statistic="a ratio", rule="above 1",
       on={"grids": Grids(), "clouds": Clouds()})
def holds(grids, clouds):
    return Measured(2.0, 2.0, 2.0, (), True)
"""


def test_claim_of_ones_own_enters_specification_sources_and_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("lossmap.claims.declare.STATEMENTS", {})
    (tmp_path / "specs_own_claim.py").write_text(OWN_CLAIM)
    entry = {"grids": ["c10-resnet20-fn-last"], "clouds": ["tree"]}
    config = load(claims={"mine": {"specs_own_claim:holds": entry}})
    found = spec_of(config, "claims", "mine")["claims"]["specs_own_claim:holds"]
    assert found["grids"] == [{"grid": "c10-resnet20-fn-last", "basis": "c10-resnet20-fn-last"}]
    assert found["clouds"][0]["cloud"] == "tree"
    own = set(sources(config, "claims", "mine"))
    assert {"grid/c10-resnet20-fn-last", "basis/c10-resnet20-fn-last", "distance/tree"} < own
    assert "claims/mine" in all_targets(config)

    def codes() -> dict[str, str]:
        expected = Expected(config, [SCRIPTS, tmp_path], "results")
        return {name: expected.code("claims", name) for name in ("mine", "ding2023", "claims")}

    before = codes()
    (tmp_path / "specs_own_claim.py").write_text(
        OWN_CLAIM.replace("2.0, 2.0, 2.0", "3.0, 2.0, 4.0")
    )
    after = codes()
    assert {name for name in before if before[name] != after[name]} == {"mine"}


def test_precision_of_training_is_part_of_the_specification_only_where_it_is_not_float32():
    def of(**entry):
        return spec_of(load(runs={"c10-resnet20": entry}), "trajectory", "c10-resnet20")

    assert of(precision="float32") == of()
    assert "precision" not in of()
    assert of(precision="tf32") == of() | {"precision": "tf32"}


def test_cuda_graphs_are_no_part_of_any_specification():
    assert changed(cuda_graphs=False) == set()


# --- curvature and topology ---------------------------------------------------------------------


def test_plane_of_a_hessian_has_run_and_center_of_its_curvature():
    changes = {"curvatures": {"c10-good": {"center": 6}}}
    config = load(**changes)
    assert spec_of(config, "basis", "c10-good-hessian") == {"method": "hessian", "center_epoch": 6}
    assert sources(config, "basis", "c10-good-hessian") == [
        "curvature/c10-good",
        "trajectory/c10-wresnet-good",
    ]
    assert spec_of(config, "curvature", "c10-good")["center_epoch"] == 6


def test_repeats_of_a_curvature_are_of_the_repeats_of_its_run():
    claim = {
        "good_curvatures": ["mine"],
        "bad_curvatures": ["mine"],
        "memorization_curvatures": ["mine"],
    }
    mine = {"dataset": "c10", "network": "resnet20", "recipe": "ding2023", "repeats": 2}
    config = load(
        runs={"mine": mine},
        curvatures={"mine": {"run": "mine", "center": "last"}},
        claims={"mine": {"ours-flatness": claim}},
    )
    assert config["curvatures"]["mine-1"] == {"run": "mine-1", "center": "last"}
    assert config["claims"]["mine"]["ours-flatness"]["good_curvatures"] == ["mine", "mine-1"]
    told = spec_of(config, "claims", "mine")["claims"]["ours-flatness"]["good_curvatures"][1]
    assert (told["curvature"], told["run"]["run"], told["run"]["seed"]) == ("mine-1", "mine-1", 1)
    assert {"curvature/mine-1", "trajectory/mine-1"} <= set(sources(config, "claims", "mine"))


def test_topology_depends_on_the_leaves_of_its_kind():
    config = load(topology={"neighbors": 9, "threshold": 0.1})
    grid = spec_of(config, "topology", "c10-resnet20-fn-start")
    assert grid == {"of": "grid", "scale": "log", "threshold": 0.1}
    cloud = spec_of(config, "topology", "c10-good")
    assert cloud == {**grid, "of": "cloud", "metric": "euclidean", "neighbors": 9}
    assert sources(config, "topology", "c10-good") == ["distance/c10-good"]
    assert sources(config, "topology", "c10-resnet20-fn-start") == ["grid/c10-resnet20-fn-start"]


def test_table_of_minima_is_made_from_curvatures_runs_and_clouds():
    config = load()
    assert maker_of(config, "table", "horoi2021_flatness").rule == "curvature_table"
    assert maker_of(config, "table", "ding2023_table1").rule == "table"
    first = spec_of(config, "table", "horoi2021_flatness")["minima"][0]
    assert (first["minimum"], first["bn_statistics"], first["seed"]) == ("good", "center", 0)
    found = sources(config, "table", "horoi2021_flatness")
    assert {"curvature/c10-good", "distance/c10-good", "trajectory/c10-wresnet-good"} <= set(found)
