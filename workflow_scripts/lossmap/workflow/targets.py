"""What can be requested, and everything it needs: names of the command line to artifacts."""

from lossmap.workflow.specs import LEDGER
from lossmap.workflow.stages import STAGES, pack_of, sources


def all_targets(config: dict) -> list[str]:
    """Return every artifact of the registry, as ``stage/name``."""
    return [f"{stage}/{name}" for stage, each in STAGES.items() for name in each.names(config)]


def papers(config: dict) -> dict[str, list[str]]:
    """Return the figures, tables and animations of each paper, as ``stage/name``.

    A paper is what stands before the first underscore of their names.
    """
    found: dict[str, list[str]] = {}
    for stage in (stage for stage, each in STAGES.items() if each.target):
        for name in STAGES[stage].names(config):
            found.setdefault(name.partition("_")[0], []).append(f"{stage}/{name}")
    return found


def named_targets(config: dict) -> dict[str, list[str]]:
    """Return the targets that have a name: each figure, table and animation, and each paper."""
    found = papers(config)
    found |= {target.partition("/")[2]: [target] for each in found.values() for target in each}
    for paper in set(found) & set(config["claims"]):
        found[paper].append(f"claims/{paper}")
    return found


def whole_targets(config: dict) -> dict[str, list[str]]:
    """Return every target of the command line and all that it takes, as ``stage/name``."""
    groups = {
        "all": all_targets(config),
        "figures": [f"figure/{name}" for name in config["figures"]],
        "tables": [f"table/{name}" for name in config["tables"]],
        "claims": [f"claims/{LEDGER}"],
        "datasets": [f"dataset/{name}" for name in config["datasets"]],
        **named_targets(config),
    }
    return {target: closure(config, members) for target, members in groups.items()}


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
            # All that its job makes: Snakemake overlooks changed parameters of a job of which one
            # output has never been made.
            stage, name = target.split("/", 1)
            waiting.extend(f"{stage}/{other}" for other in pack_of(config, stage, name).names)
    return sorted(found)
