"""Four sources merged in a fixed order, checked, and resolved run by run."""

import shutil
from pathlib import Path

import pytest
import yaml

from lossmap.claims.papers import SHIPPED
from lossmap.errors import LossmapError
from lossmap.workflow.configuration import (
    CLOUD_KINDS,
    RULES,
    cloud_kind,
    embedding_names,
    embedding_technique,
    epoch_of,
    jump_names,
    kept_epochs,
    load_configuration,
    metrics_of,
    minimum_of,
    run_recipe,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Give a copy of ``config/`` that a test may write to."""
    return Path(shutil.copytree(CONFIG, tmp_path / "config"))


def write_scale(folder: Path, **values: object) -> dict:
    """Add the scale ``mine`` and return what the user gives to choose it."""
    (folder / "scales" / "mine.yaml").write_text(yaml.safe_dump(values))
    return {"scale": "mine"}


@pytest.mark.parametrize("scale", ["demo", "desk", "paper"])
def test_shipped_scales_load(scale):
    assert load_configuration(CONFIG, {"scale": scale})["scale"] == scale


def test_demo_is_the_scale_of_those_who_name_none():
    assert load_configuration(CONFIG, {}) == load_configuration(CONFIG, {"scale": "demo"})


def test_each_source_lies_over_the_one_before(folder):
    grid = {"resolution": 5, "extent": 0.5}
    given = write_scale(folder, grid=grid, datasets={"c10": {"train": 6000}})
    config = load_configuration(folder, given | {"grid": {"resolution": 7}})
    assert config["metrics"] == {"images": 5000}  # defaults
    assert config["datasets"]["c10"]["source"] == "cifar10"  # registry
    assert config["datasets"]["c10"]["train"] == 6000  # scale over registry
    assert config["grid"] == {"resolution": 7, "extent": 0.5}  # scale over defaults, given over all


def test_an_entry_of_another_kind_keeps_only_what_that_kind_has():
    own = {"datasets": {"c10": {"source": "hdf5", "file": "own.h5"}}, "keep_datasets": True}
    below = load_configuration(CONFIG, {})["datasets"]["c10"]
    assert below["source"] == "digits"
    assert set(below) > {"classes", "seed"}
    kept = {key: below[key] for key in ("title", "train", "test")}
    assert load_configuration(CONFIG, own)["datasets"]["c10"] == kept | own["datasets"]["c10"]


def test_a_cloud_may_embed_by_another_method():
    other = {"method": "umap", "neighbors": 4, "min_dist": 0.5}
    given = {"scale": "paper", "clouds": {"adam": {"embeddings": {"phate-cosine": other}}}}
    config = load_configuration(CONFIG, given)
    below = config["techniques"]["phate-cosine"]
    kept = ("metric", "include_optimum", "cosine_space", "components", "seed")
    expected = {key: below[key] for key in kept} | other
    assert embedding_technique(config, "adam-phate-cosine") == expected


def test_lists_replace_where_mappings_merge():
    panels = [{"draw": "curve", "run": "c10-resnet20"}]
    config = load_configuration(CONFIG, {"figures": {"ding2023_fig2": {"panels": panels}}})
    assert config["figures"]["ding2023_fig2"] == {"columns": 2, "panels": panels}


def test_a_users_run_and_figure_stand_beside_the_papers():
    own = {
        "runs": {"mine": {"dataset": "c10", "network": "resnet20", "recipe": "ding2023"}},
        "figures": {"mine_fig1": {"columns": 1, "panels": [{"draw": "curve", "run": "mine"}]}},
    }
    config, papers = load_configuration(CONFIG, own), load_configuration(CONFIG, {})
    assert config["runs"] == papers["runs"] | own["runs"]
    assert config["figures"] == papers["figures"] | own["figures"]


def test_loading_changes_nothing_that_was_given(folder):
    given = write_scale(folder) | {"grid": {"resolution": 7}}
    kept = {"scale": "mine", "grid": {"resolution": 7}}
    config = load_configuration(folder, given)
    config["grid"]["extent"] = 2.0
    assert given == kept


@pytest.mark.parametrize(
    ("epochs", "every", "share", "expected"),
    [
        (100, 1, 0.2, 20),
        (12, 1, 0.2, 2),
        (12, 1, 0.5, 6),
        (10, 4, 0.5, 4),  # kept: 0, 4, 8, 10
        (10, 4, 0.7, 8),
        (10, 4, 1.0, 10),  # the last epoch is always kept
        (10, 4, 0.99, 10),
        (10, 4, 0.9, 8),  # of two as near the earlier
        (10, 4, 0.0, 0),
    ],
)
def test_a_name_stands_for_the_nearest_kept_epoch(epochs, every, share, expected):
    recipe = {"epochs": epochs, "snapshot_every": every}
    config = load_configuration(
        CONFIG,
        {"runs": {"c10-resnet20": {"epochs": 100}}, "epoch_names": {"asked": share}},
    )
    config["runs"]["c10-resnet20"] |= recipe
    found = epoch_of(config, "c10-resnet20", "asked", "here")
    assert found == expected
    assert found in kept_epochs(config, "c10-resnet20")


def test_a_number_is_the_epoch_itself():
    config = load_configuration(CONFIG, {"scale": "paper"})
    assert epoch_of(config, "c10-resnet20", 37, "here") == 37


def test_a_run_overrides_single_leaves_of_its_recipe():
    override = {"epochs": 20, "optimizer": {"lr": 0.05}}
    config = load_configuration(CONFIG, {"scale": "paper", "runs": {"c10-resnet20": override}})
    recipe, plain = run_recipe(config, "c10-resnet20"), run_recipe(config, "c10-resnet32")
    assert recipe["epochs"] == 20
    assert recipe["optimizer"] == plain["optimizer"] | {"lr": 0.05}
    assert {k: v for k, v in recipe.items() if k not in override} == {
        k: v for k, v in plain.items() if k not in override
    }
    assert config["recipes"]["ding2023"]["epochs"] == 100
    assert "title" not in recipe  # a run's own keys are no part of how it is trained


def test_no_paper_may_bear_the_name_of_a_rule():
    texts = [path.read_text() for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    named = {line[5:-1] for line in lines if line.startswith("rule ") and line.endswith(":")}
    assert named
    assert named <= RULES


def test_a_minimum_overrides_single_leaves_of_jumps():
    own = {"c10-bad": {"epochs": 3, "directions": [7]}}
    config = load_configuration(CONFIG, {"scale": "paper", "minima": own})
    found, plain = minimum_of(config, "c10-bad"), minimum_of(config, "c10-good")
    assert found == config["jumps"] | {"run": "c10-wresnet-bad"} | own["c10-bad"]
    assert plain == config["jumps"] | {"run": "c10-wresnet-good"}
    assert [name for name in jump_names(config) if name.startswith("c10-bad-d")] == ["c10-bad-d7"]


def test_a_list_of_step_sizes_replaces_the_default():
    config = load_configuration(CONFIG, {"jumps": {"step_sizes": [2]}})
    assert minimum_of(config, "c10-good")["step_sizes"] == [2]


@pytest.mark.parametrize("scale", ["demo", "desk", "paper"])
def test_every_cloud_is_of_one_kind_and_every_embedding_has_its_own_name(scale):
    config = load_configuration(CONFIG, {"scale": scale})
    assert {cloud_kind(cloud) for cloud in config["clouds"].values()} == set(CLOUD_KINDS)
    for name, (cloud, technique) in embedding_names(config).items():
        assert name == f"{cloud}-{technique}"
        assert technique in config["techniques"]


def test_metrics_are_the_runs_or_its_recipes_or_everybodys():
    given = {
        "scale": "paper",
        "metrics": {"images": 30},
        "recipes": {"horoi2021-sgd": {"metrics": {"images": 20}}},
        "runs": {"sgd-seed1": {"metrics": {"images": 10}}},
    }
    config = load_configuration(CONFIG, given)
    names = ("sgd-seed1", "sgd-seed0", "adam-seed0")
    assert [metrics_of(config, name)["images"] for name in names] == [10, 20, 30]


def test_every_shipped_claim_is_measured():
    config = load_configuration(CONFIG, {})
    assert {name for claims in config["claims"].values() for name in claims} == set(SHIPPED)


def test_null_models_of_the_claim_imitate_its_clouds():
    config = load_configuration(CONFIG, {})
    claim = config["claims"]["horoi2021"]["horoi-null-control"]
    found = {
        (config["clouds"][n]["of"], config["clouds"][n]["model"]) for n in claim["null_clouds"]
    }
    clouds = claim["good_clouds"] + claim["bad_clouds"]
    assert found == {(name, model) for name in clouds for model in ("walks", "straight")}


def test_optimizers_are_compared_from_the_same_seeds():
    config = load_configuration(CONFIG, {})
    seeds: dict[str, list[int]] = {}
    for run in config["clouds"]["optimizers"]["runs"]:
        seeds.setdefault(config["runs"][run]["recipe"], []).append(config["runs"][run]["seed"])
    assert len(seeds) == 3
    assert set(map(tuple, seeds.values())) == {(0, 1, 2, 3, 4)}


def test_recipes_are_as_the_paper_prints_them():
    config = load_configuration(CONFIG, {"scale": "paper"})
    good, bad = (run_recipe(config, f"c10-wresnet-{kind}") for kind in ("good", "bad"))
    assert (good["batch_size"], good["epochs"], good["optimizer"]["lr"]) == (128, 200, 0.1)
    assert good["schedule"] == {"name": "steps", "milestones": [150], "factor": 0.1}
    assert good["optimizer"]["weight_decay"] == 1e-4
    assert bad["optimizer"] == good["optimizer"] | {"weight_decay": 0.0}
    assert (bad["augmentation"]["flip"], bad["augmentation"]["crop_padding"]) == (False, 0)
    for name in ("memorization", "bad-seed1", "bad-seed2"):
        assert run_recipe(config, f"c10-wresnet-{name}") | {"seed": 0} == bad


def test_weight_decay_and_augmentation_are_crossed():
    config = load_configuration(CONFIG, {"scale": "paper"})
    good, decay, augmented, bad = (
        run_recipe(config, f"c10-wresnet-{kind}") for kind in ("good", "decay", "augmented", "bad")
    )
    assert decay == bad | {"optimizer": good["optimizer"]}
    assert augmented == bad | {"augmentation": good["augmentation"]}


def test_repeated_clouds_have_seeds_of_their_own_and_stand_in_claims():
    config = load_configuration(CONFIG, {"scale": "desk"})
    walks = [name for name in config["clouds"] if name.startswith("c10-good-walks")]

    assert walks == ["c10-good-walks", *(f"c10-good-walks-{i}" for i in range(1, 10))]
    assert [config["clouds"][name].get("seed") for name in walks] == list(range(10))
    assert not any("repeats" in cloud for cloud in config["clouds"].values())
    assert set(walks) < set(config["claims"]["horoi2021"]["horoi-null-control"]["null_clouds"])
    trees = config["claims"]["horoi2021"]["horoi-phate-continuity"]["trees"]
    assert [config["clouds"][name]["tree"]["seed"] for name in trees] == [37, 38, 39, 40, 41]


def test_claims_mean_every_training_seed_of_the_runs_of_table_1():
    config = load_configuration(CONFIG, {"scale": "desk"})
    claims = config["claims"]["ding2023"]
    cells = claims["ding-fitting-error"]["pca_projections"]

    assert len(cells) == 12
    assert cells[:3] == [f"c10-resnet20-pca-batch{end}" for end in ("", "-1", "-2")]
    assert config["projections"][cells[2]]["basis"] == "c10-resnet20-pca-last-2"
    assert config["bases"]["c10-resnet20-pca-last-2"]["run"] == "c10-resnet20-2"
    assert [run_recipe(config, f"c10-resnet20{end}")["seed"] for end in ("", "-1", "-2")] == [
        0,
        1,
        2,
    ]
    assert not any(name.endswith("-fn-early-1") for name in config["grids"])


def test_number_of_repeats_is_the_scale_s(folder):
    given = write_scale(folder, clouds={"c10-good-walks": {"repeats": 3}, "tree": {"repeats": 1}})
    clouds = load_configuration(folder, given)["clouds"]

    assert {"c10-good-walks-2", "tree"} <= set(clouds)
    assert not {"c10-good-walks-3", "tree-1"} & set(clouds)


def test_repeat_that_is_called_as_another_cloud_is_refused():
    other = {"model": "walks", "of": "c10-good", "embeddings": {}}
    given = {"scale": "desk", "clouds": {"c10-good-walks-1": other}}
    with pytest.raises(LossmapError, match=r"clouds\.c10-good-walks: a repeat is called"):
        load_configuration(CONFIG, given)


def test_what_the_user_gave_is_left_as_it_was():
    given = {"scale": "desk", "clouds": {"tree": {"repeats": 2}}}
    for _ in range(2):
        assert "tree-1" in load_configuration(CONFIG, given)["clouds"]
