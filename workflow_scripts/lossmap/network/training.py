"""Training runs: SGD, SGD with momentum and Adam over whole batches on the device.

Deterministic and resumable: the same recipe, device type and thread count give the same bytes,
killed in between or not.
"""

import time
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from logging import Logger
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from lossmap.artifacts.curves import SNAPSHOT_CURVES
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.provenance import Provenance, open_resume_folder
from lossmap.artifacts.store import is_made, save
from lossmap.artifacts.trajectory import History, Trajectory
from lossmap.errors import LossmapError
from lossmap.logs import format_seconds
from lossmap.network.checkpoint import Checkpoint
from lossmap.network.images import Images, choose_balanced, draw_epoch, move_images, take_batch
from lossmap.network.memory import explain_memory
from lossmap.network.optimizers import Adam, Optimizer, Sgd
from lossmap.network.parameters import FlatNetwork, create_network, describe_network
from lossmap.network.pieces import Pieces

TEST_BATCH = 500
"""Images per batch when a snapshot is measured; changes nothing but the last bits."""


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


def train_epoch(
    network: FlatNetwork, images: Images, optimizer: Optimizer, spec: dict, epoch: int
) -> np.ndarray:
    """Train one epoch in place and return the loss of every mini-batch, float64 (updates,), nats.

    Raises
    ------
    LossmapError
        A loss is not finite; names epoch and step.
    """
    plan = draw_epoch(images, spec["seed"], epoch, spec["augmentation"])
    optimizer.lr = learning_rate(spec["schedule"], spec["optimizer"]["lr"], epoch)
    _seed_network(spec["seed"], epoch)
    network.module.train()
    losses = []
    for start in range(0, len(images), spec["batch_size"]):
        inputs, labels = take_batch(images, plan, slice(start, start + spec["batch_size"]))
        loss = cross_entropy(network.module(inputs), labels)
        network.gradient.zero_()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    found = torch.stack(losses).double().cpu().numpy()
    _check_finite(found, epoch, len(found), spec)
    return found


def _seed_network(seed: int, epoch: int) -> None:
    """Seed what a network draws by itself, such as dropout: a resumed run draws the same."""
    words = np.random.SeedSequence([seed, epoch, 1]).generate_state(1)  # 1: apart from draw_epoch
    torch.manual_seed(int(words[0]))


def _check_finite(losses: np.ndarray, epoch: int, updates: int, spec: dict) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise _divergence(spec, losses[bad[0]], epoch + 1, epoch * updates + bad[0] + 1)


def _divergence(spec: dict, loss: float, epoch: int, step: int) -> LossmapError:
    return LossmapError(
        f"training of '{spec['run']}' diverged: loss is {loss} in epoch {epoch}, step {step}; "
        f"lower optimizer.lr (now {spec['optimizer']['lr']})"
    )


@torch.no_grad()
def evaluate_accuracy(
    network: FlatNetwork,
    images: Images,
    rows: np.ndarray | None,
    statistics: str,
    pieces: Pieces | None = None,
) -> tuple[float, float]:
    """Return mean loss (nats) and accuracy over the given images.

    ``statistics`` is ``running`` for the running statistics of training, or ``batch`` for those of
    each batch: before the first update there are no running ones that mean anything. ``pieces``
    remembers how many images the GPU has memory for.

    Raises
    ------
    LossmapError
        There is no memory for a single image.
    """
    chosen = torch.arange(len(images)) if rows is None else torch.from_numpy(rows)
    batches = chosen.to(images.labels.device).split(TEST_BATCH)
    pieces = pieces or Pieces(TEST_BATCH)
    network.module.eval()

    def evaluate() -> tuple[float, float]:
        loss, correct = 0.0, 0
        for part in batches:
            inputs, labels = images.normalize(images.pixels[part]), images.labels[part]
            logits = pieces.forward(network.module, inputs)
            loss += float(cross_entropy(logits, labels, reduction="none").double().sum())
            correct += int((logits.argmax(1) == labels).sum())
        return loss / len(chosen), correct / len(chosen)

    with network.batch_statistics() if statistics == "batch" else nullcontext():
        return pieces.fit(evaluate)


@dataclass
class Measures:
    """The images on which a run's snapshots are measured, and how."""

    train: Images
    train_rows: np.ndarray
    test: Images
    pieces: Pieces = field(default_factory=lambda: Pieces(TEST_BATCH))

    def take(self, network: FlatNetwork, statistics: str) -> dict[str, float]:
        """Return losses, accuracies and the norm of θ at the present parameters."""
        train = evaluate_accuracy(network, self.train, self.train_rows, statistics, self.pieces)
        test = evaluate_accuracy(network, self.test, None, statistics, self.pieces)
        norm = float(torch.linalg.vector_norm(network.theta.double()))
        return dict(zip(SNAPSHOT_CURVES, (*train, *test, norm), strict=True))


class Run:
    """A training run that can be saved to and restored from a checkpoint after any epoch."""

    def __init__(self, dataset: Dataset, spec: dict, device: str):
        self.spec = spec
        padding = spec["augmentation"]["crop_padding"]
        count = spec["metrics"]["images"]
        rows = choose_balanced(dataset.train_labels, count, spec["seed"], "metrics.images")
        with explain_memory(f"training of '{spec['run']}', before it began: images and network"):
            self.network = create_network(describe_network(spec["network"], dataset), device)
            self.images = move_images(dataset, "train", device, padding)
            plain = self.images if padding == 0 else move_images(dataset, "train", device)
            self.measures = Measures(plain, rows, move_images(dataset, "test", device))
        self.begin()

    def begin(self, theta: np.ndarray | None = None, buffers: np.ndarray | None = None) -> None:
        """Stand at epoch 0 with a fresh optimizer, at given parameters or where the network is."""
        if theta is not None:
            self.network.theta.copy_(torch.from_numpy(theta))
            self.network.buffers.copy_(torch.from_numpy(buffers))
        self.initialized = theta is None  # then no running statistics mean anything yet
        self.optimizer = make_optimizer(self.network, self.spec["optimizer"])
        self.epoch = 0
        self.measured: list[dict[str, float]] = []
        self.iteration_loss = np.zeros(0)

    def measure(self) -> None:
        """Record the snapshot at the present epoch; raises LossmapError after a divergence.

        No mini-batch has seen the last update, so its loss is known only here.
        """
        taken = {"epochs": self.epoch, "steps": len(self.iteration_loss)}
        statistics = "batch" if self.initialized and self.epoch == 0 else "running"
        found = self.measures.take(self.network, statistics)
        if not np.isfinite(found["train_loss"]):
            raise _divergence(self.spec, found["train_loss"], self.epoch, taken["steps"])
        self.measured.append(taken | found)

    def advance(self) -> None:
        """Train one more epoch."""
        losses = train_epoch(self.network, self.images, self.optimizer, self.spec, self.epoch)
        self.iteration_loss = np.concatenate([self.iteration_loss, losses])
        self.epoch += 1

    def rows(self) -> dict[str, np.ndarray]:
        """Return the present snapshot: parameters and running statistics."""
        return {
            "thetas": self.network.theta.cpu().numpy(),
            "buffers": self.network.buffers.cpu().numpy(),
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that the next epoch depends on."""
        return {
            "rows": np.int64(len(self.measured)),
            "epoch": np.int64(self.epoch),
            "arithmetic": self.arithmetic(),
            "iteration_loss": self.iteration_loss,
            **{f"history.{f}": np.array([m[f] for m in self.measured]) for f in self.measured[0]},
            **{f"optimizer.{k}": v.cpu().numpy() for k, v in self.optimizer.state.items()},
            **{f"network.{name}": values for name, values in self.rows().items()},
        }

    def arithmetic(self) -> np.ndarray:
        """Return what the last bits depend on: whether on a GPU, and the number of threads."""
        return np.array([self.network.theta.is_cuda, torch.get_num_threads()], np.int64)

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Continue from a saved state."""
        self.epoch = int(state["epoch"])
        self.iteration_loss = state["iteration_loss"]
        history = {k.removeprefix("history."): v for k, v in state.items() if k[:8] == "history."}
        self.measured = [
            {name: values[row].item() for name, values in history.items()}
            for row in range(int(state["rows"]))
        ]
        self.network.theta.copy_(torch.from_numpy(state["network.thetas"]))
        self.network.buffers.copy_(torch.from_numpy(state["network.buffers"]))
        for name, values in state.items():
            if name.startswith("optimizer."):
                tensor = torch.as_tensor(values)
                on_device = tensor.to(self.network.theta.device) if tensor.dim() else tensor
                self.optimizer.state[name.removeprefix("optimizer.")] = on_device

    def resume(self, state: dict[str, np.ndarray], log: Logger) -> None:
        """Continue from a saved state and say so."""
        self.restore(state)
        log.info(
            "%s resumes after epoch %d of %d", self.spec["run"], self.epoch, self.spec["epochs"]
        )
        if state["arithmetic"].tolist() != self.arithmetic().tolist():
            log.info("it began on another device or thread count: its last bits will differ")

    def history(self) -> History:
        """Return the curves so far."""
        columns = {f: np.array([m[f] for m in self.measured]) for f in self.measured[0]}
        return History(iteration_loss=self.iteration_loss, **columns)


def train_run(
    dataset: Dataset,
    spec: dict,
    device: str,
    artifact: str | Path,
    provenance: Provenance,
    log: Logger,
) -> None:
    """Train one run, or finish an interrupted one, and write its trajectory.

    Parameters
    ----------
    dataset : what to train on
    spec : ``run``, ``network``, ``seed``, ``epochs``, ``batch_size``, ``snapshot_every``,
        ``optimizer``, ``schedule``, ``augmentation``, ``metrics``
    device : ``cpu`` or ``cuda``
    artifact : the trajectory to write
    provenance : what is stored with it, and names the resume point
    log : receives one line per epoch

    Raises
    ------
    LossmapError
        The loss is not finite, the disk or the memory of the GPU is full.
    """
    run = Run(dataset, spec, device)
    widths = {"thetas": run.network.layout.size, "buffers": run.network.buffer_layout.size}
    with closing(Checkpoint(open_resume_folder(artifact, provenance), widths)) as checkpoint:
        if is_made(artifact, provenance):
            log.info("%s: made by the job of a killed workflow that was waited for", spec["run"])
            return
        train_to_end(run, checkpoint, log)
        count = len(run.measured)
        trajectory = Trajectory(
            checkpoint.rows("thetas", count),
            checkpoint.rows("buffers", count),
            run.history(),
            run.network.layout.to_tensors(),
            run.network.buffer_layout.to_tensors(),
        )
        save(artifact, trajectory, provenance)
        checkpoint.discard()


def train_to_end(run: Run, checkpoint: Checkpoint, log: Logger) -> None:
    """Train to the last epoch, from the resume point if there is one; save one after each epoch.

    Raises
    ------
    LossmapError
        The loss is not finite, the disk or the memory of the GPU is full.
    """
    what = f"training of '{run.spec['run']}' in batches of {run.spec['batch_size']}"
    smaller = (
        ", or set a smaller batch_size in its recipe, which makes it another run; otherwise it "
        "goes on from the last saved epoch"
    )
    with explain_memory(what, smaller):
        state = checkpoint.load()
        if state is None:
            run.measure()
            checkpoint.save(run.rows(), run.state())
        else:
            run.resume(state, log)
        _train_epochs(run, checkpoint, log)


def _train_epochs(run: Run, checkpoint: Checkpoint, log: Logger) -> None:
    spec, first, started = run.spec, run.epoch, time.monotonic()
    while run.epoch < spec["epochs"]:
        run.advance()
        snapshot = run.epoch % spec["snapshot_every"] == 0 or run.epoch == spec["epochs"]
        if snapshot:
            run.measure()
        checkpoint.save(run.rows() if snapshot else {}, run.state())
        elapsed = time.monotonic() - started
        left = elapsed / (run.epoch - first) * (spec["epochs"] - run.epoch)
        log.info("%s", describe_progress(run, elapsed / (run.epoch - first), left))


def describe_progress(run: Run, epoch_seconds: float, seconds_left: float) -> str:
    """Return the line that a person reads after each epoch."""
    last = run.measured[-1]
    return (
        f"{run.spec['run']} epoch {run.epoch}/{run.spec['epochs']}  "
        f"loss {last['train_loss']:.3f}  train {100 * last['train_accuracy']:.1f} %  "
        f"test {100 * last['test_accuracy']:.1f} %  "
        f"{len(run.images) / epoch_seconds:.0f} images/s  "
        f"{format_seconds(seconds_left)} left"
    )
