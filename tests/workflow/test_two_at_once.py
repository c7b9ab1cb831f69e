"""Two Snakemakes in one folder."""

import shutil

import pytest
from killing import start_snakemake, wait_for_job
from tests_support import copy_mini_project

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path):
    return copy_mini_project(tmp_path)


def test_two_scales_at_once_do_not_disturb_each_other(project):
    scales = project.folder / "config" / "scales"
    shutil.copy2(scales / "tiny.yaml", scales / "other.yaml")
    first = start_snakemake(project, "mini_landscape")
    project.snakemake("mini_landscape", scale="other")
    assert first.wait() == 0
    other = project.folder / "results" / "other"
    for name, data in project.files().items():
        assert (other / name).read_bytes() == data, name
    assert project.planned("mini_landscape") == []


def test_two_targets_at_once_do_not_disturb_each_other(project):
    project.snakemake("datasets")
    first = start_snakemake(project, "mini_landscape")
    project.snakemake("mini_cloud")
    assert first.wait() == 0
    assert project.planned("mini_cloud", "mini_landscape") == []
    # No figure shows the other embedding of the cloud, which is a job of its own.
    assert project.upkeep("audit").stdout.endswith(
        "c10-pca.h5: not made yet\nresults/tiny: 0 stale, 1 missing, 0 orphaned, 0 damaged\n"
    )


def test_the_same_target_is_refused_and_nothing_is_lost(project):
    first = start_snakemake(project, "mini_landscape")
    wait_for_job(project, "trajectory")
    done = project.snakemake("mini_landscape", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Directory cannot be locked" in said
    assert first.wait() == 0
    assert project.planned("mini_landscape") == []
    assert project.path("figure", "mini_landscape", "png").is_file()
