"""A training run killed at any moment ends in the same bytes as one that was left alone.

The runs are real processes and the kills real SIGKILLs. A worker that has torch loaded forks one
process per run, because loading torch takes longer than the run.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.provenance import Provenance, resume_folder
from lossmap.artifacts.store import save

PACKAGE = Path(__file__).parents[2] / "workflow_scripts"
WORKER = '''
import json, logging, os, signal, sys, traceback

import torch

sys.path.insert(0, sys.argv[1])
from lossmap.artifacts import store
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.store import load
from lossmap.network import checkpoint, classification, training
from lossmap.network.arithmetic import fix_arithmetic


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Torn:
    """A file of which only half of each write arrives."""

    def __init__(self, path, mode):
        self.stream = open(path, mode)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stream.close()

    def write(self, data):
        self.stream.write(data[: len(data) // 2])
        self.stream.flush()
        die()


def set_trap(moment, count, artifact):
    """Die the count-th time that the moment comes."""
    seen = 0

    def due():
        nonlocal seen
        seen += 1
        return seen == count

    def before(owner, name, condition=lambda *a: True, death=lambda *a: die()):
        plain = getattr(owner, name)

        def trapped(*arguments, **keywords):
            if condition(*arguments) and due():
                death(*arguments)
            return plain(*arguments, **keywords)

        setattr(owner, name, trapped)

    def flush_and_die(file, *rest):
        file.flush()
        die()

    def onto(target):
        return lambda source, destination: str(destination).endswith(target)

    if moment == "mid row":
        checkpoint.open = lambda p, mode: Torn(p, mode) if mode == "ab" and due() else open(p, mode)
    elif moment == "between rows and state":
        before(checkpoint.Checkpoint, "_replace_state")
    elif moment == "rows damaged":
        def damage(held, *_):
            with open(held._rows_path("thetas"), "r+b") as stream:
                stream.write(b"\\7")
        before(checkpoint.Checkpoint, "_replace_state", death=damage)
    elif moment == "mid state":
        before(checkpoint, "content_digest", lambda f: f.mode == "r+", flush_and_die)
    elif moment == "before state is replaced":
        before(os, "replace", onto("state.h5"))
    elif moment == "mid epoch":
        before(classification, "take_batch")
    elif moment == "mid artifact":
        before(store, "write_attributes", death=flush_and_die)
    elif moment == "before artifact is named":
        before(os, "replace", onto(os.path.basename(artifact)))
    elif moment == "before discard":
        before(checkpoint.Checkpoint, "discard", lambda held: os.path.exists(artifact))


def run(job):
    fix_arithmetic(1, "cpu")
    logging.basicConfig(filename=job["log"], level=logging.INFO, format="%(message)s")
    if job["moment"]:
        set_trap(job["moment"], job["count"], job["artifact"])
    provenance = store.Provenance(**job["provenance"])
    dataset = load(job["dataset"], Dataset)
    log = logging.getLogger()
    training.train_run(
        dataset, provenance.parameters(), "cpu", job["artifact"], provenance, log
    )


for line in sys.stdin:
    job = json.loads(line)
    if "wait" in job:
        print(os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1]), flush=True)
    elif child := os.fork():
        print(child, flush=True)
    else:
        try:
            run(job)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
'''
NETWORK = """
from torch import nn

def dropping(*, classes, channels, width):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64 * channels, 8), nn.BatchNorm1d(8), nn.Dropout(0.5),
        nn.Linear(8, classes),
    )
"""
MOMENTS = [
    ("mid row", 1),  # the very first bytes
    ("mid row", 4),  # the second array of the second snapshot
    ("mid row", 5),
    ("between rows and state", 1),
    ("between rows and state", 3),
    ("mid state", 1),
    ("mid state", 2),
    ("before state is replaced", 1),
    ("before state is replaced", 2),
    ("mid epoch", 5),
    ("mid artifact", 1),
    ("before artifact is named", 1),
    ("before discard", 1),
]


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    script = tmp_path_factory.mktemp("worker") / "worker.py"
    script.write_text(WORKER)
    script.with_name("dropping.py").write_text(NETWORK)
    command = [sys.executable, str(script), str(PACKAGE)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    yield process
    process.stdin.close()
    process.wait()
    process.stdout.close()


@dataclass
class Bench:
    """One training run in a folder of its own, started as often as a test likes.

    `known` are the bytes of undisturbed runs.
    """

    worker: subprocess.Popen
    folder: Path
    spec: dict
    known: dict[str, bytes]
    code: str = "c0de"
    dataset: str = "d19e57"

    @property
    def artifact(self) -> Path:
        return self.folder / "trajectory" / "tiny.h5"

    @property
    def provenance(self) -> Provenance:
        return Provenance(canonical_json(self.spec), self.code, {"dataset/tiny": self.dataset})

    @property
    def resume(self) -> Path:
        return resume_folder(self.artifact, self.provenance)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def ask(self, **request) -> int:
        self.worker.stdin.write(json.dumps(request) + "\n")
        return int(self.worker.stdout.readline())

    def start(self, moment: str = "", count: int = 1) -> int:
        """Start the run and return its process number."""
        (self.folder / "log").write_text("")
        return self.ask(
            artifact=str(self.artifact),
            dataset=str(self.folder / "dataset.h5"),
            log=str(self.folder / "log"),
            provenance=vars(self.provenance),
            moment=moment,
            count=count,
        )

    def wait(self, process: int) -> int:
        """Return the exit status, negative for a signal."""
        return self.ask(wait=process)

    def finish(self) -> bytes:
        """Run to the end and return the artifact's bytes."""
        assert self.wait(self.start()) == 0
        return self.artifact.read_bytes()

    def die(self, moment: str, count: int = 1) -> None:
        """Run until the moment comes for the count-th time."""
        assert self.wait(self.start(moment, count)) == -signal.SIGKILL

    def files(self) -> set[str]:
        """Return all files but hidden temporary ones, log and lock."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        names = {str(path.relative_to(self.folder)) for path in found}
        return {n for n in names if not n.endswith((".lock", "log", "dataset.h5"))}


@pytest.fixture(scope="module")
def known() -> dict[str, bytes]:
    """Give the artifacts of undisturbed runs by their recipes: equal recipes give equal bytes."""
    return {}


@pytest.fixture
def bench(tmp_path, worker, dataset, spec, known) -> Bench:
    save(tmp_path / "dataset.h5", dataset, Provenance("{}", "", {}))
    return Bench(worker, tmp_path, spec, known)


def undisturbed(bench: Bench) -> bytes:
    """Return the bytes of the same run in another folder, never disturbed."""
    known, recipe = bench.known, str(bench.provenance)
    if recipe in known:
        return known[recipe]
    other = bench.folder / "undisturbed"
    other.mkdir()
    shutil.copy(bench.folder / "dataset.h5", other)
    calm = replace(bench, folder=other)
    known[recipe] = calm.finish()
    shutil.rmtree(other)
    return known[recipe]


@pytest.mark.parametrize(("moment", "count"), MOMENTS)
def test_killed_run_ends_in_the_bytes_of_an_undisturbed_one(bench, moment, count):
    expected = undisturbed(bench)
    bench.die(moment, count)
    assert bench.finish() == expected
    assert {f for f in bench.files() if not Path(f).name.startswith(".")} == {"trajectory/tiny.h5"}


@pytest.mark.parametrize("moment", ["mid row", "mid state", "mid artifact"])
def test_no_artifact_bears_its_name_before_it_is_whole(bench, moment):
    bench.die(moment)
    assert not bench.artifact.exists()


def test_run_killed_many_times_in_a_row_ends_in_the_same_bytes(bench):
    expected = undisturbed(bench)
    for moment, count in [*MOMENTS[:10], ("mid epoch", 1), ("mid row", 1), *MOMENTS[10:]]:
        status = bench.wait(bench.start(moment, count))
        assert status in (0, -signal.SIGKILL)  # 0: too little was left for the moment to come
    assert bench.finish() == expected


@pytest.mark.parametrize("seed", range(3))
def test_run_killed_at_random_times_ends_in_the_same_bytes(bench, seed):
    bench.spec["epochs"] = 6
    expected = undisturbed(bench)
    chance = random.Random(seed)
    for _ in range(4):
        process = bench.start()
        time.sleep(chance.uniform(0.0, 0.25))
        os.kill(process, signal.SIGKILL)  # its number is kept until it is waited for
        bench.wait(process)
    assert bench.finish() == expected


@pytest.mark.parametrize("optimizer", ["adam", "plain", "nesterov"])
def test_every_optimizer_resumes_with_its_state(bench, optimizer):
    bench.spec["optimizer"] = {
        "adam": {"name": "adam", "lr": 0.01, "weight_decay": 1.0e-3},
        "plain": bench.spec["optimizer"] | {"momentum": 0.0},
        "nesterov": bench.spec["optimizer"] | {"nesterov": True},
    }[optimizer]
    expected = undisturbed(bench)
    bench.die("mid epoch", 5)
    assert bench.finish() == expected
    assert "tiny resumes after epoch 1 of 3" in bench.log


def test_network_with_dropout_resumes_with_the_same_draws(bench):
    bench.spec["network"] = bench.spec["network"] | {"factory": "dropping:dropping"}
    expected = undisturbed(bench)
    bench.die("mid epoch", 5)
    assert bench.finish() == expected
    assert "tiny resumes after epoch 1 of 3" in bench.log


def test_rarer_snapshots_resume_from_the_last_epoch(bench):
    bench.spec |= {"epochs": 5, "snapshot_every": 2}
    bench.spec["schedule"] = {"name": "steps", "milestones": [3], "factor": 0.1}
    expected = undisturbed(bench)
    bench.die("mid epoch", 11)  # in the fourth epoch of three updates
    assert bench.finish() == expected
    assert "tiny resumes after epoch 3 of 5" in bench.log


def test_resumed_run_does_not_repeat_saved_epochs(bench):
    bench.die("mid epoch", 8)
    bench.finish()
    assert "resumes after epoch 2" in bench.log
    assert "epoch 2/3" not in bench.log
    assert "epoch 3/3" in bench.log


@pytest.mark.parametrize("change", ["spec", "code", "dataset"])
def test_resume_point_of_another_recipe_is_not_picked_up(bench, change):
    bench.die("mid epoch", 8)
    if change == "spec":
        bench.spec["optimizer"] = bench.spec["optimizer"] | {"lr": 0.05}
    else:
        setattr(bench, change, "0ther")
    found = bench.finish()
    assert "resumes" not in bench.log
    assert found == undisturbed(bench)


def _cut(path: Path, size: int) -> None:
    with open(path, "r+b") as stream:
        stream.truncate(size)


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def _put(path: Path, position: int, value: np.float32) -> None:
    with open(path, "r+b") as stream:
        stream.seek(position)
        stream.write(value.tobytes())


def _swap_rows(path: Path) -> None:
    rows = np.fromfile(path, np.float32).reshape(-1, 4429)
    rows[[0, 1]] = rows[[1, 0]]
    rows.tofile(path)


def _flip_state(path: Path) -> None:
    with h5py.File(path) as file:
        position = file["network.thetas"].id.get_offset()
    _flip(path, position + 1001)


def _edit_state(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["network.thetas"][0] += 1


DAMAGES = {
    "state cut": lambda folder: _cut(folder / "state.h5", 1000),
    "state empty": lambda folder: _cut(folder / "state.h5", 0),
    "state head flipped": lambda folder: _flip(folder / "state.h5", 9),
    "state data flipped": lambda folder: _flip_state(folder / "state.h5"),
    "state edited": lambda folder: _edit_state(folder / "state.h5"),
    "state foreign": lambda folder: (folder / "state.h5").write_text("not HDF5"),
    "state missing": lambda folder: (folder / "state.h5").unlink(),
    "rows cut": lambda folder: _cut(folder / "thetas.f32", 3 * 4 * 4429 - 1),
    "rows empty": lambda folder: _cut(folder / "buffers.f32", 0),
    "rows missing": lambda folder: (folder / "thetas.f32").unlink(),
    "rows edited": lambda folder: _put(folder / "thetas.f32", 4 * 4000, np.float32(777)),
    "last row flipped": lambda folder: _flip(folder / "thetas.f32", 2 * 4 * 4429 + 100),
    "buffers flipped": lambda folder: _flip(folder / "buffers.f32", 5),
    "rows swapped": lambda folder: _swap_rows(folder / "thetas.f32"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_resume_point_leads_to_a_fresh_start(bench, damage):
    expected = undisturbed(bench)
    bench.die("mid epoch", 8)
    assert (bench.resume / "state.h5").exists()
    DAMAGES[damage](bench.resume)
    assert bench.finish() == expected
    assert "resumes" not in bench.log
    said = "of another run; nothing of it is used, training begins anew" in bench.log
    assert said == (damage != "state missing"), "that looks like a kill in the first epoch"


@pytest.mark.parametrize(
    "names",
    [["state.h5"], ["thetas.f32"], ["buffers.f32"], ["state.h5", "thetas.f32", "buffers.f32"]],
)
@pytest.mark.parametrize("other", ["seed", "dataset"])
def test_files_of_another_run_in_a_resume_point_are_not_used(bench, names, other):
    expected = undisturbed(bench)
    bench.die("mid epoch", 8)
    (bench.folder / "theirs").mkdir()
    shutil.copy(bench.folder / "dataset.h5", bench.folder / "theirs")
    theirs = replace(bench, folder=bench.folder / "theirs", dataset="0ther")
    if other == "seed":
        theirs = replace(theirs, dataset=bench.dataset, spec=bench.spec | {"seed": 8})
    theirs.die("mid epoch", 8)
    for name in names:
        shutil.copy(theirs.resume / name, bench.resume)
    same = other == "dataset" and "state.h5" not in names  # in this test the same images
    assert bench.finish() == expected
    assert ("training begins anew" in bench.log) != same


def test_rows_that_are_damaged_while_a_run_trains_make_no_artifact(bench):
    bench.spec["epochs"] = 4
    process = bench.start("rows damaged", 3)
    assert bench.wait(process) == 1
    assert not bench.artifact.exists()
    assert bench.finish() == undisturbed(bench)
    assert "training begins anew" in bench.log


def test_second_process_waits_for_an_orphan_and_both_end_in_the_same_bytes(bench):
    bench.spec["epochs"] = 6
    expected = undisturbed(bench)
    orphan, second = bench.start(), bench.start()
    assert bench.wait(orphan) == 0
    assert bench.artifact.read_bytes() == expected
    assert bench.wait(second) == 0
    assert bench.artifact.read_bytes() == expected
    assert bench.files() == {"trajectory/tiny.h5"}


def test_second_process_goes_on_where_a_killed_orphan_stopped(bench):
    expected = undisturbed(bench)
    orphan = bench.start("mid epoch", 8)
    second = bench.start()
    assert bench.wait(orphan) == -signal.SIGKILL
    assert bench.wait(second) == 0
    assert bench.artifact.read_bytes() == expected


def test_three_processes_at_once_damage_nothing(bench):
    expected = undisturbed(bench)
    processes = [bench.start("mid epoch", 5), bench.start(), bench.start("mid artifact")]
    statuses = [bench.wait(process) for process in processes]
    assert statuses[1] == 0
    assert bench.finish() == expected
