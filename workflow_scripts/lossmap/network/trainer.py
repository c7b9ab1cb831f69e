"""An epoch of training as one update after another, each the same work on the same tensors.

The update takes its batch from the epoch's plan by a counter on the device, so that it can be
captured once and replayed; nothing waits for the device before the end of the epoch.
"""

from functools import partial

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from lossmap.errors import LossmapError
from lossmap.network.arithmetic import autocast, use_tf32
from lossmap.network.capture import Replayed
from lossmap.network.images import Epoch, Images, draw_epoch, take_batch
from lossmap.network.optimizers import Adam, Optimizer, Sgd
from lossmap.network.parameters import FlatNetwork
from lossmap.network.randomness import seed_generators


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
    network, images : what is trained, and on what
    spec : of a run; ``batch_size``, ``optimizer``, ``precision`` and the kinds of augmentation hold
        for all epochs
    """

    def __init__(self, network: FlatNetwork, images: Images, spec: dict):
        self.network, self.images = network, images
        self.optimizer = make_optimizer(network, spec["optimizer"])
        self.precision = spec.get("precision", "float32")
        self.batch_size = spec["batch_size"]
        whole, rest = divmod(len(images), self.batch_size)
        device = network.theta.device
        self._plan: Epoch | None = None
        self._numbers = torch.arange(whole + (rest > 0), device=device)
        self._number = torch.zeros((), dtype=torch.int64, device=device)
        self._losses = torch.zeros(len(self._numbers), device=device)
        touched = [*self.network.state(), *self.optimizer.state.values()]
        touched += [self._number, self._losses]
        update = Replayed(partial(self._update, self.batch_size), touched)
        last = Replayed(partial(self._update, rest), touched, share=update)
        self.updates = [update] * whole + [last] * (rest > 0)

    def train(self, spec: dict, epoch: int) -> np.ndarray:
        """Train one epoch and return the loss of every mini-batch, float64 (updates,), nats.

        `spec` has ``run``, ``seed``, ``schedule``, ``optimizer`` and ``augmentation``.

        Raises
        ------
        LossmapError
            A loss is not finite; names epoch and step.
        """
        self._follow(draw_epoch(self.images, spec["seed"], epoch, spec["augmentation"]))
        self.optimizer.lr = learning_rate(spec["schedule"], spec["optimizer"]["lr"], epoch)
        _seed_network(spec["seed"], epoch)
        self.network.module.train()
        self._number.zero_()
        for update in self.updates:
            update()
        found = self._losses.double().cpu().numpy()
        _check_finite(found, epoch, len(found), spec)
        return found

    def _follow(self, plan: Epoch) -> None:
        """Put a plan where the updates look for theirs."""
        if self._plan is None:
            self._plan = plan
            return
        for name, values in vars(plan).items():
            if values is not None:
                getattr(self._plan, name).copy_(values)

    def _update(self, size: int) -> None:
        self.network.attach()
        start = self.batch_size * self._number
        batch = start + torch.arange(size, device=start.device)
        # Outside of the training's precision: an angle in bfloat16 would turn an image elsewhere.
        inputs, labels = take_batch(self.images, self._plan, batch)
        with use_tf32(self.precision, inputs.device.type):
            with autocast(self.precision, inputs.device.type):
                loss = cross_entropy(self.network.module(inputs), labels)
            self.network.gradient.zero_()
            loss.backward()
        self.network.collect()
        self.optimizer.step()
        self._losses.copy_(torch.where(self._numbers == self._number, loss.detach(), self._losses))
        self._number += 1


def _seed_network(seed: int, epoch: int) -> None:
    """Seed what a network draws by itself, such as dropout: a resumed run draws the same."""
    words = np.random.SeedSequence([seed, epoch, 1]).generate_state(1)  # 1: apart from draw_epoch
    seed_generators(int(words[0]))


def _check_finite(losses: np.ndarray, epoch: int, updates: int, spec: dict) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise divergence(spec, losses[bad[0]], epoch + 1, epoch * updates + bad[0] + 1)


def divergence(spec: dict, loss: float, epoch: int, step: int) -> LossmapError:
    """Return the error of a run whose loss is not finite."""
    return LossmapError(
        f"training of '{spec['run']}' diverged: loss is {loss} in epoch {epoch}, step {step}; "
        f"lower optimizer.lr (now {spec['optimizer']['lr']})"
    )
