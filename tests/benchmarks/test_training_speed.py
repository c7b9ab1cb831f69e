"""Images per second of training, beside a DataLoader with torchvision's transforms."""

import pytest
import torch
from plain_loops import Child, alternate, make_epoch, random_dataset, timed
from torch.nn.functional import cross_entropy

from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.factory import build_network
from lossmap.network.images import draw_epoch, take_batch
from lossmap.network.training import Run

ROUNDS = 3
CASES = {
    "resnet20": ("resnet:resnet20", 1.0, 128, False),
    "wide-resnet10-2": ("wide_resnet:wide_resnet10_2", 0.5, 32, False),
    "wide-resnet10-2 distorted": ("wide_resnet:wide_resnet10_2", 0.5, 32, True),
}
"""Network, width, batch, and whether images are rotated and tinted too."""


def make_spec(network: dict, batch: int, distorted: bool) -> dict:
    augmentation = {
        **{"flip": True, "crop_padding": 4, "rotation": 45 if distorted else 0},
        "color_jitter": [0.4, 0.4, 0.4, 0.1] if distorted else None,
    }
    rule = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4}
    return {
        **{"run": "bench", "network": network, "seed": 0, "epochs": 1, "batch_size": batch},
        **{"optimizer": rule, "schedule": {"name": "constant"}, "augmentation": augmentation},
        "metrics": {"images": 100},
    }


def check_same_numbers(dataset, spec: dict) -> None:
    """Compare the losses of an epoch with those of a plain loop over the same batches."""
    run = Run(dataset, spec, "cpu")
    module = build_network(**spec["network"], classes=10, channels=3).train()
    rule = {name: value for name, value in spec["optimizer"].items() if name != "name"}
    optimizer = torch.optim.SGD(module.parameters(), **rule)
    plan = draw_epoch(run.feed.images, spec["seed"], 0, spec["augmentation"])
    expected = []
    for start in range(0, len(run.feed), spec["batch_size"]):
        batch = slice(start, start + spec["batch_size"])
        inputs, labels = take_batch(run.feed.images, plan, batch)
        optimizer.zero_grad()
        loss = cross_entropy(module(inputs.contiguous()), labels)
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    found = run.trainer.train(spec, 0)
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_an_epoch(benchmark, capsys, case, threads):
    factory, width, batch, distorted = CASES[case]
    network = {"factory": f"lossmap.network.models.{factory}", "width": width, "seed": 0}
    fix_arithmetic(threads, "cpu")
    dataset = random_dataset()
    spec = make_spec(network, batch, distorted)
    check_same_numbers(dataset, spec)
    run = Run(dataset, spec, "cpu")

    def ours() -> None:
        run.trainer.train(spec, 0)

    options = (
        *(network | {"classes": 10, "channels": 3}, dataset.train_images, dataset.train_labels),
        *(distorted, batch, threads),
    )
    with Child(make_epoch, *options, 0) as alone, Child(make_epoch, *options, 2) as helped:
        found, plain, workers = alternate(
            ROUNDS, lambda: timed(ours), lambda: alone()[0], lambda: helped()[0]
        )
    benchmark.extra_info.update(ratio=plain / found, ratio_two_workers=workers / found)
    benchmark.pedantic(ours, rounds=2)
    count = len(dataset.train_labels)
    with capsys.disabled():
        print(
            f"\ntraining, {case}, {threads} threads: {count / found:.0f} images/s; plain "
            f"{count / plain:.0f}, ratio {plain / found:.2f}; plain with two loading processes "
            f"{count / workers:.0f}, ratio {workers / found:.2f}"
        )
