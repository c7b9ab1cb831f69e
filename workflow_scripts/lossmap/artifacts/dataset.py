"""The artifact `dataset`: the images that every later stage reads, whatever their source."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import Field, Kind, read_datasets, save_artifact

_IMAGES = ("height", "width", "channels")
KIND = Kind(
    "dataset",
    1,
    {
        "train/images": Field("uint8", ("train", *_IMAGES)),
        "train/labels": Field("int64", ("train",)),
        "test/images": Field("uint8", ("test", *_IMAGES)),
        "test/labels": Field("int64", ("test",)),
        "classes": Field("str", ("classes",)),
        "mean": Field("float64", ("channels",)),
        "std": Field("float64", ("channels",)),
    },
)


@dataclass(frozen=True)
class Dataset:
    """Images and labels of one classification problem.

    Attributes
    ----------
    train_images, test_images : uint8 (n, height, width, channels)
    train_labels, test_labels : int64 (n,), indices into `classes`
    classes : names of the classes
    mean, std : float64 (channels,), of the training pixels scaled to 0 … 1
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: list[str]
    mean: np.ndarray
    std: np.ndarray


def save_dataset(path: str | Path, dataset: Dataset, provenance: Provenance) -> None:
    """Write a data set; raises LossmapError when its arrays do not fit together."""
    datasets = {
        "train/images": dataset.train_images,
        "train/labels": dataset.train_labels,
        "test/images": dataset.test_images,
        "test/labels": dataset.test_labels,
        "classes": dataset.classes,
        "mean": dataset.mean,
        "std": dataset.std,
    }
    save_artifact(path, KIND, datasets, provenance)


def load_dataset(path: str | Path) -> Dataset:
    """Read a data set; raises LossmapError when the file is damaged or foreign."""
    found = read_datasets(path, KIND)
    return Dataset(**{name.replace("/", "_"): values for name, values in found.items()})
