"""On a real SLURM of one node: jobs come to grief, and the artifacts are those of a local run.

The GPUs of that SLURM are pretended: what it was asked for and what it gave is real, computing on
them is not.
"""

import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager, suppress

import pytest
from tests_support import ROOT, copy_project

SANDBOX = ROOT.parent / "shared" / "tools" / "slurm-sandbox"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(not SANDBOX.is_file(), reason=f"no SLURM to start: {SANDBOX} is missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a SLURM"),
]

SECONDS = 400
"""After which anything that is waited for counts as hanging."""

# Training stands still after two epochs until the test has done to the job what it means to do.
NETWORK = '''
"""A small network; in training it waits while a file of its name lies in hold/."""
import time
from pathlib import Path
import torch
from torch import nn


class Held(nn.Module):
    def __init__(self, name, classes, channels):
        super().__init__()
        self.hold = Path("hold", name)
        self.register_buffer("updates", torch.tensor(0))
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 4, 3, stride=4), nn.BatchNorm2d(4), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes),
        )

    def forward(self, images):
        self.updates += self.training
        while self.updates > 4 and self.hold.exists():
            time.sleep(0.1)
        return self.layers(images)


def cancelled(*, classes, channels, width):
    return Held("cancelled", classes, channels)


def requeued(*, classes, channels, width):
    return Held("requeued", classes, channels)


def late(*, classes, channels, width):
    return Held("late", classes, channels)
'''
CANCELLED, REQUEUED, LATE = VICTIMS = ("c10-resnet20", "c10-wresnet-decay", "sgd-seed0")
HELD = dict(zip(VICTIMS, ("cancelled", "requeued", "late"), strict=True))
ACTS = {
    CANCELLED: ["scancel", "{}"],
    REQUEUED: ["scontrol", "requeue", "{}"],
    LATE: ["scontrol", "update", "JobId={}", "TimeLimit=1"],  # a minute in all, the least there is
}
SETTINGS = {
    "device": "cpu",
    "runs": "".join(f'\n  {run}: {{network: "held:{HELD[run]}"}}' for run in VICTIMS),
    "clouds": "{few: {minimum: c10-decay, embeddings: {phate-cosine: {}}}}",
    "figures": """
  ding2023_few:
    columns: 1
    panels:
      - draw: contour
        grid: c10-resnet20-pca-last
        projection: c10-resnet20-pca-batch
        trajectory: true
  horoi2021_few:
    columns: 1
    panels: [{draw: embedding, embedding: few-phate-cosine, color: direction, marks: [jumps]}]
""",
}
TARGETS = ("ding2023_few", "horoi2021_few", f"results/tiny/trajectory/{LATE}.h5")
ARTIFACTS = {
    "dataset/c10",
    "dataset/horoi-c10",
    *(f"trajectory/{run}" for run in VICTIMS),
    "basis/c10-resnet20-pca-last",
    "grid/c10-resnet20-pca-last",
    "projection/c10-resnet20-pca-batch",
    "jumps/c10-decay-d0",
    "jumps/c10-decay-d1",
    "distance/few",
    "embedding/few-phate-cosine",
    "figure/ding2023_few",
    "figure/horoi2021_few",
}
PROFILE = ("--workflow-profile", "profiles/slurm")
# A small job takes 7 to 15 seconds; the second look comes ten seconds later than the first.
PROFILE += ("--slurm-init-seconds-before-status-checks", "4")


@pytest.fixture(scope="module", autouse=True)
def _slurm():
    """Start a SLURM of eight promised cores and two pretended GPUs, and stop it."""
    if subprocess.run([SANDBOX, "status"], capture_output=True, check=False).returncode == 0:
        pytest.fail(f"somebody's SLURM runs already; end it with: {SANDBOX} stop")
    start = [SANDBOX, "start", "--gpus", "2", "--partitions", "main,gpus"]
    try:
        started = subprocess.run(start, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("SLURM_CONF", started.stdout.split("=", 1)[1].strip())
            yield
    finally:
        subprocess.run([SANDBOX, "stop"], timeout=120, check=True)


@contextmanager
def running(project, *arguments, nice=0, **config):
    """Run Snakemake in the background, its output in a file; at the end it is killed."""
    command = project.command(*arguments, **config)
    with open(project.folder / "output.txt", "w") as output:
        process = subprocess.Popen(
            ["nice", "-n", str(nice), *command],
            cwd=project.folder,
            env=project.environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        except AssertionError as error:
            error.add_note((project.folder / "output.txt").read_text()[-5000:])
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(what, process):
    """Return the result of `what` once it is true; the process must live meanwhile."""
    for _ in range(5 * SECONDS):
        if found := what():
            return found
        assert process.poll() is None, "Snakemake ended before its time"
        time.sleep(0.2)
    raise AssertionError(f"waited {SECONDS} s in vain")


def jobs(project, rule):
    """Return what SLURM knows of a project's jobs of one rule, oldest first, as words by name."""
    listed = subprocess.run(
        ["scontrol", "show", "job", "--oneliner"], capture_output=True, text=True, check=True
    ).stdout
    found = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in listed.splitlines()]
    mine = [job for job in found if job["WorkDir"] == str(project.folder)]
    return [job for job in mine if job["Comment"].startswith(f"rule_{rule}")]


def minutes(job):
    """Return the time limit of a job."""
    hours, minutes, seconds = map(int, job["TimeLimit"].split(":"))
    return 60 * hours + minutes + seconds / 60


def log_of(project, run):
    path = project.folder / f"results/tiny/log/trajectory/{run}.log"
    return path.read_text() if path.exists() else ""


def make_project(folder):
    project = copy_project(folder)
    (folder / "held.py").write_text(NETWORK)
    return project


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Give a project made locally, and one made through SLURM while three jobs came to grief."""
    local, cluster = (make_project(tmp_path_factory.mktemp(name)) for name in ("local", "cluster"))
    hold = cluster.folder / "hold"
    hold.mkdir()
    for name in HELD.values():
        (hold / name).touch()
    with (
        running(cluster, *TARGETS, *PROFILE, **SETTINGS) as process,
        running(local, *TARGETS, "--cores", "1", nice=19, **SETTINGS) as reference,
    ):
        for run, act in ACTS.items():
            wait_for(lambda run=run: " epoch 2/" in log_of(cluster, run), process)
            job = jobs(cluster, f"trajectory_wildcards_{run}")[0]["JobId"]
            subprocess.run([word.format(job) for word in act], check=True, timeout=60)
            if run != LATE:
                (hold / HELD[run]).unlink()
        late = f"trajectory_wildcards_{LATE}"
        wait_for(lambda: jobs(cluster, late)[0]["JobState"] == "TIMEOUT", process)
        (hold / HELD[LATE]).unlink()
        for run in (reference, process):
            assert run.wait(SECONDS) == 0
    return local, cluster


@pytest.fixture(scope="module")
def cluster(both):
    return both[1]


def test_artifacts_are_those_of_a_local_run(both):
    local, cluster = both
    results = local.folder / "results/tiny"
    made = {f"{path.parent.name}/{path.stem}" for path in results.glob("*/*.h5")}
    assert made == ARTIFACTS
    for name in sorted(ARTIFACTS):
        path = cluster.path(*name.split("/"))
        assert path.read_bytes() == local.path(*name.split("/")).read_bytes(), name


def test_a_cancelled_job_is_tried_again_with_more_time_and_memory(cluster):
    first, second = jobs(cluster, f"trajectory_wildcards_{CANCELLED}")
    assert (first["JobState"], second["JobState"]) == ("CANCELLED", "COMPLETED")
    assert minutes(second) == 2 * minutes(first) >= 20
    assert int(second["MinMemoryNode"][:-1]) == 2 * int(first["MinMemoryNode"][:-1])


def test_a_requeued_job_ends_well_without_a_second_try(cluster):
    (job,) = jobs(cluster, f"trajectory_wildcards_{REQUEUED}")
    assert (job["JobState"], job["Requeue"], job["Restarts"]) == ("COMPLETED", "1", "1")


def test_a_job_out_of_time_is_tried_again_with_more(cluster):
    first, second = jobs(cluster, f"trajectory_wildcards_{LATE}")
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert minutes(first) == 1
    assert minutes(second) >= 20


@pytest.mark.parametrize("run", VICTIMS)
def test_training_goes_on_where_it_was_stopped(cluster, run):
    assert f"{run} resumes after epoch 2 of " in log_of(cluster, run)


def test_figures_are_drawn_where_snakemake_runs(cluster):
    assert jobs(cluster, "grid")
    assert not jobs(cluster, "figure")


def test_nothing_is_left_to_do_on_the_cluster_or_off_it(cluster):
    for place in (PROFILE, ("--cores", "2")):
        with running(cluster, *TARGETS, *place, **SETTINGS) as process:
            assert process.wait(SECONDS) == 0
        assert "Nothing to be done" in (cluster.folder / "output.txt").read_text()


def test_what_an_orphan_finishes_while_its_replacement_waits_is_taken_over(tmp_path):
    """Killed and started again: the replacement starts after the orphan has ended."""
    project = make_project(tmp_path)
    (project.folder / "hold").mkdir()
    hold = project.folder / "hold" / HELD[LATE]
    hold.touch()
    target, rule = f"results/tiny/trajectory/{LATE}.h5", f"trajectory_wildcards_{LATE}"
    with running(project, target, *PROFILE, **SETTINGS) as process:
        wait_for(lambda: " epoch 2/" in log_of(project, LATE), process)
    with running(project, "--unlock", *PROFILE, **SETTINGS) as process:
        assert process.wait(SECONDS) == 0
    set_partition("main", "DOWN")  # jobs may be submitted and do not start
    try:
        with running(project, target, *PROFILE, **SETTINGS) as process:
            wait_for(lambda: len(jobs(project, rule)) == 2, process)
            hold.unlink()
            wait_for(lambda: jobs(project, rule)[0]["JobState"] == "COMPLETED", process)
            made = (project.folder / target).stat()
            set_partition("main", "UP")
            assert process.wait(SECONDS) == 0
    finally:
        set_partition("main", "UP")
    assert "made by the job of a killed workflow" in log_of(project, LATE)
    assert os.path.samestat(made, (project.folder / target).stat()), "not trained again"


def set_partition(name, state):
    words = ["scontrol", "update", f"PartitionName={name}", f"State={state}"]
    subprocess.run(words, check=True, timeout=60)


def test_cuda_asks_for_a_gpu_that_the_login_node_lacks(cluster):
    """What SLURM gave is pretended, so training fails; before, it says on what it trains."""
    assert cluster.environment()["CUDA_VISIBLE_DEVICES"] == ""
    run = "momentum-seed0"
    given = {"device": "cuda", "cluster": "{partition: main, gpu_partition: gpus}"}
    target = f"results/tiny/trajectory/{run}.h5"
    rule = f"trajectory_wildcards_{run}"
    with running(cluster, target, *PROFILE, "--retries", "0", **SETTINGS | given) as process:
        ended = ("FAILED", "COMPLETED")
        wait_for(lambda: any(job["JobState"] in ended for job in jobs(cluster, rule)), process)
    (job,) = jobs(cluster, rule)
    assert (job["Partition"], job["TresPerJob"]) == ("gpus", "gres:gpu:1")
    assert " on cuda, 1 threads" in log_of(cluster, run)
    assert len(jobs(cluster, "dataset_wildcards_horoi-c10")) == 1, "the data were there already"
