"""Short GPU memory changes no number: a batch in pieces is evaluated as the whole batch is.

Memory is pretended: a layer raises what torch does once it is given more images than a limit.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from lossmap.artifacts.jumps import Jumps
from lossmap.artifacts.store import Provenance, canonical_json, stream
from lossmap.errors import LossmapError
from lossmap.network import jumps, surface, throughput, training
from lossmap.network.images import move_images
from lossmap.network.memory import is_out_of_memory
from lossmap.network.parameters import FlatNetwork
from lossmap.network.pieces import Pieces, forward_in_pieces
from lossmap.network.surface import Surface
from lossmap.network.training import Run, evaluate_accuracy, train_run

STATISTICS = ("batch", "center", "recalibrate")
EVALUATION = {"images": 14, "batch": 10, "seed": 2}  # batches of 10 and 4 images
NETWORKS = {
    "resnet20": {"factory": "lossmap.network.models.resnet:resnet20", "width": 0.125},
    "googlenet": {"factory": "lossmap.network.models.googlenet:googlenet", "width": 0.0625},
}
FULL = "CUDA out of memory. Tried to allocate 20.00 MiB."


@contextmanager
def memory_for(limit: int, layer: nn.Module, training_too: bool = True) -> Iterator[list[int]]:
    """Let a layer have memory for `limit` images; give the sizes of the batches that had none."""
    refused = []

    def refuse(module, arguments):
        if len(arguments[0]) > limit and (training_too or not module.training):
            refused.append(len(arguments[0]))
            raise torch.OutOfMemoryError(FULL)

    hook = layer.register_forward_pre_hook(refuse)
    yield refused
    hook.remove()


def widen(made: Surface) -> None:
    """Let a surface compute in float64, where rounding hides nothing: it stays at its first θ."""
    made.network.module.double()
    made.batches = [(inputs.double(), labels) for inputs, labels in made.batches]


@pytest.fixture
def make_surface(dataset):
    def make(bn_statistics: str, network: str = "resnet20") -> Surface:
        spec = NETWORKS[network] | {"classes": 3, "channels": 3, "seed": 1}
        made = Surface(dataset, spec, EVALUATION, bn_statistics, "cpu")
        generator = torch.Generator().manual_seed(0)
        made.network.buffers.uniform_(0.5, 1.5, generator=generator)  # as after some training
        return made

    return make


@pytest.mark.parametrize(
    ("network", "limit", "size"),
    [("resnet20", 5, 5), ("resnet20", 4, 3), ("resnet20", 1, 1), ("googlenet", 4, 3)],
)
@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_loss_and_accuracy_are_those_of_the_whole_batch(
    make_surface, network, bn_statistics, limit, size
):
    whole, short = (make_surface(bn_statistics, network) for _ in range(2))
    for made in (whole, short):
        widen(made)
    theta = whole.network.theta.clone()
    loss, accuracy = whole.evaluate(theta)
    with memory_for(limit, short.network.module[-1]) as refused:
        found = short.evaluate(theta)
    assert refused[0] == 10
    assert short.pieces.size == size  # 3 does not divide the batches
    assert found == (pytest.approx(loss, rel=1e-10), accuracy)
    torch.testing.assert_close(
        short.network.module.state_dict(), whole.network.module.state_dict(), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_in_single_precision_no_more_than_rounding_differs(make_surface, bn_statistics):
    whole, short = (make_surface(bn_statistics) for _ in range(2))
    theta = whole.network.theta.clone()
    loss, accuracy = whole.evaluate(theta)
    with memory_for(4, short.network.module[-1]):
        found = short.evaluate(theta)
    assert found == (pytest.approx(loss, rel=1e-6), accuracy)


@pytest.mark.parametrize("bn_statistics", ["batch", "recalibrate"])
def test_statistics_of_the_pieces_themselves_would_be_seen(
    make_surface, monkeypatch, bn_statistics
):
    """The tests above can tell: here each piece is normalized by itself."""
    monkeypatch.setattr(
        "lossmap.network.pieces.forward_in_pieces",
        lambda module, inputs, size: torch.cat([module(piece) for piece in inputs.split(size)]),
    )
    whole, short = (make_surface(bn_statistics) for _ in range(2))
    theta = whole.network.theta.clone()
    with memory_for(5, short.network.module[-1]):
        found = short.evaluate(theta)[0]
    assert found != pytest.approx(whole.evaluate(theta)[0], rel=1e-4)


@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_what_fits_is_remembered_and_said_once(make_surface, log, caplog, bn_statistics):
    made = make_surface(bn_statistics)
    theta = made.network.theta.clone()
    with (
        caplog.at_level(logging.INFO, "lossmap"),
        memory_for(3, made.network.module.pool) as refused,
    ):
        first = made.evaluate(theta)
        tries = len(refused)
        assert made.evaluate(theta) == first
    assert tries == len(refused) == 2  # 10 and 5 images
    assert len(caplog.messages) == 1
    assert "evaluates 3 images at a time" in caplog.messages[0]


@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_memory_that_is_full_midway_leaves_nothing_behind(make_surface, bn_statistics):
    """The first layers of a failed attempt have updated their running statistics already."""
    whole, short = (make_surface(bn_statistics) for _ in range(2))
    theta = whole.network.theta.clone()
    with memory_for(5, short.network.module.stage3[0].residual[2]) as refused:
        short.evaluate(theta)
    assert refused
    for batch_norm in (m for m in short.network.module.modules() if isinstance(m, nn.BatchNorm2d)):
        assert "forward" not in vars(batch_norm)
        assert batch_norm.momentum == 0.1
        assert not batch_norm.training
        assert batch_norm.running_mean is not None
    short.pieces.size = 10
    assert short.evaluate(theta) == whole.evaluate(theta)


@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_loss_in_pieces_that_is_not_finite_is_infinite(make_surface, bn_statistics):
    made = make_surface(bn_statistics)
    made.pieces.size = 5
    theta = made.network.theta.clone()
    before = made.evaluate(theta)
    for value in (math.nan, 3e38):
        assert made.evaluate(theta * value)[0] == math.inf
    assert made.evaluate(theta) == before


@pytest.mark.parametrize("bn_statistics", STATISTICS)
def test_single_image_without_memory_is_one_line(make_surface, monkeypatch, bn_statistics):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    made = make_surface(bn_statistics)
    message = "^evaluation: out of memory on GPU 3 with one image at a time; set jobs_per_gpu=1"
    with memory_for(0, made.network.module[-1]), pytest.raises(LossmapError, match=message):
        made.evaluate(made.network.theta.clone())


def test_other_errors_are_not_taken_for_full_memory(make_surface):
    made = make_surface("batch")

    def fail(module, arguments):
        raise RuntimeError("CUDA error: device-side assert triggered")

    made.network.module[-1].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="device-side assert"):
        made.evaluate(made.network.theta.clone())
    assert made.pieces.size == 10


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(FULL),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
    ],
)
def test_full_memory_is_recognized_in_every_form(error):
    assert is_out_of_memory(error)


class Sharing(nn.Module):
    """A network that uses one batch norm twice, once on images and once on vectors."""

    def __init__(self, norm: type = nn.BatchNorm1d):
        super().__init__()
        self.norm = norm(4)

    def forward(self, rows):
        return self.norm(torch.relu(self.norm(rows)) + rows.square())


ROWS = torch.randn((11, 4), generator=torch.Generator().manual_seed(0)) + 3


@torch.no_grad()
@pytest.mark.parametrize("size", [1, 3, 4, 10])
@pytest.mark.parametrize("momentum", [None, 0.3])
def test_running_statistics_follow_as_in_training_mode(size, momentum):
    plain, pieces = Sharing(), Sharing()
    for network in (plain, pieces):
        network.norm.momentum = momentum
    for rows in (ROWS, ROWS.flip(1)):
        found = forward_in_pieces(pieces, rows, size)
        torch.testing.assert_close(found, plain(rows), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pieces.state_dict(), plain.state_dict(), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_norm_without_running_statistics_sees_the_whole_batch():
    network = nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False)).eval()
    found = forward_in_pieces(network, ROWS, 4)
    torch.testing.assert_close(found, network(ROWS))


@torch.no_grad()
def test_fixed_statistics_take_one_pass():
    network = Sharing().eval()
    passes = []
    network.register_forward_pre_hook(lambda module, rows: passes.append(len(rows[0])))
    found = Pieces(4).forward(network, ROWS)
    assert passes == [4, 4, 3]
    torch.testing.assert_close(found, network(ROWS))


class Gated(nn.BatchNorm1d):
    """A batch norm that does more than normalize."""

    def forward(self, input):
        return super().forward(input.sigmoid())


def test_norm_with_a_way_of_its_own_is_refused():
    network = FlatNetwork(Sharing(Gated))
    with (
        network.batch_statistics(),
        pytest.raises(LossmapError, match=r"Gated normalizes in a way of its own.* device=cpu"),
    ):
        forward_in_pieces(network.module, ROWS, 4)


@pytest.mark.parametrize("rows", [None, np.array([4, 0, 9, 7])])
@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_snapshots_are_measured_in_pieces_too(dataset, spec, rows, statistics):
    run = Run(dataset, spec, "cpu")
    run.advance()
    images, pieces = move_images(dataset, "test", "cpu"), Pieces(training.TEST_BATCH)
    loss, accuracy = evaluate_accuracy(run.network, images, rows, statistics)
    with memory_for(3, run.network.module[-1]) as refused:
        found = evaluate_accuracy(run.network, images, rows, statistics, pieces)
    assert refused == ([10, 5] if rows is None else [4])
    assert found == (pytest.approx(loss, rel=1e-6), accuracy)


def test_run_whose_snapshots_are_measured_in_pieces_learns_the_same(dataset, spec):
    whole, short = (Run(dataset, spec, "cpu") for _ in range(2))
    with memory_for(4, short.network.module[-1], training_too=False) as refused:
        for run in (whole, short):
            run.measure()
            run.advance()
            run.measure()
    assert refused == [15, 8]
    assert torch.equal(short.network.theta, whole.network.theta)
    for found, expected in zip(short.measured, whole.measured, strict=True):
        assert found == pytest.approx(expected, rel=1e-6)


def full(*arguments, **keywords):
    raise torch.OutOfMemoryError(FULL)


def test_training_without_memory_is_one_line_and_goes_on_later(
    tmp_path, dataset, spec, log, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    artifact = tmp_path / "trajectory" / "tiny.h5"
    provenance = Provenance(canonical_json(spec), "c0de", {})
    train_epoch = training.train_epoch

    def fill_in_second_epoch(*arguments):
        return full() if arguments[-1] == 1 else train_epoch(*arguments)

    monkeypatch.setattr(training, "train_epoch", fill_in_second_epoch)
    with pytest.raises(LossmapError) as caught:
        train_run(dataset, spec, "cpu", artifact, provenance, log)
    message = str(caught.value)
    assert message.startswith("training of 'tiny' in batches of 12: out of memory on GPU 1; ")
    for remedy in ("jobs_per_gpu=1", "more memory", "device=cpu", "smaller batch_size"):
        assert remedy in message
    assert "goes on from the last saved epoch" in message
    assert "\n" not in message
    assert not artifact.exists()
    monkeypatch.setattr(training, "train_epoch", train_epoch)
    train_run(dataset, spec, "cpu", artifact, provenance, log)
    undisturbed = tmp_path / "undisturbed" / "tiny.h5"
    train_run(dataset, spec, "cpu", undisturbed, provenance, log)
    assert artifact.read_bytes() == undisturbed.read_bytes()


def test_jump_without_memory_names_direction_and_step(tmp_path, dataset, spec, log, monkeypatch):
    spec |= {"direction": 0, "steps": [0.5], "ignore": "bias_bn", "epochs": 1}
    provenance = Provenance(canonical_json(spec), "c0de", {})
    run = Run(dataset, spec, "cpu")
    minimum = run.network.theta.numpy().copy(), run.network.buffers.numpy().copy()
    made = {tmp_path / "jumps" / "tiny-v0.h5": provenance}
    with monkeypatch.context() as patch:
        patch.setattr(training, "train_epoch", full)
        message = r"training of 'tiny-v0 step 0\.5' in batches of 12: out of memory on .*; set jobs"
        with pytest.raises(LossmapError, match=message):
            jumps.jump_and_retrain(dataset, minimum, made, "cpu", log)
    jumps.jump_and_retrain(dataset, minimum, made, "cpu", log)
    with stream(next(iter(made)), Jumps) as file:
        assert file["thetas"].shape[:2] == (1, 2)


def test_images_that_do_not_fit_are_one_line(dataset, spec, monkeypatch):
    for module in (training, surface):
        monkeypatch.setattr(module, "move_images", full)
    message = "^training of 'tiny', before it began: images and network: out of memory on .*; set"
    with pytest.raises(LossmapError, match=message):
        Run(dataset, spec, "cpu")
    network = spec["network"] | {"classes": 3, "channels": 3}
    with pytest.raises(LossmapError, match=r"^evaluation, before it began: .* out of memory"):
        Surface(dataset, network, EVALUATION, "batch", "cpu")


def test_estimate_without_memory_is_one_line(spec, monkeypatch):
    monkeypatch.setattr(throughput, "_seconds_per_call", full)
    network = spec["network"] | {"classes": 3, "channels": 3}
    with pytest.raises(LossmapError, match=r"resnet20 in batches of 4: out of memory on .*; set"):
        throughput.measure_throughput(network, 4, "cpu")
