"""Jobs and the workflow itself, ended by SIGKILL: the artifacts are those of an undisturbed run.

`make kills` repeats this for as long as one likes: LOSSMAP_KILLS is the number of rounds.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter

import pytest
from killing import Killer, jobs_of, kill, start_snakemake, wait_for_end, wait_for_job
from tests_support import copy_mini_project

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("LOSSMAP_KILLS", "1"))
BUDGET = {
    "dataset": 1,
    "trajectory": 4,
    "basis": 1,
    "grid": 2,
    "jumps": 3,
    "distance": 2,
    "embedding": 1,
    "figure": 1,
}
ORPHANS = ("trajectory/c10-resnet20", "grid/c10-pca", "jumps/c10-d0", "embedding/c10-pca")
ORPHANS += ("figure/mini_cloud",)
TURNS = 5
"""A short job on a busy machine can end before it is seen; its stage is then made once more."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Give the files of a run that nothing has disturbed."""
    project = copy_mini_project(tmp_path_factory.mktemp("undisturbed"))
    project.snakemake()
    return project.files()


@pytest.fixture
def project(tmp_path):
    return copy_mini_project(tmp_path)


def check_whole(project, undisturbed):
    files = project.files()
    left = {name for name in files if "/." in name}  # of jobs that were writing when they died
    assert {name: data for name, data in files.items() if name not in left} == undisturbed


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_jobs_killed_at_random_moments_end_in_the_same_bytes(project, undisturbed, seed):
    killed: Counter[str] = Counter()
    for turn in range(TURNS):
        with Killer(project, BUDGET, longest=2.0, seed=seed + turn) as killer:
            project.snakemake("--retries", "60")
        killed += killer.killed
        for stage in BUDGET.keys() - killed:  # its job ended before it was seen
            shutil.rmtree(project.folder / "results/tiny" / stage)
        if killed.keys() == BUDGET.keys():
            break
    print(f"killed: {dict(killed)}")
    assert killed.keys() == BUDGET.keys()
    check_whole(project, undisturbed)
    assert project.planned() == []


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_workflow_killed_at_random_moments_ends_in_the_same_bytes(project, undisturbed, seed):
    """In turn the main process alone, which leaves orphans, and all of it, as in a power cut."""
    chance = random.Random(seed)
    for turn in range(3):
        main = start_snakemake(project)
        time.sleep(chance.uniform(2.0, 8.0))
        if turn % 2:
            os.killpg(main.pid, signal.SIGKILL)
        else:
            main.kill()
        main.wait()
        project.snakemake("--unlock")
    project.snakemake()
    check_whole(project, undisturbed)
    wait_for_end(project)
    check_whole(project, undisturbed)
    assert project.planned() == []


def test_an_orphan_of_earlier_settings_does_not_replace_what_was_made_since(project, undisturbed):
    """Killed, reconfigured, started again: the first job goes on and ends last."""
    slow = project.folder / "slow.yaml"
    slow.write_text("runs: {c10-resnet20: {epochs: 400}}\n")
    main = start_snakemake(project, "mini_landscape", "--configfile", slow.name)
    orphan = wait_for_job(project, "trajectory")
    main.kill()
    main.wait()
    project.snakemake("--unlock")
    os.kill(orphan, signal.SIGSTOP)  # it ends after all that follows
    project.snakemake()
    check_whole(project, undisturbed)
    os.kill(orphan, signal.SIGCONT)
    wait_for_end(project)
    log = project.path("log/trajectory", "c10-resnet20", "log").read_text()
    check_whole(project, undisturbed)
    assert project.planned() == []
    assert "epoch 4/4" in log


def test_a_job_waits_for_an_equal_orphan_and_takes_what_it_made(project):
    slow = project.folder / "slow.yaml"
    slow.write_text("runs: {c10-resnet20: {epochs: 300}}\n")
    words = ("trajectory/c10-resnet20", "--configfile", slow.name)
    target = "results/tiny/trajectory/c10-resnet20.h5"
    main = start_snakemake(project, target, *words[1:])
    orphan = wait_for_job(project, "trajectory")
    resume = project.folder / "results/tiny/.resume/trajectory"
    while not list(resume.glob("*/state.h5")):
        time.sleep(0.05)
    main.kill()
    main.wait()
    project.snakemake("--unlock")
    done = project.snakemake(target, *words[1:])
    assert orphan not in jobs_of(project)
    assert "made by the job of a killed workflow" in done.stderr
    assert " epoch " not in done.stderr, "nothing was trained twice"


def orphan_of(project, stage, *targets):
    """Start Snakemake, kill it alone while a job of a stage runs, and return that job."""
    main = start_snakemake(project, *targets)
    orphan = wait_for_job(project, stage)
    os.kill(orphan, signal.SIGSTOP)  # it ends after what made it
    records = project.folder / ".snakemake" / "incomplete"
    while not any(path.is_file() for path in records.rglob("*")):  # made when the job runs already
        time.sleep(0.02)
    main.kill()
    main.wait()
    project.snakemake("--unlock")
    return orphan


def test_what_an_orphan_has_finished_is_not_made_again(project, undisturbed):
    """One stage after the other, its job finished by an orphan while no Snakemake runs."""
    for target in ORPHANS:
        stage, name = target.split("/")
        path = project.path(stage, name)
        os.kill(orphan_of(project, stage, str(path.relative_to(project.folder))), signal.SIGCONT)
        wait_for_end(project)
        made = path.stat()
        done = project.snakemake(str(path.relative_to(project.folder)))
        assert "Nothing to be done" in done.stderr, target
        assert os.path.samestat(made, path.stat()), target
    project.snakemake()
    check_whole(project, undisturbed)
    assert not list((project.folder / "results/tiny/.resume").rglob("*.orphan"))


def test_what_an_orphan_finishes_survives_the_failure_of_its_replacement(project, undisturbed):
    """Snakemake removes the artifact of a job that fails, though another has made it."""
    target = "results/tiny/trajectory/c10-resnet20.h5"
    orphan = orphan_of(project, "trajectory", target)
    again = start_snakemake(project, target, "--retries", "1")
    while not (others := jobs_of(project).keys() - {orphan}):
        assert again.poll() is None
        time.sleep(0.02)
    (replacement,) = others
    os.kill(replacement, signal.SIGSTOP)
    os.kill(orphan, signal.SIGCONT)
    while orphan in jobs_of(project):
        time.sleep(0.02)
    path = project.folder / target
    made = path.stat()
    kill(replacement)
    assert again.wait(120) == 0
    assert os.path.samestat(made, path.stat()), "not trained again"
    assert path.read_bytes() == undisturbed["trajectory/c10-resnet20.h5"]
    assert project.snakemake(target).stderr.count("Nothing to be done") == 1
    project.snakemake(target, "--forcerun", target)
    assert not os.path.samestat(made, path.stat()), "what is asked for anew is made anew"


@pytest.fixture
def small_disk(project):
    """Give a project whose results lie on a disk that can be filled and locked."""
    results = project.folder / "results"
    results.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(results)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield project
    for process in jobs_of(project):
        kill(process)
    subprocess.run(["umount", "--lazy", str(results)], check=True)


def remount(project, option):
    results = str(project.folder / "results")
    subprocess.run(["mount", "-o", f"remount,{option}", results], check=True)


def test_a_full_disk_loses_nothing_that_was_made(small_disk, undisturbed):
    done = small_disk.snakemake(check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "No space left on device" in said
    assert "free the disk and run again" in said or "free or unlock the disk" in said
    made = {name: data for name, data in small_disk.files().items() if "/." not in name}
    assert made
    assert {name: undisturbed[name] for name in made} == made
    remount(small_disk, "size=100m")
    small_disk.snakemake()
    check_whole(small_disk, undisturbed)


def test_a_read_only_folder_is_named_and_loses_nothing(small_disk, undisturbed):
    remount(small_disk, "size=100m")
    small_disk.snakemake("mini_landscape")
    before = small_disk.files()
    remount(small_disk, "ro")
    done = small_disk.snakemake(check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Read-only file system" in said
    assert "results/tiny" in said
    assert small_disk.files() == before
    remount(small_disk, "rw")
    small_disk.snakemake()
    check_whole(small_disk, undisturbed)
