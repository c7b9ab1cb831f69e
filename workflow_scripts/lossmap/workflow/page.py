"""What the page of a scale shows, from the configuration: its plan, in the order of reading."""

from pathlib import Path

from lossmap.workflow.configuration import embedding_names
from lossmap.workflow.specs import (
    LEDGER,
    data_title,
    embedding_spec,
    line_title,
    run_of_line,
    run_title,
    statistics_of,
)
from lossmap.workflow.targets import all_targets, papers

PAPERS = {
    "ding2023": "Ding, Li, Huang 2023: Better Loss Landscape Visualization for Deep Neural "
    "Networks with Trajectory Information",
    "horoi2021": "Horoi, Huang, Wolf, Krishnaswamy 2021: Visualizing High-Dimensional "
    "Trajectories on the Loss-Landscape of ANNs",
}
"""Titles of sections; of another name, the name itself."""


def page_plan(config: dict) -> dict:
    """Return what the page shows, as names of artifacts and titles.

    Returns
    -------
    dict
        ``scale`` and a sentence on it; ``judge``, ``ledger`` (None without claims), ``papers`` (a
        list with ``name``, ``title`` and the artifacts of each), ``landscapes``, ``embeddings``,
        ``lines`` (by data set and kind) and ``runs`` (by data set), their titles by name, and
        ``artifacts``, all of them.
    """
    return {
        "scale": config["scale"],
        "summary": _summarize(config),
        "judge": config["judge_claims"],
        "ledger": f"claims/{LEDGER}" if config["claims"] else None,
        "papers": [
            {"name": name, "title": PAPERS.get(name, name), "targets": targets}
            for name, targets in papers(config).items()
        ],
        "landscapes": _landscapes(config),
        "lines": _lines(config),
        "embeddings": _embeddings(config),
        "runs": _runs(config),
        "artifacts": all_targets(config),
    }


def _summarize(config: dict) -> str:
    """Return one sentence on the sizes that a scale chooses; single entries may differ."""
    data = ", ".join(_runs(config))
    return (
        f"{len(config['runs'])} training runs on {data}; landscapes of "
        f"{config['grid']['resolution']} × {config['grid']['resolution']} points, the loss over "
        f"{config['evaluation']['images']} training images; {config['jumps']['epochs']} epochs of "
        "retraining after a jump."
    )


def _runs(config: dict) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name in config["runs"]:
        found.setdefault(data_title(config, name), {})[name] = f"{run_title(config, name)} ({name})"
    return found


def _landscapes(config: dict) -> list[dict]:
    """Return the landscapes of one run and one kind of plane together, in the order of centers."""
    found: dict[tuple, dict] = {}
    for name, entry in config["grids"].items():
        basis = config["bases"][entry["basis"]]
        kind = (basis["run"], basis["method"], statistics_of(config, entry))
        run, method, _ = kind
        data = data_title(config, run)
        plane = "Plane through three points" if method == "points" else f"{method.upper()} plane"
        title = f"{plane}, {run_title(config, run)}, {data} ({run})"
        if kind[2] != config["bn_statistics"]:
            title += f", batch norm: {kind[2]}"
        group = found.setdefault(kind, {"title": title, "centers": []})
        group["centers"].append({"grid": f"grid/{name}", "basis": f"basis/{entry['basis']}"})
    return sorted(found.values(), key=lambda group: not group["title"].startswith("PCA"))


def _lines(config: dict) -> dict[str, dict[str, str]]:
    """Return the lines between two snapshots and those through a center apart."""
    found: dict[str, dict[str, str]] = {}
    for name, entry in config["lines"].items():
        run = run_of_line(config, name)
        kind = "through a center" if "basis" in entry else "between two snapshots"
        found.setdefault(f"{data_title(config, run)}: {kind}", {})[name] = line_title(config, name)
    return found


def _embeddings(config: dict) -> list[dict]:
    found = []
    for name, (cloud, technique) in embedding_names(config).items():
        method = embedding_spec(config, name)["method"]
        title = f"{config['clouds'][cloud].get('title', cloud)}: {technique}"
        found.append({"embedding": f"embedding/{name}", "title": title, "method": method})
    return found


def page_sources(package: Path) -> list[Path]:
    """Return the files of the package that decide how the page looks."""
    rooms = (package / "page", package / "interactive")
    found = [path for room in rooms for path in (*room.glob("*.py"), *room.glob("templates/*"))]
    return sorted(found)
