"""A task of the user's own: what it computes is its own, and what does not fit is said at once."""

import numpy as np
import own_tasks
import pytest
import torch
from own_tasks import Regression, Table, make_task
from torch import nn

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.jumps import Jumps
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load, load_part, stream
from lossmap.artifacts.trajectory import Trajectory, load_layouts
from lossmap.errors import LossmapError
from lossmap.geometry.plane import fit_basis
from lossmap.geometry.spectrum import draw_signs
from lossmap.network.curvature import measure_curvature
from lossmap.network.importing import import_run
from lossmap.network.jumps import jump_and_retrain, load_minimum
from lossmap.network.own_task import OwnTask, move
from lossmap.network.surface import evaluate_grid, open_surface, open_surface_at
from lossmap.network.training import Run

KINDS = list(own_tasks.TASKS)
FACTORY = "own_tasks:make_task"


@pytest.fixture
def spec(spec):
    kept = {key: spec[key] for key in ("seed", "epochs", "snapshot_every", "optimizer", "schedule")}
    kept["optimizer"]["lr"] = 0.05
    return kept | {"run": "mine", "network": {"factory": FACTORY, "seed": 3}}


def provenance_of(spec) -> Provenance:
    return Provenance(canonical_json(spec), "c0de", {})


def own(kind: str) -> OwnTask:
    return OwnTask(FACTORY, {"kind": kind})


@pytest.fixture
def train(tmp_path, spec, train_through):
    """Give a function that trains a task, killed before an epoch or not."""

    def make(kind, folder="a", killed_before=None):
        path = tmp_path / folder / kind / "trajectory" / "mine.h5"
        return train_through(own(kind), spec, path, killed_before)

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_in_the_same_bytes(train, kind):
    assert train(kind).read_bytes() == train(kind, "killed", killed_before=2).read_bytes()


def plain_losses(spec, epochs):
    """Train the regression by a plain loop; return the losses of its updates."""
    task = make_task("regression")
    torch.manual_seed(spec["network"]["seed"])
    network = task.network()
    options = {key: value for key, value in spec["optimizer"].items() if key != "name"}
    optimizer = torch.optim.SGD(network.parameters(), **options)
    found, orders = [], []
    for epoch in range(epochs):
        words = np.random.SeedSequence([spec["seed"], epoch]).generate_state(2)
        generator = torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))
        batches = task.batches("train")
        orders.append(torch.randperm(len(batches), generator=generator).tolist())
        for row in orders[-1]:
            optimizer.zero_grad()
            loss = task.loss(network, batches[row]).mean()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    assert len(set(map(tuple, orders))) > 1
    return found


def test_training_is_that_of_a_plain_loop_over_shuffled_batches(train, spec):
    history = load_part(train("regression"), Trajectory, "history")
    expected = plain_losses(spec, spec["epochs"])
    np.testing.assert_allclose(history.iteration_loss, expected, rtol=1e-5)


@pytest.mark.parametrize("statistics", ["batch", "center", "recalibrate", "initial"])
@pytest.mark.parametrize("kind", ["table", "segmentation"])
def test_landscape_is_evaluated_under_every_choice_of_batch_norm(train, log, kind, statistics):
    path = train(kind)
    layout, _ = load_layouts(path)
    with stream(path, Trajectory) as run:
        basis = fit_basis(run["thetas"], run["epochs"][()], 3, layout, {"method": "pca"})
        snapshot = {name: run[name][-1] for name in ("thetas", "buffers")}
    how = {"bn_statistics": statistics, "evaluation": {"batches": None, "seed": 0}}
    grid = evaluate_grid(open_surface(path, own(kind), basis, how, "cpu"), basis, 3, 0.5, log)
    assert grid.loss[1, 1] == pytest.approx(plain_loss(kind, snapshot, statistics), rel=1e-5)


def plain_loss(kind, snapshot, statistics) -> float:
    """Return the loss of a snapshot by the task's own functions and torch's batch norm."""
    task = make_task(kind)
    network = task.network()
    pairs = [("thetas", list(network.parameters()))]
    if statistics == "center":
        pairs.append(("buffers", [b for b in network.buffers() if b.dtype == torch.float32]))
    with torch.no_grad():
        for name, tensors in pairs:
            parts = torch.from_numpy(snapshot[name]).split([t.numel() for t in tensors])
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))
        if statistics == "recalibrate":
            for norm in (m for m in network.modules() if hasattr(m, "running_mean")):
                norm.momentum = None  # the plain average
            for batch in task.batches("train"):
                task.loss(network.train(), batch)
        network.train(statistics == "batch")
        return torch.cat([task.loss(network, b) for b in task.batches("train")]).mean().item()


def test_grid_of_a_linear_regression_is_its_quadratic(train, log):
    path = train("regression")
    layout, _ = load_layouts(path)
    options = {"method": "fn", "seeds": [1], "ignore": "none"}
    with stream(path, Trajectory) as run:
        basis = fit_basis(run["thetas"], run["epochs"][()], 3, layout, options)
    how = {"bn_statistics": "batch", "evaluation": {"batches": 3, "seed": 5}}
    grid = evaluate_grid(
        open_surface(path, own("regression"), basis, how, "cpu"), basis, 5, 1.0, log
    )
    batches = make_task("regression").batches("train")
    chosen = [batches[row] for row in np.random.default_rng(5).permutation(4)[:3]]
    design = np.column_stack([torch.cat([b["x"] for b in chosen]).double(), np.ones(30)])
    wanted = torch.cat([b["y"] for b in chosen]).double().numpy()
    places = basis.scaled_directions().astype(np.float64)
    for i, alpha in enumerate(grid.alphas):
        for j, beta in enumerate(grid.betas):
            theta = basis.center + alpha * places[0] + beta * places[1]
            expected = np.mean((design @ theta - wanted) ** 2)
            assert grid.loss[i, j] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(grid.accuracy).all()
    assert grid.loss_label == Regression.loss_label


def test_curvature_of_a_linear_regression_is_that_of_its_quadratic(train, log):
    """The Hessian is 2 X'X / n; eigenvalues and traces of it, and the name of the loss."""
    how = {"bn_statistics": "batch", "evaluation": {"batches": None, "seed": 0}}
    surface = open_surface_at(train("regression"), own("regression"), 3, how, "cpu")
    inputs = torch.cat([batch["x"] for batch in make_task("regression").batches("train")])
    design = np.column_stack([inputs.double(), np.ones(len(inputs))])
    hessian = 2 * design.T @ design / len(design)
    size = {"eigenvalues": 2, "tolerance": 1e-4, "probes": 3, "quadratures": 1, "steps": 3}
    found = measure_curvature(surface, 3, size | {"seed": 0}, log)
    expected = np.linalg.eigvalsh(hessian)[::-1]
    np.testing.assert_allclose(found.eigenvalues, expected[:2], rtol=1e-4)
    signs = [draw_signs(len(hessian), 0, probe) for probe in range(3)]
    np.testing.assert_allclose(found.traces, [z @ hessian @ z for z in signs], rtol=1e-4)
    assert found.loss_label == Regression.loss_label


@pytest.mark.parametrize("kind", ["regression", "table"])
def test_an_imported_run_is_measured_and_retrained(tmp_path, spec, log, kind):
    task, files = make_task(kind), {}
    for epoch in range(3):
        torch.manual_seed(epoch)
        files[f"e{epoch}.pt"] = tmp_path / f"e{epoch}.pt"
        torch.save(task.network().state_dict(), files[f"e{epoch}.pt"])
    entries = [{"epoch": epoch, "files": [f"e{epoch}.pt"]} for epoch in range(3)]
    made = {"run": "mine", "network": spec["network"], "checkpoints": entries}
    path = tmp_path / "trajectory" / "mine.h5"
    import_run(own(kind), files, "cpu", path, provenance_of(made), log)
    history = load_part(path, Trajectory, "history")
    assert history.steps is None
    assert np.isfinite(history.train_loss).all()
    assert np.isfinite(history.train_accuracy).all() == (kind == "table")
    jumped = spec | {"step_sizes": [0.5], "epochs": 2, "ignore": "bias_bn", "direction": 4}
    target = tmp_path / "jumps" / "mine-d4.h5"
    minimum = load_minimum(path)
    jump_and_retrain(own(kind), minimum, {target: provenance_of(jumped)}, "cpu", log)
    jumps = load(target, Jumps)
    assert jumps.train_loss[0, -1] < jumps.train_loss[0, 0]
    np.testing.assert_array_equal(
        jumps.thetas[0, 0], minimum["thetas"] + np.float32(0.5) * jumps.direction
    )


def test_batches_of_any_structure_are_moved():
    class Encoding:
        def to(self, device):
            return f"on {device}"

    batch = {"a": [torch.ones(2), ("word", 3)], "b": Encoding()}
    found = move(batch, "cpu")
    assert torch.equal(found["a"][0], batch["a"][0])
    assert (found["a"][1], found["b"]) == (("word", 3), "on cpu")


class Scalar(Regression):
    def loss(self, network, batch):
        return super().loss(network, batch).mean()


class PerToken(Table):
    def loss(self, network, batch):
        return network(batch[0]) ** 2


class NotFinite(Regression):
    def loss(self, network, batch):
        return super().loss(network, batch) / 0.0


class Detached(Regression):
    def loss(self, network, batch):
        return super().loss(network, batch).detach()


class Integers(Regression):
    def loss(self, network, batch):
        return super().loss(network, batch).long()


class Fails(Regression):
    def loss(self, network, batch):
        return network(batch["inputs"])


class Unseeded(Regression):
    def batches(self, split):
        return [{"x": torch.randn(4, 3), "y": torch.zeros(4)}]


class Shuffled(Regression):
    def __init__(self, seed=0):
        self.generator = torch.Generator().manual_seed(0)

    def batches(self, split):
        return [self.draw(self.generator)]


class Nothing(Regression):
    def batches(self, split):
        return []


class OneTensor(Regression):
    def batches(self, split):
        return torch.zeros(4, 3)


class InPlace(Regression):
    def loss(self, network, batch):
        batch["x"].mul_(1.1)
        return super().loss(network, batch)


class Unlabeled(Regression):
    loss_label = None


class Shared(Regression):
    def __init__(self, seed=0):
        super().__init__(seed)
        self.kept = nn.Linear(3, 1)

    def network(self):
        return self.kept


class Forgetful(Regression):
    network = None


class NoModule(Regression):
    def network(self):
        return nn.Linear


class ShortMeasure(Regression):
    def measures(self, network, batch):
        return {"accuracy": torch.ones(3)}


class NoMapping(Regression):
    def measures(self, network, batch):
        return torch.ones(10)


class Outside(Regression):
    """Its loss has a parameter that no network holds."""

    def __init__(self, seed=0):
        super().__init__(seed)
        self.scale = nn.Parameter(torch.ones(()))

    def loss(self, network, batch):
        return super().loss(network, batch) * self.scale


class Drawing(Regression):
    def loss(self, network, batch):
        return super().loss(network, batch) + torch.rand(10)


class LaterBatch(Regression):
    """Its third batch has another shape of loss."""

    def loss(self, network, batch):
        found = super().loss(network, batch)
        return found.mean() if batch["x"][0, 0] == self.batches("train")[2]["x"][0, 0] else found


REFUSED = {
    Scalar: r"loss: expected a float tensor of shape \(n,\).*got shape \(\); .*reduction='none'",
    PerToken: r"got shape \(12, 3\); average over all other axes",
    NotFinite: "expected finite losses at the initial parameters, got 10 of 10",
    Detached: "losses that depend on trainable parameters",
    Integers: r"got torch.int64; call .float\(\)",
    Fails: "loss: expected the loss of each sample, got KeyError: 'inputs'",
    Unseeded: r"batches\('train'\): expected the same batches at each call, got others; do not",
    Shuffled: r"batches\('train'\): expected the same batches at each call",
    Nothing: r"batches\('train'\): expected at least one batch, got none",
    OneTensor: r"batches\('train'\): expected a list of batches, got Tensor",
    InPlace: "batches that are left alone, got one changed in place; change a copy",
    Unlabeled: "expected loss_label, .*got None; write e.g. loss_label",
    Shared: "a new network at each call, got the same 'weight' again",
    Forgetful: "got a Forgetful without network; define it",
    NoModule: "expected a torch.nn.Module, got the class Linear itself",
    ShortMeasure: r"measures, 'accuracy': expected .*\(10,\).*got shape \(3,\)",
    NoMapping: "measures: expected numbers per sample by name, got a Tensor; return a dict",
    Outside: r"every tensor that can learn among parameters\(\), got one of shape \(\)",
    Drawing: "draws random numbers in evaluation mode",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_fit_is_one_line_with_the_remedy(spec, kind, monkeypatch):
    monkeypatch.setitem(own_tasks.TASKS, "bad", kind)
    with pytest.raises(LossmapError, match=REFUSED[kind]) as refused:
        Run(own("bad"), spec, "cpu")
    assert "own_tasks:make_task" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_landscape_finds_a_batch_that_does_not_fit_before_it_begins(train, monkeypatch, spec, log):
    path = train("regression")
    layout, _ = load_layouts(path)
    with stream(path, Trajectory) as run:
        basis = fit_basis(run["thetas"], run["epochs"][()], 3, layout, {"method": "pca"})
    monkeypatch.setitem(own_tasks.TASKS, "late", LaterBatch)
    how = {"bn_statistics": "batch", "evaluation": {"batches": None, "seed": 0}}
    with pytest.raises(LossmapError, match="reduction='none'"):
        open_surface(path, own("late"), basis, how, "cpu")
    how["evaluation"]["batches"] = 5
    with pytest.raises(LossmapError, match="expected 5 for landscapes, got 4; lower tasks"):
        open_surface(path, own("regression"), basis, how, "cpu")


def test_arguments_and_names_that_do_not_fit_are_named():
    with pytest.raises(LossmapError, match="'arguments' of the task"):
        OwnTask(FACTORY, {"sort": "table"})
    with pytest.raises(LossmapError, match="task factory 'own_tasks:make': expected a function"):
        OwnTask("own_tasks:make", {})


def test_the_seed_of_the_run_decides_the_network_and_nothing_else_is_seeded(spec):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second = (Run(own("table"), spec, "cpu") for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.network.theta, second.network.theta)
    other = Run(own("table"), spec | {"network": spec["network"] | {"seed": 4}}, "cpu")
    assert not torch.equal(first.network.theta, other.network.theta)


def test_a_diverging_task_stops_with_epoch_and_step(spec):
    spec["optimizer"]["lr"] = 1e30
    run = Run(own("regression"), spec, "cpu")
    with pytest.raises(LossmapError, match=r"training of 'mine' diverged: loss is \w+ in epoch 1"):
        run.advance()
