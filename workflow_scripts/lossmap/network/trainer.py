"""An epoch of training as one update after another, each the same work on the same tensors.

The update takes its batch from the epoch's plan by a counter on the device, so that it can be
captured once and replayed; nothing waits for the device before the end of the epoch.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from lossmap.errors import LossmapError
from lossmap.network.arithmetic import autocast, use_tf32
from lossmap.network.capture import Replayed
from lossmap.network.optimizers import Adam, Optimizer, Sgd
from lossmap.network.parameters import FlatNetwork
from lossmap.network.randomness import seed_generators
from lossmap.network.task import Feed, Task


def make_optimizer(network: FlatNetwork, spec: dict) -> Optimizer:
    """Return the optimizer of a recipe over the flat parameter vector.

    ``spec`` has ``name`` (sgd | adam), ``lr``, ``weight_decay`` and for sgd ``momentum``,
    ``nesterov``. Weight decay is an L2 term on every parameter, as in both papers' code.
    """
    kind = {"sgd": Sgd, "adam": Adam}[spec["name"]]
    options = {name: value for name, value in spec.items() if name != "name"}
    return kind(network.theta, network.gradient, **options)


def learning_rate(spec: dict, lr: float, epoch: int) -> float:
    """Return the rate of one epoch (counted from 0) of a ``constant`` or ``steps`` schedule."""
    if spec["name"] == "constant":
        return lr
    return lr * spec["factor"] ** sum(epoch >= milestone for milestone in spec["milestones"])


class Trainer:
    """Trains a network in place, epoch by epoch.

    Parameters
    ----------
    network, task, feed : what is trained, by which loss, on what
    spec : of a run; ``optimizer``, ``precision`` and the kinds of augmentation hold for all epochs
    """

    def __init__(self, network: FlatNetwork, task: Task, feed: Feed, spec: dict):
        self.network, self.task, self.feed = network, task, feed
        self.optimizer = make_optimizer(network, spec["optimizer"])
        self.precision = spec.get("precision", "float32")
        device = network.theta.device
        self._numbers = torch.arange(len(feed.sizes), device=device)
        self._number = torch.zeros((), dtype=torch.int64, device=device)
        self._losses = torch.zeros(len(self._numbers), device=device)
        touched = [*self.network.state(), *self.optimizer.state.values()]
        touched += [self._number, self._losses]
        made: dict[int | None, Callable[[], None]] = {}
        for size in dict.fromkeys(feed.sizes):
            work = partial(self._update, size)
            first = made.get(feed.sizes[0])
            made[size] = Replayed(work, touched, share=first) if feed.static else work
        self.updates = [made[size] for size in feed.sizes]

    def train(self, spec: dict, epoch: int) -> np.ndarray:
        """Train one epoch and return the loss of every mini-batch, float64 (updates,).

        `spec` has ``run``, ``seed``, ``schedule``, ``optimizer`` and ``augmentation``.

        Raises
        ------
        LossmapError
            A loss is not finite; names epoch and step.
        """
        self.feed.begin(spec, epoch)
        self.optimizer.lr = learning_rate(spec["schedule"], spec["optimizer"]["lr"], epoch)
        _seed_network(spec["seed"], epoch)
        self.network.module.train()
        self._number.zero_()
        for update in self.updates:
            update()
        found = self._losses.double().cpu().numpy()
        _check_finite(found, epoch, len(found), spec)
        return found

    def _update(self, size: int | None) -> None:
        self.network.attach()
        # Outside of the training's precision: an angle in bfloat16 would turn an image elsewhere.
        batch = self.feed.take(self._number, size)
        device = self._number.device.type
        with use_tf32(self.precision, device):
            with autocast(self.precision, device):
                loss = self.task.loss(self.network.module, batch)
            self.network.gradient.zero_()
            loss.backward()
        self.network.collect()
        self.optimizer.step()
        self._losses.copy_(torch.where(self._numbers == self._number, loss.detach(), self._losses))
        self._number += 1


def _seed_network(seed: int, epoch: int) -> None:
    """Seed what a network draws by itself, such as dropout: a resumed run draws the same."""
    words = np.random.SeedSequence([seed, epoch, 1]).generate_state(1)  # 1: apart from the feed
    seed_generators(int(words[0]))


def _check_finite(losses: np.ndarray, epoch: int, updates: int, spec: dict) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise divergence(spec, losses[bad[0]], epoch + 1, epoch * updates + bad[0] + 1)


def divergence(spec: dict, loss: float, epoch: int, step: int) -> LossmapError:
    """Return the error of a run whose loss is not finite."""
    optimizer, decay = spec["optimizer"], spec["optimizer"]["weight_decay"]
    rates = [learning_rate(spec["schedule"], optimizer["lr"], e) for e in range(max(epoch, 1))]
    product, bound = max(rates) * decay, _decay_bound(optimizer)
    if step == 0:
        jumped = "step_sizes" in spec
        remedy = "take smaller step_sizes" if jumped else "initialize the network otherwise"
    elif product >= bound / 2:
        remedy = (
            f"lower optimizer.weight_decay (now {decay:g}), which times the learning rate is "
            f"{product:g} and from {bound:g} on makes the parameters grow by itself, or "
            f"lower optimizer.lr (now {optimizer['lr']})"
        )
    else:
        remedy = f"lower optimizer.lr (now {optimizer['lr']})"
    where = f"diverged: loss is {loss} in epoch {epoch}, step {step}"
    return LossmapError(f"training of '{spec['run']}' {where}; {remedy}")


def _decay_bound(optimizer: dict) -> float:
    """Return the product of learning rate and weight decay from which θ grows without a gradient.

    With θ' = θ - lr (wd θ + …) and momentum m an eigenvalue of the update is -1 at 2 (1 + m), with
    Nesterov's at 2 (1 + m) / (1 + 2m). Adam divides by the gradient's own size: no product does.
    """
    if optimizer["name"] == "adam":
        return math.inf
    momentum = optimizer["momentum"]
    return 2 * (1 + momentum) / (1 + 2 * momentum if optimizer["nesterov"] else 1)
