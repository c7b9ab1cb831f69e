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
CHANNELS = 4
"""At most so many come last in an image: more are a height or a width, and channels come first."""
_LAYOUT = "train/images and train/labels, with test/images, test/labels and classes where known"


def load_hdf5(path: str | Path, train: int | None, test: int | None) -> Dataset:
    """Return a class-balanced subset of an image file, or all of it.

    The file holds ``train/images`` uint8 (n, height, width, channels) with 1 to 4 channels, or
    (n, height, width), ``train/labels``, whole numbers (n,) or (n, 1), the same under ``test`` or
    nothing there, and ``classes``, the names; without them, classes are named by their numbers.
    If a file ``SHA256SUMS`` beside it lists it, its digest is checked first.

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
        sizes = {"train": train, "test": test}
        found = {
            split: _open_split(file, path, split) for split in sizes if _is_split(file, path, split)
        }
        labels = [values for _, values in found.values()]
        classes = _read_classes(file, path) or _count_classes(labels, path)
        splits: list[tuple[np.ndarray, np.ndarray]] = []
        for split, (images, values) in found.items():
            _check_labels(values, f"{split}/labels", classes, path)
            index = select_balanced(values, sizes[split], classes, f"{path}: {split}")
            held = sum(pixels.nbytes for pixels, _ in splits)
            splits.append((_read_pixels(images, index, held, path), values[index]))
    if "test" not in found:
        if test is not None:
            raise LossmapError(f"{path}: {test} test images asked, but it has none; ask for null")
        splits.append(tuple(values[:0] for values in splits[0]))
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


def _open_split(file: h5py.File, path: Path, split: str) -> tuple[h5py.Dataset, np.ndarray]:
    """Return the images of a split, not read yet, and its labels."""
    images, labels = (_find(file, path, f"{split}/{name}") for name in ("images", "labels"))
    with _reading(path, images.name.lstrip("/")):
        _check_images(images, path)
    with _reading(path, labels.name.lstrip("/")):
        return images, _read_labels(labels, len(images), path)


def _read_classes(file: h5py.File, path: Path) -> list[str] | None:
    """Return the names of the classes, None where the file has none."""
    if not _has(file, path, "classes"):
        return None
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


def _count_classes(labels: list[np.ndarray], path: Path) -> list[str]:
    """Return names for classes that the file gives none: their numbers."""
    count = 1 + max(int(values.max()) for values in labels if values.size)
    if count < 2:
        raise LossmapError(f"{path}: every label is 0, expected at least two classes")
    return [str(label) for label in range(count)]


def _is_split(file: h5py.File, path: Path, split: str) -> bool:
    """Tell whether a file has a split; without a test split, it has training images alone."""
    return split != "test" or any(_has(file, path, f"{split}/{n}") for n in ("images", "labels"))


def _has(file: h5py.File, path: Path, name: str) -> bool:
    with _reading(path, name):
        return name in file


def _read_pixels(images: h5py.Dataset, index: np.ndarray, held: int, path: Path) -> np.ndarray:
    """Return some images, uint8 (n, height, width, channels)."""
    name = images.name.lstrip("/")
    count = int(index.max()) + 1
    check_room(held + count * prod(images.shape[1:]), path, f"images up to '{name}'")
    with _reading(path, name):
        pixels = images[:count]
    if not np.array_equal(index, np.arange(len(pixels))):
        pixels = pixels[index]
    return pixels[..., None] if pixels.ndim == 3 else pixels


def _check_images(images: h5py.Dataset, path: Path) -> None:
    channels = images.shape[3:] or (1,)
    known = images.ndim in (3, 4) and 1 <= channels[0] <= CHANNELS
    if images.dtype != np.uint8 or not known or 0 in images.shape:
        raise LossmapError(
            f"{path}: '{images.name[1:]}' is {_describe(images)}, expected uint8 (n, height, "
            f"width) or (n, height, width, channels) with 1 to {CHANNELS} channels, which come "
            "last, and at least one image; convert the file"
        )


def _read_labels(labels: h5py.Dataset, count: int, path: Path) -> np.ndarray:
    """Return labels as int64 (n,), from any type that holds whole numbers."""
    fits = labels.dtype.kind in "iuf" and labels.shape in ((count,), (count, 1))
    if fits:
        check_room(labels.nbytes, path, f"labels of '{labels.name[1:]}'")
        found = labels[()].reshape(-1)
        with np.errstate(invalid="ignore"):
            values = found.astype(np.int64)
        fits = bool((values == found).all())
    if not fits:
        raise LossmapError(
            f"{path}: '{labels.name[1:]}' is {_describe(labels)}, expected a whole number for each "
            f"of the {count} images, ({count},) or ({count}, 1); convert the file"
        )
    return values


def _check_labels(values: np.ndarray, name: str, classes: list[str], path: Path) -> None:
    wrong = np.flatnonzero((values < 0) | (values >= len(classes)))
    if wrong.size:
        raise LossmapError(
            f"{path}: '{name}'[{wrong[0]}] is {values[wrong[0]]}, expected 0 to "
            f"{len(classes) - 1}, an index into 'classes' ({wrong.size} labels are out of range); "
            "correct the labels or the classes"
        )


def _describe(dataset: h5py.Dataset) -> str:
    return f"{dataset.dtype} {dataset.shape}"


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
