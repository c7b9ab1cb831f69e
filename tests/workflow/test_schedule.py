"""A schedule keeps to the number of GPUs and to what each job waits for."""

from pathlib import Path

import pytest

from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.schedule import Job, collect_jobs, longest_chain, measure_chains, simulate
from lossmap.workflow.stages import packs
from lossmap.workflow.targets import all_targets

CONFIG = Path(__file__).parents[2] / "config"


def job(seconds: float, *after: str, gpu: bool = True) -> Job:
    return Job(seconds, gpu, frozenset(after))


def test_equal_independent_jobs_share_the_gpus():
    jobs = {str(number): job(2.0) for number in range(7)}
    assert [simulate(jobs, gpus) for gpus in (1, 2, 3, 7, 9)] == [14, 8, 6, 2, 2]


def test_a_chain_takes_its_sum_on_any_number_of_gpus():
    jobs = {"a": job(1.0), "b": job(2.0, "a", gpu=False), "c": job(3.0, "b")}
    assert simulate(jobs, 1) == simulate(jobs, 5) == 6
    assert longest_chain(jobs) == ["a", "b", "c"]
    assert measure_chains(jobs) == {"a": 6, "b": 5, "c": 3}


def test_the_longest_chain_starts_first():
    """Else the long one would begin at 4 and all end at 10."""
    jobs = {"short": job(4.0), "other": job(2.0), "long": job(3.0), "last": job(3.0, "long")}
    assert simulate(jobs, 2) == 6


def test_jobs_without_a_gpu_leave_the_gpus_to_others():
    jobs = {"gpu": job(5.0)} | {f"cpu{n}": job(5.0, gpu=False) for n in range(4)}
    assert simulate(jobs, 1) == 5
    assert simulate(jobs | {"one-more": job(5.0, gpu=False)}, 1) == 10


@pytest.mark.parametrize("gpus", [1, 3, 16])
def test_no_schedule_beats_the_chain_or_the_work(gpus):
    jobs = collect_jobs(load_configuration(CONFIG, {"scale": "paper"}))
    work = sum(found.seconds for found in jobs.values() if found.gpu)
    chain = sum(jobs[key].seconds for key in longest_chain(jobs))
    assert max(chain, work / gpus) <= simulate(jobs, gpus) * (1 + 1e-12)


def test_every_artifact_is_made_by_one_job_after_its_sources():
    config = load_configuration(CONFIG, {"scale": "demo"})
    jobs = collect_jobs(config)
    packed = sum(len(pack.names) - 1 for pack in packs(config, "jumps"))
    assert len(jobs) == len(all_targets(config)) - packed
    for key, found in jobs.items():
        assert key not in found.after
        assert found.after <= jobs.keys()
    assert jobs["grid/c10-resnet20-pca-last"].after == {
        "basis/c10-resnet20-pca-last",
        "trajectory/c10-resnet20",
        "dataset/c10",
    }
