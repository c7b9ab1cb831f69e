"""Audit, adopt and archive, on results that the real Snakemake has made."""

import json
import os
import shutil
import signal
import subprocess
import tarfile
import time

import h5py
import pytest
from killing import start_snakemake, wait_for_end
from tests_support import ROOT, copy_mini_project

from lossmap.artifacts.store import read_provenance

pytestmark = pytest.mark.slow

PACKAGE = "workflow_scripts/lossmap"
GRID, RUN, FIGURE = "grid/c10-pca", "trajectory/c10-resnet20", "figure/mini_landscape"
COSMETIC = (f"{PACKAGE}/network/surface.py", "half = resolution // 2", "half = resolution >> 1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Give a small project in which everything has been made."""
    project = copy_mini_project(tmp_path_factory.mktemp("made"))
    for name in ("CITATION.cff", "LICENSE", "README.md", "Makefile"):
        shutil.copy2(ROOT / name, project.folder)
    project.snakemake()
    return project


@pytest.fixture
def project(made, tmp_path):
    """Give a copy of it, with what Snakemake remembers."""
    folder = tmp_path / "copy"
    shutil.copytree(made.folder, folder)
    return type(made)(folder)


@pytest.fixture
def elsewhere(made, tmp_path):
    """Give the workflow without results in one folder, and the results alone in another."""
    (tmp_path / "workflow").mkdir()
    project = copy_mini_project(tmp_path / "workflow")
    shutil.copytree(made.folder / "results" / "tiny", tmp_path / "theirs")
    return project, tmp_path / "theirs"


def path_of(project, target, suffix="h5"):
    return project.path(*target.split("/"), suffix)


def test_audit_of_what_was_just_made_finds_nothing(project):
    done = project.upkeep("audit")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "results/tiny: 0 stale, 0 missing, 0 orphaned, 0 damaged\n"


def test_audit_needs_no_notes_of_snakemake_and_works_elsewhere(elsewhere):
    project, theirs = elsewhere
    done = project.upkeep("audit", "--results", str(theirs))
    assert done.returncode == 0, done.stdout
    flip(theirs / "grid" / "c10-pca.h5", 3000)
    done = project.upkeep("audit", "--results", str(theirs))
    assert done.returncode == 1
    assert f"damaged   {theirs}/grid/c10-pca.h5: damaged or edited" in done.stdout


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_audit_names_everything_that_is_wrong(project):
    flip(path_of(project, RUN), 5000)
    path_of(project, "embedding/c10-pca").unlink()
    path_of(project, FIGURE, "png").unlink()
    shutil.copy2(path_of(project, GRID), path_of(project, "grid/no-such"))
    (project.folder / "results/tiny/grid/.c10-pca.h5.x1y2").write_bytes(b"half")
    path_of(project, "figure/mini_cloud").write_bytes(b"")
    done = project.upkeep("audit", "--config", "grid={resolution: 5}")
    lines = {line.split(": ")[0]: line for line in done.stdout.splitlines()}
    assert done.returncode == 1
    assert set(lines) == {
        "damaged   results/tiny/trajectory/c10-resnet20.h5",
        "missing   results/tiny/embedding/c10-pca.h5",
        "missing   results/tiny/figure/mini_landscape.png",
        "orphaned  results/tiny/grid/no-such.h5",
        "orphaned  results/tiny/grid/.c10-pca.h5.x1y2",
        "damaged   results/tiny/figure/mini_cloud.h5",
        "stale     results/tiny/grid/c10-pca.h5",
        "results/tiny",
    }
    assert "resolution was 3, is to be 5" in lines["stale     results/tiny/grid/c10-pca.h5"]


def test_audit_tells_code_and_inputs_from_specification(project):
    project.edit(*COSMETIC)
    done = project.upkeep("audit")
    assert "stale     results/tiny/grid/c10-pca.h5: made by other code\n" in done.stdout
    assert "1 stale, 0 missing, 0 orphaned, 0 damaged" in done.stdout


def test_audit_sees_a_source_that_was_made_anew(project):
    project.snakemake("-R", "trajectory", "--until", "trajectory", runs="{c10-resnet20: {seed: 7}}")
    done = project.upkeep("audit")
    assert "trajectory/c10-resnet20.h5: " in done.stdout
    assert "network.seed was 7, is to be 0" in done.stdout
    assert "basis/c10-pca.h5: made from another trajectory/c10-resnet20\n" in done.stdout


def test_a_wrong_command_line_is_one_line(project):
    done = project.upkeep("audit", "--config", "resolution")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --config resolution: expected KEY=VALUE\n"


def test_adopt_keeps_artifacts_through_a_cosmetic_change(project):
    before = project.files()
    project.edit(*COSMETIC)
    assert "grid/c10-pca" in project.planned()
    done = project.upkeep("adopt", "--because", "a shift is a division by two")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "adopted 1 artifacts and 0 resume points\n"
    assert project.planned() == []
    assert project.upkeep("audit").returncode == 0
    after = project.files()
    assert {name for name in before if before[name] != after[name]} == {"grid/c10-pca.h5"}
    with h5py.File(path_of(project, GRID)) as file:
        (entry,) = json.loads(file.attrs["adopted"])
    assert entry["because"] == "a shift is a division by two"
    assert entry["code"] != read_provenance(path_of(project, GRID)).code


def test_adopted_jumps_still_train_only_what_is_new(project):
    project.edit(
        f"{PACKAGE}/network/jumps.py", 'self.spec["epochs"] + 1', '1 + self.spec["epochs"]'
    )
    assert "jumps/c10-d0" in project.planned()
    done = project.upkeep("adopt", "--because", "a sum in another order")
    assert done.stdout == "adopted 2 artifacts and 2 resume points\n"
    assert project.planned() == []
    done = project.snakemake(jumps="{step_sizes: [0.25, 0.5, 1.0]}")
    assert done.stderr.count("kept from before") == 4
    kept = list((project.folder / "results/tiny/.resume/jumps").glob("*/finished.h5"))
    assert [path.stat().st_nlink for path in kept] == [2, 2]


def test_adopted_resume_points_are_gone_on_from(project):
    slow = project.folder / "slow.yaml"
    slow.write_text("runs: {c10-resnet20: {epochs: 300}}\n")
    settings = ("--configfile", slow.name)
    main = start_snakemake(project, "results/tiny/trajectory/c10-resnet20.h5", *settings)
    resume = project.folder / "results/tiny/.resume/trajectory"
    while not list(resume.glob("*/state.h5")):
        assert main.poll() is None
        time.sleep(0.05)
    os.killpg(main.pid, signal.SIGKILL)
    main.wait()
    wait_for_end(project)
    project.snakemake("--unlock")
    project.edit(f"{PACKAGE}/network/training.py", "self.epoch += 1", "self.epoch += +1")
    assert project.upkeep("audit", *settings).stdout.count("resume points of other") == 3
    done = project.upkeep("adopt", "--because", "a plus sign", *settings)
    assert "and 3 resume points" in done.stdout, "two of finished jumps among them"
    done = project.snakemake("results/tiny/trajectory/c10-resnet20.h5", *settings)
    assert "c10-resnet20 resumes after epoch" in done.stderr
    assert not list(resume.glob("*.json"))


def test_adopt_refuses_everything_else(project):
    project.edit(*COSMETIC)
    flip(path_of(project, "distance/c10"), 4000)
    before = project.files()
    done = project.upkeep("adopt", "--because", "none", "--config", "grid={resolution: 5}")
    assert done.returncode == 1
    assert "adopted 0 artifacts" in done.stdout
    assert "refused 2" in done.stdout
    assert "stale     results/tiny/grid/c10-pca.h5: resolution was 3" in done.stdout
    assert "damaged   results/tiny/distance/c10.h5" in done.stdout
    assert project.files() == before


def test_adopt_refuses_while_a_workflow_runs(project):
    locks = project.folder / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.input.lock").write_text("x")
    project.edit(*COSMETIC)
    done = project.upkeep("adopt", "--because", "none")
    assert done.returncode == 2
    assert "a workflow is running here, or was killed" in done.stderr


def test_adopt_wants_a_reason(project):
    done = project.upkeep("adopt")
    assert done.returncode == 2
    assert "--because" in done.stderr


def test_archive_is_unpacked_and_continued_from(project, tmp_path):
    done = project.upkeep("archive", "--output", str(tmp_path / "mini.tar"))
    assert done.returncode == 0, done.stderr
    again = project.upkeep("archive", "--output", str(tmp_path / "again" / "mini.tar"))
    assert again.returncode == 0
    packed = (tmp_path / "mini.tar").read_bytes()
    assert packed == (tmp_path / "again" / "mini.tar").read_bytes()
    assert str(project.folder).encode() not in packed
    with tarfile.open(tmp_path / "mini.tar") as tar:
        tar.extractall(tmp_path / "reader", filter="data")
    theirs = type(project)(tmp_path / "reader" / "mini")
    assert {"CITATION.cff", "ARCHIVE.txt", "SHA256SUMS", "envs"} <= set(os.listdir(theirs.folder))
    sums = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(sums, cwd=theirs.folder, check=False).returncode == 0
    assert theirs.files() == project.files()
    settings = ("--configfile", "archive.yaml")
    assert theirs.upkeep("audit", *settings).returncode == 0
    assert theirs.planned(*settings) == []
    (theirs.folder / "mine.yaml").write_text("style: {colormap: magma}\n")
    assert theirs.planned("mini_landscape", *settings, "mine.yaml") == ["figure/mini_landscape"]


def test_archive_refuses_results_that_are_not_whole(project, tmp_path):
    path_of(project, GRID).unlink()
    done = project.upkeep("archive", "--output", str(tmp_path / "mini.tar"))
    assert done.returncode == 2
    assert "missing   results/tiny/grid/c10-pca.h5" in done.stdout
    assert not (tmp_path / "mini.tar").exists()


def test_an_archive_brings_a_data_set_whose_file_the_reader_has_not(project, tmp_path):
    mine = project.folder / "mine.h5"
    with h5py.File(path_of(project, "dataset/c10")) as source, h5py.File(mine, "w") as file:
        for name in ("train/images", "train/labels", "test/images", "test/labels", "classes"):
            source.copy(name, file, name)
    given = project.folder / "mine.yaml"
    given.write_text("datasets: {c10: {source: hdf5, file: mine.h5}}\n")
    project.snakemake("--configfile", "mine.yaml")
    words = ("--configfile", "mine.yaml", "--output", str(tmp_path / "mini.tar"))
    assert project.upkeep("archive", *words).returncode == 0
    with tarfile.open(tmp_path / "mini.tar") as tar:
        tar.extractall(tmp_path / "reader", filter="data")
    theirs = type(project)(tmp_path / "reader" / "mini")
    assert not (theirs.folder / mine.name).exists()
    assert theirs.planned("--configfile", "archive.yaml") == []
    assert theirs.upkeep("audit", "--configfile", "archive.yaml").returncode == 0
