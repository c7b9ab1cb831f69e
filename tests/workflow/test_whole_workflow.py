"""The main job: every target of the papers through the real Snakemake, at a tiny scale."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from browser import find_faults, open_browser, open_page

from lossmap.artifacts.files import hash_file
from lossmap.artifacts.store import read_renderings
from lossmap.figures.movies import choose_movie
from lossmap.workflow import stages
from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.stages import pack_of
from lossmap.workflow.targets import all_targets

SECONDS = 4000
"""Some 300 jobs, beside another test on two cores."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS)]

STAGES = (
    "dataset",
    "trajectory",
    "basis",
    "grid",
    "projection",
    "ring",
    "line",
    "curvature",
    "topology",
    "jumps",
    "distance",
    "embedding",
    "figure",
    "table",
    "animation",
    "claims",
)
FIGURES = [
    *(f"ding2023_fig{number}" for number in range(1, 10)),
    *(f"horoi2021_fig{number}" for number in range(1, 11)),
    "ding2023_lines",
    "horoi2021_barriers",
    "horoi2021_null",
    "horoi2021_robustness_bad",
    "horoi2021_robustness_good",
    "horoi2021_curvature",
    "horoi2021_topology",
    "ding2023_topology",
]
CLAIMS = [
    "ding-fn-local-minimum",
    "ding-pca-descent",
    "ding-pca-direction",
    "ding-fitting-error",
    "ding-low-dimensional",
    "horoi-star",
    "horoi-outward",
    "horoi-picture",
    "horoi-phate-continuity",
    "horoi-adam-norm",
    "horoi-sgd-direction",
    "horoi-sgd-straighter",
    "horoi-smooth",
    "horoi-adam-spread",
    "horoi-null-control",
    "horoi-robustness",
    "horoi-accuracy",
    "ours-flatness",
]


@pytest.fixture(scope="module")
def whole(shared_project):
    """Give a project in which everything has been made."""
    shared_project.snakemake(seconds=SECONDS)
    return shared_project


def artifacts(project):
    """Return every artifact of the project."""
    return sorted(p for stage in STAGES for p in project.path(stage, "x").parent.glob("*.h5"))


def test_every_artifact_of_the_registry_is_made(whole):
    names = {f"{path.parent.name}/{path.stem}" for path in artifacts(whole)}
    config = load_configuration(whole.folder / "config", {"scale": "tiny"})
    assert names == set(all_targets(config))
    assert {name for name in names if name.startswith("figure/")} == {
        f"figure/{n}" for n in FIGURES
    }


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_rendered(whole, name):
    for suffix in ("pdf", "png"):
        assert whole.path("figure", name, suffix).stat().st_size > 5000


def test_tables_and_the_video_are_rendered(whole):
    for name in ("ding2023_table1", "horoi2021_flatness"):
        for suffix in ("csv", "tex", "html"):
            assert whole.path("table", name, suffix).stat().st_size > 100
    video = whole.path("animation", "horoi2021_animation", choose_movie())
    assert video.stat().st_size > 5000


def test_every_rendering_is_covered_by_its_artifact(whole):
    covered = {name for name, stage in stages.STAGES.items() if stage.renderings}
    assert covered == {"figure", "table", "animation", "claims"}
    for path in (path for path in artifacts(whole) if path.parent.name in covered):
        beside = {file for file in path.parent.glob(f"{path.stem}.*") if file != path}
        suffixes = stages.STAGES[path.parent.name].renderings
        assert len(beside) == len(suffixes)
        assert read_renderings(path) == {file.name: hash_file(file) for file in beside}


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


def test_grid_center_is_the_loss_of_the_projected_center(whole):
    with h5py.File(whole.path("grid", "c10-resnet20-pca-last")) as grid:
        center = grid["loss"][1, 1]
    with h5py.File(whole.path("projection", "c10-resnet20-pca-batch")) as projection:
        assert projection["loss"][-1] == center
        assert projection["projected_loss_orthogonal"][-1] == center


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
    with h5py.File(whole.path("projection", "c10-resnet20-fn-center")) as projection:
        assert projection["coordinates"].shape == (snapshots, 2)
        assert projection["planes/fitting_error_orthogonal"].shape == (5,)


def test_plane_of_a_hessian_is_spanned_by_its_leading_eigenvectors(whole):
    with h5py.File(whole.path("curvature", "c10-good")) as curvature:
        vectors, loss = curvature["eigenvectors"][:], curvature["loss"][()]
        assert (curvature["residuals"][:] <= 0.15 * curvature["eigenvalues"][:]).all()
    with h5py.File(whole.path("basis", "c10-good-hessian")) as basis:
        np.testing.assert_array_equal(basis["directions"][:], vectors)
    with h5py.File(whole.path("grid", "c10-good-hessian")) as grid:
        assert grid["loss"][1, 1] == pytest.approx(loss, rel=1e-5)


def test_claims_have_a_computed_verdict_each(whole):
    with open(whole.path("claims", "claims", "csv")) as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == CLAIMS
    assert {row["verdict"] for row in rows} == {"not testable at this scale"}


def test_every_job_left_a_log_and_a_benchmark(whole):
    config = load_configuration(whole.folder / "config", {"scale": "tiny"})
    for path in artifacts(whole):
        stage = path.parent.name
        job = f"{stage}/{pack_of(config, stage, path.stem).names[0]}"
        for kind, suffix in (("log", "log"), ("benchmark", "tsv")):
            file = whole.folder / f"results/tiny/{kind}/{job}.{suffix}"
            assert file.is_file(), file


def test_no_resume_point_is_left(whole):
    """But for the second names of finished jumps, which take no room on the disk."""
    left = [p for p in (whole.folder / "results/tiny/.resume").rglob("*") if p.is_file()]
    for path in left:
        if path.suffix == ".json":  # what the folder of that name belongs to
            assert (path.with_suffix("") / "finished.h5").is_file()
        elif path.suffix != ".lock":
            assert path.name == "finished.h5"
            assert path.stat().st_nlink == 2


def test_memorization_retrains_on_the_random_labels_it_was_trained_on(whole):
    with h5py.File(whole.path("dataset", "horoi-c10")) as true:
        labels, images = true["train/labels"][:], true["train/images"][:]
        tested = true["test/labels"][:]
    with h5py.File(whole.path("dataset", "horoi-c10-random")) as drawn:
        np.testing.assert_array_equal(drawn["train/images"][:], images)
        np.testing.assert_array_equal(drawn["test/labels"][:], tested)
        assert np.mean(drawn["train/labels"][:] == labels) < 0.4
        digest = drawn.attrs["digest"]
    for name in (("trajectory", "c10-wresnet-memorization"), ("jumps", "c10-memorization-d0")):
        with h5py.File(whole.path(*name)) as file:
            assert json.loads(file.attrs["inputs"])["dataset/horoi-c10-random"] == digest


def test_a_cloud_is_exact_by_brute_force(whole):
    with h5py.File(whole.path("trajectory", "c10-wresnet-good")) as run:
        vectors = [run["thetas"][-1]]
    for direction in (0, 1):
        with h5py.File(whole.path("jumps", f"c10-good-d{direction}")) as jumps:
            vectors.extend(jumps["thetas"][:].reshape(-1, len(vectors[0])))
    thetas = np.array(vectors, np.longdouble)
    expected = np.sqrt(((thetas[:, None] - thetas) ** 2).sum(axis=2)).astype(np.float64)
    with h5py.File(whole.path("distance", "c10-good")) as cloud:
        np.testing.assert_allclose(cloud["euclidean"][:], expected, rtol=1e-9, atol=0)
        assert cloud["is_optimum"][:].tolist() == [1] + [0] * (len(thetas) - 1)


def test_equal_jobs_give_equal_bytes(whole):
    path = whole.path("trajectory", "c10-resnet20")
    grid = whole.path("grid", "c10-resnet20-fn-start")
    before = [file.read_bytes() for file in (path, grid)]
    for file in (path, grid):
        file.unlink()
    whole.snakemake(str(grid.relative_to(whole.folder)))
    assert [file.read_bytes() for file in (path, grid)] == before


@pytest.fixture(scope="module")
def page(whole):
    """Give the page of everything that was made."""
    whole.snakemake("page")
    return whole.folder / "results" / "tiny" / "index.html"


def test_page_holds_every_figure_table_film_and_digest(whole, page):
    text = page.read_text()
    for name in (*FIGURES, "ding2023_table1", "horoi2021_flatness", "horoi2021_animation"):
        assert f'id="{name}"' in text
    for path in artifacts(whole):
        with h5py.File(path) as file:
            assert file.attrs["digest"] in text, path
    assert page.stat().st_size < 25e6
    assert "://" not in text.partition("<script>")[0].replace("data:", "")


def test_page_is_made_again_only_after_a_change(whole, page):
    assert whole.planned("page") == []
    whole.edit("rules/captions/ding2023_fig2.rst", "a way down", "the way down")
    assert whole.planned("page") == ["page/tiny"]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_page_can_be_read_turned_played_and_saved_from(whole, page, width, scheme):
    with open_browser() as browser, open_page(browser, page, width, scheme) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        assert find_faults(shown) == []

        viewer = shown.locator("[data-views=landscapes]")
        viewer.scroll_into_view_if_needed()
        viewer.locator(".plot.js-plotly-plot canvas").first.wait_for()
        plot = viewer.locator(".plot")
        camera = "plot => JSON.stringify(plot._fullLayout.scene.camera.eye)"
        before, box = plot.evaluate(camera), plot.bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        plot.evaluate("plot => plot.on('plotly_hover', e => plot.hovered = e.points[0].z)")
        shown.mouse.move(*middle)
        shown.wait_for_function("document.querySelector('.plot').hovered > 0")
        shown.mouse.down()
        shown.mouse.move(middle[0] + 60, middle[1] + 20, steps=4)
        shown.mouse.up()
        assert plot.evaluate(camera) != before

        heights = "plot => Array.from(plot._fullData[0].z[0]).join()"
        before = plot.evaluate(heights)
        viewer.locator("input[type=range]").press("End")
        shown.wait_for_timeout(500)
        assert plot.evaluate(heights) != before

        film = shown.locator("video")
        film.scroll_into_view_if_needed()
        shown.wait_for_function("document.querySelector('video').readyState >= 2")

        for suffix in ("pdf", "h5"):
            with shown.expect_download() as saving:
                shown.locator(f"#ding2023_fig2 a[download$='.{suffix}']").click()
            wanted = whole.path("figure", "ding2023_fig2", suffix).read_bytes()
            assert Path(saving.value.path()).read_bytes() == wanted
