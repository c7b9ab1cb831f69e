"""Any network, any data, any loss: six tasks from their YAML to figures, by the real Snakemake."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from own_tasks import TASKS, make_task
from tests_support import copy_mini_project

from lossmap.artifacts.figure import Figure, load_panels
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.jumps import Jumps
from lossmap.artifacts.ring import Ring
from lossmap.artifacts.store import load, load_part, stream
from lossmap.artifacts.trajectory import Trajectory
from lossmap.figures.compose import draw_figure
from lossmap.page.collect import collect_curves, collect_embedding, collect_landscape

pytestmark = pytest.mark.slow

LABELS = {kind: task.loss_label for kind, task in TASKS.items()}
WITH_ACCURACY = ("table", "text", "dict")
BROUGHT = LABELS["regression"]


def plane_of(run: str, **grid) -> dict:
    """Return the entries of one plane of a run and of the landscape on it."""
    return {
        "bases": {run: {"run": run, "method": "pca", "center": "last"}},
        "grids": {run: {"basis": run, **grid}},
    }


def configure() -> dict:
    """Return the configuration: a task of each kind, and imported runs that are retrained."""
    found = {name: {} for name in ("tasks", "runs", "bases", "grids", "minima")}
    panels = []
    for kind in TASKS:
        given = {"factory": "mytasks:make_task", "arguments": {"kind": kind}, "batches": 2}
        found["tasks"][kind] = given
        found["runs"][kind] = {"task": kind, "recipe": "plain", "epochs": 4}
        for registry, entries in plane_of(kind).items():
            found[registry] |= entries
        panels += [{"draw": "surface", "grid": kind}, {"draw": "curve", "run": kind}]
    for run, data in {
        "brought": {"task": "regression"},
        "images": {"dataset": "c10", "network": "resnet20", "width": 0.125},
    }.items():
        found["runs"][run] = {**data, "checkpoints": f"ckpt/{run}_*.pt"}
        found["minima"][run] = {"run": run, "recipe": "plain", "directions": [0]}
    for registry, entries in plane_of("brought", extent=0.5, bn_statistics="center").items():
        found[registry] |= entries
    panels += [
        {"draw": "contour", "grid": "brought"},
        {"draw": "embedding", "embedding": "brought-pca", "color": "loss"},
    ]
    found["figures"] = {"mine_tasks": {"columns": 4, "panels": panels}}
    found["clouds"] = {"brought": {"minimum": "brought", "embeddings": {"pca": {}}}}
    found["rings"] = {"brought": {"basis": "brought"}}
    return {name: json.dumps(entries) for name, entries in found.items()}


CONFIG = configure()
TARGETS = ["mine_tasks", "results/tiny/ring/brought.h5", "results/tiny/jumps/images-d0.h5"]
# Knows nothing of the workflow but the networks of its registry.
TRAIN = """
import torch
from lossmap.network.models.resnet import resnet20
from mytasks import make_task

task = make_task("regression")
torch.manual_seed(3)
network = task.network()
optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
for epoch in range(5):
    torch.save(network.state_dict(), f"ckpt/brought_{epoch}.pt")
    for batch in task.batches("train"):
        optimizer.zero_grad()
        task.loss(network, batch).mean().backward()
        optimizer.step()
for epoch in range(3):
    made = resnet20(classes=10, channels=1, width=0.125)
    torch.save(made.state_dict(), f"ckpt/images_{epoch}.pt")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Give a project in which the figures of all tasks were made, and what was said meanwhile."""
    project = copy_mini_project(tmp_path_factory.mktemp("project"))
    support = Path(__file__).parents[1] / "support"
    shutil.copy2(support / "own_tasks.py", project.folder / "mytasks.py")
    (project.folder / "ckpt").mkdir()
    (project.folder / "train.py").write_text(TRAIN)
    environment = project.environment() | {"PYTHONPATH": "workflow_scripts:."}
    command = [sys.executable, "train.py"]
    subprocess.run(command, cwd=project.folder, env=environment, check=True)
    done = project.snakemake(*TARGETS, **CONFIG)
    return project, done.stdout + done.stderr


@pytest.mark.parametrize("kind", TASKS)
def test_measures_are_those_of_the_task_itself(made, kind):
    project, _ = made
    path, task = project.path("trajectory", kind), make_task(kind)
    history = load_part(path, Trajectory, "history")
    assert load_part(path, Trajectory, "loss_label") == LABELS[kind]
    assert history.epochs.tolist() == [0, 1, 2, 3, 4]
    assert history.iteration_loss.shape == (16,)  # four batches in four epochs
    network = task.network()
    with stream(path, Trajectory) as run:
        theta, buffers = torch.from_numpy(run["thetas"][-1]), torch.from_numpy(run["buffers"][-1])
    _fill(network.parameters(), theta)
    _fill([b for b in network.buffers() if b.dtype == torch.float32], buffers)
    network.eval()
    with torch.no_grad():
        for split in ("train", "test"):
            losses = [task.loss(network, batch) for batch in task.batches(split)]
            found = getattr(history, f"{split}_loss")[-1]
            if losses:
                assert found == pytest.approx(torch.cat(losses).mean().item(), rel=1e-5)
            else:
                assert np.isnan(found)
            accuracy = getattr(history, f"{split}_accuracy")[-1]
            if kind in WITH_ACCURACY:
                measured = [task.measures(network, b)["accuracy"] for b in task.batches(split)]
                assert accuracy == pytest.approx(torch.cat(measured).double().mean().item())
            else:
                assert np.isnan(accuracy)


def _fill(tensors, vector):
    """Copy the parts of a vector into tensors."""
    with torch.no_grad():
        for tensor in tensors:
            part, vector = vector[: tensor.numel()], vector[tensor.numel() :]
            tensor.copy_(part.view(tensor.shape))
    assert not len(vector)


@pytest.mark.parametrize("kind", TASKS)
def test_training_lowers_the_loss_and_its_landscape_is_finite(made, kind):
    project, _ = made
    history = load_part(project.path("trajectory", kind), Trajectory, "history")
    assert history.train_loss[-1] < history.train_loss[0]
    grid = load(project.path("grid", kind), Grid)
    assert grid.loss_label == LABELS[kind]
    assert np.isfinite(grid.accuracy).all() == (kind in WITH_ACCURACY)
    assert np.isfinite(grid.loss).all()


def test_axes_and_bars_carry_the_name_of_the_loss(made):
    path = made[0].path("figure", "mine_tasks")
    figure = draw_figure(_spec_of(path), load_panels(path, Figure))
    words = [word for axes in figure.axes for word in (axes.get_xlabel(), axes.get_ylabel())]
    words += [axes.get_zlabel() for axes in figure.axes if hasattr(axes, "get_zlabel")]
    found = Counter(word for word in words if word in LABELS.values())
    drawn = [label for label in LABELS.values() for _ in range(3)]  # height, bar and curve
    assert found == Counter([*drawn, BROUGHT, BROUGHT])  # and the bars of the imported run
    assert "loss (nats)" not in words


def _spec_of(path: Path) -> dict:
    with h5py.File(path) as file:
        return json.loads(file.attrs["spec"])


@pytest.mark.parametrize(("run", "label"), [("brought", BROUGHT), ("images", None)])
def test_imported_runs_are_retrained_by_the_recipe_that_their_minimum_names(made, run, label):
    project, _ = made
    jumps = load(project.path("jumps", f"{run}-d0"), Jumps)
    assert jumps.loss_label == label
    assert jumps.train_loss.shape == (2, 4)
    assert (jumps.train_loss[:, -1] < jumps.train_loss[:, 0]).all()
    with stream(project.path("trajectory", run), Trajectory) as trajectory:
        minimum = trajectory["thetas"][-1]
    expected = minimum + np.float32(jumps.step_sizes[0]) * jumps.direction
    np.testing.assert_array_equal(jumps.thetas[0, 0], expected)


def test_landscape_of_an_imported_regression_is_its_quadratic(made):
    """The loss of a linear map is a quadratic form in θ: known to the last float."""
    project, _ = made
    grid = load(project.path("grid", "brought"), Grid)
    with h5py.File(project.path("basis", "brought")) as basis:
        center, directions = basis["center"][()].astype(np.float64), basis["directions"][()]
    batches = make_task("regression").batches("train")
    rows = np.random.default_rng(0).permutation(4)[:2]  # evaluation.seed, tasks.regression.batches
    inputs = torch.cat([batches[row]["x"] for row in rows]).double().numpy()
    design = np.column_stack([inputs, np.ones(len(inputs))])
    wanted = torch.cat([batches[row]["y"] for row in rows]).double().numpy()
    hessian = 2 * design.T @ design / len(design)
    residual = design @ center - wanted
    gradient = 2 * design.T @ residual / len(design)
    scaled = np.linalg.norm(center) * directions.astype(np.float64)
    for i, alpha in enumerate(grid.alphas):
        for j, beta in enumerate(grid.betas):
            step = np.array([alpha, beta]) @ scaled
            expected = np.mean(residual**2) + gradient @ step + step @ hessian @ step / 2
            assert grid.loss[i, j] == pytest.approx(expected, rel=1e-5)
    ring = load(project.path("ring", "brought"), Ring)
    assert ring.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
    assert ring.loss_label == BROUGHT


def test_page_names_the_loss_and_shows_what_was_measured(made):
    results = made[0].folder / "results" / "tiny"
    curves = collect_curves(results, "regression", {"regression": "mine", "brought": "brought"})
    assert f"training {BROUGHT}" in json.loads(curves.figure)["layout"]["yaxis"]["title"]["text"]
    assert "accuracy" not in curves.figure
    where = {"title": "", "centers": [{"grid": "grid/brought", "basis": "basis/brought"}]}
    landscape = json.loads(collect_landscape(results, where).figure)
    assert landscape["layout"]["scene"]["zaxis"]["title"]["text"] == BROUGHT
    entry = {"title": "", "embedding": "embedding/brought-pca", "method": "pca"}
    assert json.dumps(f"training {BROUGHT}")[1:-1] in collect_embedding(results, entry).figure


def test_each_own_run_is_told_in_one_line_before_the_jobs(made):
    _, said = made
    task = "task mytasks:make_task"
    assert said.count("own run ") == len(TASKS) + 2
    for line in (
        f"own run text: {task}, 4 epochs of recipe plain, landscape on 2 of its training batches",
        f"own run brought: {task}, 5 checkpoints, landscape on 2 of its training batches",
        "own run images: network about 4,214 parameters "
        "(lossmap.network.models.resnet:resnet20 at width 0.125), 3 checkpoints, "
        "40 training images of c10, landscape on 20 of them",
    ):
        assert said.count(f"{line}\n") == 1
    assert said.index("own run images") < said.index("Job ")


def test_nothing_is_made_again_until_the_tasks_code_changes(made):
    project, _ = made
    assert project.planned(*TARGETS, **CONFIG) == []
    project.edit("mytasks.py", "reconstruction error", "reconstruction error (bits)")
    planned = project.planned(*TARGETS, **CONFIG)
    project.edit("mytasks.py", "reconstruction error (bits)", "reconstruction error")
    assert {f"trajectory/{kind}" for kind in TASKS} < set(planned)
    assert project.planned(*TARGETS, **CONFIG) == []
