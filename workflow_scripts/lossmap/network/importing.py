"""Runs that were trained elsewhere: from their checkpoints to a trajectory, one after the other.

Resumable after every checkpoint; memory does not grow with their number. What is measured of each
is what training measures, by the same functions.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from logging import Logger
from pathlib import Path

import numpy as np

from lossmap.artifacts.curves import SNAPSHOT_CURVES
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.provenance import Provenance, open_resume_folder, owner_of
from lossmap.artifacts.store import save
from lossmap.artifacts.trajectory import History, Trajectory
from lossmap.errors import LossmapError
from lossmap.network.checkpoint import Checkpoint
from lossmap.network.classification import as_task
from lossmap.network.memory import explain_memory
from lossmap.network.parameters import FlatNetwork
from lossmap.network.reading import put_into, read_checkpoint
from lossmap.network.task import Task
from lossmap.network.training import Measures, describe_measures


def import_run(
    data: Dataset | Task,
    files: Mapping[str, Path],
    device: str,
    artifact: str | Path,
    provenance: Provenance,
    log: Logger,
    check_inputs: Callable[[], None] = lambda: None,
) -> None:
    """Read the checkpoints of one run, or the rest of them, and write its trajectory.

    Parameters
    ----------
    data : what losses and accuracies are measured on
    files : path of each file that the specification names under ``checkpoints``
    device : ``cpu`` or ``cuda``
    artifact : the trajectory to write
    provenance : what is stored with it; its specification is that of `imported_spec`
    log : receives one line per checkpoint
    check_inputs : raises LossmapError if a file has changed since the job began

    Raises
    ------
    LossmapError
        A checkpoint cannot be read or is of another network, a loss is not finite, or the disk or
        the memory of the GPU is full.
    """
    spec = provenance.parameters()
    what = f"import of '{spec['run']}'"
    with explain_memory(what):
        task = as_task(data, spec)
        network = task.create_network(spec["network"], device)
        measures = Measures(task, *task.open_measured(spec, device))
    widths = {name: len(vector) for name, vector in network.vectors.items()}
    folder, owner = open_resume_folder(artifact, provenance), owner_of(provenance)
    with closing(Checkpoint(folder, widths, owner)) as kept:
        with explain_memory(what):
            curves = _read_all(spec["checkpoints"], files, network, measures, kept, log)
        check_inputs()
        epochs = np.array([entry["epoch"] for entry in spec["checkpoints"]])
        kept.check_rows(len(epochs))
        trajectory = Trajectory(
            kept.rows("thetas", len(epochs)),
            kept.rows("buffers", len(epochs)),
            History(epochs, **curves),
            network.layout.to_tensors(),
            network.buffer_layout.to_tensors(),
            None,
            kept.rows("other_buffers", len(epochs)) if widths["other_buffers"] else None,
            network.other_layout,
            task.loss_label,
        )
        save(artifact, trajectory, provenance)
        kept.discard()


def _read_all(
    entries: list[dict],
    files: Mapping[str, Path],
    network: FlatNetwork,
    measures: Measures,
    kept: Checkpoint,
    log: Logger,
) -> dict[str, np.ndarray]:
    """Read what is not there yet, append it to the rows on disk and return the curves."""
    curves = kept.load() or {name: np.zeros(0) for name in SNAPSHOT_CURVES}
    for number in range(len(curves["train_loss"]), len(entries)):
        epoch, names = entries[number]["epoch"], entries[number]["files"]
        where = f"{files[names[0]]} (epoch {epoch})"
        network.attach()  # whatever a pass has assigned to the module
        put_into(network.module, read_checkpoint([files[name] for name in names], epoch), where)
        rows = {name: vector.cpu().numpy() for name, vector in network.keep().items()}
        found = measures.take(network, "running")
        if not np.isfinite(found["train_loss"]):
            raise LossmapError(
                f"{where}: its training loss is {found['train_loss']}; leave this checkpoint out"
            )
        curves = {name: np.append(curves[name], found[name]) for name in SNAPSHOT_CURVES}
        kept.save(rows, {"rows": np.int64(number + 1), **curves})
        log.info("%d/%d  epoch %d  %s", number + 1, len(entries), epoch, describe_measures(found))
    return {name: curves[name] for name in SNAPSHOT_CURVES}
