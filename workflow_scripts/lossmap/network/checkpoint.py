"""Resume points of a training run: what a killed job leaves for the next one.

A run keeps two things in its own folder, named by spec and code so that a stale one is never picked
up: raw files to which each epoch's rows are appended, and a small HDF5 file that is replaced
atomically and says how many rows count. Rows after that number are torn writes and are cut off.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import h5py
import numpy as np
from filelock import FileLock

from lossmap.artifacts.files import writing
from lossmap.artifacts.provenance import resume_note
from lossmap.artifacts.store import DAMAGE, content_digest, verify_content
from lossmap.errors import LossmapError


def saving(folder: Path) -> AbstractContextManager[None]:
    """Turn a full or read-only disk into a LossmapError that names the folder of resume points."""
    return writing(
        folder,
        "the resume point cannot be written",
        "free or unlock the disk and run again, training goes on from the last saved epoch",
    )


class Checkpoint:
    """Growing float32 arrays and the latest state of one run; only one process holds it at a time.

    Parameters
    ----------
    folder : where the files lie; made when absent, removed by `discard`
    widths : name and row length of each growing array
    """

    def __init__(self, folder: str | Path, widths: Mapping[str, int]):
        self.folder = Path(folder)
        self.widths = dict(widths)
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
        with saving(self.folder):
            for name, row in rows.items():
                with open(self._rows_path(name), "ab") as stream:
                    stream.write(np.ascontiguousarray(row, np.float32).tobytes())
                    stream.flush()
                    os.fsync(stream.fileno())
            self._replace_state(state)

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the latest state, or None when there is no valid one; cuts off torn rows."""
        state = self._read_state()
        if state is None or not self._cut_rows(int(state["rows"])):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            return None
        return state

    def rows(self, name: str, count: int) -> np.ndarray:
        """Return a growing array as a read-only memory map, float32 (count, width)."""
        shape = (count, self.widths[name])
        if 0 in shape:
            return np.zeros(shape, np.float32)
        return np.memmap(self._rows_path(name), np.float32, "r", shape=shape)

    def discard(self) -> None:
        """Remove everything, and the note of what it belonged to."""
        shutil.rmtree(self.folder, ignore_errors=True)
        resume_note(self.folder).unlink(missing_ok=True)

    def close(self) -> None:
        """Let another process hold the resume point."""
        self._lock.release()

    def _rows_path(self, name: str) -> Path:
        return self.folder / f"{name}.f32"

    def _replace_state(self, state: Mapping[str, np.ndarray]) -> None:
        temporary = self.folder / f".state.{os.getpid()}.h5"
        with h5py.File(temporary, "w") as file:
            for name, values in state.items():
                file.create_dataset(name, data=values)
            file.attrs.update(kind="checkpoint", format_version=1)
            file.attrs["digest"] = content_digest(file)
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, self.folder / "state.h5")

    def _read_state(self) -> dict[str, np.ndarray] | None:
        path = self.folder / "state.h5"
        try:
            with h5py.File(path, "r") as file:
                verify_content(file, path)
                return {name: values[()] for name, values in file.items()}
        except (*DAMAGE, LossmapError):
            return None

    def _cut_rows(self, count: int) -> bool:
        for name, width in self.widths.items():
            path, wanted = self._rows_path(name), 4 * count * width
            if wanted and (not path.exists() or path.stat().st_size < wanted):
                return False
            if path.exists():
                os.truncate(path, wanted)
        return True
