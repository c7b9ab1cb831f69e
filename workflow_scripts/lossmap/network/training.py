"""Training runs, their snapshots and what is measured of them.

Deterministic and resumable: the same recipe, device type and thread count give the same bytes,
killed in between or not.
"""

import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from itertools import count
from logging import Logger
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from lossmap.artifacts.curves import SNAPSHOT_CURVES
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.provenance import Provenance, open_resume_folder, owner_of
from lossmap.artifacts.store import save
from lossmap.artifacts.trajectory import History, Trajectory
from lossmap.logs import format_seconds
from lossmap.network.arithmetic import autocast, use_tf32
from lossmap.network.checkpoint import Checkpoint
from lossmap.network.images import Images, choose_balanced, move_images, use_moments
from lossmap.network.memory import explain_memory
from lossmap.network.parameters import FlatNetwork, create_network, describe_network
from lossmap.network.precision import measure_deviations
from lossmap.network.state import check_repeats
from lossmap.network.trainer import Trainer, divergence

TEST_BATCH = 500
"""Images per batch when a snapshot is measured; changes nothing but the last bits."""
TRIAL_BATCH = 16
"""Images at most that pass before training begins, to see whether the network repeats itself."""


@torch.no_grad()
def evaluate_accuracy(
    network: FlatNetwork,
    images: Images,
    rows: np.ndarray | None,
    statistics: str,
    precision: str = "float32",
) -> tuple[float, float]:
    """Return mean loss (nats) and accuracy over the given images; leaves the network as it was.

    ``statistics`` is ``running`` for the running statistics of training, or ``batch`` for those of
    each batch: before the first update there are no running ones that mean anything.
    """
    device = images.labels.device
    chosen = torch.arange(len(images)) if rows is None else torch.from_numpy(rows)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    network.module.eval()
    by_batch = network.batch_statistics() if statistics == "batch" else nullcontext()
    before = network.keep()
    buffers = {name: before[name] for name in before if name != "thetas"}
    with by_batch, use_tf32(precision, device.type), autocast(precision, device.type):
        for part in _split(chosen.to(device)):
            inputs, labels = images.normalize(images.pixels[part]), images.labels[part]
            logits = network.module(inputs)
            loss += cross_entropy(logits, labels, reduction="none").double().sum()
            correct += (logits.argmax(1) == labels).sum()
            network.load(buffers)
    network.load(before)
    return float(loss) / len(chosen), int(correct) / len(chosen)


def _split(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return batches of images; none holds a single one, over which batch norm has no average."""
    return rows.split(next(s for s in count(TEST_BATCH) if len(rows) % s != 1 or len(rows) == 1))


@dataclass
class Measures:
    """The images on which a run's snapshots are measured, and how."""

    train: Images
    train_rows: np.ndarray | None
    test: Images

    def take(self, network: FlatNetwork, statistics: str) -> dict[str, float]:
        """Return losses, accuracies and the norm of θ at the present parameters, in float32."""
        train = evaluate_accuracy(network, self.train, self.train_rows, statistics)
        test = evaluate_accuracy(network, self.test, None, statistics)
        norm = float(torch.linalg.vector_norm(network.theta.double()))
        return dict(zip(SNAPSHOT_CURVES, (*train, *test, norm), strict=True))


class Run:
    """A training run that can be saved to and restored from a checkpoint after any epoch."""

    def __init__(self, dataset: Dataset, spec: dict, device: str):
        self.spec, dataset = spec, use_moments(dataset, spec)
        padding = spec["augmentation"]["crop_padding"]
        count = spec["metrics"]["images"]
        rows = choose_balanced(dataset.train_labels, count, spec["seed"], "metrics.images")
        with explain_memory(f"training of '{spec['run']}', before it began: images and network"):
            network = describe_network(spec["network"], dataset)
            self.network = create_network(network, device, dataset, spec["batch_size"])
            precision = spec.get("precision", "float32")
            self.images = move_images(dataset, "train", device, padding, precision)
            plain = self.images if padding == 0 else move_images(dataset, "train", device)
            self.measures = Measures(plain, rows, move_images(dataset, "test", device))
            self.trainer = Trainer(self.network, self.images, spec)
            few = min(TRIAL_BATCH, spec["batch_size"], len(plain))
            inputs = plain.normalize(plain.pixels[:few])
            check_repeats(self.network, inputs, plain.labels[:few], spec["network"]["factory"])
        self.begin()

    def begin(self, start: Mapping[str, np.ndarray] | None = None) -> None:
        """Go to epoch 0 with a fresh optimizer, at a snapshot or where the network is."""
        self.network.load(start or {})
        self.initialized = start is None  # then no running statistics mean anything yet
        self.trainer.optimizer.reset()
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
            raise divergence(self.spec, found["train_loss"], self.epoch, taken["steps"])
        self.measured.append(taken | found)

    def advance(self) -> None:
        """Train one more epoch."""
        losses = self.trainer.train(self.spec, self.epoch)
        self.iteration_loss = np.concatenate([self.iteration_loss, losses])
        self.epoch += 1

    def deviation(self) -> float | None:
        """Return |loss − float32 loss| / float32 loss of the present snapshot's training images.

        The first loss is in the precision of training; None where that is float32.
        """
        precision = self.trainer.precision
        if precision == "float32":
            return None
        train, rows = self.measures.train, self.measures.train_rows
        found = evaluate_accuracy(self.network, train, rows, "running", precision)[0]
        exact = self.measured[-1]["train_loss"]
        return float(measure_deviations(np.array([found]), np.array([exact]))[0])

    def rows(self) -> dict[str, np.ndarray]:
        """Return the present snapshot: parameters and buffers."""
        return {name: vector.cpu().numpy() for name, vector in self.network.vectors.items()}

    def widths(self) -> dict[str, int]:
        """Return how many elements a snapshot has, by name."""
        return {name: len(vector) for name, vector in self.network.vectors.items()}

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that the next epoch depends on."""
        return {
            "rows": np.int64(len(self.measured)),
            "epoch": np.int64(self.epoch),
            "arithmetic": self.arithmetic(),
            "iteration_loss": self.iteration_loss,
            **{f"history.{f}": np.array([m[f] for m in self.measured]) for f in self.measured[0]},
            **{f"optimizer.{k}": v.cpu().numpy() for k, v in self.trainer.optimizer.state.items()},
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
        self.network.load({name: state[f"network.{name}"] for name in self.network.vectors})
        self.trainer.optimizer.load(
            {
                name.removeprefix("optimizer."): torch.as_tensor(values)
                for name, values in state.items()
                if name.startswith("optimizer.")
            }
        )

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
        ``optimizer``, ``schedule``, ``augmentation``, ``metrics`` and, other than float32,
        ``precision``
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
    folder, owner = open_resume_folder(artifact, provenance), owner_of(provenance)
    with closing(Checkpoint(folder, run.widths(), owner)) as checkpoint:
        train_to_end(run, checkpoint, log)
        count, network = len(run.measured), run.network
        checkpoint.check_rows(count)
        has_others = len(network.other_buffers) > 0
        trajectory = Trajectory(
            checkpoint.rows("thetas", count),
            checkpoint.rows("buffers", count),
            run.history(),
            network.layout.to_tensors(),
            network.buffer_layout.to_tensors(),
            run.deviation(),
            checkpoint.rows("other_buffers", count) if has_others else None,
            network.other_layout,
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
        state = checkpoint.load(log)
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
