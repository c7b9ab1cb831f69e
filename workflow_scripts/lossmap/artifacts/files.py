"""Atomic writes: no name ever refers to a half-written file. Knows nothing of HDF5."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lossmap.errors import LossmapError, reason


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a stream that becomes the file `path` only once all is written and synced.

    Raises
    ------
    LossmapError
        The disk is full or read-only.
    """
    path, temporary = Path(path), None
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            if temporary and os.path.exists(temporary):
                os.unlink(temporary)


@contextmanager
def writing(
    path: str | Path,
    what: str = "cannot be written",
    remedy: str = "free or unlock the disk and run again, nothing was lost",
) -> Iterator[None]:
    """Turn what a full or read-only disk raises into a LossmapError that names the file."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # h5py closes a file on a full disk with the latter
        raise LossmapError(f"{path}: {what} ({reason(error)}); {remedy}") from error


def write_text(path: str | Path, text: str) -> None:
    """Write a small text file atomically; raises LossmapError as `replacing` does."""
    with replacing(path) as stream:
        stream.write(text.encode())


def sync(path: str | Path) -> None:
    """Wait until a file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
