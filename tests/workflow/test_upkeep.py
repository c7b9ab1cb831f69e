"""Audit, adopt and archive, on results that the real Snakemake has made."""

import json
import os
import shutil
import signal
import subprocess
import sys
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
NO_FILE = "no such file, but a folder of its name; remove it and run again"
SUM = (f"{PACKAGE}/network/jumps.py", 'self.spec["epochs"] + 1', '1 + self.spec["epochs"]')
COSMETIC = (f"{PACKAGE}/network/surface.py", "half = resolution // 2", "half = resolution >> 1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Give a small project in which everything has been made."""
    project = copy_mini_project(tmp_path_factory.mktemp("made"))
    for name in ("CITATION.cff", "LICENSE", "README.md", "Makefile"):
        shutil.copy2(ROOT / name, project.folder)
    project.snakemake()
    commit(project, "made")
    return project


def commit(project, text):
    """Commit all but the results."""
    (project.folder / ".gitignore").write_text("results\n.snakemake\n*.pyc\n")
    for words in ("init --quiet", "add --all", f"commit --quiet --message {text}"):
        named = ("-c", "user.name=me", "-c", "user.email=me@here", "-c", "gc.auto=0")
        subprocess.run(["git", *named, *words.split()], cwd=project.folder, check=True)


def adopt(project, *words, targets="all", since="HEAD"):
    return project.upkeep("adopt", "--targets", *targets.split(), "--from", since, *words)


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


def test_audit_and_archive_name_what_is_not_as_it_was_drawn(project, tmp_path):
    """Emptied, altered, of another figure, no file, gone."""
    path_of(project, FIGURE, "png").write_bytes(b"")
    flip(path_of(project, FIGURE, "pdf"), 900)
    cloud = path_of(project, "figure/mini_cloud", "png")
    shutil.copy2(path_of(project, FIGURE, "png"), cloud)
    path_of(project, "figure/mini_cloud", "pdf").unlink()
    path_of(project, "figure/mini_cloud", "pdf").mkdir()
    done = project.upkeep("audit")
    assert done.returncode == 1
    spoilt = "not as it was drawn or printed; delete it and run again"
    assert sorted(done.stdout.splitlines()) == [
        f"damaged   results/tiny/figure/mini_cloud.pdf: {NO_FILE}",
        f"damaged   results/tiny/figure/mini_cloud.png: {spoilt}",
        f"damaged   results/tiny/figure/mini_landscape.pdf: {spoilt}",
        f"damaged   results/tiny/figure/mini_landscape.png: {spoilt}",
        "results/tiny: 0 stale, 0 missing, 0 orphaned, 4 damaged",
    ]
    done = project.upkeep("archive", "--output", str(tmp_path / "mini.tar"))
    assert done.returncode == 2
    assert spoilt in done.stdout
    done = project.snakemake(check=False)
    assert done.returncode == 1
    assert f"error: results/tiny/figure/mini_cloud.pdf: {NO_FILE}\n" in done.stderr
    path_of(project, "figure/mini_cloud", "pdf").rmdir()
    for rendering in (path_of(project, FIGURE, "png"), path_of(project, FIGURE, "pdf"), cloud):
        rendering.unlink()
    assert project.planned() == ["figure/mini_cloud", "figure/mini_landscape"]
    project.snakemake()
    assert project.upkeep("audit").returncode == 0


def make_folder(path):
    path.mkdir()
    (path / "x").touch()


@pytest.mark.parametrize("make", [make_folder, os.mkfifo])
def test_what_is_no_file_in_an_artifacts_place_is_one_line(project, make):
    path_of(project, GRID).unlink()
    make(path_of(project, GRID))
    said = "of its name; remove it and run again"
    done = project.upkeep("audit")
    assert done.returncode == 1
    assert f"damaged   results/tiny/{GRID}.h5: no such file, but a " in done.stdout
    assert f"{said}\n" in done.stdout
    done = project.snakemake("-n", check=False)
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert line.startswith(f"error: results/tiny/{GRID}.h5: no such file, but a ")
    assert line.endswith(said)


def test_garbage_among_what_snakemake_and_lossmap_note_is_named(project):
    note = next((project.folder / "results/tiny/.resume/jumps").glob("*.json"))
    note.write_bytes(b"\xff\xfegarbage")
    done = project.upkeep("audit")
    assert done.returncode == 1
    says = "does not say what its resume points belong to; delete it"
    assert f"damaged   {note.relative_to(project.folder)}: {says}\n" in done.stdout
    since = ("--from", read_provenance(project.path(*GRID.split("/"))).code)
    adopted = project.upkeep("adopt", "--targets", "all", *since, "--because", "none")
    assert "adopted 0 artifacts and 0 resume points" in adopted.stdout
    record = next(p for p in (project.folder / ".snakemake/metadata").rglob("*") if p.is_file())
    record.write_bytes(b"\xff\x00garbage")
    done = project.snakemake("-n", check=False)
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    name = record.relative_to(project.folder)
    assert line.startswith(f"error: {name}: no record of Snakemake's; delete it, or its folder")
    record.unlink()
    assert project.planned() == []


def test_the_page_is_audited_and_made_again_when_it_is_damaged(project):
    page = project.folder / "results/tiny/index.html"
    project.snakemake("page")
    written = page.read_bytes()
    assert project.upkeep("audit").returncode == 0
    page.write_bytes(written.replace(b"<h2", b"<h3", 1))
    done = project.upkeep("audit")
    assert "index.html: not as it was written; run: snakemake page" in done.stdout
    assert project.planned("page") == ["page/tiny"]
    project.snakemake("page")
    assert page.read_bytes() == written
    project.snakemake(grid="{resolution: 5}")
    done = project.upkeep("audit", "--config", "grid={resolution: 5}")
    assert "stale     results/tiny/index.html: made from other artifacts" in done.stdout


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
    listed = adopt(project)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.splitlines() == [
        "adopt     results/tiny/grid/c10-pca.h5: changed since HEAD: "
        "lossmap.network.surface:spread_positions",
        "1 artifacts and 0 resume points would be adopted, 0 refused; to do so, say --because "
        "and why",
    ]
    assert project.files() == before
    done = adopt(project, "--because", "a shift is a division by two")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        listed.stdout.splitlines()[0],
        "adopted 1 artifacts and 0 resume points",
    ]
    assert project.planned() == []
    assert project.upkeep("audit").returncode == 0
    after = project.files()
    assert {name for name in before if before[name] != after[name]} == {"grid/c10-pca.h5"}
    with h5py.File(path_of(project, GRID)) as file:
        (entry,) = json.loads(file.attrs["adopted"])
    assert entry["because"] == "a shift is a division by two"
    assert entry["code"] != read_provenance(path_of(project, GRID)).code


def test_adopted_jumps_still_train_only_what_is_new(project):
    project.edit(*SUM)
    assert "jumps/c10-d0" in project.planned()
    done = adopt(project, "--because", "a sum in another order", targets="jumps")
    assert done.stdout.splitlines()[-1] == "adopted 2 artifacts and 2 resume points"
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
    done = adopt(project, "--because", "a plus sign", *settings, targets="jumps trajectory")
    assert "and 3 resume points" in done.stdout, "two of finished jumps among them"
    done = project.snakemake("results/tiny/trajectory/c10-resnet20.h5", *settings)
    assert "c10-resnet20 resumes after epoch" in done.stderr
    assert not list(resume.glob("*.json"))


def test_adopt_refuses_everything_else(project):
    project.edit(*COSMETIC)
    flip(path_of(project, "distance/c10"), 4000)
    before = project.files()
    done = adopt(project, "--because", "none", "--config", "grid={resolution: 5}")
    assert done.returncode == 1
    assert "adopted 0 artifacts" in done.stdout
    assert "refused 2" in done.stdout
    assert "refused   results/tiny/grid/c10-pca.h5: resolution was 3" in done.stdout
    assert "refused   results/tiny/distance/c10.h5: damaged" in done.stdout
    assert project.files() == before


def test_adopt_refuses_while_a_workflow_runs(project):
    locks = project.folder / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.input.lock").write_text("x")
    project.edit(*COSMETIC)
    done = adopt(project, "--because", "none")
    assert done.returncode == 2
    assert "a workflow is running here, or was killed" in done.stderr


def test_adopt_wants_a_reason(project):
    done = project.upkeep("adopt")
    assert done.returncode == 2
    assert "--because" in done.stderr
    done = adopt(project, "--because", " ")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --because: say why no result can have changed")


def test_an_earlier_change_is_not_adopted_with_a_later_one(project):
    """The landscape changes by a factor and is not made anew; then comes a change of words."""
    project.edit(f"{PACKAGE}/network/surface.py", "loss / self.count", "loss * 100 / self.count")
    commit(project, "real")
    project.edit(*COSMETIC)
    project.edit(*SUM)
    before = project.files()
    made_by = read_provenance(path_of(project, GRID)).code
    done = adopt(project, "--because", "a shift", targets="grid")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == (
        f"refused   results/tiny/grid/c10-pca.h5: made by code {made_by}, not by that of HEAD: "
        "other changes too"
    )
    assert project.files() == before
    assert "grid/c10-pca" in project.planned()
    # Who names the commit before both is shown both.
    listed = adopt(project, targets="grid", since="HEAD~1").stdout
    assert "surface:LossSurface, lossmap.network.surface:spread_positions" in listed
    # What is not named is left alone; a hash of code may stand for a commit.
    made_by = read_provenance(path_of(project, "jumps/c10-d0")).code
    done = adopt(project, "--because", "a sum", targets="jumps/c10-d0", since=made_by)
    assert done.stdout.splitlines()[-1] == "adopted 1 artifacts and 1 resume points"
    changed = {name for name, held in project.files().items() if before[name] != held}
    assert changed == {"jumps/c10-d0.h5"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"targets": "grids"}, "error: --targets grids: expected a stage (dataset, trajectory, "),
        ({"since": "no-such"}, "error: --from no-such: expected a commit of "),
        ({"since": "--help"}, "error: "),
        ({"since": "0" * 40}, "or a hash of code of 64 digits as artifacts hold it, got neither"),
    ],
    ids=str,
)
def test_adopt_names_what_it_does_not_know(project, words, said):
    done = adopt(project, **words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1 or "usage" in done.stderr


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


NETWORK = """
import importlib
import json
from pathlib import Path

import myblocks
from torch import nn

depends_on = ["mynet.json"]


def make(*, classes, channels, width):
    size = json.loads(Path(__file__).with_name("mynet.json").read_text())["size"]
    blocks = importlib.import_module("deep.blocks")
    return nn.Sequential(
        nn.Conv2d(channels, size, 3), myblocks.act(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        blocks.head(size, classes),
    )
"""
OWN = {
    "nets/mynet.py": NETWORK,
    "nets/mynet.json": '{"size": 4}',
    "nets/unread.json": "{}",
    "myblocks.py": "from torch import nn\n\n\ndef act():\n    return nn.ReLU()\n",
    "../libraries/deep/__init__.py": "",
    "../libraries/deep/blocks.py": "from .more import *\n",
    "../libraries/deep/more.py": "from torch.nn import Linear as head\n",
}


def test_an_archive_brings_all_of_ones_own_network_and_is_tried(project, tmp_path, monkeypatch):
    for name, text in OWN.items():
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(text)
    (project.folder / "mine.yaml").write_text("runs: {c10-resnet20: {network: 'mynet:make'}}\n")
    folders = [project.folder / "workflow_scripts", project.folder / "nets", tmp_path / "libraries"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, folders)))
    project.snakemake("--configfile", "mine.yaml")

    def upkeep(folder, *words):
        words = [sys.executable, "-m", "lossmap.upkeep", *words]
        return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)

    words = ("archive", "--scale", "tiny", "--configfile", "mine.yaml", "--output")
    done = upkeep(project.folder, *words, str(tmp_path / "mini.tar"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "unpacked into an empty folder and audited there: results/tiny: 0 stale, 0 missing, "
        "0 orphaned, 0 damaged"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "libraries", "mini.tar"]
    with tarfile.open(tmp_path / "mini.tar") as tar:
        tar.extractall(tmp_path / "reader", filter="data")
    theirs = tmp_path / "reader" / "mini"
    held = {name for name in OWN if (theirs / name).is_file()}
    assert held == {"nets/mynet.py", "nets/mynet.json", "myblocks.py"}
    assert (theirs / "modules/1/deep/more.py").is_file()
    monkeypatch.setenv("PYTHONPATH", "workflow_scripts:nets:modules/1")
    assert "export PYTHONPATH=workflow_scripts" in (theirs / "ARCHIVE.txt").read_text()
    settings = ("--configfile", "archive.yaml")
    assert upkeep(theirs, "audit", *settings).returncode == 0
    for name in ("nets/mynet.json", "myblocks.py", "modules/1/deep/more.py"):
        text = (theirs / name).read_text()
        (theirs / name).write_text(text.replace("4", "5").replace("ReLU", "Tanh") + " ")
        if name.endswith("more.py"):
            (theirs / name).write_text(text + "x = 1\n")
        said = upkeep(theirs, "audit", *settings).stdout
        assert "trajectory/c10-resnet20.h5: made by other code" in said, name
        (theirs / name).write_text(text)
    (theirs / "nets/mynet.json").unlink()
    done = upkeep(theirs, "audit", *settings)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {theirs}/nets/mynet.py: depends_on lists 'mynet.json', but there is no "
        f"{theirs}/nets/mynet.json; put it there or correct the list\n"
    )
