"""Only what a change touches is rebuilt, shown by the real Snakemake (SPEC §5, SNAKEMAKE 1-5)."""

import json
import os
import shutil
from dataclasses import replace

import h5py
import pytest
from tests_support import PARTS, copy_project

from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.seal import seal
from lossmap.artifacts.store import content_digest

pytestmark = pytest.mark.slow

TARGETS = ("ding2023_fig2", "ding2023_fig3")
FIGURES = ["figure/ding2023_fig2", "figure/ding2023_fig3"]
FN, PCA = "c10-resnet20-fn-start", "c10-resnet20-pca-start"
BASES = [f"basis/{FN}", f"basis/{PCA}"]
GRIDS = [f"grid/{FN}", f"grid/{PCA}"]
PACKAGE = "workflow_scripts/lossmap"


@pytest.fixture(scope="module")
def made(shared_project):
    """Give a project in which two figures have been made."""
    shared_project.snakemake(*TARGETS)
    return shared_project


@pytest.fixture
def project(made):
    """Give that project, and put its code back afterwards."""
    yield made
    for part in PARTS:
        target = made.folder / part
        if target.is_dir():
            shutil.rmtree(target)
    copy_project(made.folder)


def test_nothing_is_planned_without_a_change(project):
    assert project.planned(*TARGETS) == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"style": "{colormap: magma}"}, FIGURES),
        ({"figures": "{ding2023_fig3: {options: {dpi: 70}}}"}, FIGURES[1:]),
        ({"grids": f"{{{FN}: {{resolution: 5}}}}"}, [*FIGURES, GRIDS[0]]),
        ({"evaluation": "{seed: 1}"}, [*FIGURES, *GRIDS]),
        ({"bases": f"{{{FN}: {{seeds: [3]}}}}"}, [BASES[0], *FIGURES, GRIDS[0]]),
        ({"fn": "{ignore: none}"}, [BASES[0], *FIGURES, GRIDS[0]]),
        ({"recipes": "{ding2023: {epochs: 4}}"}, []),
        ({"runs": "{c100-vgg13: {epochs: 3}}"}, []),
        ({"networks": "{vgg11: {width: 0.25}}"}, []),
        (
            {"runs": "{c10-resnet20: {optimizer: {lr: 0.05}}}"},
            [*BASES, *FIGURES, *GRIDS, "trajectory/c10-resnet20"],
        ),
    ],
    ids=str,
)
def test_a_changed_value_rebuilds_what_it_enters_and_what_follows(project, config, expected):
    assert project.planned(*TARGETS, **config) == sorted(expected)


def test_a_changed_order_of_keys_rebuilds_nothing(project):
    project.edit(
        "config/defaults.yaml",
        "optimizer: {name: sgd, lr: 0.1, momentum: 0.9, nesterov: false, weight_decay: 1.0e-4}",
        "optimizer: {weight_decay: 1.0e-4, nesterov: false, lr: 0.1, name: sgd, momentum: 0.9}",
    )
    assert project.planned(*TARGETS) == []


def test_swapped_values_rebuild(project):
    """Snakemake compares parameters as a set: 20 and 10 swapped would be the same set."""
    assert project.planned(*TARGETS, evaluation="{images: 10, batch: 10}") != []
    planned = project.planned(*TARGETS, epoch_names="{early: 0.5, middle: 0.25}")
    assert planned == []  # neither figure shows these epochs
    swapped = project.planned(*TARGETS, style="{elevation: -60, azimuth: 32}")
    assert swapped == FIGURES


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (f"{PACKAGE}/geometry/plane.py", "import numpy as np\n", "import numpy as np  # note\n"),
        (f"{PACKAGE}/geometry/plane.py", "Return the Gram matrix of", "Give the Gram matrix of"),
        (
            f"{PACKAGE}/geometry/plane.py",
            "gram += slab @ slab.T",
            "gram += (slab@slab.T)",
        ),
        ("workflow_scripts/basis.py", '"""Fit or draw', '"""Draw or fit'),
    ],
    ids=["comment", "docstring", "layout", "script docstring"],
)
def test_words_and_layout_rebuild_nothing(project, file, old, new):
    project.edit(file, old, new)
    assert project.planned(*TARGETS) == []


def test_touching_all_code_rebuilds_nothing(project):
    for part in PARTS:
        for path in (project.folder / part).rglob("*"):
            os.utime(path)
    assert project.planned(*TARGETS) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (
            f"{PACKAGE}/geometry/plane.py",
            "shares.append(inside / total)",
            "shares.append(inside / (total + 0))",
            [*BASES, *FIGURES, *GRIDS],
        ),
        (
            f"{PACKAGE}/network/surface.py",
            "half = resolution // 2",
            "half = int(resolution // 2)",
            [*FIGURES, *GRIDS],
        ),
        (
            f"{PACKAGE}/network/models/layers.py",
            "return x.mean(dim=(2, 3))",
            "return x.mean(dim=(-2, -1))",
            [*BASES, *FIGURES, *GRIDS, "trajectory/c10-resnet20"],
        ),
        (f"{PACKAGE}/network/models/vgg.py", "min(2, height)", "min(2, 0 + height)", []),
        (f"{PACKAGE}/geometry/fitting.py", "float(terms.mean())", "float(terms.mean() + 0)", []),
        (f"{PACKAGE}/figures/style.py", "PAGE_WIDTH", "UNUSED = 1\nPAGE_WIDTH", []),
    ],
    ids=["two imports away", "grid only", "network", "other network", "projection only", "unused"],
)
def test_a_changed_function_rebuilds_what_can_reach_it(project, file, old, new, expected):
    project.edit(file, old, new)
    assert project.planned(*TARGETS) == sorted(expected)


def test_a_deleted_intermediate_is_rebuilt(project):
    project.path("basis", FN).rename(project.folder / "kept.h5")
    try:
        assert f"basis/{FN}" in project.planned(*TARGETS)
    finally:
        (project.folder / "kept.h5").rename(project.path("basis", FN))


@pytest.fixture
def restored(project, tmp_path):
    """Give a fresh copy with the results restored, but not what Snakemake remembers of them."""
    fresh = copy_project(tmp_path)
    shutil.copytree(project.folder / "results", tmp_path / "results")
    return fresh


def test_a_restored_copy_without_snakemakes_memory_rebuilds_nothing(restored):
    assert restored.planned(*TARGETS) == []


def test_results_restored_in_any_order_of_time_rebuild_nothing(restored):
    """What downloads and archives do; sources end up newer than what is made from them."""
    files = sorted(path for path in (restored.folder / "results").rglob("*") if path.is_file())
    for seconds, path in enumerate(sorted(files, key=lambda path: str(path)[::-1])):
        os.utime(path, (10**9 + 100 * seconds,) * 2)
    trajectory = restored.path("trajectory", "c10-resnet20")
    os.utime(trajectory, (15 * 10**8,) * 2)
    assert restored.planned(*TARGETS) == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"style": "{colormap: magma}"}, FIGURES),
        ({"grids": f"{{{FN}: {{resolution: 5}}}}"}, [*FIGURES, GRIDS[0]]),
        ({"runs": "{c100-vgg13: {epochs: 3}}"}, []),
        (
            {"datasets": "{c10: {seed: 1}}"},
            [*BASES, "dataset/c10", *FIGURES, *GRIDS, "trajectory/c10-resnet20"],
        ),
    ],
    ids=str,
)
def test_a_changed_value_is_seen_without_snakemakes_memory(restored, config, expected):
    assert restored.planned(*TARGETS, **config) == sorted(expected)


def test_changed_code_is_seen_without_snakemakes_memory(restored):
    restored.edit(f"{PACKAGE}/network/surface.py", "half = resolution // 2", "half = resolution>>1")
    assert restored.planned(*TARGETS) == [*FIGURES, *GRIDS]


def test_what_was_not_asked_for_is_left_alone_though_it_is_stale(restored):
    assert restored.planned(TARGETS[1], figures="{ding2023_fig2: {options: {dpi: 70}}}") == []


def test_touch_does_not_make_stale_results_pass_for_fresh(restored):
    changed = {"evaluation": "{seed: 1}"}
    restored.snakemake(*TARGETS, "--touch", **changed)
    assert restored.planned(*TARGETS, **changed) == [*FIGURES, *GRIDS]
    assert restored.planned(*TARGETS) == []


def test_a_source_of_another_content_is_seen_without_snakemakes_memory(restored, tmp_path):
    """Equal recipes, other content: as after a half-restored backup."""
    path = restored.path("basis", FN)
    with h5py.File(path, "r+") as file:
        file["center"][0] += 1.0
        provenance = Provenance(*(file.attrs[n] for n in ("spec", "code")), {})
        inputs = json.loads(file.attrs["inputs"])
        file.attrs["digest"] = digest = content_digest(file)
    seal(path, replace(provenance, inputs=inputs).mark(digest))
    assert restored.planned(*TARGETS) == [*FIGURES, GRIDS[0]]


def test_another_file_behind_the_same_name_is_seen_though_it_is_older(restored):
    for folder, mask in (("A", 0), ("B", 255)):
        path = restored.folder / folder / "mine.h5"
        path.parent.mkdir()
        with h5py.File(restored.path("dataset", "c10")) as source, h5py.File(path, "w") as file:
            for name in ("train/labels", "test/labels", "classes"):
                source.copy(name, file, name)
            for split in ("train", "test"):
                file[f"{split}/images"] = source[f"{split}/images"][()] ^ mask
        os.utime(path, (10**9,) * 2)
    shutil.copytree(restored.folder / "A", restored.folder / "C", copy_function=shutil.copyfile)
    target = "results/tiny/dataset/mine.h5"
    a, b, c = ({"datasets": f"{{mine: {{source: hdf5, file: {f}/mine.h5}}}}"} for f in "ABC")
    restored.snakemake(target, **a)
    assert restored.planned(target, **a) == []
    assert restored.planned(target, **b) == ["dataset/mine"]
    assert restored.planned(target, **c) == [], "the same bytes elsewhere, and younger"
    restored.snakemake(target, **b)
    theirs = restored.folder / "B" / "mine.h5"
    with h5py.File(restored.path("dataset", "mine")) as made, h5py.File(theirs) as file:
        assert (made["train/images"][()] == file["train/images"][()]).all()
    assert restored.planned(target, **b) == []


def test_a_damaged_result_is_named_though_nobody_reads_it(restored):
    path = restored.path("grid", FN)
    path.write_bytes(b"no artifact")
    done = restored.snakemake(*TARGETS, "-n")
    assert f"results/tiny/grid/{FN}.h5: damaged, or no artifact" in done.stderr


def test_another_recipe_of_one_run_leaves_every_other_run_alone(project):
    planned = project.planned(runs="{c10-resnet20: {optimizer: {lr: 0.05}}}")
    untouched = project.planned()
    trained = {name for name in planned if name.startswith("trajectory/")}
    absent = {name for name in untouched if name.startswith("trajectory/")}
    assert trained - absent == {"trajectory/c10-resnet20"}


def test_a_figure_is_never_called_up_to_date_after_a_failed_rebuild(project):
    """A rule fails after an upstream change; the next run must not accept the old figure."""
    project.edit(
        "workflow_scripts/grid.py",
        "save(",
        "raise SystemExit('broken on purpose')\nsave(",
    )
    done = project.snakemake("ding2023_fig3", check=False)
    assert done.returncode != 0
    project.edit("workflow_scripts/grid.py", "raise SystemExit('broken on purpose')\n", "")
    planned = project.planned("ding2023_fig3")
    assert "figure/ding2023_fig3" in planned
    project.snakemake(*TARGETS)
    assert project.planned(*TARGETS) == []
