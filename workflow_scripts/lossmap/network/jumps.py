"""Jump and retrain (horoi2021 §4): from a minimum θo to θo + step · v̄, then training goes on.

One artifact holds one direction v̄ and all its step sizes. All of a job's runs share one network and
one copy of the data on the device. Every run is resumable after any epoch, and a finished one is
kept beside the resume points: a new step size trains only what is new.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from logging import Logger
from pathlib import Path

import numpy as np
from filelock import FileLock

from lossmap.artifacts.curves import SNAPSHOT_CURVES
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.files import link
from lossmap.artifacts.jumps import FINISHED, Jumps, spec_of_resume_points
from lossmap.artifacts.provenance import Provenance, open_resume_folder, owner_of, resume_note
from lossmap.artifacts.seal import seal_holds
from lossmap.artifacts.store import read_provenance, save, stream
from lossmap.artifacts.trajectory import Trajectory, read_snapshot
from lossmap.errors import LossmapError
from lossmap.geometry.planes.fn import draw_filter_normalized
from lossmap.network.checkpoint import Checkpoint, saving
from lossmap.network.task import Task
from lossmap.network.training import Run, train_to_end


def load_minimum(path: str | Path) -> dict[str, np.ndarray]:
    """Return the last snapshot of a run: ``thetas``, which is θo, and the buffers."""
    with stream(path, Trajectory) as run:
        return read_snapshot(run, -1)


def jump_and_retrain(
    data: Dataset | Task,
    minimum: Mapping[str, np.ndarray],
    artifacts: Mapping[str, Provenance],
    device: str,
    log: Logger,
) -> None:
    """Make every artifact of one minimum: θ_start = θo + step · v̄ for each of its step sizes.

    Parameters
    ----------
    data : what the minimum was trained on, with the same labels
    minimum : of `load_minimum`
    artifacts : what is stored with each artifact, by its path; the specifications are a training
        run's, and ``direction`` (seed), ``step_sizes``, ``ignore`` (of the filter normalization)
    device : ``cpu`` or ``cuda``
    log : receives one line per epoch

    Raises
    ------
    LossmapError
        A loss is not finite, the disk or the memory of the GPU is full.
    """
    first = next(iter(artifacts.values()))
    run = Run(data, first.parameters(), device)
    for path, provenance in artifacts.items():
        run.spec = provenance.parameters()
        _retrain_direction(run, minimum, Path(path), provenance, log)


def _retrain_direction(
    run: Run,
    minimum: Mapping[str, np.ndarray],
    path: Path,
    provenance: Provenance,
    log: Logger,
) -> None:
    spec = run.spec
    theta = minimum["thetas"]
    layout, seed = run.network.layout, spec["direction"]
    direction = draw_filter_normalized(theta, layout, seed, axes=1, ignore=spec["ignore"])[0]
    with closing(Workspace(path, provenance, spec, run.widths(), log)) as workspace:
        for step in spec["step_sizes"]:
            if step in workspace.known:
                log.info("%s step %g: kept from before", path.stem, step)
                continue
            start = {**minimum, "thetas": theta + np.float32(step) * direction}
            _retrain(run, start, workspace, step, log)
        thetas, curves = workspace.assemble()
        sizes = np.asarray(spec["step_sizes"], np.float64)
        epochs, label = np.arange(thetas.shape[1]), run.task.loss_label
        found = Jumps(thetas, sizes, epochs, direction, seed, **curves, loss_label=label)
        save(path, found, provenance)
        workspace.keep(path)


def _retrain(
    run: Run, start: Mapping[str, np.ndarray], workspace: "Workspace", step: float, log: Logger
) -> None:
    spec = run.spec
    run.spec = spec | {"run": f"{workspace.name} step {step:g}"}
    run.begin(start)
    with closing(workspace.checkpoint(step)) as checkpoint:
        train_to_end(run, checkpoint, log)
    run.spec = spec


class Workspace:
    """The folder of the retrainings of one direction, until their artifact is written and after.

    The folder is named by everything that one run depends on; which step sizes are asked for is not
    part of that. It holds a resume point per step size, and once the artifact is written, a
    hard link to it instead: Snakemake deletes an artifact before it is made again.

    Attributes
    ----------
    known : row of each step size that an earlier artifact holds
    """

    def __init__(
        self,
        path: Path,
        provenance: Provenance,
        spec: dict,
        widths: Mapping[str, int],
        log: Logger,
    ):
        belongs_to = replace(provenance, spec=spec_of_resume_points(spec))
        self.folder, self._owner = open_resume_folder(path, belongs_to), owner_of(belongs_to)
        self.name, self.spec, self.widths = path.stem, spec, widths
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder.with_suffix(".lock"))
        self._lock.acquire()  # waits for an orphan of a killed workflow that is still training
        self._kept = self.folder / FINISHED
        self.known = self._find_known(log)

    def _find_known(self, log: Logger) -> dict[float, int]:
        if not self._kept.exists():
            return {}
        try:
            if self._is_own():
                with stream(self._kept, Jumps) as file:
                    return {float(step): row for row, step in enumerate(file["step_sizes"][()])}
        except (OSError, LossmapError):
            pass
        log.warning("%s: damaged or of another run; nothing of it is used", self._kept)
        return {}

    def _is_own(self) -> bool:
        """Tell whether the kept artifact is whole, whatever its size, and of this direction."""
        if not seal_holds(self._kept):
            return False
        found = read_provenance(self._kept)
        spec = spec_of_resume_points(found.parameters())
        return owner_of(replace(found, spec=spec)) == self._owner

    def checkpoint(self, step: float) -> Checkpoint:
        """Return the resume point of one step size."""
        name = f"step-{step!r}".replace(".", "_")  # a dot would begin a suffix
        return Checkpoint(self.folder / name, self.widths, f"{self._owner} {step!r}")

    def assemble(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return thetas, float32 (steps, epochs, params), on disk, and the curves by name."""
        steps, epochs = self.spec["step_sizes"], self.spec["epochs"] + 1
        shape = (len(steps), epochs, self.widths["thetas"])
        curves = {name: np.empty(shape[:2]) for name in SNAPSHOT_CURVES}
        with open(self._joined, "wb") as stream:
            for index, step in enumerate(steps):
                find = self._kept_rows if step in self.known else self._trained_rows
                with find(step) as (rows, found):
                    with saving(self.folder):
                        for row in rows:
                            stream.write(np.ascontiguousarray(row).data)
                    for name in SNAPSHOT_CURVES:
                        curves[name][index] = found[name]
        return np.memmap(self._joined, np.float32, "r", shape=shape), curves

    @property
    def _joined(self) -> Path:
        return self.folder / "thetas.f32"

    @contextmanager
    def _trained_rows(self, step: float) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        with closing(self.checkpoint(step)) as checkpoint:
            state = checkpoint.load()
            if state is None:
                raise LossmapError(
                    f"{checkpoint.folder}: damaged since it was trained; run again, this step size "
                    "is trained anew"
                )
            found = {name: state[f"history.{name}"] for name in SNAPSHOT_CURVES}
            yield checkpoint.rows("thetas", int(state["rows"])), found

    @contextmanager
    def _kept_rows(self, step: float) -> Iterator[tuple[Iterator, dict[str, np.ndarray]]]:
        with stream(self._kept, Jumps) as file:
            row, thetas = self.known[step], file["thetas"]
            found = {name: file[name][row] for name in SNAPSHOT_CURVES}
            yield (thetas[row, epoch] for epoch in range(thetas.shape[1])), found

    def keep(self, artifact: Path) -> None:
        """Give the artifact a second name here and remove what it makes redundant."""
        try:
            link(artifact, self._kept)
        except OSError:  # a file system without hard links: the next step size trains all anew
            self._kept.unlink(missing_ok=True)
        for left in self._needless():
            shutil.rmtree(left, ignore_errors=True)
            left.with_suffix(".lock").unlink(missing_ok=True)
            resume_note(left).unlink(missing_ok=True)

    def _needless(self) -> list[Path]:
        """Return this direction's resume points, and what other specifications of it left."""
        others = self.folder.parent.glob(f"{self.name}-{'[0-9a-f]' * 16}")
        return [*self.folder.glob("step-*[0-9]"), *(path for path in others if path != self.folder)]

    def close(self) -> None:
        """Drop the joined copy and let another process go on."""
        self._joined.unlink(missing_ok=True)
        self._lock.release()
