"""A workstation's GPUs under the real Snakemake: the devices are pretended, the queue is real.

Jobs that lease a device note when they were started, when they had it and when they let go. Full
memory is pretended too: by networks that refuse what is more than a few images.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

pytestmark = pytest.mark.slow

SNAKEMAKE = (sys.executable, "-m", "snakemake", "--cores", "12")

RULE = """
rule probe:
    output:
        "probe/{kind}-{number}.json",
    threads: 1
    resources:
        gpu=lambda wildcards: int(wildcards.kind == "gpu"),
        device=lambda wildcards: "cpu" if wildcards.kind == "cpu" else "cuda",
        jobs_per_gpu=config["jobs_per_gpu"],
    script:
        "../workflow_scripts/probe.py"
"""
SCRIPT = """
import json, os, signal, time
from contextlib import suppress
from pathlib import Path

from lossmap import devices

devices.POLL_SECONDS = 0.02
kind, queue = snakemake.wildcards.kind, json.loads(Path("queue.json").read_text())


def mark(state):
    Path(state).mkdir(exist_ok=True)
    (Path(state) / f"{kind}-{snakemake.wildcards.number}").touch()
    return time.monotonic()


def wait_for(state, kind, count):
    while len(list(Path(state).glob(f"{kind}-*"))) < count and time.monotonic() < started + 120:
        time.sleep(0.02)


started = mark("started")
resources = snakemake.resources
with devices.lease_device(resources.device, resources.jobs_per_gpu, Path("leases")) as device:
    leased, gpu = mark("leased"), os.environ["CUDA_VISIBLE_DEVICES"]
    if kind == "gpu":
        wait_for("started", "gpu", queue["together"])
    wait_for("leased", *queue["beside"][kind])
    time.sleep(0.2)
    note = json.dumps([started, leased, time.monotonic(), gpu if device == "cuda" else device])
    if queue["kill_first"]:
        with suppress(FileExistsError), open("killed.json", "x") as file:
            file.write(note)
            file.close()
            os.kill(os.getpid(), signal.SIGKILL)
Path(snakemake.output[0]).write_text(note)
"""


@dataclass(frozen=True)
class Note:
    """When a job was started, had its device and let go (seconds), and which device it was."""

    started: float
    leased: float
    ended: float
    device: str


@pytest.fixture
def probe(project):
    """Return a function that runs so many jobs of each kind and returns the notes they left.

    The first jobs on GPUs stay until `together` of their kind are started, and where there are
    jobs of both kinds, the first stay for one of the other: what is seen is no chance.
    """
    (project.folder / "rules" / "probe.smk").write_text(RULE)
    (project.folder / "workflow_scripts" / "probe.py").write_text(SCRIPT)
    with open(project.folder / "Snakefile", "a") as snakefile:
        snakefile.write('\n\ninclude: "rules/probe.smk"\n')

    def run(*options: str, together: int, jobs_per_gpu: int = 1, kill_first=False, **counts: int):
        wanted = [f"probe/{kind}-{n}.json" for kind, count in counts.items() for n in range(count)]
        queue = {"together": together, "kill_first": kill_first}
        queue["beside"] = {"cpu": ["gpu", 1], "gpu": ["cpu", int("cpu" in counts)]}
        (project.folder / "queue.json").write_text(json.dumps(queue))
        done = subprocess.run(
            [
                *SNAKEMAKE,
                *wanted,
                *options,
                "--config",
                "scale=tiny",
                f"jobs_per_gpu={jobs_per_gpu}",
            ],
            cwd=project.folder,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "0,1"},
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        assert bool(done.returncode) == kill_first, done.stderr
        return [Note(*json.loads(p.read_text())) for p in (project.folder / "probe").iterdir()]

    return run


def count_together(notes: list[Note], since: str = "leased") -> int:
    """Return the largest number of jobs that were at it at one time."""
    starts = [getattr(note, since) for note in notes]
    return max(sum(getattr(n, since) <= time < n.ended for n in notes) for time in starts)


def on_gpus(notes: list[Note]) -> dict[str, list[Note]]:
    devices = {note.device for note in notes} - {"cpu"}
    return {device: [n for n in notes if n.device == device] for device in devices}


@pytest.mark.parametrize("jobs_per_gpu", [1, 2])
def test_as_many_jobs_start_as_the_visible_gpus_hold(probe, jobs_per_gpu):
    notes = probe(gpu=12, cpu=8, jobs_per_gpu=jobs_per_gpu, together=2 * jobs_per_gpu)
    gpus = on_gpus(notes)
    on_any = [note for some in gpus.values() for note in some]
    beside = [note for note in notes if note.device == "cpu"]
    assert (len(on_any), len(beside)) == (12, 8)
    assert count_together(on_any, "started") == 2 * jobs_per_gpu  # none is started to wait
    assert [count_together(gpus[gpu]) for gpu in ("0", "1")] == [jobs_per_gpu] * 2
    assert any(c.leased < g.ended and g.leased < c.ended for c in beside for g in on_any)


def test_higher_limit_of_ones_own_is_kept_and_the_surplus_waits(probe):
    notes = probe("--resources", "gpu=5", gpu=12, together=5)
    assert count_together(notes, "started") == 5
    assert {gpu: count_together(some) for gpu, some in on_gpus(notes).items()} == {"0": 1, "1": 1}


def test_lower_limit_of_ones_own_is_kept(probe):
    assert count_together(probe("--resources", "gpu=1", gpu=4, together=1), "started") == 1


def test_killed_job_leaves_its_gpu_to_those_that_wait(probe, project):
    notes = probe("--resources", "gpu=6", "--keep-going", gpu=12, together=6, kill_first=True)
    killed = Note(*json.loads((project.folder / "killed.json").read_text()))
    assert len(notes) == 11
    same = [note for note in notes if note.device == killed.device]
    assert any(note.started < killed.ended <= note.leased for note in same)
    assert {gpu: count_together(some) for gpu, some in on_gpus([*notes, killed]).items()} == {
        "0": 1,
        "1": 1,
    }


GREEDY = """
import torch
from lossmap.network.models.resnet import resnet20

class Full:
    def __init__(self, limit, training):
        self.limit, self.training = limit, training

    def __call__(self, module, arguments):
        if len(arguments[0]) > self.limit and module.training == self.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

def learning(**options):
    network = resnet20(**options)
    network.register_forward_pre_hook(Full(4, training=True))
    return network

def seeing(**options):
    network = resnet20(**options)
    network[-1].register_forward_pre_hook(Full(3, training=False))
    return network
"""


@pytest.fixture(scope="module")
def greedy(shared_project):
    """Train two networks that need much memory, one in training and one in evaluation."""
    names = ("learning", "seeing")
    run = {"dataset": "c10", "recipe": "ding2023"}
    given = {
        "networks": {name: {"factory": f"greedy:{name}", "width": 0.125} for name in names},
        "runs": {name: run | {"network": name} for name in names},
    }
    (shared_project.folder / "greedy.py").write_text(GREEDY)
    (shared_project.folder / "greedy.yaml").write_text(json.dumps(given))
    wanted = [f"results/tiny/trajectory/{name}.h5" for name in names]
    options = ("--configfile", "greedy.yaml", "--keep-going")
    return shared_project, shared_project.snakemake(*wanted, *options, check=False)


def read_log(project, stage: str, name: str) -> str:
    return project.path(f"log/{stage}", name, "log").read_text()


@pytest.mark.parametrize("name", ["learning", "seeing"])
def test_training_without_memory_ends_in_one_line(greedy, name):
    project, done = greedy
    log = read_log(project, "trajectory", name)
    errors = [line for line in log.splitlines() if " error: " in line]
    assert len(errors) == 1, log
    # The trial of the network meets the limit first, before an update does.
    assert f"error: training of '{name}', before it began: " in errors[0]
    assert "out of memory on" in errors[0]
    assert "set jobs_per_gpu=1 or device=cpu" in errors[0]
    assert errors[0] in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not project.path("trajectory", name).exists()
