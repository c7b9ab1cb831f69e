"""From the configuration to the specification of each artifact, and to what it is made from.

A specification holds exactly the leaves that the artifact depends on, resolved: no defaults are
left to be filled in by the job. Upstream artifacts enter by their content, not by their parameters.
"""

from pathlib import Path

from lossmap.artifacts.checkpoints import label_of
from lossmap.claims.papers import find_statement
from lossmap.workflow.configuration import (
    CIFAR_FILES,
    checkpoints_of,
    cloud_kind,
    curvature_of,
    embedding_names,
    embedding_technique,
    epoch_of,
    is_imported,
    jump_names,
    metrics_of,
    minimum_of,
    minimum_recipe,
    run_recipe,
    statistics_of,
    task_of,
    topology_kind,
)
from lossmap.workflow.schema import references, resolve_kind

LEDGER = "claims"
"""The name of the ledger that joins the papers' ledgers."""
STAGES = {
    "runs": "trajectory",
    "bases": "basis",
    "grids": "grid",
    "projections": "projection",
    "rings": "ring",
    "lines": "line",
    "curvatures": "curvature",
    "topologies": "topology",
    "clouds": "distance",
    "embeddings": "embedding",
    "tables": "table",
}
"""The stage of the artifacts that are referred to by a name of a registry."""


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


def dataset_files(config: dict, name: str) -> list[Path]:
    """Return the files outside of the results that a data set is made from."""
    file = dataset_file(config, name)
    return [] if file is None else [file]


def dataset_spec(config: dict, name: str) -> dict:
    """Return what the data set is made from."""
    entry, file = config["datasets"][name], dataset_file(config, name)
    sizes = {key: entry[key] for key in ("random_labels", "side") if key in entry}
    sizes |= {"train": entry.get("train"), "test": entry.get("test")}
    if entry["source"] == "digits":
        seed = entry.get("seed", 0)
        return {"source": "digits", "classes": entry["classes"], "seed": seed, **sizes}
    if file is not None:
        return {"source": "hdf5", "file": file.name, **sizes}
    return {"source": "torchvision", "name": entry["source"], **sizes}


def network_spec(config: dict, run: str) -> dict:
    """Return factory, width and seed of a run's network; the data set adds classes and channels.

    Where ``arguments`` are given, they alone are what the factory is called with. No scale narrows
    the network of an imported run. A task makes its network itself.
    """
    entry, task = config["runs"][run], task_of(config, run)
    imported = is_imported(config, run)
    seed = entry.get("seed", 0) if imported else run_recipe(config, run)["seed"]
    if task:
        return {"factory": task["factory"], "seed": seed}
    known = config["networks"].get(entry["network"], {"factory": entry["network"]})
    if "arguments" in entry:
        return {"factory": known["factory"], "arguments": entry["arguments"], "seed": seed}
    width = entry.get("width", 1.0 if imported else known.get("width", 1.0))
    drawn = {key: known[key] for key in ("initialization",) if key in known}
    return {"factory": known["factory"], "width": float(width), **drawn, "seed": seed}


def imported_spec(config: dict, run: str) -> dict:
    """Return what a run is imported from: file names by epoch, and on what it is measured."""
    checkpoints = [
        {"epoch": each.epoch, "files": [label_of(file) for file in each.files]}
        for each in checkpoints_of(config, run)
    ]
    return {
        "run": run,
        "network": network_spec(config, run),
        "checkpoints": checkpoints,
        **_data_spec(config, run),
    }


def checkpoint_files(config: dict, run: str) -> list[Path]:
    """Return the files that a run is imported from, by epoch."""
    files = [file for each in checkpoints_of(config, run) for file in each.files]
    return list(dict.fromkeys(files))  # a recorder's holds many epochs


def _data_spec(config: dict, run: str) -> dict:
    """Return the task of a run; of images how many are measured, and their own moments if any."""
    entry, task = config["runs"][run], task_of(config, run)
    if task:
        return {"task": {"factory": task["factory"], "arguments": task.get("arguments", {})}}
    own = {"normalize": entry["normalize"]} if "normalize" in entry else {}
    return {"metrics": metrics_of(config, run), **own}


def trajectory_spec(config: dict, run: str, recipe: dict | None = None) -> dict:
    """Return how a run is trained: by its own recipe, or by the given one."""
    recipe = recipe or run_recipe(config, run)
    if task_of(config, run):
        recipe = {key: recipe[key] for key in recipe if key not in _OF_BATCHES}
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
        **_data_spec(config, run),
        "optimizer": optimizer,
        "schedule": schedule,
    }


_OF_BATCHES = ("batch_size", "augmentation", "metrics")
"""What of a recipe is of no use to a task, whose batches are its own."""


def jumps_spec(config: dict, name: str) -> dict:
    """Return how one direction is jumped along and retrained from.

    The minimum's own recipe (horoi2021 §4) but for the optimizer's rate and momentum: a fresh one,
    at a constant rate.
    """
    minimum, direction = jump_names(config)[name]
    entry = minimum_of(config, minimum)
    trained = trajectory_spec(config, entry["run"], minimum_recipe(config, minimum))
    optimizer = {
        "name": "sgd",
        "nesterov": False,
        "lr": entry["lr"],
        "momentum": entry["momentum"],
        "weight_decay": trained["optimizer"]["weight_decay"],
    }
    return {
        **trained,
        **{key: entry[key] for key in ("step_sizes", "epochs", "ignore", "seed")},
        "optimizer": optimizer,
        "schedule": {"name": "constant"},
        "snapshot_every": 1,
        "direction": direction,
    }


def jump_packs(config: dict) -> list[tuple[str, tuple[str, ...]]]:
    """Return the directions of each job of the rule `jumps`: stem and suffixes of their names."""
    found = []
    for minimum in config["minima"]:
        entry = minimum_of(config, minimum)
        directions, size = entry["directions"], entry["per_job"]
        for start in range(0, len(directions), size):
            chosen = directions[start : start + size]
            found.append(_pack(minimum, [f"d{direction}" for direction in chosen]))
    return found


def _pack(stem: str, parts: list[str]) -> tuple[str, tuple[str, ...]]:
    """Return a single name whole, so that one rule serves all that are single."""
    names = [f"-{part}" for part in parts]
    return (stem + names[0], ("",)) if len(names) == 1 else (stem, tuple(names))


def distance_spec(config: dict, name: str) -> dict:
    """Return the weight vectors of a cloud."""
    cloud = config["clouds"][name]
    kind = cloud_kind(cloud)
    if kind == "tree":
        return {"kind": "tree", **cloud["tree"]}
    if kind == "runs":
        return {"kind": "runs", "runs": cloud["runs"]}
    if kind == "model":
        lengths = {"lengths": cloud["lengths"]} if "lengths" in cloud else {}
        null = {"kind": "null", "null": cloud["model"], "cloud": cloud["of"]}
        return {**null, **lengths, "seed": cloud.get("seed", 0)}
    return {
        "kind": "jumps",
        "minimum": config["minima"][cloud["minimum"]]["run"],
        "jumps": _jumps_of(config, cloud["minimum"]),
    }


def _jumps_of(config: dict, minimum: str) -> list[str]:
    return [name for name, (found, _) in jump_names(config).items() if found == minimum]


def distance_sources(config: dict, name: str) -> list[str]:
    """Return what a cloud is made of."""
    cloud = config["clouds"][name]
    kind = cloud_kind(cloud)
    if kind == "tree":
        return []
    if kind == "runs":
        return sorted({f"trajectory/{run}" for run in cloud["runs"]})
    origin = config["clouds"][cloud["of"]] if kind == "model" else cloud
    minimum = f"trajectory/{config['minima'][origin['minimum']]['run']}"
    if kind == "model":
        return [*(f"distance/{cloud[key]}" for key in ("of", "lengths") if key in cloud), minimum]
    jumps = [f"jumps/{found}" for found in _jumps_of(config, cloud["minimum"])]
    return [*jumps, minimum]


def embedding_spec(config: dict, name: str) -> dict:
    """Return how a cloud is embedded."""
    return embedding_technique(config, name)


def basis_spec(config: dict, name: str) -> dict:
    """Return how a plane is fitted or drawn: the leaves of its method.

    What an entry leaves out is what the section of the method's name says, or the method itself.
    """
    entry = config["bases"][name]
    epoch = epoch_of(config, entry["run"], entry["center"], f"bases.{name}.center")
    method = entry["method"]
    own = resolve_kind("basis", method, config.get(method, {}) | entry)
    own = {key: value for key, value in own.items() if key not in ("run", "center", "curvature")}
    if "through" in own:
        where = f"bases.{name}.through"
        own["through"] = [_snapshot_spec(config, point, where) for point in own["through"]]
    return {"method": method, "center_epoch": epoch, **own}


def _snapshot_spec(config: dict, point: dict, where: str) -> dict:
    """Return run and epoch of one snapshot."""
    return {"run": point["run"], "epoch": epoch_of(config, point["run"], point["epoch"], where)}


def grid_spec(config: dict, name: str) -> dict:
    """Return where and on what a landscape is evaluated."""
    entry = config["grids"][name]
    return {
        "resolution": entry.get("resolution", config["grid"]["resolution"]),
        "extent": float(entry.get("extent", config["grid"]["extent"])),
        "bn_statistics": statistics_of(config, entry),
        "evaluation": _evaluation_spec(config, run_of_grid(config, name)),
        **_precision_spec(config, entry),
    }


def _evaluation_spec(config: dict, run: str) -> dict:
    """Return on what of a run's data a landscape is evaluated."""
    task = task_of(config, run)
    if task:
        return {"batches": task.get("batches"), "seed": config["evaluation"]["seed"]}
    return config["evaluation"]


def _precision_spec(config: dict, entry: dict) -> dict:
    """Return nothing for float32, so that how others are checked matters to nothing else."""
    precision = entry.get("precision", config["precision"])
    return {} if precision == "float32" else {"precision": precision, "bf16": config["bf16"]}


def projection_spec(config: dict, name: str) -> dict:
    """Return on what a trajectory and its projection are evaluated."""
    entry = config["projections"][name]
    return {
        "bn_statistics": statistics_of(config, entry),
        "evaluation": _evaluation_spec(config, run_of_projection(config, name)),
    }


def ring_spec(config: dict, name: str) -> dict:
    """Return where around a center and on what the loss is evaluated."""
    entry = config["rings"][name]
    return {
        "radius": float(config["ring"]["radius"]),
        "points": config["ring"]["points"],
        "bn_statistics": statistics_of(config, entry),
        "evaluation": _evaluation_spec(config, run_of_ring(config, name)),
    }


def line_spec(config: dict, name: str) -> dict:
    """Return where a line lies, and on what it is evaluated."""
    entry = config["lines"][name]
    shared = {
        "resolution": entry.get("resolution", config["line"]["resolution"]),
        "bn_statistics": statistics_of(config, entry),
        "evaluation": _evaluation_spec(config, run_of_line(config, name)),
    }
    if "basis" in entry:
        extent = float(entry.get("extent", config["line"]["extent"]))
        place = {"basis": entry["basis"], "direction": entry.get("direction", 0), "extent": extent}
        return place | shared
    where = f"lines.{name}"
    return {end: _snapshot_spec(config, entry[end], where) for end in ("from", "to")} | shared


def line_title(config: dict, name: str) -> str:
    """Return what a line is called in a figure; ``{data}`` in it is its data set."""
    title = config["lines"][name].get("title", name)
    return title.replace("{data}", data_title(config, run_of_line(config, name)))


def curvature_spec(config: dict, name: str) -> dict:
    """Return at which snapshot, on what and how far the Hessian is explored."""
    entry = curvature_of(config, name)
    run = entry.pop("run")
    epoch = epoch_of(config, run, entry.pop("center"), f"curvatures.{name}.center")
    return {"center_epoch": epoch, "evaluation": _evaluation_spec(config, run), **entry}


def topology_spec(config: dict, name: str) -> dict:
    """Return of what and how the minima are counted."""
    entry = config["topologies"][name]
    of = topology_kind(entry)
    leaves = resolve_kind("topology", of, config["topology"] | entry)
    return {"of": of, **{key: value for key, value in leaves.items() if key != of}}


def topology_sources(config: dict, name: str) -> list[str]:
    """Return the landscape, or the distances of the cloud."""
    entry = config["topologies"][name]
    return [f"{STAGES[f'{of}s']}/{entry[of]}" for of in (topology_kind(entry),)]


def figure_spec(config: dict, name: str, registry: str = "figures") -> dict:
    """Return what a figure shows and how it looks; ``{epoch}`` and ``{data}`` are filled in.

    An animation is a figure in another `registry`.
    """
    entry = config[registry][name]
    options = config["style"] | entry.get("options", {})
    panels = [_panel_spec(config, name, panel) for panel in entry["panels"]]
    return {"figure": name, "columns": entry["columns"], "options": options, "panels": panels}


def _panel_spec(config: dict, figure: str, panel: dict) -> dict:
    panel = dict(panel)
    if "epochs" in panel:
        where = f"figures.{figure}.epochs"
        panel["epochs"] = [epoch_of(config, panel["run"], each, where) for each in panel["epochs"]]
    if "embedding" in panel:
        cloud = config["clouds"][embedding_names(config)[panel["embedding"]][0]]
        panel["method"] = embedding_spec(config, panel["embedding"])["method"]
        if "minimum" in cloud:
            run = config["minima"][cloud["minimum"]]["run"]
            panel["title"] = panel.get("title", "").replace("{data}", data_title(config, run))
        if "runs" in cloud:
            panel["labels"] = {run: run_title(config, run) for run in cloud["runs"]}
    if "lines" in panel:
        panel["labels"] = {line: line_title(config, line) for line in panel["lines"]}
    if "grid" in panel:
        panel["basis"] = config["grids"][panel["grid"]]["basis"]
        basis = config["bases"][panel["basis"]]
        epoch = epoch_of(config, basis["run"], basis["center"], f"bases.{panel['basis']}")
        panel["title"] = panel.get("title", "").replace("{epoch}", f"epoch {epoch}")
    return panel


def data_title(config: dict, run: str) -> str:
    """Return what a run's data set or its task is called."""
    entry = config["runs"][run]
    name = entry.get("task") or entry["dataset"]
    return (task_of(config, run) or config["datasets"][name]).get("title", name)


def run_title(config: dict, run: str) -> str:
    """Return what a run is called in a figure."""
    return config["runs"][run].get("title", run)


def table_spec(config: dict, name: str) -> dict:
    """Return what a table shows; a column says so where its data are not the paper's."""
    columns = []
    for column in config["tables"][name]["columns"]:
        run = run_of_projection(config, column["projections"]["center"]["pca"])
        title = data_title(config, run)
        printed = column["dataset"]
        shown = title if title == printed else f"{title} for {printed}"
        columns.append(column | {"dataset": shown})
    return {"table": name, "columns": columns}


def curvature_table_spec(config: dict, name: str) -> dict:
    """Return which minima a table shows, and what their artifacts do not tell of them."""
    rows = []
    for entry in config["tables"][name]["minima"]:
        curvature = curvature_of(config, entry["curvature"])
        run = curvature["run"]
        told = {"minimum": run_title(config, run), "dataset": data_title(config, run), "run": run}
        seed, statistics = network_spec(config, run)["seed"], curvature["bn_statistics"]
        rows.append({**entry, **told, "seed": seed, "bn_statistics": statistics})
    return {"table": name, "minima": rows}


def curvature_table_sources(config: dict, table: str) -> list[str]:
    """Return curvature, run and cloud of every minimum in a table, as ``stage/name``, sorted."""
    found = set()
    for entry in config["tables"][table]["minima"]:
        run = run_of_curvature(config, entry["curvature"])
        found |= {f"curvature/{entry['curvature']}", f"trajectory/{run}"}
        found |= {f"distance/{entry['cloud']}"} if "cloud" in entry else set()
    return sorted(found)


def table_sources(config: dict, table: str) -> list[str]:
    """Return the artifacts that a table reads, as ``stage/name``, sorted."""
    columns = config["tables"][table]["columns"]
    pairs = [pair for column in columns for pair in column["projections"].values()]
    return sorted({f"projection/{name}" for pair in pairs for name in pair.values()})


def claims_spec(config: dict, paper: str) -> dict:
    """Return which claims are measured on which artifacts, and whether verdicts are given."""
    entries = {
        name: {
            key: [_claim_case(config, names.registry, entry) for entry in claim[key]]
            for key, names in find_statement(name).on.items()
        }
        for name, claim in config["claims"][paper].items()
    }
    return {"judge": config["judge_claims"], "claims": entries}


def claim_roots(config: dict, paper: str) -> tuple[str, ...]:
    """Return the user's own claims among a paper's, as ``module.path:function``, sorted."""
    return tuple(sorted(name for name in config["claims"][paper] if ":" in name))


def _claim_case(config: dict, registry: str, name: str) -> dict | str:
    """Return what a claim needs to know of one entry of a registry besides its artifact."""
    if registry == "grids":
        return {"grid": name, "basis": config["grids"][name]["basis"]}
    if registry == "curvatures":
        return {
            "curvature": name,
            "run": _told_of_run(config, run_of_curvature(config, name)),
        }
    if registry in ("projections", "rings"):
        run = config["bases"][config[registry][name]["basis"]]["run"]
        return {
            STAGES[registry]: name,
            "of": f"{data_title(config, run)} {run_title(config, run)}",
            "seed": run_recipe(config, run)["seed"],
        }
    if registry == "runs":
        return _told_of_run(config, name)
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
            **_told_of_cloud(config, cloud),
        }
    return name


def _told_of_run(config: dict, run: str) -> dict:
    if is_imported(config, run):
        return {"run": run, "label": run_title(config, run), "seed": 0}
    recipe = run_recipe(config, run)
    dataset = config["datasets"].get(config["runs"][run].get("dataset"), {"source": None})
    whole = dataset["source"] in CIFAR_FILES and not dataset.get("train")
    return {
        "run": run,
        "label": _rule_of(recipe["optimizer"]),
        "seed": recipe["seed"],
        **({"whole": dataset["source"]} if whole else {}),
    }


def _told_of_cloud(config: dict, cloud: dict) -> dict:
    """Return seed and model of a null model or a tree; seed and rates of a minimum."""
    kind = cloud_kind(cloud)
    if kind == "minimum":
        entry = minimum_of(config, cloud["minimum"])
        recipe = minimum_recipe(config, cloud["minimum"])
        last = _last_rate(recipe["optimizer"]["lr"], recipe["schedule"], recipe["epochs"])
        return {"seed": recipe["seed"], "rates": [float(entry["lr"]), last]}
    if kind == "model":
        return {"model": cloud["model"], "seed": cloud.get("seed", 0)}
    return {"seed": cloud["tree"]["seed"]} if kind == "tree" else {}


def _last_rate(rate: float, schedule: dict, epochs: int) -> float:
    """Return the learning rate of the last epoch of training."""
    if schedule["name"] == "constant":
        return float(rate)
    passed = sum(milestone < epochs for milestone in schedule["milestones"])
    return float(rate * schedule["factor"] ** passed)


def _rule_of(optimizer: dict) -> str:
    """Return the optimizer as the second paper calls it."""
    if optimizer["name"] == "adam":
        return "Adam"
    return "SGD with momentum" if optimizer["momentum"] else "SGD"


def ledger_names(config: dict) -> list[str]:
    """Return the papers that have claims, and the ledger that joins theirs."""
    return [*config["claims"], LEDGER] if config["claims"] else []


def claims_sources(config: dict, paper: str) -> list[str]:
    """Return the artifacts that the claims of a paper are measured on, sorted."""
    found = set()
    for claim, entry in config["claims"][paper].items():
        for key, names in find_statement(claim).on.items():
            for each in entry[key]:
                found |= _claim_artifacts(config, STAGES[names.registry], each)
    return sorted(found)


def _claim_artifacts(config: dict, stage: str, name: str) -> set[str]:
    if stage == "grid":
        return {f"grid/{name}", f"basis/{config['grids'][name]['basis']}"}
    if stage == "curvature":
        return {f"curvature/{name}", f"trajectory/{run_of_curvature(config, name)}"}
    return _cloud_artifacts(config, name) if stage == "distance" else {f"{stage}/{name}"}


def _cloud_artifacts(config: dict, cloud: str) -> set[str]:
    """Return a cloud's distances and embeddings."""
    techniques = config["clouds"][cloud]["embeddings"]
    return {f"distance/{cloud}", *(f"embedding/{cloud}-{technique}" for technique in techniques)}


def run_of_grid(config: dict, name: str) -> str:
    """Return the run whose landscape a grid is."""
    return config["bases"][config["grids"][name]["basis"]]["run"]


def run_of_projection(config: dict, name: str) -> str:
    """Return the run that is projected."""
    return config["bases"][config["projections"][name]["basis"]]["run"]


def run_of_ring(config: dict, name: str) -> str:
    """Return the run around whose snapshot a ring lies."""
    return config["bases"][config["rings"][name]["basis"]]["run"]


def run_of_line(config: dict, name: str) -> str:
    """Return the run at position 0 of a line."""
    entry = config["lines"][name]
    return config["bases"][entry["basis"]]["run"] if "basis" in entry else entry["from"]["run"]


def run_of_curvature(config: dict, name: str) -> str:
    """Return the run whose snapshot it is."""
    return config["curvatures"][name]["run"]


def run_of_jumps(config: dict, name: str) -> str:
    """Return the run whose minimum is jumped from."""
    return config["minima"][jump_names(config)[name][0]]["run"]


def trajectory_sources(config: dict, run: str) -> list[str]:
    """Return the data set of a run; a task has its data from elsewhere."""
    return [] if task_of(config, run) else [f"dataset/{config['runs'][run]['dataset']}"]


def basis_sources(config: dict, name: str) -> list[str]:
    """Return the run that a plane is of, and those of the other points that it is laid through."""
    entry = config["bases"][name]
    runs = [entry["run"], *(point["run"] for point in entry.get("through", ()))]
    return [f"trajectory/{run}" for run in dict.fromkeys(runs)]


def hessian_basis_sources(config: dict, name: str) -> list[str]:
    """Return the curvature whose eigenvectors span a plane, and the run that is seen in it."""
    return [f"curvature/{config['bases'][name]['curvature']}", *basis_sources(config, name)]


def grid_sources(config: dict, name: str) -> list[str]:
    """Return basis, run and data set of a landscape."""
    return _plane_sources(config, config["grids"][name]["basis"])


def projection_sources(config: dict, name: str) -> list[str]:
    """Return basis, run and data set of a projection."""
    return _plane_sources(config, config["projections"][name]["basis"])


def ring_sources(config: dict, name: str) -> list[str]:
    """Return basis, run and data set of a ring."""
    return _plane_sources(config, config["rings"][name]["basis"])


def line_sources(config: dict, name: str) -> list[str]:
    """Return the runs of both ends, or basis and run, and the data set."""
    entry = config["lines"][name]
    if "basis" in entry:
        return _plane_sources(config, entry["basis"])
    runs = dict.fromkeys(entry[end]["run"] for end in ("from", "to"))
    return [*(f"trajectory/{run}" for run in runs), *trajectory_sources(config, next(iter(runs)))]


def curvature_sources(config: dict, name: str) -> list[str]:
    """Return run and data set of a curvature."""
    run = run_of_curvature(config, name)
    return [f"trajectory/{run}", *trajectory_sources(config, run)]


def _plane_sources(config: dict, basis: str) -> list[str]:
    run = config["bases"][basis]["run"]
    return [f"basis/{basis}", f"trajectory/{run}", *trajectory_sources(config, run)]


def jumps_sources(config: dict, name: str) -> list[str]:
    """Return the run whose minimum is jumped from, and its data set."""
    run = run_of_jumps(config, name)
    return [f"trajectory/{run}", *trajectory_sources(config, run)]


def embedding_sources(config: dict, name: str) -> list[str]:
    """Return the distances that are embedded."""
    return [f"distance/{embedding_names(config)[name][0]}"]


def figure_sources(config: dict, name: str, registry: str = "figures") -> list[str]:
    """Return the artifacts that a figure or an animation draws, as ``stage/name``, sorted."""
    panels = config[registry][name]["panels"]
    named = {reference for panel in panels for reference in references(panel, "panel")}
    found = {f"{STAGES[registry]}/{name}" for registry, name in named if registry in STAGES}
    bases = {config["grids"][name]["basis"] for registry, name in named if registry == "grids"}
    return sorted(found | {f"basis/{basis}" for basis in bases})


def factory_of(config: dict, run: str) -> str:
    """Return the factory of a run's network, as ``module.path:function``."""
    return network_spec(config, run)["factory"]
