"""What a network is for: its data, its loss and its measures, as one object.

Whatever trains or evaluates a network speaks to a `Task` and knows neither images nor labels.
There are two: `classification.ImageClassification`, which a data set makes, and
`own_task.OwnTask`, which a user's object makes.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from lossmap.network.parameters import FlatNetwork

Batch = Any
"""Whatever the loss of a task understands, on the device."""
Forward = Callable[..., Any]


class Feed(Protocol):
    """The batches of training.

    Attributes
    ----------
    sizes : of the batch of each update; None where the batches are not drawn by size
    unit : what ``len`` counts
    static : batches are computed on tensors that stay where they are, so that an update that takes
        one can be captured
    """

    sizes: list[int | None]
    unit: str
    static: bool

    def __len__(self) -> int:
        """Return how much an epoch is."""

    def begin(self, spec: dict, epoch: int) -> None:
        """Draw an epoch as a function of ``spec["seed"]`` and its number alone."""

    def take(self, number: torch.Tensor, size: int | None) -> Batch:
        """Return the batch of an update, counted from 0 by a tensor on the device."""


class Training(NamedTuple):
    """What a run is trained and measured on."""

    feed: Feed
    train: Iterable[Batch]
    test: Iterable[Batch] | None
    trial: Batch
    """A batch on which the network is tried."""


class Task(Protocol):
    """Data, loss and measures.

    Attributes
    ----------
    loss_label : what the loss is called in figures, with its unit; None for `LOSS_LABEL`
    """

    loss_label: str | None

    def create_network(
        self, spec: dict, device: str, batch_size: int | None = None, *, trains: bool = False
    ) -> FlatNetwork:
        """Return the network that a specification describes, once another one like it was tried.

        Parameters
        ----------
        spec : of a network, with its ``seed``
        device : ``cpu`` or ``cuda``
        batch_size : of the training
        trains : whether it will be trained, and not only looked at

        Raises
        ------
        LossmapError
            The data, the network or the loss are not what the workflow can work with.
        """

    def open_training(self, spec: dict, device: str) -> Training:
        """Return what a run is trained and measured on; `spec` is that of the run."""

    def open_measured(
        self, spec: dict, device: str
    ) -> tuple[Iterable[Batch], Iterable[Batch] | None]:
        """Return the training and the test batches that the snapshots of a run are measured on."""

    def has(self, split: str) -> bool:
        """Tell whether there are data of ``train`` or ``test``."""

    def open_evaluation(
        self,
        evaluation: dict,
        bn_statistics: str,
        device: str,
        precision: str,
        split: str = "train",
    ) -> list[Batch]:
        """Return the fixed batches of a landscape."""

    def count(self, network: FlatNetwork, batches: list[Batch]) -> int:
        """Return how many samples some batches hold."""

    def prepare(self, network: nn.Module, batches: list[Batch]) -> Forward:
        """Return what is faster than a network in evaluation mode, and computes the same."""

    def loss(self, network: Forward, batch: Batch, reduction: str = "mean") -> torch.Tensor:
        """Return the loss of a batch: its ``mean`` or ``sum``, or with ``none`` each sample's."""

    def measure(self, network: Forward, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return loss and accuracy of each sample, (n,) each; NaN where there is no accuracy."""
