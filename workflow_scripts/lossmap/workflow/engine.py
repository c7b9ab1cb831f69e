"""What Snakemake offers but does not document: every such name is used here, and tested one by one.

Each function takes Snakemake's `workflow` object as a Snakefile has it. Tried with Snakemake 9.27.
"""

from collections.abc import Iterable


def is_main_process(workflow: object) -> bool:
    """Tell whether this is the Snakemake that the user started, not one that runs a single job."""
    return workflow.is_main_process


def submits_jobs(workflow: object) -> bool:
    """Tell whether jobs are handed to a cluster: it has --jobs where a local run has --cores.

    The executor itself is not known yet when a Snakefile is read.
    """
    given = workflow.resource_settings
    return workflow.is_main_process and given.nodes is not None and given.cores is None


def limit_resource(workflow: object, name: str, count: int) -> None:
    """Let no more than `count` of a resource be in use, unless the user has set another limit.

    A job that runs elsewhere is left alone: what it may use has been decided.
    """
    if not workflow.remote_exec:
        workflow.global_resources.setdefault(name, count)


def force(workflow: object, paths: Iterable[str]) -> None:
    """Have files made again, whatever Snakemake's own metadata say of them."""
    workflow.dag.forcefiles.update(paths)
