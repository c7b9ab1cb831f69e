"""Atomic writes: no name ever refers to a half-written file. Knows nothing of HDF5."""

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lossmap.errors import LossmapError, reason

_REMEDIES = {
    errno.EFBIG: "lift the limit of a file's size (ulimit -f) and run again, nothing was lost",
    errno.EISDIR: "remove the folder of its name and run again",
    errno.ENOTDIR: "remove the file in its folder's place and run again",
    errno.EEXIST: "remove the file in its folder's place and run again",
}
"""Where the disk is not what is wrong: by error."""


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
        why = reason(error)
        found = (better for number, better in _REMEDIES.items() if os.strerror(number) in why)
        remedy = next(found, remedy)
        raise LossmapError(f"{path}: {what} ({why}); {remedy}") from error


def write_text(path: str | Path, text: str) -> None:
    """Write a small text file atomically; raises LossmapError as `replacing` does."""
    with replacing(path) as stream:
        stream.write(text.encode())


def obstacle(path: str | Path) -> str | None:
    """Return why what has a name is no file that can be read; None if it is one, or nothing is."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            open(path, "rb").close()
            return None
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return "lies in what is no folder; remove that and run again"
    except OSError as error:
        return f"cannot be read ({reason(error)}); make it readable, or remove it and run again"
    found = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
    return f"no such file, but {found} of its name; remove it and run again"


def hash_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal.

    Raises
    ------
    LossmapError
        There is no such file, or it cannot be read.
    """
    check_readable(path)
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_readable(path: str | Path) -> None:
    """Refuse what cannot be read as a file, and what is not there.

    Raises
    ------
    LossmapError
        There is no such file, or it cannot be read.
    """
    if why := obstacle(path):
        raise LossmapError(f"{path}: {why}")
    if not Path(path).exists():
        raise LossmapError(f"{path}: no such file; run the workflow to make it")


def link(path: str | Path, name: str | Path) -> None:
    """Give a file a second name, in place of what has that name; raises OSError."""
    temporary = Path(name).with_name(f".{Path(name).name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    os.link(path, temporary)
    os.replace(temporary, name)
    temporary.unlink(missing_ok=True)  # of two names of one file, os.replace leaves both


def sync(path: str | Path) -> None:
    """Wait until a file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
