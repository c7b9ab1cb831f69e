"""Training runs, their snapshots and what is measured of them.

Deterministic and resumable: the same recipe, device type and thread count give the same bytes,
killed in between or not.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from logging import Logger
from pathlib import Path

import numpy as np
import torch

from lossmap.artifacts.curves import SNAPSHOT_CURVES
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.provenance import Provenance, open_resume_folder, owner_of
from lossmap.artifacts.store import save
from lossmap.artifacts.trajectory import History, Trajectory
from lossmap.logs import format_seconds
from lossmap.network.arithmetic import autocast, use_tf32
from lossmap.network.checkpoint import Checkpoint
from lossmap.network.classification import as_task
from lossmap.network.memory import explain_memory
from lossmap.network.parameters import FlatNetwork
from lossmap.network.precision import measure_deviations
from lossmap.network.state import check_repeats
from lossmap.network.task import Batch, Task
from lossmap.network.trainer import Trainer, divergence


@torch.no_grad()
def evaluate_batches(
    network: FlatNetwork,
    task: Task,
    batches: Iterable[Batch],
    statistics: str,
    precision: str = "float32",
) -> tuple[float, float]:
    """Return mean loss and accuracy over the given batches; leaves the network as it was.

    ``statistics`` is ``running`` for the running statistics of training, or ``batch`` for those of
    each batch: before the first update there are no running ones that mean anything.
    """
    device = network.theta.device
    loss, correct = torch.zeros((2,), dtype=torch.float64, device=device)
    count = 0
    network.module.eval()
    by_batch = network.batch_statistics() if statistics == "batch" else nullcontext()
    before = network.keep()
    buffers = {name: before[name] for name in before if name != "thetas"}
    with by_batch, use_tf32(precision, device.type), autocast(precision, device.type):
        for batch in batches:
            losses, accuracies = task.measure(network.module, batch)
            loss += losses.double().sum()
            correct += accuracies.sum()
            count += len(losses)
            network.load(buffers)
    network.load(before)
    return float(loss) / count, float(correct) / count


@dataclass
class Measures:
    """The batches on which a run's snapshots are measured, and by what."""

    task: Task
    train: Iterable[Batch]
    test: Iterable[Batch] | None

    def take(self, network: FlatNetwork, statistics: str) -> dict[str, float]:
        """Return losses, accuracies and the norm of θ at the present parameters, in float32.

        What the task does not have is NaN.
        """
        train, test = (
            (np.nan, np.nan)
            if batches is None
            else evaluate_batches(network, self.task, batches, statistics)
            for batches in (self.train, self.test)
        )
        norm = float(torch.linalg.vector_norm(network.theta.double()))
        return dict(zip(SNAPSHOT_CURVES, (*train, *test, norm), strict=True))


class Run:
    """A training run that can be saved to and restored from a checkpoint after any epoch."""

    def __init__(self, data: Dataset | Task, spec: dict, device: str):
        self.spec, self.task = spec, as_task(data, spec)
        with explain_memory(f"training of '{spec['run']}', before it began: data and network"):
            network, batch_size = spec["network"], spec.get("batch_size")
            self.network = self.task.create_network(network, device, batch_size, trains=True)
            self.feed, *measured, trial = self.task.open_training(spec, device)
            self.measures = Measures(self.task, *measured)
            self.trainer = Trainer(self.network, self.task, self.feed, spec)
            check_repeats(self.network, self.task, trial, network["factory"])
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
        """Return |loss − float32 loss| / float32 loss of the present snapshot.

        The first loss is in the precision of training; None where that is float32.
        """
        precision = self.trainer.precision
        if precision == "float32":
            return None
        train = self.measures.train
        found = evaluate_batches(self.network, self.task, train, "running", precision)[0]
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
    data: Dataset | Task,
    spec: dict,
    device: str,
    artifact: str | Path,
    provenance: Provenance,
    log: Logger,
) -> None:
    """Train one run, or finish an interrupted one, and write its trajectory.

    Parameters
    ----------
    data : what to train on
    spec : ``run``, ``network``, ``seed``, ``epochs``, ``snapshot_every``, ``optimizer``,
        ``schedule``, for images ``batch_size``, ``augmentation`` and ``metrics``, and, other than
        float32, ``precision``
    device : ``cpu`` or ``cuda``
    artifact : the trajectory to write
    provenance : what is stored with it, and names the resume point
    log : receives one line per epoch

    Raises
    ------
    LossmapError
        The loss is not finite, the disk or the memory of the GPU is full.
    """
    run = Run(data, spec, device)
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
            run.task.loss_label,
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
    what, smaller = f"training of '{run.spec['run']}'", "smaller batches of the task"
    if "batch_size" in run.spec:
        what += f" in batches of {run.spec['batch_size']}"
        smaller = "a smaller batch_size in its recipe"
    remedy = (
        f", or set {smaller}, which makes it another run; otherwise it goes on from the last saved "
        "epoch"
    )
    with explain_memory(what, remedy):
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
    return (
        f"{run.spec['run']} epoch {run.epoch}/{run.spec['epochs']}  "
        f"{describe_measures(run.measured[-1])}  "
        f"{len(run.feed) / epoch_seconds:.0f} {run.feed.unit}/s  "
        f"{format_seconds(seconds_left)} left"
    )


def describe_measures(found: Mapping[str, float]) -> str:
    """Return the losses and accuracies that there are, for a person."""
    loss = f"loss {found['train_loss']:.3f}"
    shares = {name: found[f"{name}_accuracy"] for name in ("train", "test")}
    known = [f"{name} {100 * share:.1f} %" for name, share in shares.items() if np.isfinite(share)]
    if not known and np.isfinite(found["test_loss"]):
        known = [f"test loss {found['test_loss']:.3f}"]
    return "  ".join([loss, *known])
