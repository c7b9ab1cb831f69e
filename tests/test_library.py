"""In a notebook: a module and tensors in, the workflow's own numbers and figures out."""

import logging
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.nn.functional import cross_entropy

import lossmap
from lossmap.embedding.notebook import DEFAULTS
from lossmap.errors import LossmapError
from lossmap.geometry.plane import fit_basis
from lossmap.network.parameters import FlatNetwork
from lossmap.network.surface import LossSurface, evaluate_grid

ROOT = Path(__file__).parents[1]


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


@pytest.fixture(scope="module")
def batches():
    torch.manual_seed(1)
    labels = torch.arange(30) % 3
    return [(torch.randn(30, 1, 4, 4) + labels[:, None, None, None], labels)]


@pytest.fixture(scope="module")
def run(tmp_path_factory, batches):
    """Train with plain PyTorch, with two lines of ours."""
    path = tmp_path_factory.mktemp("run") / "mine.h5"
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with lossmap.SnapshotRecorder(path, model) as recorder:
        for epoch in range(6):
            for inputs, labels in batches:
                optimizer.zero_grad()
                loss = cross_entropy(model(inputs), labels)
                loss.backward()
                optimizer.step()
            recorder.record(epoch, loss=loss.item())
    return path, model


def test_import_loads_nothing_heavy():
    code = (
        "import sys, lossmap; "
        "heavy = {'torch', 'numpy', 'h5py', 'matplotlib', 'scipy'} & sys.modules.keys(); "
        "assert not heavy, heavy; assert 'fit_plane' in dir(lossmap)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "workflow_scripts", check=True)


def test_every_name_is_there():
    for name in lossmap.__all__:
        assert callable(getattr(lossmap, name))
    with pytest.raises(AttributeError, match="no attribute 'fit_planes'"):
        lossmap.fit_planes  # noqa: B018


def test_from_a_training_loop_to_figures(run, batches):
    path, model = run
    before = {name: values.clone() for name, values in model.state_dict().items()}
    epochs, thetas = lossmap.load_run(str(path), model)
    plane = lossmap.fit_plane(thetas, epochs)
    np.testing.assert_array_equal(lossmap.flatten(model), thetas[-1])
    grid = lossmap.evaluate_landscape(model, batches, plane, resolution=5)
    with torch.no_grad():
        plain = float(cross_entropy(model(batches[0][0]), batches[0][1]))
    assert grid.loss[2, 2] == pytest.approx(plain, rel=1e-5)
    for plot in (lossmap.plot_surface, lossmap.plot_contour):
        figure = plot(grid, plane, z_scale="linear")
        assert len(figure.axes) == 3  # the landscape, its bar, and that of the epochs
    interactive = lossmap.explore(grid, plane)
    np.testing.assert_array_equal(interactive.data[0].x, grid.alphas)
    for name, values in model.state_dict().items():
        # The pass above counted a batch; nothing of ours changed the model.
        if not name.startswith("1.running") and "num_batches" not in name:
            assert torch.equal(values, before[name])


@pytest.mark.parametrize("statistics", ["batch", "center", "recalibrate"])
def test_landscape_is_the_workflows(run, batches, statistics):
    path, model = run
    epochs, thetas = lossmap.load_run(str(path), model)
    network = FlatNetwork(make_model())
    network.module.load_state_dict(model.state_dict())
    spec = {"method": "pca", "window": None}
    basis = fit_basis(thetas, epochs, 5, network.layout, spec)
    surface = LossSurface.over(network, batches, statistics)
    expected = evaluate_grid(surface, basis, 3, 0.5, logging.getLogger("lossmap.tests"))
    plane = lossmap.fit_plane(thetas, epochs)
    found = lossmap.evaluate_landscape(
        model, batches, plane, resolution=3, extent=0.5, bn_statistics=statistics
    )
    np.testing.assert_array_equal(plane.directions, basis.directions)
    np.testing.assert_array_equal(found.loss, expected.loss)


def test_filter_normalized_plane_is_the_workflows_and_needs_no_trajectory(run, batches):
    path, model = run
    epochs, thetas = lossmap.load_run(str(path), model)
    spec = {"method": "fn", "seeds": [3], "ignore": "bias_bn"}
    basis = fit_basis(thetas, epochs, 5, FlatNetwork(make_model()).layout, spec)
    plane = lossmap.filter_normalized_plane(model, seed=3)
    np.testing.assert_array_equal(plane.directions, basis.directions)
    grid = lossmap.evaluate_landscape(model, batches, plane, resolution=3)
    assert np.isfinite(grid.loss).all()
    assert len(lossmap.plot_surface(grid).axes) == 2


class Squared:
    """Squared error of numbers that a network predicts from a dict."""

    loss_label = "squared error"

    def loss(self, network, batch):
        return (network(batch["x"])[:, 0] - batch["y"]) ** 2

    def measures(self, network, batch):
        return {"accuracy": (network(batch["x"])[:, 0] - batch["y"]).abs() < 0.5}


def test_landscape_and_line_of_another_loss():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    batches = [{"x": torch.randn(n, 3), "y": torch.randn(n)} for n in (8, 5)]
    plane, theta = lossmap.filter_normalized_plane(model, ignore="none"), lossmap.flatten(model)
    grid = lossmap.evaluate_landscape(model, batches, plane, resolution=3, task=Squared())
    line = lossmap.evaluate_line(
        model, batches, theta, theta + plane.directions[0], resolution=2, task=Squared()
    )
    nn.utils.vector_to_parameters(torch.from_numpy(theta + plane.directions[0]), model.parameters())
    with torch.no_grad():
        errors = torch.cat([Squared().loss(model, batch) for batch in batches])
    for loss, accuracy in (
        (grid.loss[2, 1], grid.accuracy[2, 1]),
        (line.loss[1], line.accuracy[1]),
    ):
        assert loss == pytest.approx(float(errors.mean()), rel=1e-5)
        assert accuracy == float((errors.sqrt() < 0.5).double().mean())
    assert grid.loss_label == line.loss_label == "squared error"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"loss": None},
            r"task Mine: expected an object with loss\(network, batch\), .* without l",
        ),
        ({"loss_label": " "}, "task Mine: expected loss_label, the words on the axes"),
        (
            {"loss": lambda self, network, batch: Squared.loss(self, network, batch).mean()},
            r"task Mine, loss: expected .* one number per sample, got shape \(\); do not average",
        ),
    ],
)
def test_a_loss_that_does_not_fit_is_one_line(change, message):
    model, task = nn.Linear(3, 1), type("Mine", (Squared,), change)()
    plane = lossmap.filter_normalized_plane(model, ignore="none")
    batch = {"x": torch.ones(2, 3), "y": torch.ones(2)}
    with pytest.raises(LossmapError, match=message):
        lossmap.evaluate_landscape(model, [batch], plane, resolution=3, task=task)


def test_embedding_keeps_which_run_is_which(run):
    path, model = run
    _, thetas = lossmap.load_run(str(path), model)
    found = lossmap.embed({"one": thetas, "two": thetas[::-1] + np.float32(0.1)}, "pca")
    assert found.points.shape == (12, 2)
    assert found.origins.sources == ["one", "two"]
    assert found.origins.trajectory.tolist() == [0] * 6 + [1] * 6


def test_defaults_of_embeddings_are_those_of_the_workflow():
    configured = yaml.safe_load((ROOT / "config" / "defaults.yaml").read_text())["techniques"]
    for method, settings in DEFAULTS.items():
        name = f"{method}-cosine" if f"{method}-cosine" in configured else method
        assert configured[name] == {"method": method, "include_optimum": False, **settings}


def test_what_does_not_fit_is_one_line(run, batches):
    path, model = run
    _, thetas = lossmap.load_run(str(path), model)
    plane = lossmap.fit_plane(thetas)
    with pytest.raises(LossmapError, match="plane: 243 parameters, but the model has 10"):
        lossmap.evaluate_landscape(nn.Linear(4, 2), batches, plane)
    with pytest.raises(LossmapError, match="resolution is 4, expected an odd number"):
        lossmap.evaluate_landscape(model, batches, plane, resolution=4)
    with pytest.raises(LossmapError, match="bn_statistics is 'running', expected batch, center"):
        lossmap.evaluate_landscape(model, batches, plane, bn_statistics="running")
    with pytest.raises(LossmapError, match=r"thetas: shape \(243,\), expected \(snapshots, params"):
        lossmap.fit_plane(thetas[0])
    with pytest.raises(LossmapError, match="epochs: 2 numbers for 6 snapshots"):
        lossmap.fit_plane(thetas, [1, 2])


@pytest.mark.slow
def test_package_is_installed_by_pip(tmp_path):
    """From a copy without its git folder, in an environment that has the libraries already."""
    source = tmp_path / "source"
    source.mkdir()
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / part, source)
    shutil.copytree(ROOT / "workflow_scripts", source / "workflow_scripts")
    for part in ("config", "rules", "envs", "profiles", "results"):  # what confused setuptools
        (source / part).mkdir()
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    libraries = sysconfig.get_path("purelib")
    environment = {"PYTHONPATH": libraries, "PATH": "/usr/bin:/bin"}
    command = [python, "-m", "pip", "install", *options, source]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    code = (
        "import lossmap, lossmap.network.models.resnet; from pathlib import Path; "
        "print(lossmap.fit_plane.__module__, Path(lossmap.__file__).parents[1])"
    )
    done = subprocess.run(
        [python, "-c", code],
        check=True,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    module, place = done.stdout.split()
    assert module == "lossmap.geometry.notebook"
    assert Path(place).is_relative_to(tmp_path / "venv")
