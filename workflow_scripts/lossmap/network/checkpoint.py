"""Resume points of a training run: what a killed job leaves for the next one.

A run keeps two things in its own folder, named by spec and code so that a stale one is never picked
up: raw files to which each epoch's rows are appended, and a small HDF5 file that is replaced
atomically and says how many rows count. Rows after that number are torn writes and are cut off.
The HDF5 file is sealed as artifacts are, and its mark says whose it is and what the rows were: of
a resume point that anything has changed, nothing is used.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from logging import Logger
from pathlib import Path

import h5py
import numpy as np
from filelock import FileLock

from lossmap.artifacts.files import sync, writing
from lossmap.artifacts.provenance import resume_note
from lossmap.artifacts.seal import SEAL_BYTES, Mark, read_mark, seal, seal_holds
from lossmap.artifacts.store import DAMAGE, content_digest
from lossmap.errors import LossmapError

_TYPES = {"other_buffers": np.uint8}
"""Of the elements of growing arrays, where they are not float32."""


def _type_of(name: str) -> np.dtype:
    return np.dtype(_TYPES.get(name, np.float32))


def saving(folder: Path) -> AbstractContextManager[None]:
    """Turn a full or read-only disk into a LossmapError that names the folder of resume points."""
    return writing(
        folder,
        "the resume point cannot be written",
        "free or unlock the disk and run again, training goes on from the last saved epoch",
    )


class Checkpoint:
    """Growing arrays and the latest state of one run; only one process holds it at a time.

    Parameters
    ----------
    folder : where the files lie; made when absent, removed by `discard`
    widths : name and row length of each growing array
    owner : what the run is made from: a state that is found is used only if it was saved for this
    """

    def __init__(self, folder: str | Path, widths: Mapping[str, int], owner: str = ""):
        self.folder = Path(folder)
        self.widths = dict(widths)
        self._owner = hashlib.sha256(owner.encode()).hexdigest()
        self._hashed = hashlib.sha256()  # over all rows, array after array within each
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder.with_suffix(".lock"))
        self._lock.acquire()  # waits for an orphan of a killed workflow that is still writing

    def save(self, rows: Mapping[str, np.ndarray], state: Mapping[str, np.ndarray]) -> None:
        """Append one row to each growing array, then replace the state.

        Raises
        ------
        LossmapError
            The disk is full or read-only; the previous state stays valid.
        """
        hashed = self._hashed.copy()
        with saving(self.folder):
            for name in (name for name in self.widths if name in rows):
                data = np.ascontiguousarray(rows[name], _type_of(name)).tobytes()
                hashed.update(data)
                with open(self._rows_path(name), "ab") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
            self._replace_state(state, hashed.hexdigest())
        self._hashed = hashed

    def load(self, log: Logger | None = None) -> dict[str, np.ndarray] | None:
        """Return the latest state, or None when there is no valid one; cuts off torn rows.

        What is not as it was saved, or was saved for another run, is removed, and the log says so.
        """
        state = self._read_state()
        if state is not None and self._rows_hold(int(state["rows"])):
            self._cut_rows(int(state["rows"]))
            return state
        if log and self._state_path.exists():
            what = "state.h5 is" if state is None else "its rows are"
            log.warning(
                "%s: %s damaged or of another run; nothing of it is used, training begins anew",
                self.folder,
                what,
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._hashed = hashlib.sha256()
        return None

    def check_rows(self, count: int) -> None:
        """Compare what the disk holds with what was appended, before an artifact is made of it.

        Raises
        ------
        LossmapError
            They differ.
        """
        if not self._rows_hold(count):
            raise LossmapError(
                f"{self.folder}: its rows were damaged since they were saved; run again, training "
                "begins anew"
            )

    def rows(self, name: str, count: int) -> np.ndarray:
        """Return a growing array as a read-only memory map, (count, width)."""
        shape, kind = (count, self.widths[name]), _type_of(name)
        if 0 in shape:
            return np.zeros(shape, kind)
        return np.memmap(self._rows_path(name), kind, "r", shape=shape)

    def discard(self) -> None:
        """Remove everything, and the note of what it belonged to."""
        shutil.rmtree(self.folder, ignore_errors=True)
        resume_note(self.folder).unlink(missing_ok=True)

    def close(self) -> None:
        """Let another process hold the resume point."""
        self._lock.release()

    def _rows_path(self, name: str) -> Path:
        kind = _type_of(name)
        return self.folder / f"{name}.{kind.kind}{8 * kind.itemsize}"

    @property
    def _state_path(self) -> Path:
        return self.folder / "state.h5"

    def _replace_state(self, state: Mapping[str, np.ndarray], rows: str) -> None:
        temporary = self.folder / f".state.{os.getpid()}.h5"
        with h5py.File(temporary, "w", userblock_size=SEAL_BYTES) as file:
            for name, values in state.items():
                file.create_dataset(name, data=values)
            file.attrs.update(kind="checkpoint", format_version=1)
            content = content_digest(file)
        seal(temporary, Mark(self._owner, rows, content))
        sync(temporary)
        os.replace(temporary, self._state_path)

    def _read_state(self) -> dict[str, np.ndarray] | None:
        try:
            mark = read_mark(self._state_path)
            if mark is None or mark.fingerprint != self._owner or not seal_holds(self._state_path):
                return None
            with h5py.File(self._state_path, "r") as file:
                return {name: values[()] for name, values in file.items()}
        except DAMAGE:
            return None

    def _rows_hold(self, count: int) -> bool:
        """Tell whether the first rows are those whose hash the state has, and go on from it."""
        found = hashlib.sha256()
        try:
            arrays = [self.rows(name, count) for name in self.widths]
            for row in range(count):
                for array in arrays:
                    found.update(array[row].data)
            mark = read_mark(self._state_path)
        except DAMAGE:
            return False
        self._hashed = found
        return mark is not None and mark.inputs == found.hexdigest()

    def _cut_rows(self, count: int) -> None:
        for name, width in self.widths.items():
            if self._rows_path(name).exists():
                os.truncate(self._rows_path(name), _type_of(name).itemsize * count * width)
