"""Which checkpoints a run is imported from, in which order, and at which epochs.

Tells it from the names alone, but for a recorder's file, which holds its epochs; the tensors are
read by the job (`lossmap.network.importing`).
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from lossmap.artifacts.recording import list_epochs
from lossmap.errors import LossmapError

RECORDED = (".h5", ".hdf5")
SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", *RECORDED)
_WEIGHTS = ("model*.safetensors", "*.safetensors", "pytorch_model*.bin")
"""What a folder of Hugging Face's holds, the first that is there."""
_DECIMAL = re.compile(r"\d+\.\d+")  # an accuracy or a loss in the name
_EPOCH = re.compile(r"epochs?\D{0,2}(\d+)", re.IGNORECASE)
_FOLDER = re.compile(r"(?:checkpoint|ckpt|epoch|step)\D{0,2}\d+", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Snapshot:
    """One epoch of an imported run and the files that hold it, in several parts if it is large."""

    epoch: int
    files: tuple[Path, ...]


def label_of(file: Path) -> str:
    """Return how a specification calls a file: by its folder too, whose number may be the epoch."""
    file = Path(os.path.abspath(file))
    return f"{file.parent.name}/{file.name}"


def find_checkpoints(given: str | list[str], where: str) -> list[Snapshot]:
    """Return the snapshots of an imported run, by epoch.

    Parameters
    ----------
    given : a pattern such as ``ckpt/epoch_*.pt``, or a list of them
    where : what they are given by, for messages

    Raises
    ------
    LossmapError
        A pattern matches nothing, a file is of no known format or has no number in its name, or two
        are of one epoch.
    """
    patterns = [given] if isinstance(given, str) else given
    found: dict[int, Snapshot] = {}
    for path in (path for pattern in patterns for path in _match(pattern, where)):
        for snapshot in _snapshots_of(path, where):
            other = found.setdefault(snapshot.epoch, snapshot)
            if other is not snapshot:
                raise LossmapError(
                    f"{where}: '{other.files[0]}' and '{snapshot.files[0]}' are "
                    f"both of epoch {snapshot.epoch}; rename one, or narrow the pattern"
                )
    return [found[epoch] for epoch in sorted(found)]


def _match(pattern: str, where: str) -> list[Path]:
    found = sorted(map(Path, glob(pattern, recursive=True)))
    if not found:
        raise LossmapError(f"{where}: nothing matches '{pattern}' in {Path.cwd()}; correct it")
    return found


def _snapshots_of(path: Path, where: str) -> Iterator[Snapshot]:
    files = tuple(_weights_in(path, where)) if path.is_dir() else (path,)
    if path.suffix not in SUFFIXES and not path.is_dir():
        raise LossmapError(
            f"{where}: '{path}' is no checkpoint that can be read; expected "
            f"{', '.join(SUFFIXES)} or a folder checkpoint-N: narrow the pattern"
        )
    if path.suffix in RECORDED:
        yield from (Snapshot(epoch, files) for epoch in list_epochs(path))
    else:
        yield Snapshot(_epoch_of(path, where), files)


def _weights_in(folder: Path, where: str) -> list[Path]:
    for pattern in _WEIGHTS:
        if found := sorted(folder.glob(pattern)):
            return found
    raise LossmapError(
        f"{where}: '{folder}' holds none of {', '.join(_WEIGHTS)}; name files of "
        "weights, or a folder that has some"
    )


def _epoch_of(path: Path, where: str) -> int:
    """Return the number after ``epoch``, or else the last number that is no decimal."""
    names = [path.name if path.is_dir() else path.stem, *_FOLDER.findall(path.parent.name)]
    for text in (_DECIMAL.sub(" ", name) for name in names):
        numbers = _EPOCH.findall(text) or _NUMBER.findall(text)
        if numbers:
            return int(numbers[-1])
    raise LossmapError(
        f"{where}: '{path}' has no number in its name, so its epoch is unknown; "
        "rename it to something like epoch_12.pt"
    )
