"""The main job: every target of the papers through the real Snakemake, at a tiny scale."""

import csv
import json

import h5py
import numpy as np
import pytest

pytestmark = pytest.mark.slow

STAGES = ("dataset", "trajectory", "basis", "grid", "projection", "figure", "table", "claims")


@pytest.fixture(scope="module")
def whole(shared_project):
    """Give a project in which everything has been made."""
    shared_project.snakemake()
    return shared_project


def artifacts(project):
    """Return every artifact of the project."""
    return sorted(p for stage in STAGES for p in project.path(stage, "x").parent.glob("*.h5"))


def test_every_artifact_of_the_registry_is_made(whole):
    names = {f"{path.parent.name}/{path.stem}" for path in artifacts(whole)}
    assert len(names) == 2 + 7 + 26 + 22 + 16 + 9 + 1 + 1
    for number in range(1, 10):
        assert f"figure/ding2023_fig{number}" in names
        for suffix in ("pdf", "png"):
            assert whole.path("figure", f"ding2023_fig{number}", suffix).stat().st_size > 5000
    for suffix in ("csv", "tex"):
        assert whole.path("table", "ding2023_table1", suffix).stat().st_size > 100


def test_second_run_does_nothing(whole):
    assert "Nothing to be done" in whole.snakemake().stderr


def test_every_artifact_says_what_made_it(whole):
    for path in artifacts(whole):
        with h5py.File(path) as file:
            assert file.attrs["kind"] == path.parent.name
            assert json.loads(file.attrs["spec"])
            assert len(file.attrs["code"]) == 64
            for name, digest in json.loads(file.attrs["inputs"]).items():
                stage, stem = name.split("/")
                with h5py.File(whole.path(stage, stem)) as source:
                    assert source.attrs["digest"] == digest


def test_no_artifact_holds_a_path_or_a_time(whole):
    for path in artifacts(whole):
        with h5py.File(path) as file:
            text = " ".join(str(value) for value in file.attrs.values())
        assert str(whole.folder) not in text


def test_grid_centre_is_the_loss_of_the_projected_centre(whole):
    with h5py.File(whole.path("grid", "c10-resnet20-pca-last")) as grid:
        centre = grid["loss"][1, 1]
    with h5py.File(whole.path("projection", "c10-resnet20-pca-batch")) as projection:
        assert projection["loss"][-1] == centre
        assert projection["projected_loss_orthogonal"][-1] == centre


def test_required_datasets_have_the_shapes_of_the_contract(whole):
    with h5py.File(whole.path("trajectory", "c10-resnet20")) as run:
        snapshots, params = run["thetas"].shape
        assert snapshots == 5
        assert run["iteration_loss"].shape == (run["steps"][-1],)
    with h5py.File(whole.path("basis", "c10-resnet20-pca-last")) as basis:
        assert basis["directions"].shape == (2, params)
        np.testing.assert_allclose(
            basis["directions"][:] @ basis["directions"][:].T, np.eye(2), atol=1e-5
        )
        assert len(basis["explained_variance_ratio"]) >= 10
    with h5py.File(whole.path("projection", "c10-resnet20-fn-centre")) as projection:
        assert projection["coordinates"].shape == (snapshots, 2)
        assert projection["planes/fitting_error_orthogonal"].shape == (5,)


def test_claims_have_a_computed_verdict_each(whole):
    with open(whole.path("claims", "claims", "csv")) as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == [
        "ding-fn-local-minimum",
        "ding-pca-descent",
        "ding-pca-direction",
        "ding-fitting-error",
        "ding-low-dimensional",
    ]
    assert {row["verdict"] for row in rows} == {"not testable at this scale"}


def test_every_job_left_a_log_and_a_benchmark(whole):
    for path in artifacts(whole):
        stage, name = path.parent.name, path.stem
        assert (whole.folder / f"results/tiny/log/{stage}/{name}.log").is_file()
        assert (whole.folder / f"results/tiny/benchmark/{stage}/{name}.tsv").is_file()


def test_no_resume_point_is_left(whole):
    left = [p for p in (whole.folder / "results/tiny/.resume").rglob("*") if p.suffix != ".lock"]
    assert all(path.is_dir() for path in left)


def test_equal_jobs_give_equal_bytes(whole):
    path = whole.path("trajectory", "c10-resnet20")
    grid = whole.path("grid", "c10-resnet20-fn-start")
    before = [file.read_bytes() for file in (path, grid)]
    for file in (path, grid):
        file.unlink()
    whole.snakemake(str(grid.relative_to(whole.folder)))
    assert [file.read_bytes() for file in (path, grid)] == before
