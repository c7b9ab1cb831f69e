"""A line is the plain loss in float64 at every point of it; some barriers have closed forms."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import lossmap
from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.layout import Layout
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load, save
from lossmap.artifacts.trajectory import Trajectory, load_layouts, load_points
from lossmap.errors import LossmapError
from lossmap.geometry.plane import fit_basis
from lossmap.network.factory import build_network
from lossmap.network.images import choose_balanced
from lossmap.network.line import evaluate_line, open_line
from lossmap.network.surface import evaluate_grid, open_surface
from lossmap.network.training import train_run

EVALUATION = {"images": 20, "batch": 8, "seed": 2}  # 20 of 30 training images, all 10 test images
BETWEEN = {"from": {"run": "one", "epoch": 3}, "to": {"run": "other", "epoch": 3}, "resolution": 5}


@pytest.fixture
def sources(tmp_path, dataset, spec, log):
    """Give a data set and two runs of one network from two seeds."""
    found = {"dataset/tiny": tmp_path / "dataset" / "tiny.h5"}
    found["dataset/tiny"].parent.mkdir()
    save(found["dataset/tiny"], dataset, Provenance("{}", "c0de", {}))
    for name, seed in (("one", 3), ("other", 4)):
        own = copy.deepcopy(spec) | {"seed": seed, "run": name}
        own["network"]["seed"] = seed
        artifact = tmp_path / "trajectory" / f"{name}.h5"
        train_run(dataset, own, "cpu", artifact, Provenance(canonical_json(own), "c0de", {}), log)
        found[f"trajectory/{name}"] = artifact
    return found


class PlainLoss:
    """Loss and accuracy in float64 by load_state_dict and F.cross_entropy in the same batches."""

    def __init__(self, dataset, spec, layout, split):
        self.network = build_network(**spec["network"], classes=3, channels=3).double()
        self.layout = layout
        images, labels = (getattr(dataset, f"{split}_{part}") for part in ("images", "labels"))
        rows = choose_balanced(labels, min(20, len(labels)), 2)
        scaled = (images[rows] / 255.0 - dataset.mean) / dataset.std
        inputs = torch.from_numpy(scaled.transpose(0, 3, 1, 2))
        self.batches = list(
            zip(inputs.split(8), torch.from_numpy(labels[rows]).split(8), strict=True)
        )

    @torch.no_grad()
    def __call__(self, theta: np.ndarray, bn_statistics: str) -> tuple[float, float]:
        state = self.network.state_dict()
        for name, _, shape, part in self.layout.parts():
            state[name] = torch.from_numpy(theta[part]).view(shape)
        self.network.load_state_dict(state)
        if bn_statistics == "recalibrate":
            for norm in (m for m in self.network.modules() if isinstance(m, nn.BatchNorm2d)):
                norm.reset_running_stats()
                norm.momentum = None  # PyTorch's own plain average
            self.network.train()
            for inputs, _ in self.batches:
                self.network(inputs)
        self.network.train(bn_statistics == "batch")
        logits = torch.cat([self.network(inputs) for inputs, _ in self.batches])
        labels = torch.cat([labels for _, labels in self.batches])
        right = (logits.argmax(1) == labels).double().mean().item()
        return cross_entropy(logits, labels).item(), right


@pytest.mark.parametrize("statistics", ["batch", "recalibrate"])
def test_line_between_two_runs_is_the_plain_loss_along_it(sources, dataset, spec, statistics):
    given = BETWEEN | {"bn_statistics": statistics, "evaluation": EVALUATION}
    line = evaluate_line(*open_line(sources, given, "cpu"))

    start, end = (
        load(sources[f"trajectory/{run}"], Trajectory).thetas[-1].astype(np.float64)
        for run in ("one", "other")
    )
    layout = load_layouts(sources["trajectory/one"])[0]
    assert line.positions.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert line.length == pytest.approx(np.linalg.norm(end - start), rel=1e-6)
    for split, prefix in (("train", ""), ("test", "test_")):
        plain = PlainLoss(dataset, spec, layout, split)
        found = [plain(start + t * (end - start), statistics) for t in line.positions]
        losses, accuracies = np.transpose(found)
        np.testing.assert_allclose(getattr(line, f"{prefix}loss"), losses, rtol=1e-4)
        np.testing.assert_allclose(getattr(line, f"{prefix}accuracy"), accuracies)
    chord = (1 - line.positions) * line.loss[0] + line.positions * line.loss[-1]
    assert line.barrier == pytest.approx((line.loss - chord).max())


@pytest.mark.parametrize("direction", [0, 3])
def test_line_through_a_center_is_a_row_of_its_planes_grid(sources, dataset, log, direction):
    trajectory = sources["trajectory/one"]
    run, layout = load(trajectory, Trajectory), load_layouts(trajectory)[0]
    plane = {"method": "fn", "seeds": [4, 9], "ignore": "bias_bn"}
    basis = fit_basis(run.thetas, run.history.epochs, 2, layout, plane)
    path = trajectory.parent / "basis.h5"
    save(path, basis, Provenance("{}", "c0de", {}))
    given = {"basis": "fn", "direction": direction, "resolution": 5, "extent": 0.5}
    given |= {"bn_statistics": "center", "evaluation": EVALUATION}
    line = evaluate_line(
        *open_line(
            {name: sources[name] for name in ("dataset/tiny", "trajectory/one")}
            | {"basis/fn": path},
            given,
            "cpu",
        )
    )

    surface = open_surface(trajectory, dataset, basis, given, "cpu")
    drawn = basis.scaled_directions(direction // 2)[direction % 2]
    losses = [
        surface.evaluate(torch.from_numpy(basis.center + np.float32(t) * drawn))[0]
        for t in line.positions
    ]
    np.testing.assert_allclose(line.loss, losses, rtol=1e-5)
    assert line.length == pytest.approx(np.linalg.norm(drawn), rel=1e-6)
    if direction == 0:
        grid = evaluate_grid(surface, basis, 5, 0.5, log)
        np.testing.assert_allclose(line.loss, grid.loss[:, 2], rtol=1e-5)


def test_no_batch_of_test_images_holds_one(sources):
    """10 of them in batches of 3."""
    given = BETWEEN | {"bn_statistics": "batch", "evaluation": EVALUATION | {"batch": 3}}
    _, surface, test = open_line(sources, given, "cpu")
    assert (surface.count, test.count) == (20, 9)


def test_line_of_another_network_is_refused(sources):
    other = Layout(["weight"], ["linear"], [(3, 4)])
    with pytest.raises(LossmapError, match="name runs of one network"):
        load_points(sources, [{"run": "one", "epoch": 3}], other)
    layout = load_layouts(sources["trajectory/one"])[0]
    with pytest.raises(LossmapError, match="no snapshot at epoch 9"):
        load_points(sources, [{"run": "one", "epoch": 9}], layout)


def test_grid_of_a_plane_through_three_points_lies_around_them(sources, dataset, log):
    trajectory = sources["trajectory/one"]
    run, layout = load(trajectory, Trajectory), load_layouts(trajectory)[0]
    points = [{"run": "other", "epoch": 3}, {"run": "one", "epoch": 0}]
    through = load_points(sources, points, layout)
    plane = {"method": "points", "through": through}
    basis = fit_basis(run.thetas, run.history.epochs, 3, layout, plane)
    given = {"bn_statistics": "batch", "evaluation": EVALUATION}
    surface = open_surface(trajectory, dataset, basis, given, "cpu")
    grid = evaluate_grid(surface, basis, 3, 0.75, log)

    assert (grid.alphas[1], grid.betas[1]) == tuple(basis.points.mean(axis=0))
    assert np.allclose(np.diff(grid.alphas), 0.75)
    middle = np.mean([run.thetas[-1], *through], axis=0, dtype=np.float64).astype(np.float32)
    assert grid.loss[1, 1] == pytest.approx(surface.evaluate(torch.from_numpy(middle))[0], rel=1e-4)


# --- closed forms ---------------------------------------------------------------------------------


def make_batches(features, classes, count=40):
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(count, features, generator=generator)
    return [(inputs, torch.arange(count) % classes)]


def test_softmax_regression_is_convex_and_has_no_barrier():
    batches, generator = make_batches(6, 3), np.random.default_rng(2)
    start, end = generator.standard_normal((2, 21)).astype(np.float32)

    line = lossmap.evaluate_line(nn.Linear(6, 3), batches, start, end, resolution=11)

    assert line.barrier == 0.0
    assert line.barrier_end == 0.0
    assert np.all(np.diff(line.loss, 2) > 0)


def make_perceptron(scale: float) -> nn.Module:
    """Return a network whose two logits are ± scale x, by one hidden unit for each sign of x."""
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[2].weight.copy_(scale * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    return model


def permute_hidden(model: nn.Module) -> nn.Module:
    permuted = copy.deepcopy(model)
    with torch.no_grad():
        permuted[0].weight.copy_(model[0].weight.flip(0))
        permuted[2].weight.copy_(model[2].weight.flip(1))
    return permuted


def test_permuted_hidden_units_have_the_barrier_of_a_network_that_vanishes_halfway():
    """Both layers shrink by 1 - 2 t and grow again: logits are ± scale (1 - 2 t)² x."""
    inputs = torch.randn(40, 1, generator=torch.Generator().manual_seed(1))
    batches = [(inputs, (inputs[:, 0] < 0).long())]
    model = make_perceptron(2.0)
    ends = [lossmap.flatten(each) for each in (model, permute_hidden(model))]

    line = lossmap.evaluate_line(model, batches, *ends, resolution=9)

    shrunk = 2.0 * (1 - 2 * line.positions[:, None]) ** 2
    losses = np.log1p(np.exp(-2 * shrunk * np.abs(inputs.double().numpy().T))).mean(axis=1)
    np.testing.assert_allclose(line.loss, losses, rtol=1e-5)
    assert line.loss[0] == line.loss[-1]
    for barrier in (line.barrier, line.barrier_mean, line.barrier_end):
        assert barrier == pytest.approx(math.log(2) - losses[0], rel=1e-5)


def test_line_in_a_notebook_says_what_does_not_fit():
    model, batches = nn.Linear(6, 3), make_batches(6, 3)
    theta = np.zeros(21, np.float32)
    with pytest.raises(LossmapError, match="end: 20 parameters, but the model has 21"):
        lossmap.evaluate_line(model, batches, theta, theta[:20])
    with pytest.raises(LossmapError, match="bn_statistics is 'center', expected one of batch"):
        lossmap.evaluate_line(model, batches, theta, theta, bn_statistics="center")
    with pytest.raises(LossmapError, match="resolution is 1, expected at least 2"):
        lossmap.evaluate_line(model, batches, theta, theta, resolution=1)
