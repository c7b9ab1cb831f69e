"""Work that is called and work that is replayed are one function of tensors that stay in place.

Without a GPU a recording that calls the work stands in for the graph.
"""

import numpy as np
import pytest
import torch

from lossmap.network import capture
from lossmap.network.capture import Replayed
from lossmap.network.images import draw_epoch
from lossmap.network.optimizers import Sgd
from lossmap.network.trainer import Trainer
from lossmap.network.training import Run


def test_rehearsals_leave_no_trace(recordings):
    total = torch.zeros(3)
    work = Replayed(lambda: total.add_(1.0), [total])
    for calls in range(1, 4):
        work()
        assert total.tolist() == [calls] * 3
    assert work.captured
    assert recordings[0].replays == 3


def test_disabled_capture_calls_the_work(recordings):
    total = torch.zeros(1)
    work = Replayed(lambda: total.add_(1.0), [total])
    with capture.disabled():
        work()
    assert not recordings
    work()
    with capture.disabled():
        work()
    assert (total.item(), recordings[0].replays) == (3.0, 1)


@pytest.mark.parametrize("cause", ["waits", "cannot be recorded", "draws", "changes"])
def test_work_that_cannot_be_captured_goes_on_eagerly(recordings, monkeypatch, caplog, cause):
    total, calls = torch.zeros(1), []

    def fail(*_):
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    def add():
        calls.append(None)
        if cause == "draws":
            torch.rand(1)
        total.add_(len(calls) if cause == "changes" else 1.0)

    if cause == "waits":
        monkeypatch.setattr(capture, "_no_waiting", fail)
    if cause == "cannot be recorded":
        monkeypatch.setattr(capture, "_record", fail)
    work = Replayed(add, [total])
    with caplog.at_level("INFO", "lossmap"):
        work()
        before = len(calls)
        work()
    assert not work.captured
    assert len(calls) == before + 1
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("not captured as a CUDA graph, runs eagerly: ")
    if cause != "changes":
        assert total.item() == 2.0


def test_replayed_training_is_called_training_to_the_last_bit(recordings, dataset, spec):
    spec["augmentation"] |= {"rotation": 15, "color_jitter": [0.4, 0.4, 0.4, 0.1]}
    spec["schedule"] = {"name": "steps", "milestones": [1], "factor": 0.5}
    with capture.disabled():
        eager = Run(dataset, spec, "cpu")
        for _ in range(2):
            eager.advance()
    replayed = Run(dataset, spec, "cpu")
    for _ in range(2):
        replayed.advance()
    assert len(recordings) == 2  # whole batches, and the smaller last one
    np.testing.assert_array_equal(replayed.iteration_loss, eager.iteration_loss)
    for found, expected in zip(replayed.network.state(), eager.network.state(), strict=True):
        assert torch.equal(found, expected)


def test_an_update_reads_only_tensors_that_stay_in_place(dataset, spec):
    """What a graph would see: the plan of another epoch, put where the first one was."""
    run = Run(dataset, spec, "cpu")
    trainer: Trainer = run.trainer
    trainer.train(spec, 0)
    places = {n: t.data_ptr() for n, t in vars(trainer.feed._plan).items() if t is not None}
    trainer.train(spec, 1)
    plan = draw_epoch(run.feed.images, spec["seed"], 1, spec["augmentation"])
    assert torch.equal(trainer.feed._plan.order, plan.order)
    assert places == {n: t.data_ptr() for n, t in vars(trainer.feed._plan).items() if t is not None}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_capturable_steps_are_those_of_torch_optim(momentum, nesterov):
    options = {"lr": 0.1, "momentum": momentum, "weight_decay": 1e-2}
    options["nesterov"] = nesterov and momentum > 0
    theta, gradient = torch.randn(50), torch.zeros(50)
    plain = torch.nn.Parameter(theta.clone())
    plain.grad = gradient
    found = Sgd(theta, gradient, **options, capturable=True)
    expected = torch.optim.SGD([plain], **options)
    for lr in (0.1, 0.1, 0.02):
        gradient.normal_()
        found.lr = expected.param_groups[0]["lr"] = lr
        found.step()
        expected.step()
        torch.testing.assert_close(theta, plain.detach(), rtol=1e-6, atol=1e-7)
