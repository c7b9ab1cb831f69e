"""The handwritten digits that scikit-learn brings along, as a 10-class and a 100-class set.

Real data without a download: 1797 scans, 8×8 pixels of 0 … 16. Knows no file and no torch.
"""

import numpy as np

from lossmap.artifacts.dataset import Dataset
from lossmap.errors import LossmapError
from lossmap.network.loaders.assembly import assemble_dataset, select_balanced

TRAIN_PER_DIGIT = 130
TEST_PER_DIGIT = 44
"""Three to one. The rarest digit has 174 scans; equal numbers keep the whole set balanced too."""
SIDE = 32
"""Height and width of an image, where nothing else is asked for: those of CIFAR."""


def load_digits(
    classes: int, train: int | None, test: int | None, seed: int, side: int = SIDE
) -> Dataset:
    """Return the digits, or pairs of digits side by side, as square gray images.

    Which scans are for training and which for testing depends on the seed alone, so that no size
    ever moves a scan from one side to the other, and smaller sets are prefixes of larger ones.

    Parameters
    ----------
    classes : 10 (one digit) or 100 (two digits, each half as wide as it is high, label 10·left +
        right)
    train, test : images wanted; None is 130 and 44 of each class
    seed : of the split, the order and the pairing
    side : height and width of an image, 16 or 32

    Raises
    ------
    LossmapError
        Another number of classes, more images than there are, or fewer than one for each class.
    """
    if classes not in (10, 100):
        raise LossmapError(
            f"source 'digits': classes is {classes!r}, expected 10 (one digit) or 100 (two digits)"
        )
    scans, rng = _split_scans(seed), np.random.default_rng([seed, 1])
    compose = _single_digits if classes == 10 else _digit_pairs
    pools = {
        "train": (scans[:, :TRAIN_PER_DIGIT], train),
        "test": (scans[:, -TEST_PER_DIGIT:], test),
    }
    splits = [
        compose(pool, side, size, rng, f"source 'digits' ({classes} classes): {name}")
        for name, (pool, size) in pools.items()
    ]
    width = len(str(classes - 1))
    names = [f"{label:0{width}d}" for label in range(classes)]
    return assemble_dataset(*splits, names, f"source 'digits' ({classes} classes)")


def _split_scans(seed: int) -> np.ndarray:
    """Return scans float64 (10, 174, 8, 8), shuffled within each digit; slices of it are splits."""
    from sklearn import datasets  # noqa: PLC0415  (a second that CIFAR need not pay)

    images, labels = datasets.load_digits(return_X_y=True)
    rng = np.random.default_rng([seed, 0])
    count = TRAIN_PER_DIGIT + TEST_PER_DIGIT
    chosen = [rng.permutation(np.flatnonzero(labels == digit))[:count] for digit in range(10)]
    return images.reshape(-1, 8, 8)[np.stack(chosen)]


def _single_digits(
    pool: np.ndarray, side: int, size: int | None, _: np.random.Generator, where: str
) -> tuple[np.ndarray, np.ndarray]:
    per_digit = pool.shape[1]
    labels = np.tile(np.arange(10, dtype=np.int64), per_digit)
    index = select_balanced(labels, size, [str(digit) for digit in range(10)], where)
    images = enlarge(pool, side, side).swapaxes(0, 1).reshape(-1, side, side, 1)
    return images[index], labels[index]


def _digit_pairs(
    pool: np.ndarray, side: int, size: int | None, rng: np.random.Generator, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs, the 100 labels taking turns.

    Turn t of a label joins scan t mod m on the left with scan (t + t div m) mod m on the right,
    both counted in orders of the label's own (m scans a digit): all m² turns differ, and every
    scan serves equally often.
    """
    per_digit = pool.shape[1]
    size = 100 * per_digit if size is None else size
    if not 1 <= size <= 100 * per_digit**2:
        raise LossmapError(
            f"{where}: {size} images asked, but there are {100 * per_digit**2} different pairs; "
            f"ask for 1 to {100 * per_digit**2}"
        )
    orders = rng.permuted(np.tile(np.arange(per_digit), (2, 100, 1)), axis=2)
    turn, label = np.divmod(np.arange(size, dtype=np.int64), 100)
    left, right = np.divmod(label, 10)
    halves = enlarge(pool, side, side // 2)
    images = np.empty((size, side, side, 1), np.uint8)
    images[:, :, : side // 2, 0] = halves[left, orders[0, label, turn % per_digit]]
    partner = (turn + turn // per_digit) % per_digit
    images[:, :, side // 2 :, 0] = halves[right, orders[1, label, partner]]
    return images, label


def enlarge(scans: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return 8×8 scans of 0 … 16 as larger images of 0 … 255, by linear interpolation.

    With sizes that are powers of two every weight and product is exact in float64: the bytes are
    the same on every machine and with every BLAS.

    Parameters
    ----------
    scans : float64 (..., 8, 8)

    Returns
    -------
    uint8 (..., height, width)
    """
    enlarged = _weights(height).T @ scans @ _weights(width)
    return np.rint(enlarged * 255 / 16).astype(np.uint8)


def _weights(size: int) -> np.ndarray:
    """Return interpolation weights (8, size); pixels are squares, beyond the edge it repeats."""
    positions = (np.arange(size) + 0.5) * 8 / size - 0.5
    return np.stack([np.interp(positions, np.arange(8), unit) for unit in np.eye(8)])
