"""What every loader shares: the class-balanced choice of images and the pixel statistics.

Knows arrays and class names; knows no file and no library but NumPy.
"""

import numpy as np

from lossmap.artifacts.dataset import Dataset
from lossmap.errors import LossmapError

_BLOCK = 1000
"""Images squared at once: the 16-bit copy stays at 6 MB for 32×32 color images."""


def select_balanced(
    labels: np.ndarray, size: int | None, classes: list[str], where: str
) -> np.ndarray:
    """Return the indices of a class-balanced subset: first images of each class, taking turns.

    The classes take turns in label order, each with its images in file order, so that subsets are
    nested and class sizes differ by at most one. ``None`` keeps every image in file order.

    Parameters
    ----------
    labels : int64 (n,), each in ``range(len(classes))``
    size : images wanted, or None for all
    where : what the labels belong to, for messages

    Raises
    ------
    LossmapError
        The size is below 1, more than there are images, or a class has too few.
    """
    if size is None:
        return np.arange(len(labels))
    if not 1 <= size <= len(labels):
        raise LossmapError(
            f"{where}: {size} images asked, but there are {len(labels)}; "
            f"ask for 1 to {len(labels)}, or null for all"
        )
    counts = np.bincount(labels, minlength=len(classes))
    quotas = size // len(classes) + (np.arange(len(classes)) < size % len(classes))
    short = np.flatnonzero(counts < quotas)
    if short.size:
        first = short[0]
        raise LossmapError(
            f"{where}: {size} class-balanced images need {quotas[first]} of class "
            f"'{classes[first]}', but there are {counts[first]}; ask for fewer, or null for all"
        )
    return np.lexsort((labels, rank_in_class(labels)))[:size]


def rank_in_class(labels: np.ndarray) -> np.ndarray:
    """Return for each label, int64 (n,), how many equal ones come before it, int64 (n,)."""
    counts, ranks = np.bincount(labels), np.empty(len(labels), np.int64)
    grouped = np.argsort(labels, kind="stable")
    ranks[grouped] = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[grouped]]
    return ranks


def _check_coverage(labels: np.ndarray, classes: list[str], where: str) -> None:
    if len(labels) < len(classes):
        raise LossmapError(
            f"{where}: {len(labels)} training images are fewer than one for each of the "
            f"{len(classes)} classes; ask for at least {len(classes)}"
        )
    absent = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    if absent.size:
        raise LossmapError(
            f"{where}: class '{classes[absent[0]]}' has no training image; "
            "add images of it or remove it from the classes"
        )


def measure_pixels(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and population standard deviation per channel of the pixels scaled to 0 … 1.

    Sums are exact integers, so neither the order of summation nor the machine shows in the result,
    and a constant channel has a deviation of exactly 0.

    Parameters
    ----------
    images : uint8 (n, height, width, channels)

    Returns
    -------
    mean, std : float64 (channels,)
    """
    sums = images.sum(axis=(0, 1, 2), dtype=np.int64)
    squares = np.zeros_like(sums)
    for start in range(0, len(images), _BLOCK):
        block = np.square(images[start : start + _BLOCK], dtype=np.uint16)
        squares += block.sum(axis=(0, 1, 2), dtype=np.int64)
    count = images[..., 0].size
    # Python integers: count · squares passes 2**63 for complete CIFAR.
    pairs = list(zip(sums.tolist(), squares.tolist(), strict=True))
    variances = [(count * square - total**2) / count**2 for total, square in pairs]
    return np.array([total / count for total, _ in pairs]) / 255, np.sqrt(variances) / 255


def assemble_dataset(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: list[str],
    where: str,
) -> Dataset:
    """Return the data set of two (images, labels) pairs, with its training statistics.

    Raises
    ------
    LossmapError
        A class has no training image, or a channel is constant and cannot be normalized.
    """
    _check_coverage(train[1], classes, where)
    mean, std = measure_pixels(train[0])
    if not std.all():
        channel = int(np.argmin(std))
        raise LossmapError(
            f"{where}: channel {channel} of the training images is {mean[channel] * 255:g} in "
            "every pixel and cannot be normalized; check the images or drop the channel"
        )
    return Dataset(*train, *test, classes, mean, std)
