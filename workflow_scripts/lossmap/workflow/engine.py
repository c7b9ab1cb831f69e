"""What Snakemake offers but does not document: every such name is used here, and tested one by one.

Each function takes Snakemake's `workflow` object as a Snakefile has it. Tried with Snakemake 9.27.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from snakemake.persistence import MetadataRecord

RECORDS = [Path(".snakemake", part) for part in ("metadata", "locks")]


def is_main_process(workflow: object) -> bool:
    """Tell whether this is the Snakemake that the user started, not one that runs a single job."""
    return workflow.is_main_process


def submits_jobs(workflow: object) -> bool:
    """Tell whether jobs are handed to a cluster: it has --jobs where a local run has --cores.

    The executor itself is not known yet when a Snakefile is read.
    """
    given = workflow.resource_settings
    return workflow.is_main_process and given.nodes is not None and given.cores is None


def config_files(workflow: object) -> list[str]:
    """Return the files given by --configfile and by `configfile:` in any Snakefile."""
    return [str(path) for path in workflow.configfiles]


def limit_resource(workflow: object, name: str, count: int) -> None:
    """Let no more than `count` of a resource be in use, unless the user has set another limit.

    A job that runs elsewhere is left alone: what it may use has been decided.
    """
    if not workflow.remote_exec:
        workflow.global_resources.setdefault(name, count)


def lift_rate_limit(workflow: object) -> None:
    """Let local jobs start as soon as there is room, not at most 100 in a second.

    To keep its default limit Snakemake looks through all jobs that are ready every second for each
    job that has ended, a third of a core on a small machine. Another limit of the user's, and that
    of jobs that are submitted, is left alone. Known from the first call of an input function on.
    """
    settings = workflow.scheduling_settings  # none where no job will run, as for a report
    limit = settings and settings.max_jobs_per_timespan
    if not submits_jobs(workflow) and limit and (limit.max_jobs, limit.timespan) == (100, 1):
        settings.max_jobs_per_timespan = None


def force(workflow: object, paths: Iterable[str]) -> None:
    """Have files made again, whatever Snakemake's own metadata say of them."""
    workflow.dag.forcefiles.update(paths)


def is_incomplete(workflow: object, path: str) -> bool:
    """Tell whether Snakemake has started a job that makes a file and has not seen it end.

    Known from the first call of an input function on.
    """
    return bool(workflow.persistence._filter_incomplete_keys([path]))


def complete(workflow: object, path: str) -> None:
    """Have a file count as finished, though Snakemake has not seen its job end."""
    workflow.persistence._unmark_incomplete(path)


def find_broken_records() -> list[Path]:
    """Return what in Snakemake's records of earlier runs would end it; half a record would not."""
    found = (path for folder in RECORDS for path in sorted(folder.rglob("*")))
    return [path for path in found if path.is_file() and _is_broken(path)]


def _is_broken(path: Path) -> bool:
    try:
        if found := json.loads(path.read_text()):
            MetadataRecord.model_validate(found)
    except json.JSONDecodeError:  # Snakemake itself says so and goes on
        return False
    except (OSError, ValueError):
        return True
    return False
