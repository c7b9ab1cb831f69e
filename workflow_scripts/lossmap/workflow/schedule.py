"""How long a scale takes on a number of GPUs, by simulating the queue of its jobs.

Durations are those of `costs`; nothing is measured here.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from lossmap.workflow.stages import job_seconds, maker_of, pack_of, sources
from lossmap.workflow.targets import all_targets

CPU_JOBS = 4
"""Jobs without a GPU that run at the same time, for each GPU."""


@dataclass(frozen=True)
class Job:
    """One job: how long it takes, whether on a GPU, and which jobs must have ended."""

    seconds: float
    gpu: bool
    after: frozenset[str]


def collect_jobs(config: dict) -> dict[str, Job]:
    """Return every job of a scale by ``stage/name``, with the durations that a GPU gives."""
    made: dict[str, list[str]] = {}
    for target in all_targets(config):
        made.setdefault(_job_of(config, target), []).append(target)
    jobs = {}
    for key, targets in made.items():
        stage, names = key.partition("/")[0], [target.partition("/")[2] for target in targets]
        needed = (source for name in names for source in sources(config, stage, name))
        after = frozenset(_job_of(config, source) for source in needed) - {key}
        gpu = any(maker_of(config, stage, name).run for name in names)
        jobs[key] = Job(job_seconds(config, stage, names, gpu=gpu), gpu, after)
    return jobs


def _job_of(config: dict, target: str) -> str:
    stage, _, name = target.partition("/")
    return f"{stage}/{pack_of(config, stage, name).names[0]}"


def measure_chains(jobs: Mapping[str, Job]) -> dict[str, float]:
    """Return for each job the seconds of the longest chain that begins with it."""
    behind: dict[str, list[str]] = {key: [] for key in jobs}
    for key, job in jobs.items():
        for needed in job.after:
            behind[needed].append(key)
    chains: dict[str, float] = {}
    order = TopologicalSorter({key: job.after for key, job in jobs.items()}).static_order()
    for key in reversed(list(order)):
        chains[key] = jobs[key].seconds + max((chains[other] for other in behind[key]), default=0)
    return chains


def longest_chain(jobs: Mapping[str, Job]) -> list[str]:
    """Return the jobs that no number of GPUs can run at the same time and that take longest."""
    chains = measure_chains(jobs)
    path: list[str] = []
    ready: Iterable[str] = [key for key, job in jobs.items() if not job.after]
    while ready := sorted(ready, key=chains.__getitem__):
        path.append(ready[-1])
        ready = [key for key, job in jobs.items() if path[-1] in job.after]
    return path


def simulate(jobs: Mapping[str, Job], gpus: int) -> float:
    """Return the seconds until the last job has ended.

    One job per GPU, `CPU_JOBS` beside each; of those that wait, the one starts that begins the
    longest chain.
    """
    chains = measure_chains(jobs)
    free = {True: gpus, False: CPU_JOBS * gpus}
    waiting, running = {key: set(job.after) for key, job in jobs.items()}, []
    now = 0.0
    while waiting or running:
        ready = sorted((k for k, n in waiting.items() if not n), key=lambda k: -chains[k])
        for key in ready:
            if free[jobs[key].gpu]:
                free[jobs[key].gpu] -= 1
                heapq.heappush(running, (now + jobs[key].seconds, key))
                del waiting[key]
        now, ended = heapq.heappop(running)
        free[jobs[ended].gpu] += 1
        for needed in waiting.values():
            needed.discard(ended)
    return now
