"""Image files in HDF5: the CIFAR subsets of this project and users' own data sets.

Owns the layout that such a file must have and every check of it. A file comes from outside, so
nothing in it is trusted. Knows no torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import h5py
import numpy as np

from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.files import hash_file
from lossmap.artifacts.store import DAMAGE
from lossmap.errors import LossmapError, reason
from lossmap.network.loaders.assembly import assemble_dataset, select_balanced
from lossmap.network.loaders.whole import check_room, check_whole, find_node

CHECKSUMS = "SHA256SUMS"
_LAYOUT = "train/images, train/labels, test/images, test/labels and classes"


def load_hdf5(path: str | Path, train: int | None, test: int | None) -> Dataset:
    """Return a class-balanced subset of an image file, or all of it.

    The file holds ``train/images`` uint8 (n, height, width, channels) with 1 or 3 channels,
    ``train/labels`` int64 (n,), the same under ``test``, and ``classes``, the names. If a file
    ``SHA256SUMS`` beside it lists it, its digest is checked first.

    Raises
    ------
    LossmapError
        The file is missing, damaged, has another layout, too few images, or more than memory holds;
        or what it shows lies in other files.
    """
    path = Path(path)
    if not path.is_file():
        raise LossmapError(
            f"{path}: no such file; put an HDF5 file with {_LAYOUT} there, or correct `data_dir`"
        )
    check_digest(path)
    with _opened(path) as file:
        classes = _read_classes(file, path)
        splits: list[tuple[np.ndarray, np.ndarray]] = []
        for split, size in {"train": train, "test": test}.items():
            held = sum(images.nbytes for images, _ in splits)
            splits.append(_read_split(file, path, split, size, classes, held))
    shapes = [images.shape[1:] for images, _ in splits]
    if shapes[0] != shapes[1]:
        raise LossmapError(
            f"{path}: images of 'train' are {_times(shapes[0])}, but those of 'test' "
            f"{_times(shapes[1])}; both must have one size"
        )
    return assemble_dataset(*splits, classes, str(path))


def check_digest(path: Path) -> None:
    """Compare a file with the line that ``SHA256SUMS`` beside it has for it, if there is one.

    Raises
    ------
    LossmapError
        They differ, or one of the two cannot be read.
    """
    sums = path.with_name(CHECKSUMS)
    try:
        expected = _listed_digest(sums, path.name) if sums.is_file() else None
        if expected is None:
            return
        found = hash_file(path)
    except OSError as error:
        raise LossmapError(f"{path}: its digest cannot be checked ({error})") from error
    if found != expected:
        raise LossmapError(
            f"{path}: SHA-256 is {found[:12]}…, but {sums} says {expected[:12]}…: damaged, "
            f"truncated (it has {path.stat().st_size} bytes) or another version; fetch the file "
            f"again, or correct its line in {CHECKSUMS} if the change was meant"
        )


def _listed_digest(sums: Path, name: str) -> str | None:
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, listed = line.strip().partition(" ")
        # sha256sum writes two spaces, or a space and an asterisk for binary mode.
        if Path(listed.strip().removeprefix("*")) == Path(name):
            return digest.lower()
    return None


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        known = h5py.is_hdf5(path)
        kind = "HDF5, but truncated or damaged" if known else "not a readable HDF5 file"
        raise LossmapError(
            f"{path}: {kind} ({path.stat().st_size} bytes; {reason(error)}); fetch the file again"
        ) from error
    with file:
        yield file


@contextmanager
def _reading(path: Path, name: str) -> Iterator[None]:
    """Name the dataset whose bytes HDF5 cannot make sense of, whatever it raises for them."""
    try:
        yield
    except DAMAGE as error:
        raise LossmapError(
            f"{path}: dataset '{name}' cannot be read ({reason(error)}): damaged, or written with "
            "a filter that this h5py lacks; fetch or write the file again"
        ) from error


def _find(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    with _reading(path, name):
        node = find_node(file, path, name)
        if isinstance(node, h5py.Dataset):
            check_whole(node, path, name)
            return node
    raise LossmapError(f"{path}: dataset '{name}' is missing; the file must hold {_LAYOUT}")


def _read_classes(file: h5py.File, path: Path) -> list[str]:
    dataset = _find(file, path, "classes")
    expected = "expected at least two different names as a 1-D dataset of strings"
    with _reading(path, "classes"):
        if h5py.check_string_dtype(dataset.dtype) is None or dataset.ndim != 1:
            raise LossmapError(f"{path}: 'classes' is {_describe(dataset)}, {expected}")
        check_room(dataset.nbytes, path, "the names in 'classes'")
        classes = dataset.asstr()[()].tolist()
    if len(classes) < 2 or len(set(classes)) < len(classes) or not all(classes):
        shown = ", ".join(map(repr, classes[:12]))
        raise LossmapError(f"{path}: 'classes' is [{shown}], {expected}")
    return classes


def _read_split(
    file: h5py.File, path: Path, split: str, size: int | None, classes: list[str], held: int
) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (_find(file, path, f"{split}/{name}") for name in ("images", "labels"))
    with _reading(path, images.name.lstrip("/")):
        _check_images(images, path)
    with _reading(path, labels.name.lstrip("/")):
        values = _read_labels(labels, len(images), len(classes), path)
    index = select_balanced(values, size, classes, f"{path}: {split}")
    count = int(index.max()) + 1
    check_room(held + count * prod(images.shape[1:]), path, f"images up to '{split}'")
    with _reading(path, images.name.lstrip("/")):
        pixels = images[:count]
    if not np.array_equal(index, np.arange(len(pixels))):
        pixels = pixels[index]
    return pixels, values[index]


def _check_images(images: h5py.Dataset, path: Path) -> None:
    fits = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] in (1, 3)
    if not fits or 0 in images.shape:
        raise LossmapError(
            f"{path}: '{images.name[1:]}' is {_describe(images)}, expected uint8 (n, height, "
            "width, channels) with 1 or 3 channels and at least one image; convert the file"
        )


def _read_labels(labels: h5py.Dataset, count: int, classes: int, path: Path) -> np.ndarray:
    if labels.dtype != np.int64 or labels.shape != (count,):
        raise LossmapError(
            f"{path}: '{labels.name[1:]}' is {_describe(labels)}, expected int64 ({count},), one "
            "for each image; convert the file"
        )
    check_room(labels.nbytes, path, f"labels of '{labels.name[1:]}'")
    values = labels[()]
    wrong = np.flatnonzero((values < 0) | (values >= classes))
    if wrong.size:
        raise LossmapError(
            f"{path}: '{labels.name[1:]}'[{wrong[0]}] is {values[wrong[0]]}, expected 0 to "
            f"{classes - 1}, an index into 'classes' ({wrong.size} labels are out of range); "
            "correct the labels or the classes"
        )
    return values


def _describe(dataset: h5py.Dataset) -> str:
    return f"{dataset.dtype} {dataset.shape}"


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
