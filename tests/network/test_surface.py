"""The landscape is the plain loss of the plain network at center + α d₀ + β d₁."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import stream
from lossmap.artifacts.trajectory import Trajectory, load_layouts
from lossmap.errors import LossmapError
from lossmap.geometry.plane import fit_basis
from lossmap.network.factory import build_network
from lossmap.network.images import choose_balanced
from lossmap.network.normalization import normalize_few_channels
from lossmap.network.ring import measure_gradient, measure_ring
from lossmap.network.surface import (
    LossSurface,
    evaluate_grid,
    open_surface,
    project_trajectory,
    spread_positions,
)
from lossmap.network.training import train_run

STATISTICS = ("batch", "center", "recalibrate")
EVALUATION = {"images": 20, "batch": 8, "seed": 2}  # batches of 8, 8 and 4 images


@pytest.fixture
def trajectory(tmp_path, dataset, spec, log):
    artifact = tmp_path / "trajectory" / "tiny.h5"
    provenance = Provenance(canonical_json(spec), "c0de", {})
    train_run(dataset, spec, "cpu", artifact, provenance, log)
    return artifact


@pytest.fixture
def run(trajectory):
    with stream(trajectory, Trajectory) as file:
        yield {name: file[name][()] for name in ("thetas", "buffers", "epochs")}


@pytest.fixture
def make_basis(trajectory, run):
    def make(method: str = "pca", row: int = -1) -> Basis:
        options = {"method": method, "window": None, "seeds": [4, 9], "ignore": "bias_bn"}
        layout = load_layouts(trajectory)[0]
        return fit_basis(run["thetas"], run["epochs"], row, layout, options)

    return make


@pytest.fixture
def make_surface(trajectory, dataset):
    def make(basis: Basis, bn_statistics: str, **changes) -> LossSurface:
        precision = changes.pop("precision", "float32")
        spec = {"evaluation": EVALUATION | changes, "bn_statistics": bn_statistics}
        spec["precision"] = precision
        return open_surface(trajectory, dataset, basis, spec, "cpu")

    return make


class PlainLoss:
    """Loss and accuracy by load_state_dict and F.cross_entropy in the same batches."""

    def __init__(self, dataset, spec, trajectory):
        self.network = build_network(**spec["network"], classes=3, channels=3)
        self.layouts = load_layouts(trajectory)
        rows = choose_balanced(dataset.train_labels, 20, 2)
        scaled = (dataset.train_images[rows] / 255.0 - dataset.mean) / dataset.std
        inputs = torch.from_numpy(scaled.transpose(0, 3, 1, 2)).float()
        labels = torch.from_numpy(dataset.train_labels[rows])
        self.batches = list(zip(inputs.split(8), labels.split(8), strict=True))

    @torch.no_grad()
    def __call__(self, theta, buffers, bn_statistics: str) -> tuple[float, float]:
        state = self.network.state_dict()
        for layout, flat in zip(self.layouts, (theta, buffers), strict=True):
            for name, _, shape, part in layout.parts():
                state[name] = torch.from_numpy(np.array(flat[part])).view(shape)
        self.network.load_state_dict(state)
        if bn_statistics == "recalibrate":
            self._average_statistics()
        self.network.train(bn_statistics == "batch")
        logits = torch.cat([self.network(inputs) for inputs, _ in self.batches])
        labels = torch.cat([labels for _, labels in self.batches])
        accuracy = (logits.argmax(1) == labels).double().mean().item()
        return cross_entropy(logits.double(), labels).item(), accuracy

    def _average_statistics(self) -> None:
        """Average the statistics of every batch, seen by hooks on the layers' inputs."""
        seen: dict[nn.Module, list] = {}

        def see(norm, arguments):
            values = arguments[0].transpose(0, 1).flatten(1)
            seen.setdefault(norm, []).append((values.mean(1), values.var(1, correction=1)))

        norms = [m for m in self.network.modules() if isinstance(m, nn.BatchNorm2d)]
        hooks = [norm.register_forward_pre_hook(see) for norm in norms]
        self.network.train()
        for inputs, _ in self.batches:
            self.network(inputs)
        for hook in hooks:
            hook.remove()
        for norm, found in seen.items():
            norm.running_mean.copy_(torch.stack([mean for mean, _ in found]).mean(0))
            norm.running_var.copy_(torch.stack([variance for _, variance in found]).mean(0))


@pytest.fixture
def plain_loss(dataset, spec, trajectory):
    return PlainLoss(dataset, spec, trajectory)


@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_loss_equals_an_independent_evaluation(
    make_surface, make_basis, run, plain_loss, bn_statistics
):
    basis = make_basis()
    loss, accuracy = make_surface(basis, bn_statistics).evaluate(torch.from_numpy(basis.center))
    expected, share = plain_loss(basis.center, run["buffers"][-1], bn_statistics)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert accuracy == pytest.approx(share)


@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_grid_center_equals_plain_loss(make_surface, make_basis, log, bn_statistics):
    basis = make_basis("fn")
    grid = evaluate_grid(make_surface(basis, bn_statistics), basis, 3, 0.5, log)
    other = make_surface(basis, bn_statistics)
    assert (grid.loss[1, 1], grid.accuracy[1, 1]) == other.evaluate(torch.from_numpy(basis.center))


@pytest.mark.parametrize("method", ["pca", "fn"])
@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_grid_points_equal_the_loss_at_center_plus_both_directions(
    make_surface, make_basis, run, log, plain_loss, method, bn_statistics
):
    basis = make_basis(method)
    first, second = basis.scale[:2, None] * basis.directions[:2]
    grid = evaluate_grid(make_surface(basis, bn_statistics), basis, 3, 0.1, log)
    np.testing.assert_allclose(grid.alphas, [-0.1, 0.0, 0.1])
    np.testing.assert_allclose(grid.betas, [-0.1, 0.0, 0.1])
    for i, j in [(0, 2), (2, 0), (2, 2), (1, 2)]:
        point = basis.center + grid.alphas[i] * first + grid.betas[j] * second
        loss, accuracy = plain_loss(point.astype(np.float32), run["buffers"][-1], bn_statistics)
        assert grid.loss[i, j] == pytest.approx(loss, rel=1e-4)
        assert grid.accuracy[i, j] == pytest.approx(accuracy, abs=1 / 20)
    assert grid.loss[0, 2] != pytest.approx(grid.loss[2, 0], rel=1e-3)  # the test tells i from j


@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_value_does_not_depend_on_what_was_evaluated_before(
    make_surface, make_basis, run, bn_statistics
):
    basis = make_basis()
    surface = make_surface(basis, bn_statistics)
    center = torch.from_numpy(basis.center)
    first = surface.evaluate(center)
    for theta in (*run["thetas"], 1e30 * basis.center, basis.center * np.float32(np.nan)):
        surface.evaluate(torch.from_numpy(theta))
    assert surface.evaluate(center) == first


@pytest.mark.parametrize("bn_statistics", ["batch", "center"])
def test_running_statistics_stay_those_of_the_center(
    make_surface, make_basis, run, log, bn_statistics
):
    basis = make_basis(row=2)
    surface = make_surface(basis, bn_statistics)
    evaluate_grid(surface, basis, 3, 1.0, log)
    np.testing.assert_array_equal(surface.network.buffers, run["buffers"][2])


def test_batch_loss_depends_on_theta_and_the_data_alone(make_surface, make_basis):
    basis = make_basis()
    surface = make_surface(basis, "batch")
    center = torch.from_numpy(basis.center)
    before = surface.evaluate(center)
    surface.set_buffers(np.full(surface.network.buffers.shape, 7.0, np.float32))
    assert surface.evaluate(center) == before


def test_evaluation_images_are_fixed_by_their_seed(make_surface, make_basis):
    basis = make_basis()
    center = torch.from_numpy(basis.center)
    found = [make_surface(basis, "batch", seed=seed).evaluate(center)[0] for seed in (2, 2, 3)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_loss_that_is_not_finite_is_recorded_as_infinite(make_surface, make_basis, bn_statistics):
    basis = make_basis()
    surface = make_surface(basis, bn_statistics)
    for value in (np.nan, np.inf, 3e38):
        theta = torch.from_numpy(basis.center * np.float32(value))
        assert surface.evaluate(theta)[0] == math.inf


def test_grid_goes_on_beyond_points_that_are_not_finite(make_surface, make_basis, log):
    basis = make_basis()
    grid = evaluate_grid(make_surface(basis, "center"), basis, 3, 1e38, log)
    assert np.isfinite(grid.loss[1, 1])
    assert np.isinf(np.delete(grid.loss.ravel(), 4)).all()


def test_running_statistics_of_the_untrained_network_are_refused(make_surface, make_basis):
    basis = make_basis(row=0)
    with pytest.raises(LossmapError, match=r"tiny\.h5: bn_statistics is 'center', but .*untrained"):
        make_surface(basis, "center")
    for allowed in ("batch", "recalibrate"):
        make_surface(basis, allowed)


def test_basis_of_another_network_is_refused(make_surface, make_basis):
    basis = make_basis()
    short = Basis(**vars(basis) | {"center": basis.center[:-1]})
    with pytest.raises(LossmapError, match="has 4429 parameters, but the basis has 4428; rebuild"):
        make_surface(short, "batch")


def test_center_epoch_without_a_snapshot_is_refused(make_surface, make_basis):
    absent = Basis(**vars(make_basis()) | {"center_epoch": 17})
    with pytest.raises(LossmapError, match=r"no snapshot at epoch 17; epochs kept: 0, 1, 2, 3$"):
        make_surface(absent, "batch")


@pytest.mark.parametrize(("resolution", "extent"), [(3, 1.0), (51, 1.0), (51, 0.3), (7, 2.5)])
def test_positions_are_symmetric_and_hit_zero_and_the_ends(resolution, extent):
    found = spread_positions(resolution, extent)
    assert len(found) == resolution
    assert found[resolution // 2] == 0.0
    np.testing.assert_array_equal(found, -found[::-1])
    np.testing.assert_allclose(found, np.linspace(-extent, extent, resolution), atol=1e-15)


def project_plainly(basis, plane: int, theta, reading: str) -> np.ndarray:
    """Return w̃ of ding2023 Eq. 4 in float64, by least squares or as printed."""
    plane_directions = basis.scaled_directions(plane).astype(np.float64)
    center = basis.center.astype(np.float64)
    offset = theta.astype(np.float64) - center
    if reading == "orthogonal":
        coordinates = np.linalg.lstsq(plane_directions.T, offset, rcond=None)[0]
    else:
        lengths = np.linalg.norm(plane_directions, axis=1)
        coordinates = plane_directions @ offset / lengths
    return center + coordinates @ plane_directions


@pytest.mark.parametrize("method", ["pca", "fn"])
@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_projection_equals_a_plain_loop(
    make_surface, make_basis, run, log, plain_loss, method, bn_statistics
):
    basis = make_basis(method, row=2)
    surface = make_surface(basis, bn_statistics)
    found = project_trajectory(surface, basis, run["thetas"], run["buffers"], log)
    planes = {"pca": 1, "fn": 2}[method]
    assert found.seeds.tolist() == {"pca": [-1], "fn": [4, 9]}[method]
    np.testing.assert_array_equal(found.epochs, [0, 1, 2, 3])
    snapshots = zip(run["thetas"], run["buffers"], strict=True)
    own = np.array([plain_loss(t, b, bn_statistics)[0] for t, b in snapshots])
    np.testing.assert_allclose(found.loss, own, rtol=1e-5)
    for reading in ("orthogonal", "literal"):
        projected = getattr(found, f"projected_loss_{reading}")
        assert projected.shape == (planes, 4)
        for plane in range(planes):
            points = [project_plainly(basis, plane, t, reading) for t in run["thetas"]]
            expected = [
                plain_loss(point.astype(np.float32), run["buffers"][2], bn_statistics)[0]
                for point in points
            ]
            np.testing.assert_allclose(projected[plane], expected, rtol=2e-3)
            error = sum(
                math.log(a / b) ** 2 for a, b in zip(own, projected[plane], strict=True)
            ) / len(own)
            measured = getattr(found, f"fitting_error_{reading}")[plane]
            assert measured == pytest.approx(error, rel=1e-4)
            assert getattr(found, f"non_finite_{reading}")[plane] == 0


def test_snapshots_keep_their_own_running_statistics_under_center(
    make_surface, make_basis, run, log, plain_loss
):
    basis = make_basis()
    surface = make_surface(basis, "center")
    found = project_trajectory(surface, basis, run["thetas"], run["buffers"], log)
    theta, own, last = run["thetas"][1], run["buffers"][1], run["buffers"][-1]
    assert found.loss[1] == pytest.approx(plain_loss(theta, own, "center")[0], rel=1e-5)
    assert found.loss[1] != pytest.approx(plain_loss(theta, last, "center")[0], rel=1e-3)


@pytest.mark.parametrize("bn_statistics", ["batch", "center"])
def test_center_projects_onto_itself(make_surface, make_basis, run, log, bn_statistics):
    basis = make_basis("fn", row=2)
    surface = make_surface(basis, bn_statistics)
    found = project_trajectory(surface, basis, run["thetas"], run["buffers"], log)
    np.testing.assert_allclose(found.projected_loss_orthogonal[:, 2], found.loss[2], rtol=1e-6)


def test_terms_that_are_not_finite_are_counted(make_surface, make_basis, run, log):
    basis = make_basis()
    surface = make_surface(basis, "batch")
    run["thetas"][1] = np.nan
    found = project_trajectory(surface, basis, run["thetas"], run["buffers"], log)
    assert found.loss[1] == math.inf
    assert found.non_finite_orthogonal.tolist() == found.non_finite_literal.tolist() == [1]
    assert found.fitting_error_orthogonal.tolist() == [math.inf]


DROPOUT = """
from torch import nn

def dropping(*, classes, channels, width):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64 * channels, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, classes),
    )
"""


def test_recalibration_draws_nothing(tmp_path, dataset, monkeypatch):
    (tmp_path / "dropping_surface.py").write_text(DROPOUT)
    monkeypatch.syspath_prepend(tmp_path)
    network = {"factory": "dropping_surface:dropping", "width": 1.0, "seed": 0}
    network |= {"classes": 3, "channels": 3}
    surface = LossSurface(dataset, network, EVALUATION, "recalibrate", "cpu")
    theta = surface.network.theta.clone()
    assert surface.evaluate(theta) == surface.evaluate(theta)


@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_grid_in_bfloat16_is_near_and_says_how_near(make_surface, make_basis, log, bn_statistics):
    basis = make_basis()
    exact = evaluate_grid(make_surface(basis, bn_statistics), basis, 3, 0.1, log)
    surface = make_surface(basis, bn_statistics, precision="bf16")
    found = evaluate_grid(surface, basis, 3, 0.1, log, {"points": 9, "bound": 0.05})
    np.testing.assert_array_equal(found.checked_loss, exact.loss.ravel())
    assert 0 < found.deviation < 0.05
    largest = np.abs(found.loss / exact.loss - 1).max()
    assert found.deviation == pytest.approx(largest, rel=1e-9)


def test_grid_in_float32_is_not_checked(make_surface, make_basis, log):
    basis = make_basis()
    found = evaluate_grid(make_surface(basis, "batch"), basis, 3, 0.1, log)
    assert found.checked is found.checked_loss is found.deviation is None


def test_grid_too_far_from_float32_is_refused(make_surface, make_basis, log):
    basis = make_basis()
    surface = make_surface(basis, "batch", precision="bf16")
    with pytest.raises(LossmapError, match=r"bf16.bound = 1e-09; set precision: float32"):
        evaluate_grid(surface, basis, 3, 0.1, log, {"points": 9, "bound": 1e-9})


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_few_channels_are_normalized_alike_in_both_precisions(precision):
    """Sums in bfloat16 would be off by whole percents."""
    norm = nn.BatchNorm2d(4)
    images = 3.0 + torch.randn(40, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    dtype = {"float32": torch.float32, "bf16": torch.bfloat16}[precision]
    found = normalize_few_channels(norm, images.to(dtype)).double()
    expected = norm(images.to(dtype).float()).double()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_too_little_memory_is_one_line_with_the_remedy(
    make_surface, make_basis, monkeypatch, bn_statistics
):
    basis = make_basis()
    surface = make_surface(basis, bn_statistics)

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    surface.network.module.register_forward_pre_hook(full)
    surface.measured.register_forward_pre_hook(full)
    with pytest.raises(LossmapError, match=r"^evaluation: out of memory .*lower evaluation.batch$"):
        surface.evaluate(torch.from_numpy(basis.center))


NORMS = ("norm_instance", "norm_sync", "norm_own", "norm_relu", "norm_ghost", "norm_cumulative")


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bn_statistics", ["batch", "recalibrate"])
def test_running_statistics_of_training_are_not_in_force_unless_chosen(
    tmp_path, dataset, spec, log, norm, bn_statistics
):
    """Whatever they are, the loss is the same, and as said it depends on theta and the data."""
    surface, center = open_own(tmp_path, dataset, spec, log, norm, bn_statistics)
    before = surface.evaluate(center)
    surface.set_buffers(np.full(surface.network.buffers.shape, 7.0, np.float32))
    assert surface.evaluate(center) == before


def open_own(tmp_path, dataset, spec, log, name, bn_statistics):
    spec["network"]["factory"], spec["epochs"] = f"own_networks:{name}", 2
    artifact = tmp_path / "trajectory" / "own.h5"
    train_run(dataset, spec, "cpu", artifact, Provenance(canonical_json(spec), "c0de", {}), log)
    options = {"method": "pca", "window": None, "seeds": [4], "ignore": "bias_bn"}
    with stream(artifact, Trajectory) as run:
        thetas, epochs = run["thetas"][()], run["epochs"][()]
    basis = fit_basis(thetas, epochs, -1, load_layouts(artifact)[0], options)
    options = {"evaluation": EVALUATION, "bn_statistics": bn_statistics}
    surface = open_surface(artifact, dataset, basis, options, "cpu")
    return surface, torch.from_numpy(basis.center)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("norm_hand", "leaves as at the center: 'norm.mean' (HandNorm), 'norm.var' (HandNorm)"),
        ("warmup", "leaves as at the center: 'steps' (WarmUp)"),
        ("norm_own", "puts into training mode, for they have a forward pass of their own: 'norm'"),
        ("small", None),
        ("norm_instance", None),
    ],
)
@pytest.mark.parametrize("bn_statistics", ["batch", "center"])
def test_statistics_that_no_choice_governs_are_named(
    tmp_path, dataset, spec, log, caplog, name, said, bn_statistics
):
    open_own(tmp_path, dataset, spec, log, name, bn_statistics)
    lines = [m for m in caplog.messages if "own.h5: bn_statistics" in m]
    if said is None or bn_statistics == "center":
        assert not lines
    else:
        assert [said in line for line in lines] == [True]
        assert f"bn_statistics '{bn_statistics}'" in lines[0]


# --- rings --------------------------------------------------------------------------------------

RADIUS, POINTS = 0.2, 4
SMOOTH = 2e-2


@pytest.fixture
def make_ring(make_surface, make_basis, log):
    def make(method="fn", statistics="batch", row=0):
        basis = make_basis(method, row)
        return basis, measure_ring(make_surface(basis, statistics), basis, RADIUS, POINTS, log)

    return make


@pytest.mark.parametrize("statistics", ["batch", "initial"])
def test_ring_is_the_plain_loss_on_the_circle(make_ring, plain_loss, run, statistics):
    basis, found = make_ring(statistics=statistics)
    mode = "batch" if statistics == "batch" else "center"
    untrained = run["buffers"][0]

    assert found.loss.shape == (2, POINTS)
    for plane in range(2):
        for point, (alpha, beta) in enumerate([(0.2, 0), (0, 0.2), (-0.2, 0), (0, -0.2)]):
            first, second = basis.scaled_directions(plane)
            theta = basis.center + np.float32(alpha) * first + np.float32(beta) * second
            loss, _ = plain_loss(theta, untrained, mode)
            assert found.loss[plane, point] == pytest.approx(loss, rel=1e-5)
    assert found.center_loss == pytest.approx(plain_loss(basis.center, untrained, mode)[0])


def test_initial_statistics_are_zero_and_one_wherever_the_center_is(make_ring, plain_loss, run):
    basis, found = make_ring(statistics="initial", row=-1)
    untrained = run["buffers"][0]

    assert set(np.unique(untrained)) == {0, 1}
    assert found.center_loss == pytest.approx(plain_loss(basis.center, untrained, "center")[0])


@pytest.mark.parametrize("statistics", ["batch", "center", "initial"])
@pytest.mark.parametrize("method", ["fn", "pca"])
def test_slope_is_the_difference_quotient_of_the_loss(make_ring, make_surface, statistics, method):
    basis, found = make_ring(method, statistics, row=-1)
    surface = make_surface(basis, statistics)
    for plane in range(len(basis.seeds)):
        for axis, direction in enumerate(basis.scaled_directions(plane)):
            ends = [
                surface.evaluate(torch.from_numpy(basis.center + np.float32(step) * direction))[0]
                for step in (1e-3, -1e-3)
            ]
            quotient = (ends[0] - ends[1]) / 2e-3
            scale = found.gradient_norm * float(np.linalg.norm(direction))
            assert found.slope[plane, axis] == pytest.approx(quotient, abs=SMOOTH * scale)


def test_gradient_is_that_of_the_whole_subset_in_its_batches(make_surface, make_basis, plain_loss):
    basis = make_basis("pca", -1)
    found = measure_gradient(make_surface(basis, "batch"), basis.center)

    state = plain_loss.network.state_dict()
    for name, _, shape, part in plain_loss.layouts[0].parts():
        state[name] = torch.from_numpy(basis.center[part].copy()).view(shape)
    plain_loss.network.load_state_dict(state)
    plain_loss.network.train()
    logits = torch.cat([plain_loss.network(inputs) for inputs, _ in plain_loss.batches])
    labels = torch.cat([labels for _, labels in plain_loss.batches])
    torch.nn.functional.cross_entropy(logits, labels).backward()
    plain = np.concatenate([p.grad.numpy().ravel() for p in plain_loss.network.parameters()])

    np.testing.assert_allclose(found, plain, atol=1e-4 * np.linalg.norm(plain))


def test_ring_sees_the_last_snapshot_in_every_plane(make_ring, plain_loss, run):
    basis, found = make_ring("fn", "batch", row=0)
    for plane in range(2):
        place = basis.coordinates[-1, 2 * plane : 2 * plane + 2].astype(np.float32)
        theta = basis.center + place @ basis.scaled_directions(plane)
        assert found.converged[plane] == pytest.approx(place)
        expected = plain_loss(theta, run["buffers"][0], "batch")[0]
        assert found.converged_loss[plane] == pytest.approx(expected, rel=1e-4)
    wide = basis.scaled_directions(1).astype(float)
    np.testing.assert_allclose(found.gram[1], wide @ wide.T, rtol=1e-6)


def test_ring_leaves_the_surface_as_it_was(make_surface, make_basis, log):
    basis = make_basis("pca", -1)
    surface = make_surface(basis, "center")
    before = surface.evaluate(surface.to_device(basis.center))
    buffers = surface.network.buffers.clone()
    measure_ring(surface, basis, RADIUS, POINTS, log)

    assert torch.equal(surface.network.buffers, buffers)
    assert surface.evaluate(surface.to_device(basis.center)) == before
