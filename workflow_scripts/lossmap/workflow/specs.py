"""From the configuration to the specification of each artifact, and to what it is made from.

A specification holds exactly the leaves that the artifact depends on, resolved: no defaults are
left to be filled in by the job. Upstream artifacts enter by their content, not by their parameters.
"""

from pathlib import Path

from lossmap.workflow.configuration import (
    CIFAR_FILES,
    claim_registry,
    cloud_kind,
    embedding_names,
    jump_names,
    metrics_of,
    minimum_of,
    moment_epoch,
    run_recipe,
    statistics_of,
)

LEDGER = "claims"
"""The name of the ledger that joins the papers' ledgers."""


def dataset_file(config: dict, name: str) -> Path | None:
    """Return the HDF5 file that a data set is read from, or None for digits and torchvision.

    CIFAR is read from ``data_dir`` where it holds the file, otherwise through torchvision.
    """
    entry = config["datasets"][name]
    if entry["source"] == "hdf5":
        return Path(entry["file"])
    if entry["source"] in CIFAR_FILES and config["data_dir"]:
        path = Path(config["data_dir"]) / CIFAR_FILES[entry["source"]]
        return path if path.is_file() else None
    return None


def dataset_spec(config: dict, name: str) -> dict:
    """Return what the data set is made from."""
    entry, file = config["datasets"][name], dataset_file(config, name)
    sizes = {key: entry[key] for key in ("random_labels",) if key in entry}
    sizes |= {"train": entry.get("train"), "test": entry.get("test")}
    if entry["source"] == "digits":
        seed = entry.get("seed", 0)
        return {"source": "digits", "classes": entry["classes"], "seed": seed, **sizes}
    if file is not None:
        return {"source": "hdf5", "file": file.name, **sizes}
    return {"source": "torchvision", "name": entry["source"], **sizes}


def network_spec(config: dict, run: str) -> dict:
    """Return factory, width and seed of a run's network; the data set adds classes and channels."""
    entry = config["runs"][run]
    known = config["networks"].get(entry["network"], {"factory": entry["network"]})
    width = entry.get("width", known.get("width", 1.0))
    return {
        "factory": known["factory"],
        "width": float(width),
        "seed": run_recipe(config, run)["seed"],
    }


def trajectory_spec(config: dict, run: str) -> dict:
    """Return how a run is trained."""
    recipe = run_recipe(config, run)
    if recipe.get("precision") == "float32":
        del recipe["precision"]
    optimizer, schedule = recipe["optimizer"], recipe["schedule"]
    if optimizer["name"] == "adam":
        optimizer = {key: optimizer[key] for key in ("name", "lr", "weight_decay")}
    if schedule["name"] == "constant":
        schedule = {"name": "constant"}
    return {
        "run": run,
        "network": network_spec(config, run),
        **recipe,
        "metrics": metrics_of(config, run),
        "optimizer": optimizer,
        "schedule": schedule,
    }


def jumps_spec(config: dict, name: str) -> dict:
    """Return how one direction is jumped along and retrained from."""
    minimum, direction = jump_names(config)[name]
    return retraining_spec(config, minimum) | {"direction": direction}


def retraining_spec(config: dict, minimum: str) -> dict:
    """Return what the directions of a minimum share.

    The minimum's own recipe (horoi2021 §4) but for the optimizer's rate and momentum: a fresh one,
    at a constant rate.
    """
    entry = minimum_of(config, minimum)
    trained = trajectory_spec(config, entry["run"])
    optimizer = {
        **{"name": "sgd", "nesterov": False, "lr": entry["lr"], "momentum": entry["momentum"]},
        "weight_decay": trained["optimizer"]["weight_decay"],
    }
    return trained | {
        **{key: entry[key] for key in ("steps", "epochs", "ignore", "seed")},
        "optimizer": optimizer,
        **{"schedule": {"name": "constant"}, "snapshot_every": 1},
    }


def jump_packs(config: dict) -> list[tuple[str, list[str]]]:
    """Return the minimum and the artifacts of each job of the rule `jumps`."""
    packs = []
    for minimum in config["minima"]:
        entry = minimum_of(config, minimum)
        directions, size = entry["directions"], entry["per_job"]
        for start in range(0, len(directions), size):
            chosen = directions[start : start + size]
            packs.append((minimum, [f"{minimum}-d{direction}" for direction in chosen]))
    return packs


def distance_spec(config: dict, name: str) -> dict:
    """Return the weight vectors of a cloud."""
    cloud = config["clouds"][name]
    kind = cloud_kind(cloud)
    if kind == "tree":
        return {"kind": "tree", **cloud["tree"]}
    if kind == "runs":
        return {"kind": "runs", "runs": cloud["runs"]}
    if kind == "model":
        seed = cloud.get("seed", 0)
        return {"kind": "null", "null": cloud["model"], "cloud": cloud["of"], "seed": seed}
    return {
        "kind": "jumps",
        "minimum": config["minima"][cloud["minimum"]]["run"],
        "jumps": _jumps_of(config, cloud["minimum"]),
    }


def _jumps_of(config: dict, minimum: str) -> list[str]:
    return [name for name, (found, _) in jump_names(config).items() if found == minimum]


def _distance_sources(config: dict, name: str) -> list[str]:
    cloud = config["clouds"][name]
    kind = cloud_kind(cloud)
    if kind == "tree":
        return []
    if kind == "runs":
        return sorted({f"trajectory/{run}" for run in cloud["runs"]})
    origin = config["clouds"][cloud["of"]] if kind == "model" else cloud
    minimum = f"trajectory/{config['minima'][origin['minimum']]['run']}"
    if kind == "model":
        return [f"distance/{cloud['of']}", minimum]
    jumps = [f"jumps/{found}" for found in _jumps_of(config, cloud["minimum"])]
    return [*jumps, minimum]


def embedding_spec(config: dict, name: str) -> dict:
    """Return how a cloud is embedded."""
    cloud, technique = embedding_names(config)[name]
    return config["techniques"][technique] | config["clouds"][cloud]["embeddings"][technique]


def embedding_packs(config: dict) -> list[tuple[str, list[str]]]:
    """Return the cloud and the artifacts of each job of the rule `embedding`."""
    found = {
        cloud: [f"{cloud}-{technique}" for technique in entry["embeddings"]]
        for cloud, entry in config["clouds"].items()
    }
    return [(cloud, made) for cloud, made in found.items() if made]


def job_name(config: dict, stage: str, name: str) -> str:
    """Return the name of the job that makes an artifact: of its log and its benchmark."""
    if stage == "jumps":
        return next(made[0] for _, made in jump_packs(config) if name in made)
    return embedding_names(config)[name][0] if stage == "embedding" else name


def animation_spec(config: dict, name: str) -> dict:
    """Return what an animation shows and how it looks."""
    entry = config["animations"][name]
    return {
        **{"figure": name, "columns": entry["columns"]},
        "options": config["style"] | entry.get("options", {}),
        "panels": [_panel_spec(config, name, panel) for panel in entry["panels"]],
    }


def basis_spec(config: dict, name: str) -> dict:
    """Return how a plane is fitted or drawn."""
    entry = config["bases"][name]
    epoch = moment_epoch(config, entry["run"], entry["center"], f"bases.{name}.center")
    spec = {"method": entry["method"], "center_epoch": epoch}
    if entry["method"] == "pca":
        return spec | {"window": entry.get("window")}
    return spec | {
        "seeds": entry.get("seeds", [0]),
        "ignore": entry.get("ignore", config["fn"]["ignore"]),
    }


def grid_spec(config: dict, name: str) -> dict:
    """Return where and on what a landscape is evaluated."""
    entry = config["grids"][name]
    return {
        "resolution": entry.get("resolution", config["grid"]["resolution"]),
        "extent": float(entry.get("extent", config["grid"]["extent"])),
        "bn_statistics": statistics_of(config, entry),
        "evaluation": config["evaluation"],
        **_precision_spec(config, entry),
    }


def _precision_spec(config: dict, entry: dict) -> dict:
    """Return nothing for float32, so that how others are checked matters to nothing else."""
    precision = entry.get("precision", config["precision"])
    return {} if precision == "float32" else {"precision": precision, "bf16": config["bf16"]}


def projection_spec(config: dict, name: str) -> dict:
    """Return on what a trajectory and its projection are evaluated."""
    entry = config["projections"][name]
    return {
        "bn_statistics": statistics_of(config, entry),
        "evaluation": config["evaluation"],
    }


def figure_spec(config: dict, name: str) -> dict:
    """Return what a figure shows and how it looks; ``{epoch}`` and ``{data}`` are filled in."""
    entry = config["figures"][name]
    options = config["style"] | entry.get("options", {})
    panels = [_panel_spec(config, name, panel) for panel in entry["panels"]]
    return {"figure": name, "columns": entry["columns"], "options": options, "panels": panels}


def _panel_spec(config: dict, figure: str, panel: dict) -> dict:
    panel = dict(panel)
    if "moments" in panel:
        where = f"figures.{figure}.moments"
        panel["moments"] = [
            moment_epoch(config, panel["run"], moment, where) for moment in panel["moments"]
        ]
    if "embedding" in panel:
        cloud = config["clouds"][embedding_names(config)[panel["embedding"]][0]]
        panel["method"] = embedding_spec(config, panel["embedding"])["method"]
        if "minimum" in cloud:
            run = config["minima"][cloud["minimum"]]["run"]
            panel["title"] = panel.get("title", "").replace("{data}", _data_title(config, run))
        if "runs" in cloud:
            panel["labels"] = {run: run_title(config, run) for run in cloud["runs"]}
    if "grid" in panel:
        panel["basis"] = config["grids"][panel["grid"]]["basis"]
        basis = config["bases"][panel["basis"]]
        epoch = moment_epoch(config, basis["run"], basis["center"], f"bases.{panel['basis']}")
        panel["title"] = panel.get("title", "").replace("{epoch}", f"epoch {epoch}")
    return panel


def _data_title(config: dict, run: str) -> str:
    """Return what a run's data set is called."""
    dataset = config["runs"][run]["dataset"]
    return config["datasets"][dataset].get("title", dataset)


def run_title(config: dict, run: str) -> str:
    """Return what a run is called in a figure."""
    return config["runs"][run].get("title", run)


def table_spec(config: dict, name: str) -> dict:
    """Return what a table shows; a column says so where its data are not the paper's."""
    columns = []
    for column in config["tables"][name]["columns"]:
        run = run_of(config, "projection", column["projections"]["center"]["pca"])
        title = _data_title(config, run)
        here = "" if title == column["dataset"] else f" (here {title})"
        columns.append(column | {"dataset": column["dataset"] + here})
    return {"table": name, "columns": columns}


def panel_sources(panels: list[dict]) -> list[str]:
    """Return the artifacts that panels draw, as ``stage/name``, sorted."""
    stages = (
        ("run", "trajectory"),
        ("grid", "grid"),
        ("basis", "basis"),
        ("projection", "projection"),
        ("embedding", "embedding"),
    )
    found = {f"{stage}/{p[key]}" for p in panels for key, stage in stages if key in p}
    for series in (series for panel in panels for series in panel.get("series", ())):
        found |= {f"trajectory/{run}" for run in series["runs"]}
    return sorted(found)


def table_sources(config: dict, table: str) -> list[str]:
    """Return the artifacts that a table reads, as ``stage/name``, sorted."""
    columns = config["tables"][table]["columns"]
    pairs = [pair for column in columns for pair in column["projections"].values()]
    return sorted({f"projection/{name}" for pair in pairs for name in pair.values()})


def claims_spec(config: dict, paper: str) -> dict:
    """Return which claims are measured on which artifacts, and whether verdicts are given."""
    found = config["claims"][paper]
    entries = {
        name: {key: [_claim_case(config, key, entry) for entry in claim[key]] for key in claim}
        for name, claim in found.items()
    }
    return {"judge": config["judge_claims"], "claims": entries}


def _claim_case(config: dict, key: str, name: str) -> dict | str:
    """Return what a claim needs to know of one grid, run or cloud besides its artifact."""
    registry = claim_registry(key)
    if registry == "grids":
        return {"grid": name, "basis": config["grids"][name]["basis"]}
    if registry == "runs":
        recipe = run_recipe(config, name)
        return {"run": name, "label": _rule_of(recipe["optimizer"]), "seed": recipe["seed"]}
    if registry == "clouds":
        cloud = config["clouds"][name]
        return {
            "cloud": name,
            "of": cloud.get("of"),
            "runs": [_claim_case(config, "runs", run) for run in cloud.get("runs", [])],
            "embeddings": {
                f"{name}-{technique}": embedding_spec(config, f"{name}-{technique}")
                for technique in cloud["embeddings"]
            },
        }
    return name


def _rule_of(optimizer: dict) -> str:
    """Return the optimizer as the second paper calls it."""
    if optimizer["name"] == "adam":
        return "Adam"
    return "SGD with momentum" if optimizer["momentum"] else "SGD"


def ledger_spec(config: dict, name: str) -> dict:
    """Return what a paper's ledger, or the ledger that joins them, is measured on."""
    return {"papers": list(config["claims"])} if name == LEDGER else claims_spec(config, name)


def claims_sources(config: dict, name: str) -> list[str]:
    """Return the artifacts that claims are measured on, as ``stage/name``, sorted.

    `name` is a paper, or ``claims`` for the ledger that joins the papers'.
    """
    if name == LEDGER:
        return [f"claims/{paper}" for paper in config["claims"]]
    stages = {registry: stage for stage, registry in STAGES.items() if stage != "embedding"}
    found = set()
    for claim in config["claims"][name].values():
        for key, entries in claim.items():
            for entry in entries:
                found |= _claim_artifacts(config, stages[claim_registry(key)], entry)
    return sorted(found)


def _claim_artifacts(config: dict, stage: str, name: str) -> set[str]:
    if stage == "grid":
        return {f"grid/{name}", f"basis/{config['grids'][name]['basis']}"}
    return _cloud_artifacts(config, name) if stage == "distance" else {f"{stage}/{name}"}


def _cloud_artifacts(config: dict, cloud: str) -> set[str]:
    """Return a cloud's distances and embeddings."""
    techniques = config["clouds"][cloud]["embeddings"]
    return {f"distance/{cloud}", *(f"embedding/{cloud}-{technique}" for technique in techniques)}


def spec_of(config: dict, stage: str, name: str) -> dict:
    """Return the specification of one artifact: the parameters that made it."""
    make = {
        "dataset": dataset_spec,
        "trajectory": trajectory_spec,
        "basis": basis_spec,
        "grid": grid_spec,
        "projection": projection_spec,
        "jumps": jumps_spec,
        "distance": distance_spec,
        "embedding": embedding_spec,
        "figure": figure_spec,
        "table": table_spec,
        "animation": animation_spec,
        "claims": ledger_spec,
    }
    return make[stage](config, name)


def sources(config: dict, stage: str, name: str) -> list[str]:
    """Return the artifacts that one artifact is made from, as ``stage/name``."""
    if stage in ("basis", "grid", "projection", "trajectory", "jumps"):
        return _run_sources(config, stage, name)
    find = {
        "dataset": lambda: [],
        "distance": lambda: _distance_sources(config, name),
        "embedding": lambda: [f"distance/{embedding_names(config)[name][0]}"],
        "figure": lambda: panel_sources(figure_spec(config, name)["panels"]),
        "animation": lambda: panel_sources(animation_spec(config, name)["panels"]),
        "table": lambda: table_sources(config, name),
        "claims": lambda: claims_sources(config, name),
    }
    return find[stage]()


def _run_sources(config: dict, stage: str, name: str) -> list[str]:
    run = run_of(config, stage, name)
    dataset = f"dataset/{config['runs'][run]['dataset']}"
    if stage == "trajectory":
        return [dataset]
    if stage == "jumps":
        return [f"trajectory/{run}", dataset]
    if stage == "basis":
        return [f"trajectory/{run}"]
    return [f"basis/{config[f'{stage}s'][name]['basis']}", f"trajectory/{run}", dataset]


STAGES = {
    "dataset": "datasets",
    "trajectory": "runs",
    "basis": "bases",
    "grid": "grids",
    "projection": "projections",
    "jumps": "minima",
    "distance": "clouds",
    "embedding": "clouds",
    "figure": "figures",
    "table": "tables",
    "animation": "animations",
}
"""The stages in the order of the data, and the registry that each one's names come from."""


def names_of(config: dict, stage: str) -> list[str]:
    """Return the names of a stage's artifacts."""
    derived = {"jumps": jump_names, "embedding": embedding_names}
    return list(derived[stage](config) if stage in derived else config[STAGES[stage]])


def run_of(config: dict, stage: str, name: str) -> str:
    """Return the run that an artifact of a stage belongs to."""
    if stage in ("grid", "projection"):
        stage, name = "basis", config[f"{stage}s"][name]["basis"]
    if stage == "jumps":
        return config["minima"][jump_names(config)[name][0]]["run"]
    return config["bases"][name]["run"] if stage == "basis" else name


def factory_of(config: dict, run: str) -> str:
    """Return the factory of a run's network, as ``module.path:function``."""
    return network_spec(config, run)["factory"]
