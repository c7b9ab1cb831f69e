"""Classification of images by cross-entropy: the task that every data set makes.

The only place that knows of labels, logits and the loss between them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lossmap.artifacts.dataset import Dataset
from lossmap.network.folding import fold_batch_norms
from lossmap.network.images import (
    Epoch,
    Images,
    choose_balanced,
    draw_epoch,
    move_images,
    take_batch,
    use_moments,
)
from lossmap.network.parameters import FlatNetwork, create_network, describe_network
from lossmap.network.task import Forward, Task, Training

CPU_BATCH = 100
"""Images at a time on a CPU where batches do not matter: a layer's output stays in the cache."""
TEST_BATCH = 500
"""Images per batch when a snapshot is measured; changes nothing but the last bits."""
TRIAL_BATCH = 16
"""Images at most that pass before training begins, to see whether the network repeats itself."""
Labeled = tuple[torch.Tensor, torch.Tensor]
"""Inputs and labels, on the device."""


class Classification:
    """Cross-entropy (nats) and accuracy over any batches of inputs and labels."""

    loss_label = None

    def loss(self, network: Forward, batch: Labeled, reduction: str = "mean") -> torch.Tensor:
        """As `Task.loss`."""
        inputs, labels = batch
        return cross_entropy(network(inputs), labels, reduction=reduction)

    def measure(self, network: Forward, batch: Labeled) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Task.measure`."""
        inputs, labels = batch
        logits = network(inputs)
        return cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels

    def count(self, network: FlatNetwork, batches: list[Labeled]) -> int:
        """As `Task.count`."""
        return sum(len(labels) for _, labels in batches)

    def prepare(self, network: nn.Module, batches: list[Labeled]) -> nn.Module:
        """Return the network with its batch norms folded."""
        return fold_batch_norms(network, batches[0][0][:2])


class ImageClassification(Classification):
    """The images of a data set, normalized as a run says.

    Parameters
    ----------
    dataset : images and labels
    spec : of a run; with ``normalize`` its own mean and deviation are used
    """

    def __init__(self, dataset: Dataset, spec: Mapping):
        self.dataset = use_moments(dataset, spec)

    def create_network(
        self, spec: dict, device: str, batch_size: int | None = None, *, trains: bool = False
    ) -> FlatNetwork:
        """As `Task.create_network`; a network that is trained has a batch size."""
        described = describe_network(spec, self.dataset)
        return create_network(described, device, self.dataset, batch_size)

    def open_training(self, spec: dict, device: str) -> Training:
        """Return augmented images in shuffled batches, and plain ones to measure."""
        padding = spec["augmentation"]["crop_padding"]
        rows = self._choose_measured(spec["metrics"], spec["seed"])
        precision = spec.get("precision", "float32")
        images = move_images(self.dataset, "train", device, padding, precision)
        plain = images if padding == 0 else move_images(self.dataset, "train", device)
        few = min(TRIAL_BATCH, spec["batch_size"], len(plain))
        return Training(
            ShuffledImages(images, spec["batch_size"]),
            MeasuredImages(plain, rows),
            self._open_test(device),
            (plain.normalize(plain.pixels[:few]), plain.labels[:few]),
        )

    def open_measured(
        self, spec: dict, device: str
    ) -> tuple["MeasuredImages", "MeasuredImages | None"]:
        """Return all images, or as many training images as ``metrics`` says; None without test."""
        rows = self._choose_measured(spec["metrics"], spec["network"]["seed"])
        train = move_images(self.dataset, "train", device)
        return MeasuredImages(train, rows), self._open_test(device)

    def _open_test(self, device: str) -> "MeasuredImages | None":
        if not self.has("test"):
            return None
        return MeasuredImages(move_images(self.dataset, "test", device))

    def _choose_measured(self, metrics: Mapping | None, seed: int) -> np.ndarray | None:
        if not metrics:
            return None
        return choose_balanced(self.dataset.train_labels, metrics["images"], seed, "metrics.images")

    def has(self, split: str) -> bool:
        """As `Task.has`."""
        return len(self._labels(split)) > 0

    def _labels(self, split: str) -> np.ndarray:
        return getattr(self.dataset, f"{split}_labels")

    def open_evaluation(
        self,
        evaluation: dict,
        bn_statistics: str,
        device: str,
        precision: str,
        split: str = "train",
    ) -> list[Labeled]:
        """Return a fixed, class-balanced subset of the images, not augmented.

        `evaluation` has ``images``, ``batch`` and ``seed``. Of test images there are as many as of
        training images, as far as there are.
        """
        batch, labels, count = evaluation["batch"], self._labels(split), evaluation["images"]
        if split == "test":
            count = min(count, len(labels))
            count -= count % batch == 1  # batch norm has no average over a batch of one
        if bn_statistics in ("center", "initial") and device == "cpu":
            batch = min(batch, CPU_BATCH)
        rows = choose_balanced(labels, count, evaluation["seed"])
        images = move_images(self.dataset, split, device, precision=precision)
        chosen = torch.from_numpy(rows).to(device).split(batch)
        return [(images.normalize(images.pixels[r]), images.labels[r]) for r in chosen]


@dataclass
class MeasuredImages:
    """Batches of plain images, made one after the other; all images, or some rows of them."""

    images: Images
    rows: np.ndarray | None = None

    def __iter__(self) -> Iterator[Labeled]:
        """Yield normalized images and labels."""
        images, rows = self.images, self.rows
        chosen = torch.arange(len(images)) if rows is None else torch.from_numpy(rows)
        for part in _split(chosen.to(images.labels.device)):
            yield images.normalize(images.pixels[part]), images.labels[part]


def _split(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return batches of images; none holds a single one, over which batch norm has no average."""
    return rows.split(next(s for s in count(TEST_BATCH) if len(rows) % s != 1 or len(rows) == 1))


class ShuffledImages:
    """Batches of augmented images in an order of their own in each epoch."""

    unit, static = "images", True

    def __init__(self, images: Images, batch_size: int):
        self.images, self._batch_size = images, batch_size
        whole, rest = divmod(len(images), batch_size)
        self.sizes = [batch_size] * whole + [rest] * (rest > 0)
        self._plan: Epoch | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def begin(self, spec: dict, epoch: int) -> None:
        """Put the plan of an epoch where `take` looks for it: where the first one was."""
        plan = draw_epoch(self.images, spec["seed"], epoch, spec["augmentation"])
        if self._plan is None:
            self._plan = plan
            return
        for name, values in vars(plan).items():
            if values is not None:
                getattr(self._plan, name).copy_(values)

    def take(self, number: torch.Tensor, size: int) -> Labeled:
        """As `Feed.take`."""
        start = self._batch_size * number
        batch = start + torch.arange(size, device=start.device)
        return take_batch(self.images, self._plan, batch)


def as_task(data: Dataset | Task, spec: Mapping) -> Task:
    """Return what a run is made from as a task: a data set is there to be classified."""
    return ImageClassification(data, spec) if isinstance(data, Dataset) else data
