"""The file of a recorder: the tensors of a network, snapshot after snapshot, while it trains.

Written by anybody's training loop, read by the import of checkpoints. HDF5 in the mode for a single
writer and many readers: what was recorded stays readable if the process is killed at any moment.
Knows tensors by their methods alone; imports no torch.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lossmap.artifacts.files import writing
from lossmap.errors import LossmapError, reason

KIND, VERSION = "recording", 1
CHUNK = 2**22
"""Elements per chunk of a row: 16 MB, so that a row is written by few calls."""
_PARTS = {"floats": np.float32, "integers": np.int64}
Tensors = dict[str, np.ndarray]
"""Arrays by the name of the tensor in the network's state."""


class SnapshotRecorder:
    """Appends the tensors of a network to a file, whenever the training loop says so.

    Parameters
    ----------
    path : the file, made at the first snapshot
    model : the ``torch.nn.Module`` that is trained, also in a wrapper; its ``state_dict`` is
        recorded, floating-point tensors as float32
    resume : go on with an existing file; what it holds from the next recorded epoch on is dropped

    Raises
    ------
    LossmapError
        The file exists and `resume` is false.

    Examples
    --------
    >>> recorder = SnapshotRecorder("mine.h5", model)  # doctest: +SKIP
    >>> recorder.record(epoch, loss=loss)  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, model: Any, *, resume: bool = False):
        self.path, self._model, self._resume = Path(path), model, resume
        self._file: h5py.File | None = None
        self._rows: Tensors = {}
        if self.path.exists() and not resume:
            raise LossmapError(
                f"{path}: exists, and is not replaced; give resume=True to go on with it, or "
                "another name"
            )

    def record(self, epoch: int, **measured: float) -> None:
        """Append a snapshot.

        Parameters
        ----------
        epoch : of the snapshot, more than the last one's
        measured : numbers of yours, such as ``loss``; the same names at every snapshot

        Raises
        ------
        LossmapError
            The epochs go back, names or shapes are others than before, or the disk is full.
        """
        state = {n: t.detach() for n, t in self._model.state_dict().items() if hasattr(t, "detach")}
        layout = _lay_out(state)
        with writing(self.path, remedy="free or unlock the disk; earlier snapshots are kept"):
            if self._file is None:
                self._file = self._begin(epoch, layout, measured)
            self._check(epoch, layout, measured)
            self._append(epoch, layout, state, measured)

    def _begin(self, epoch: int, layout: dict, measured: Mapping[str, float]) -> h5py.File:
        """Make the file under another name, with what is kept of the old one, and open it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        os.close(handle)
        try:
            with h5py.File(temporary, "w", libver="latest") as file:
                _create(file, layout, measured)
                if self._resume and self.path.exists():
                    _copy_before(self.path, file, epoch)
            os.replace(temporary, self.path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        file = h5py.File(self.path, "r+", libver="latest")
        file.swmr_mode = True
        # Kept between snapshots: fresh memory costs as much as the copy into it.
        self._rows = {part: np.empty(file[part].shape[1], kind) for part, kind in _PARTS.items()}
        return file

    def _check(self, epoch: int, layout: dict, measured: Mapping[str, float]) -> None:
        epochs = self._file["epochs"]
        if len(epochs) and epoch <= epochs[-1]:
            raise LossmapError(
                f"{self.path}: epoch {epoch} is recorded after epoch {epochs[-1]}; count upwards, "
                "or make a new recorder with resume=True"
            )
        if layout != json.loads(self._file.attrs["layout"]):
            raise LossmapError(
                f"{self.path}: the network has other tensors than at the first snapshot; record "
                "it in another file"
            )
        known = list(self._file["curves"])
        if sorted(measured) != known:
            raise LossmapError(
                f"{self.path}: {sorted(measured)} were given, {known} at the first snapshot; give "
                "the same names every time"
            )

    def _append(
        self, epoch: int, layout: dict, state: Mapping[str, Any], measured: Mapping[str, float]
    ) -> None:
        file = self._file
        row = len(file["epochs"])
        for part in _PARTS:
            flat, start = self._rows[part], 0
            for name, shape in layout[part]:
                size = int(np.prod(shape))
                cpu = state[name].cpu()
                values = cpu.float() if part == "floats" else cpu.long()
                flat[start : start + size] = values.numpy().reshape(-1)
                start += size
            _append_row(file[part], row, flat)
        for name, value in measured.items():
            _append_row(file[f"curves/{name}"], row, float(value))
        file.flush()
        _append_row(file["epochs"], row, epoch)  # last: a snapshot counts once its epoch is there
        file.flush()

    def close(self) -> None:
        """Close the file; nothing is lost if nobody does."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> "SnapshotRecorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lay_out(state: Mapping[str, Any]) -> dict[str, list]:
    """Return name and shape of every tensor, floating-point ones and others apart."""
    parts: dict[str, list] = {part: [] for part in _PARTS}
    for name, tensor in state.items():
        part = "floats" if tensor.is_floating_point() else "integers"
        parts[part].append([name, list(tensor.shape)])
    return parts


def _create(file: h5py.File, layout: Mapping[str, list], measured: Mapping[str, float]) -> None:
    file.attrs.update(kind=KIND, format_version=VERSION, layout=json.dumps(layout))
    file.create_dataset("epochs", (0,), np.int64, maxshape=(None,), chunks=(1024,))
    curves = file.create_group("curves")
    for name in measured:
        curves.create_dataset(name, (0,), np.float64, maxshape=(None,), chunks=(1024,))
    for part, dtype in _PARTS.items():
        size = sum(int(np.prod(shape)) for _, shape in layout[part])
        chunk = (1, max(1, min(size, CHUNK)))
        # Without the fill time each row would be written twice.
        options = {"chunks": chunk, "fill_time": "never"}
        file.create_dataset(part, (0, size), dtype, maxshape=(None, max(size, 1)), **options)


def _append_row(dataset: h5py.Dataset, row: int, values: object) -> None:
    dataset.resize(row + 1, axis=0)
    dataset[row] = values


def _copy_before(path: Path, into: h5py.File, epoch: int) -> None:
    """Copy the snapshots before an epoch, one by one."""
    with open_recording(path) as file:
        count = int(np.searchsorted(file["epochs"][()], epoch))
        if file.attrs["layout"] != into.attrs["layout"]:
            raise LossmapError(
                f"{path}: holds snapshots of another network; record in another file"
            )
        for name in ("floats", "integers", *(f"curves/{curve}" for curve in into["curves"])):
            if name not in file:
                raise LossmapError(f"{path}: holds no '{name}'; record in another file")
            for row in range(count):
                _append_row(into[name], row, file[name][row])
        for row in range(count):
            _append_row(into["epochs"], row, file["epochs"][row])


@contextmanager
def open_recording(path: str | Path) -> Iterator[h5py.File]:
    """Open the file of a recorder, also while it is written or if its writer was killed.

    Raises
    ------
    LossmapError
        It cannot be read, or is no such file.
    """
    try:
        file = h5py.File(path, "r", swmr=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise LossmapError(
            f"{path}: not a readable HDF5 file ({reason(error)}); expected one of SnapshotRecorder"
        ) from error
    with file:
        if (file.attrs.get("kind"), file.attrs.get("format_version")) != (KIND, VERSION):
            raise LossmapError(
                f"{path}: expected a file of SnapshotRecorder, got another HDF5 file"
            )
        yield file


def list_epochs(path: str | Path) -> list[int]:
    """Return the epochs that a recorder's file holds; raises LossmapError as `open_recording`."""
    with open_recording(path) as file:
        return [int(epoch) for epoch in file["epochs"]]


def read_snapshot(path: str | Path, epoch: int) -> Tensors:
    """Return the tensors of one epoch by name.

    Raises
    ------
    LossmapError
        As `open_recording`, or nothing was recorded at that epoch.
    """
    with open_recording(path) as file:
        rows = np.flatnonzero(file["epochs"][()] == epoch)
        if not len(rows):
            raise LossmapError(f"{path}: holds no snapshot of epoch {epoch} any more; run again")
        found = {}
        for part, tensors in json.loads(file.attrs["layout"]).items():
            flat, start = file[part][rows[0]], 0
            for name, shape in tensors:
                size = int(np.prod(shape))
                found[name] = flat[start : start + size].reshape(shape)
                start += size
        return found
