"""A user's own task: any network, any data, any loss, from what ``module:function`` returns.

Owns the contract with such an object, finds out before anything is computed where it does not keep
it, and words every breach. What its batches are, only its own loss knows.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.store import load
from lossmap.code.running import check_what_ran
from lossmap.errors import LossmapError, kind_and_reason
from lossmap.logs import logger
from lossmap.network.factory import (
    call_factory,
    check_network,
    import_factory,
    seed_initialization,
)
from lossmap.network.images import epoch_generator
from lossmap.network.memory import is_out_of_memory
from lossmap.network.parameters import FlatNetwork
from lossmap.network.randomness import python_states, seed_generators, set_python_states
from lossmap.network.state import freeze
from lossmap.network.task import Batch, Forward, Task, Training
from lossmap.network.trial import Update, check_repeatable

SPLITS = ("train", "test")
METHODS = {
    "network": "network()",
    "batches": "batches(split)",
    "loss": "loss(network, batch)",
}
"""What every task has, and how it is called."""
ACCURACY = "accuracy"
"""The measure that is kept, where a task has it."""


class OwnTask:
    """The task that a user's function returns.

    Parameters
    ----------
    factory : ``module.path:function``
    arguments : keywords that it is called with; it returns an object with ``loss_label``,
        ``network()``, ``batches(split)``, ``loss(network, batch)`` and perhaps
        ``measures(network, batch)``

    Raises
    ------
    LossmapError
        The function cannot be found or fails, or its object lacks something.
    """

    def __init__(self, factory: str, arguments: Mapping):
        self.factory, self._name = factory, f"task factory {factory!r}"
        self._make = partial(_make, factory, arguments)
        self._given = self._make(seed=0)
        self._read: dict[str, list[Batch]] = {}
        self._has_accuracy = hasattr(self._given, "measures")
        check_what_ran()

    @classmethod
    def of(cls, given: object) -> "OwnTask":
        """Return the task that an object is; of its data and networks nothing is asked.

        Raises
        ------
        LossmapError
            It has no loss, or no words for it.
        """
        task, name = cls.__new__(cls), f"task {type(given).__name__}"
        check_task(given, name, ("loss",))
        task.factory, task._name, task._given = name, name, given
        task._has_accuracy = hasattr(given, "measures")
        return task

    @property
    def loss_label(self) -> str:
        """What the loss is called in figures."""
        return self._given.loss_label

    def create_network(
        self, spec: dict, device: str, batch_size: int | None = None, *, trains: bool = False
    ) -> FlatNetwork:
        """As `Task.create_network`; the task has its own idea of batches."""
        self._check_batches()
        module, again = (self._build(spec["seed"]) for _ in range(2))
        check_repeatable(module, again, self._network_name)
        self._try(again.to(device), trains)
        return FlatNetwork(module, device)

    @property
    def _network_name(self) -> str:
        return f"{self.factory}().network"

    def _build(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            seed_initialization(seed)
            network = self._call("network", "a network", self._given.network)
        check_what_ran()
        check_network(network, self._network_name)
        return network

    def _call(self, what: str, expected: str, function: Callable, *given: object) -> Any:
        """Return what a function of the user's returns; raises LossmapError whatever it raises."""
        try:
            return function(*given)
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error) or isinstance(error, LossmapError):
                raise
            said = kind_and_reason(error)[:300]
            raise self._refusal(what, expected, said, "mend it") from error

    def _refusal(self, what: str, expected: str, got: str, remedy: str) -> LossmapError:
        return LossmapError(f"{self._name}, {what}: expected {expected}, got {got}; {remedy}")

    def _batches(self, split: str, device: str) -> list[Batch]:
        """Return the batches of a split on a device, none where the task has no such data."""
        if split not in self._read:
            found = [move(batch, device) for batch in self._list_batches(self._given, split)]
            if split == "train" and not found:
                raise self._refusal("batches('train')", "at least one batch", "none", "return some")
            self._read[split] = found
        return self._read[split]

    def _list_batches(self, given: object, split: str) -> list[Batch]:
        what = f"batches('{split}')"
        found = self._call(what, "a list of batches", given.batches, split)
        if found is None or isinstance(found, Mapping | torch.Tensor | str):
            kind = type(found).__name__
            if found is None and split == "test":
                return []
            raise self._refusal(what, "a list of batches", kind, "return [] where there are none")
        return self._call(what, "a list of batches", list, found)

    def _check_batches(self) -> None:
        """Refuse data that are others at another call, or in another process."""
        again = self._make(seed=1)
        for split in SPLITS:
            calls = (self._given, again, again)
            seen = [list(map(fingerprint, self._list_batches(each, split))) for each in calls]
            if not seen[0] == seen[1] == seen[2]:
                raise self._refusal(
                    f"batches('{split}')",
                    "the same batches at each call",
                    "others",
                    "do not shuffle, and draw with a seeded generator of its own that each call "
                    "makes anew",
                )

    def _try(self, network: nn.Module, trains: bool) -> None:
        """Pass the first batch of each split, and where it is trained go backward once."""
        device = next(network.parameters()).device
        gpus = [torch.cuda.current_device()] if device.type == "cuda" else []
        with torch.random.fork_rng(gpus), _kept_generators():
            for split in SPLITS:
                for batch in self._batches(split, device.type)[:1]:
                    self._try_evaluation(network.eval(), batch, split)
            if trains:
                losses = self._checked(network.train(), self._batches("train", device.type)[0])
                Update(network, self._network_name).check(losses, losses.mean(), "losses")

    @torch.no_grad()
    def _try_evaluation(self, network: nn.Module, batch: Batch, split: str) -> None:
        before = fingerprint(batch)
        losses = self._checked(network, batch)
        if not losses.isfinite().all():
            bad = int((~losses.isfinite()).sum())
            raise self._refusal(
                f"loss of the first batch of '{split}'",
                "finite losses at the initial parameters",
                f"{bad} of {len(losses)} that are not",
                "initialize the network otherwise, or scale the data",
            )
        if self._has_accuracy:
            self._has_accuracy = ACCURACY in self._checked_measures(network, batch, len(losses))
        if fingerprint(batch) != before:
            raise self._refusal(
                "loss", "batches that are left alone", "one changed in place", "change a copy"
            )

    def _checked(self, network: Forward, batch: Batch) -> torch.Tensor:
        """Return the loss of each sample of a batch, once it is what it should be."""
        losses = self._call("loss", "the loss of each sample", self._given.loss, network, batch)
        self._check_values("loss", losses)
        return losses

    def _check_values(self, what: str, found: object, count: int | None = None) -> None:
        """Refuse what is not one number per sample, of `count` samples or as many as there are."""
        expected = f"a float tensor of shape ({count or 'n'},), one number per sample"
        if not isinstance(found, torch.Tensor):
            raise self._refusal(what, expected, f"a {type(found).__name__}", "return a tensor")
        if found.dim() == 0:
            remedy = "do not average over the samples: reduction='none'"
        elif found.dim() > 1:
            remedy = "average over all other axes: .flatten(1).mean(1)"
        elif len(found) == 0 or count not in (None, len(found)):
            remedy = "return one number for each sample of the batch"
        elif count is None and not found.is_floating_point():  # a measure may be right or wrong
            raise self._refusal(what, expected, f"{found.dtype}", "call .float() on it")
        else:
            return
        raise self._refusal(what, expected, f"shape {tuple(found.shape)}", remedy)

    def _checked_measures(self, network: Forward, batch: Batch, count: int) -> Mapping:
        expected = "numbers per sample by name"
        found = self._call("measures", expected, self._given.measures, network, batch)
        if not isinstance(found, Mapping):
            kind = f"a {type(found).__name__}"
            raise self._refusal("measures", expected, kind, "return a dict, {} where there is none")
        for name, values in found.items():
            self._check_values(f"measures, '{name}'", values, count)
            if name != ACCURACY:
                logger.warning(
                    "%s, measures: '%s' is not kept, only '%s' is", self._name, name, ACCURACY
                )
        return found

    def open_training(self, spec: dict, device: str) -> Training:
        """Return the batches of the split ``train``, in another order each epoch."""
        train, test = self.open_measured(spec, device)
        return Training(OwnFeed(train), train, test, train[0])

    def open_measured(self, spec: dict, device: str) -> tuple[list[Batch], list[Batch] | None]:
        """Return all batches of both splits."""
        train, test = (self._batches(split, device) for split in SPLITS)
        return train, test or None

    def has(self, split: str) -> bool:
        """As `Task.has`."""
        return len(self._list_batches(self._given, split)) > 0

    def open_evaluation(
        self,
        evaluation: dict,
        bn_statistics: str,
        device: str,
        precision: str,
        split: str = "train",
    ) -> list[Batch]:
        """Return all batches, or of training as many as ``batches`` says, drawn by ``seed``."""
        batches, count = self._batches(split, device), evaluation["batches"]
        if count is None or split == "test":
            return batches
        if count > len(batches):
            raise self._refusal(
                "batches('train')",
                f"{count} for landscapes",
                f"{len(batches)}",
                "lower tasks.<name>.batches",
            )
        drawn = np.random.default_rng(evaluation["seed"]).permutation(len(batches))[:count]
        return [batches[row] for row in sorted(drawn)]

    @torch.no_grad()
    def count(self, network: FlatNetwork, batches: list[Batch]) -> int:
        """As `Task.count`; passes every batch, so that one that does not fit is found at once."""
        before, found = network.keep(), 0
        for batch in batches:
            found += len(self._checked(network.module, batch))
            network.load(before)
        return found

    def prepare(self, network: nn.Module, batches: list[Batch]) -> nn.Module:
        """Return the network as it is: how its loss calls it, nobody knows."""
        return network

    def loss(self, network: Forward, batch: Batch, reduction: str = "mean") -> torch.Tensor:
        """As `Task.loss`."""
        losses = self._given.loss(network, batch)
        if losses.dim() != 1:  # another batch than those that were tried
            self._check_values("loss", losses)
        return losses if reduction == "none" else getattr(losses, reduction)()

    def measure(self, network: Forward, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Task.measure`."""
        losses = self.loss(network, batch, "none").double()
        if not self._has_accuracy:
            return losses, torch.full_like(losses, torch.nan)
        return losses, self._given.measures(network, batch)[ACCURACY].double()


class OwnFeed:
    """The batches of a task in an order of their own in each epoch."""

    unit, static = "batches", False

    def __init__(self, batches: list[Batch]):
        self._batches, self.sizes = batches, [None] * len(batches)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def begin(self, spec: dict, epoch: int) -> None:
        """As `Feed.begin`."""
        generator = epoch_generator(spec["seed"], epoch)
        self._order = iter(torch.randperm(len(self), generator=generator).tolist())

    def take(self, number: torch.Tensor, size: None) -> Batch:
        """Return the next batch of the epoch."""
        return self._batches[next(self._order)]


def _make(factory: str, arguments: Mapping, seed: int) -> Any:
    """Return the user's object; random numbers that nobody seeded differ with `seed`."""
    name = f"task factory {factory!r}"
    with torch.random.fork_rng(devices=[]), _kept_generators():
        seed_generators(seed)
        made = call_factory(import_factory(factory, "task"), arguments, factory, "task", "task")
    check_task(made, name, METHODS)
    return made


def check_task(given: object, name: str, methods: Iterable[str]) -> None:
    """Refuse an object that lacks what a task has.

    Raises
    ------
    LossmapError
        One of `methods` is missing, or there are no words for the loss.
    """
    for method in methods:
        if not callable(getattr(given, method, None)):
            expected = " and ".join(METHODS[each] for each in methods)
            raise LossmapError(
                f"{name}: expected an object with {expected}, got a {type(given).__name__} "
                f"without {method}; define it"
            )
    label = getattr(given, "loss_label", None)
    if not isinstance(label, str) or not label.strip():
        raise LossmapError(
            f"{name}: expected loss_label, the words on the axes, got {label!r}; write "
            'e.g. loss_label = "squared error"'
        )


@contextmanager
def _kept_generators() -> Iterator[None]:
    before = python_states()
    try:
        yield
    finally:
        set_python_states(before)


def fingerprint(batch: Batch) -> str:
    """Return a digest of all that a batch holds."""
    return hashlib.sha256(repr(freeze(batch, set())).encode()).hexdigest()


def move(value: Any, device: str) -> Any:
    """Return a batch with all its tensors on a device."""
    if hasattr(value, "to"):  # a tensor, a packed sequence, what a tokenizer returns
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: move(each, device) for name, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(move(each, device) for each in value))
    if isinstance(value, list | tuple):
        return type(value)(move(each, device) for each in value)
    return value


def load_data(dataset: str | Path, made: Mapping) -> Dataset | Task:
    """Return what a run is made from: its task, or the artifact of its data set.

    Parameters
    ----------
    dataset : path of the artifact; no matter where the run has a task of its own
    made : the specification of the run

    Raises
    ------
    LossmapError
        The data set is damaged or missing, or the task is not as it should be.
    """
    if "task" in made:
        return OwnTask(made["task"]["factory"], made["task"]["arguments"])
    return load(dataset, Dataset)
