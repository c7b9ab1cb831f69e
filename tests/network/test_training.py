"""A run learns as a plain PyTorch loop does, and records what it learned exactly."""

import logging
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load_part, stream
from lossmap.artifacts.trajectory import Trajectory, load_layouts
from lossmap.errors import LossmapError
from lossmap.network.classification import MeasuredImages
from lossmap.network.factory import build_network
from lossmap.network.images import draw_epoch, move_images, take_batch
from lossmap.network.trainer import divergence, learning_rate
from lossmap.network.training import Run, evaluate_batches, train_run


def plain_network(spec) -> nn.Module:
    return build_network(**spec["network"], classes=3, channels=3)


def plain_optimizer(network, spec) -> torch.optim.Optimizer:
    options = {name: value for name, value in spec["optimizer"].items() if name != "name"}
    return torch.optim.SGD(network.parameters(), **options)


def parameters_of(network) -> torch.Tensor:
    return nn.utils.parameters_to_vector(network.parameters()).detach()


def buffers_of(network) -> torch.Tensor:
    floating = [b.reshape(-1) for _, b in network.named_buffers() if b.is_floating_point()]
    return torch.cat(floating)


def train_plainly(network, optimizer, images, spec, epoch: int) -> list[float]:
    """Train one epoch on the batches that the run sees."""
    plan = draw_epoch(images, spec["seed"], epoch, spec["augmentation"])
    losses = []
    network.train()
    for start in range(0, len(images), spec["batch_size"]):
        inputs, labels = take_batch(images, plan, slice(start, start + spec["batch_size"]))
        optimizer.zero_grad()
        loss = cross_entropy(network(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train(folder: Path, dataset, spec, log, name: str = "tiny") -> Path:
    artifact = folder / "trajectory" / f"{name}.h5"
    provenance = Provenance(canonical_json(spec), "c0de", {})
    train_run(dataset, spec, "cpu", artifact, provenance, log)
    return artifact


def test_epochs_equal_a_plain_loop(dataset, spec):
    spec["schedule"] = {"name": "steps", "milestones": [1], "factor": 0.5}
    run = Run(dataset, spec, "cpu")
    plain = plain_network(spec)
    optimizer = plain_optimizer(plain, spec)
    for epoch, lr in enumerate((0.1, 0.05)):
        optimizer.param_groups[0]["lr"] = lr
        expected = train_plainly(plain, optimizer, run.feed.images, spec, epoch)
        found = run.trainer.train(spec, epoch)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    torch.testing.assert_close(run.network.theta, parameters_of(plain), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(run.network.buffers, buffers_of(plain), rtol=1e-3, atol=1e-4)


def test_last_batch_holds_the_rest_of_the_images(dataset, spec):
    run = Run(dataset, spec, "cpu")
    run.advance()
    assert len(run.iteration_loss) == 3  # 12 + 12 + 6 images


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"name": "constant"}, [0.8] * 6),
        (
            {"name": "steps", "milestones": [2, 5], "factor": 0.5},
            [0.8, 0.8, 0.4, 0.4, 0.4, 0.2],
        ),
        ({"name": "steps", "milestones": [], "factor": 0.1}, [0.8] * 6),
    ],
)
def test_schedule_falls_at_its_milestones(schedule, expected):
    assert [learning_rate(schedule, 0.8, epoch) for epoch in range(6)] == pytest.approx(expected)


@pytest.mark.parametrize("rows", [None, np.array([4, 0, 9])])
@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_measured_loss_and_accuracy_equal_a_plain_evaluation(dataset, spec, rows, statistics):
    run = Run(dataset, spec, "cpu")
    run.advance()
    plain = plain_network(spec)
    plain.load_state_dict(run.network.module.state_dict())
    plain.train(statistics == "batch")
    images = move_images(dataset, "test", "cpu")
    chosen = range(10) if rows is None else rows.tolist()
    with torch.no_grad():
        logits = plain(images.normalize(images.pixels[list(chosen)]))
    labels = torch.from_numpy(dataset.test_labels[list(chosen)])
    buffers = run.network.buffers.clone()
    loss, accuracy = evaluate_batches(
        run.network, run.task, MeasuredImages(images, rows), statistics
    )
    assert loss == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-5)
    assert accuracy == pytest.approx((logits.argmax(1) == labels).double().mean().item())
    assert torch.equal(run.network.buffers, buffers)


def test_first_snapshot_is_the_initialization(tmp_path, dataset, spec, log):
    plain = plain_network(spec)
    with stream(train(tmp_path, dataset, spec, log), Trajectory) as run:
        np.testing.assert_array_equal(run["thetas"][0], parameters_of(plain))
        np.testing.assert_array_equal(run["buffers"][0], buffers_of(plain))
        assert run["steps"][0] == run["epochs"][0] == 0


def test_artifact_records_every_snapshot(tmp_path, dataset, spec, log):
    artifact = train(tmp_path, dataset, spec, log)
    run = Run(dataset, spec, "cpu")
    history = load_part(artifact, Trajectory, "history")
    with stream(artifact, Trajectory) as file:
        thetas, buffers = file["thetas"][()], file["buffers"][()]
    np.testing.assert_array_equal(history.epochs, [0, 1, 2, 3])
    np.testing.assert_array_equal(history.steps, [0, 3, 6, 9])
    np.testing.assert_allclose(
        history.theta_norm, np.linalg.norm(thetas.astype(np.float64), axis=1), rtol=1e-12
    )
    for epoch in range(3):
        run.advance()
        np.testing.assert_array_equal(thetas[epoch + 1], run.network.theta)
        np.testing.assert_array_equal(buffers[epoch + 1], run.network.buffers)
    np.testing.assert_array_equal(history.iteration_loss, run.iteration_loss)
    loss, accuracy = evaluate_batches(run.network, run.task, run.measures.test, "running")
    assert (history.test_loss[-1], history.test_accuracy[-1]) == (loss, accuracy)
    assert load_layouts(artifact) == (run.network.layout, run.network.buffer_layout)


@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [(4, 2, [0, 2, 4]), (5, 2, [0, 2, 4, 5]), (2, 9, [0, 2]), (0, 1, [0])],
)
def test_snapshots_are_taken_every_few_epochs_and_at_the_end(
    tmp_path, dataset, spec, log, epochs, every, expected
):
    history = load_part(
        train(tmp_path, dataset, spec | {"epochs": epochs, "snapshot_every": every}, log),
        Trajectory,
        "history",
    )
    np.testing.assert_array_equal(history.epochs, expected)
    np.testing.assert_array_equal(history.steps, 3 * np.array(expected))
    assert len(history.iteration_loss) == 3 * epochs


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_same_recipe_gives_the_same_bytes(tmp_path, dataset, spec, log, optimizer):
    if optimizer == "adam":
        spec["optimizer"] = {"name": "adam", "lr": 0.01, "weight_decay": 0.0}
    first, again = (
        train(tmp_path / folder, dataset, spec, log).read_bytes() for folder in ("a", "b")
    )
    assert first == again


def test_other_seeds_give_other_runs(tmp_path, dataset, spec, log):
    found = []
    for name, change in {"a": {}, "b": {"seed": 6}}.items():
        with h5py.File(train(tmp_path, dataset, spec | change, log, name)) as file:
            found.append(file["thetas"][()])
    np.testing.assert_array_equal(found[0][0], found[1][0])  # the network has its own seed
    assert not np.array_equal(found[0][1], found[1][1])


def test_training_lowers_the_loss(tmp_path, dataset, spec, log):
    spec |= {"epochs": 8}
    spec["augmentation"] |= {"flip": False, "crop_padding": 0}
    history = load_part(train(tmp_path, dataset, spec, log), Trajectory, "history")
    assert history.iteration_loss[-3:].mean() < 0.8 * history.iteration_loss[:3].mean()


def files_below(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_finished_run_leaves_nothing_but_its_artifact(tmp_path, dataset, spec, log):
    train(tmp_path, dataset, spec, log)
    assert files_below(tmp_path) == ["tiny.h5"]


@pytest.mark.parametrize("lr", [1e30, 1e19])
def test_divergence_names_run_epoch_and_step_and_writes_no_artifact(
    tmp_path, dataset, spec, log, lr
):
    spec["optimizer"] = spec["optimizer"] | {"lr": lr}
    run = Run(dataset, spec, "cpu")
    plain = plain_network(spec)
    optimizer = plain_optimizer(plain, spec)
    losses = np.concatenate(
        [train_plainly(plain, optimizer, run.feed.images, spec, epoch) for epoch in range(3)]
    )
    step = int(np.flatnonzero(~np.isfinite(losses))[0]) + 1
    where = f"in epoch {(step - 1) // 3 + 1}, step {step};"
    with pytest.raises(LossmapError, match=r"^training of 'tiny' diverged: loss is ") as caught:
        train(tmp_path, dataset, spec, log)
    assert where in str(caught.value)
    assert "lower optimizer.lr" in str(caught.value)
    assert not list((tmp_path / "trajectory").glob("*"))


def test_diverged_run_lets_go_of_its_resume_point(tmp_path, dataset, spec, log):
    spec["optimizer"] = spec["optimizer"] | {"lr": 1e30}
    errors = []  # kept: an error that lives holds the frames it came through
    for _ in range(2):
        with pytest.raises(LossmapError, match="diverged") as caught:
            train(tmp_path, dataset, spec, log)
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])


def test_divergence_in_the_last_update_is_an_error_too(tmp_path, dataset, spec, log):
    spec |= {"epochs": 1, "batch_size": 30}
    spec["optimizer"] = spec["optimizer"] | {"lr": 1e38, "weight_decay": 1e3}
    with pytest.raises(LossmapError, match="training of 'tiny' diverged"):
        train(tmp_path, dataset, spec, log)


@pytest.mark.parametrize(
    ("optimizer", "named"),
    [
        (
            {},
            "weight_decay (now 60), which times the learning rate is 6 and from 3.8 on",
        ),
        ({"nesterov": True}, "from 1.35714 on makes the parameters grow by itself"),
        ({"momentum": 0.0}, "from 2 on"),
    ],
)
def test_divergence_by_weight_decay_names_it(tmp_path, dataset, spec, log, optimizer, named):
    spec |= {"epochs": 60, "batch_size": 5}
    spec["optimizer"] |= {"weight_decay": 60.0} | optimizer
    with pytest.raises(LossmapError, match="training of 'tiny' diverged") as caught:
        train(tmp_path, dataset, spec, log)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("optimizer", "schedule", "named"),
    [
        ({"weight_decay": 18.9}, {"name": "constant"}, False),  # half of the bound is 1.9
        ({"weight_decay": 19.1}, {"name": "constant"}, True),
        ({"weight_decay": 1.0}, {"name": "steps", "milestones": [2], "factor": 20.0}, False),
        ({"weight_decay": 1.0}, {"name": "steps", "milestones": [1], "factor": 20.0}, True),
        ({"name": "adam", "weight_decay": 1e9}, {"name": "constant"}, False),
        ({"weight_decay": 0.0}, {"name": "constant"}, False),
    ],
)
def test_weight_decay_is_named_where_it_can_have_done_it(spec, optimizer, schedule, named):
    spec["optimizer"] |= optimizer
    line = str(divergence(spec | {"schedule": schedule}, np.nan, 2, 4))
    assert ("lower optimizer.weight_decay" in line) is named
    assert "lower optimizer.lr (now 0.1)" in line


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_parameters_grow_by_weight_decay_alone_from_the_named_product_on(spec, momentum, nesterov):
    spec["optimizer"] |= {"momentum": momentum, "nesterov": nesterov}
    spec["optimizer"]["weight_decay"] = 1e9
    bound = float(str(divergence(spec, np.inf, 1, 1)).partition(" and from ")[2].split()[0])
    for share, grows in ((0.99, False), (1.01, True)):
        theta = nn.Parameter(torch.ones(1))
        options = {"lr": 0.1, "momentum": momentum, "nesterov": nesterov}
        optimizer = torch.optim.SGD([theta], weight_decay=share * bound / 0.1, **options)
        for _ in range(2000):
            theta.grad = torch.zeros(1)
            optimizer.step()
        assert (not abs(theta.item()) < 1) is grows  # it may have overflowed to NaN


@pytest.mark.parametrize(
    ("extra", "remedy"),
    [({}, "initialize the network otherwise"), ({"step_sizes": [1.0]}, "smaller step_sizes")],
)
def test_a_start_without_a_finite_loss_does_not_blame_the_rate(spec, extra, remedy):
    line = str(divergence(spec | extra, np.inf, 0, 0))
    assert line.endswith(remedy)
    assert "optimizer.lr" not in line


def test_more_measured_images_than_there_are_names_the_number(dataset, spec):
    spec["metrics"] = {"images": 31}
    with pytest.raises(LossmapError, match=r"metrics.images: 31, but .* 30 training images"):
        Run(dataset, spec, "cpu")


def test_every_epoch_is_a_line_for_people(tmp_path, dataset, spec, log, caplog):
    with caplog.at_level(logging.INFO):
        train(tmp_path, dataset, spec, log)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[1].startswith("tiny epoch 2/3  loss ")
    assert lines[2].endswith(" images/s  0:00 left")


DROPOUT = """
from torch import nn

def dropping(*, classes, channels, width):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64 * channels, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(8, classes),
    )
"""


def test_network_with_dropout_trains_to_the_same_bytes(tmp_path, dataset, spec, log, monkeypatch):
    (tmp_path / "dropping_net.py").write_text(DROPOUT)
    monkeypatch.syspath_prepend(tmp_path)
    spec["network"] = spec["network"] | {"factory": "dropping_net:dropping"}
    first, again = (
        train(tmp_path / folder, dataset, spec, log).read_bytes() for folder in ("a", "b")
    )
    assert first == again
