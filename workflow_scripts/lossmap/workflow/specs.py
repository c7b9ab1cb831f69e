"""From the configuration to the specification of each artifact, and to what it is made from.

A specification holds exactly the leaves that the artifact depends on, resolved: no defaults are
left to be filled in by the job. Upstream artifacts enter by their content, not by their parameters.
"""

from pathlib import Path

from lossmap.workflow.configuration import (
    CIFAR_FILES,
    CLAIM_SOURCES,
    moment_epoch,
    run_recipe,
    statistics_of,
)


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
    sizes = {"train": entry.get("train"), "test": entry.get("test")}
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
    optimizer, schedule = recipe["optimizer"], recipe["schedule"]
    if optimizer["name"] == "adam":
        optimizer = {key: optimizer[key] for key in ("name", "lr", "weight_decay")}
    if schedule["name"] == "constant":
        schedule = {"name": "constant"}
    return {
        "run": run,
        "network": network_spec(config, run),
        "metrics": config["metrics"],
        **recipe,
        "optimizer": optimizer,
        "schedule": schedule,
    }


def basis_spec(config: dict, name: str) -> dict:
    """Return how a plane is fitted or drawn."""
    entry = config["bases"][name]
    epoch = moment_epoch(config, entry["run"], entry["centre"], f"bases.{name}.centre")
    spec = {"method": entry["method"], "centre_epoch": epoch}
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
    }


def projection_spec(config: dict, name: str) -> dict:
    """Return on what a trajectory and its projection are evaluated."""
    entry = config["projections"][name]
    return {
        "bn_statistics": statistics_of(config, entry),
        "evaluation": config["evaluation"],
    }


def figure_spec(config: dict, name: str) -> dict:
    """Return what a figure shows and how it looks; ``{epoch}`` in titles is filled in."""
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
    if "grid" in panel:
        panel["basis"] = config["grids"][panel["grid"]]["basis"]
        basis = config["bases"][panel["basis"]]
        epoch = moment_epoch(config, basis["run"], basis["centre"], f"bases.{panel['basis']}")
        panel["title"] = panel.get("title", "").replace("{epoch}", f"epoch {epoch}")
    return panel


def table_spec(config: dict, name: str) -> dict:
    """Return what a table shows."""
    return {"table": name, **config["tables"][name]}


def panel_sources(config: dict, figure: str) -> list[str]:
    """Return the artifacts that a figure draws, as ``stage/name``, sorted."""
    stages = (
        ("run", "trajectory"),
        ("grid", "grid"),
        ("basis", "basis"),
        ("projection", "projection"),
    )
    panels = figure_spec(config, figure)["panels"]
    return sorted({f"{stage}/{p[key]}" for p in panels for key, stage in stages if key in p})


def table_sources(config: dict, table: str) -> list[str]:
    """Return the artifacts that a table reads, as ``stage/name``, sorted."""
    columns = config["tables"][table]["columns"]
    pairs = [pair for column in columns for pair in column["projections"].values()]
    return sorted({f"projection/{name}" for pair in pairs for name in pair.values()})


def claims_spec(config: dict) -> dict:
    """Return which claims are measured on which artifacts, and whether verdicts are given."""
    entries = {name: _claim_spec(config, claim) for name, claim in config["claims"].items()}
    return {"judge": config["judge_claims"], "claims": entries}


def _claim_spec(config: dict, claim: dict) -> dict:
    spec = dict(claim)
    if "grids" in claim:
        spec["grids"] = [
            {"grid": name, "basis": config["grids"][name]["basis"]} for name in claim["grids"]
        ]
    return spec


def claims_sources(config: dict) -> list[str]:
    """Return the artifacts that the claims are measured on, as ``stage/name``, sorted."""
    stages = {"grids": "grid", "tables": "table", "bases": "basis"}
    found = set()
    for claim in config["claims"].values():
        for key, registry in CLAIM_SOURCES.items():
            for name in claim.get(key, []):
                found.add(f"{stages[registry]}/{name}")
                if key == "grids":
                    found.add(f"basis/{config['grids'][name]['basis']}")
    return sorted(found)


def sources(config: dict, stage: str, name: str) -> list[str]:
    """Return the artifacts that one artifact is made from, as ``stage/name``."""
    if stage == "dataset":
        return []
    if stage in ("figure", "table"):
        return (panel_sources if stage == "figure" else table_sources)(config, name)
    if stage == "claims":
        return claims_sources(config)
    run = run_of(config, stage, name)
    dataset = f"dataset/{config['runs'][run]['dataset']}"
    if stage == "trajectory":
        return [dataset]
    if stage == "basis":
        return [f"trajectory/{run}"]
    return [f"basis/{config[f'{stage}s'][name]['basis']}", f"trajectory/{run}", dataset]


def closure(config: dict, targets: list[str]) -> list[str]:
    """Return the targets and everything they are made from, as ``stage/name``, sorted.

    A target lists all of it, because Snakemake calls a figure up to date whose deleted input nobody
    asks for.
    """
    found: set[str] = set()
    waiting = list(targets)
    while waiting:
        target = waiting.pop()
        if target not in found:
            found.add(target)
            waiting.extend(sources(config, *target.split("/", 1)))
    return sorted(found)


def all_targets(config: dict) -> list[str]:
    """Return every artifact of the registry, as ``stage/name``."""
    stages = ("dataset", "run", "basis", "grid", "projection", "figure", "table")
    plurals = {"basis": "bases"}
    names = {"run": "trajectory"}
    found = [
        f"{names.get(stage, stage)}/{name}"
        for stage in stages
        for name in config[plurals.get(stage, f"{stage}s")]
    ]
    return [*found, "claims/claims"] if config["claims"] else found


def named_targets(config: dict) -> dict[str, list[str]]:
    """Return the targets that have a name: each figure and table, and each paper.

    A paper is what stands before the first underscore of a figure's or table's name.
    """
    found: dict[str, list[str]] = {}
    for stage in ("figure", "table"):
        for name in config[f"{stage}s"]:
            found[name] = [f"{stage}/{name}"]
            found.setdefault(name.partition("_")[0], []).append(f"{stage}/{name}")
    for members in found.values():
        if config["claims"] and len(members) > 1:
            members.append("claims/claims")
    return found


def run_of(config: dict, stage: str, name: str) -> str:
    """Return the run that an artifact of a stage belongs to."""
    if stage in ("grid", "projection"):
        stage, name = "basis", config[f"{stage}s"][name]["basis"]
    return config["bases"][name]["run"] if stage == "basis" else name


def factory_of(config: dict, run: str) -> str:
    """Return the factory of a run's network, as ``module.path:function``."""
    return network_spec(config, run)["factory"]
