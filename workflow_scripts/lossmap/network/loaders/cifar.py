"""CIFAR-10 and CIFAR-100 through torchvision: from its own layout on disk, or downloaded.

Owns the rule that a user's file is never written over. torchvision (and torch with it) is loaded
only when a function here runs.
"""

import os
import tarfile
import tempfile
import zlib
from http.client import HTTPException
from pathlib import Path

import numpy as np

from lossmap.artifacts.dataset import Dataset
from lossmap.errors import LossmapError, reason
from lossmap.network.loaders.assembly import assemble_dataset, select_balanced

FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
"""torchvision's folder of each set, known here so that describing a source loads no torch."""


def load_cifar(name: str, data_dir: str | Path, train: int | None, test: int | None) -> Dataset:
    """Return a class-balanced subset of CIFAR, or all of it, downloading it if it is absent.

    Files are checked against torchvision's MD5 sums. A set of which nothing is on disk is unpacked
    from torchvision's archive in `data_dir`, or downloaded; it gets its name when it is complete.

    Raises
    ------
    LossmapError
        The name is unknown, a file on disk is damaged or missing, the download fails, or more
        images are asked than there are.
    """
    if name not in FOLDERS:
        raise LossmapError(
            f"source 'torchvision': name is {name!r}, expected one of {', '.join(sorted(FOLDERS))}"
        )
    from torchvision import datasets  # noqa: PLC0415  (the other sources must not load torch)

    loader = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    root = Path(data_dir)
    _obtain(loader, root, name)
    parts = [loader(root, train=part) for part in (True, False)]
    classes = [str(label) for label in parts[0].classes]
    where = root / loader.base_folder
    splits = [
        _select(part, size, classes, f"{where}: {split}")
        for part, split, size in zip(parts, ("train", "test"), (train, test), strict=True)
    ]
    return assemble_dataset(*splits, classes, str(where))


def _select(
    part: object, size: int | None, classes: list[str], where: str
) -> tuple[np.ndarray, np.ndarray]:
    labels = np.array(part.targets, np.int64)
    index = select_balanced(labels, size, classes, where)
    return np.ascontiguousarray(part.data[index]), labels[index]


def _obtain(loader: type, root: Path, name: str) -> None:
    """Leave a complete, checked set in `root`, or raise; what is there is read and never changed.

    torchvision's own ``download=True`` would write over a damaged file without a word.
    """
    folder = root / loader.base_folder
    meta = (loader.meta["filename"], loader.meta["md5"])
    listed = [(folder / file, md5) for file, md5 in (*loader.train_list, *loader.test_list, meta)]
    if folder.exists():
        for file, md5 in listed:
            _check_md5(file, md5, f"restore it, or move {folder} away to have the set downloaded")
        return
    archive = root / loader.filename
    if archive.exists():
        _check_md5(archive, loader.tgz_md5, "delete it to have it downloaded")
    try:
        _download(loader, root)
    except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError, zlib.error) as error:
        raise LossmapError(
            f"{folder}: absent, and {loader.url} could not be downloaded into {root} "
            f"({reason(error)}); put {loader.base_folder}/ or {loader.filename} "
            f"(torchvision's layout) or {name}.h5 into {root}"
        ) from error


def _check_md5(file: Path, md5: str, remedy: str) -> None:
    from torchvision.datasets.utils import calculate_md5  # noqa: PLC0415  (as above)

    try:
        found = calculate_md5(file)
    except OSError as error:
        raise LossmapError(f"{file}: cannot be read ({reason(error)}); {remedy}") from error
    if found != md5:
        raise LossmapError(
            f"{file}: MD5 is {found}, expected {md5}: damaged, truncated or edited; {remedy}"
        )


def _download(loader: type, root: Path) -> None:
    """Download and unpack beside the place, then rename: a killed job leaves no half a set."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{loader.base_folder}.", dir=root) as workplace:
        if (root / loader.filename).is_file():
            os.symlink((root / loader.filename).resolve(), Path(workplace, loader.filename))
        loader(workplace, train=True, download=True)
        try:
            os.rename(Path(workplace, loader.base_folder), root / loader.base_folder)
        except OSError:
            # A job beside this one may have been first; torchvision checks its files on loading.
            if not (root / loader.base_folder).exists():
                raise
