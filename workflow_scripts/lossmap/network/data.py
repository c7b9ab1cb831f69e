"""Where images come from: chooses the loader for a source of the rule `dataset`.

What each source needs is in `loaders/`. Only torchvision's branch loads torch, and only when taken.
"""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from lossmap.artifacts.dataset import Dataset
from lossmap.errors import LossmapError
from lossmap.network.loaders.cifar import FOLDERS, load_cifar
from lossmap.network.loaders.digits import load_digits
from lossmap.network.loaders.hdf5 import load_hdf5

SOURCES = ("digits", "hdf5", "torchvision")


def make_dataset(spec: dict, data_file: str | None, data_dir: str | None) -> Dataset:
    """Return the images of `load_source`, their training labels randomized where asked.

    ``random_labels``, a seed, may stand in `spec`; raises what `load_source` raises.
    """
    dataset = load_source(spec, data_file, data_dir)
    if "random_labels" not in spec:
        return dataset
    return randomize_labels(dataset, spec["random_labels"])


def randomize_labels(dataset: Dataset, seed: int) -> Dataset:
    """Return the data set with training labels drawn uniformly from all classes.

    horoi2021 §5.1, after Zhang et al. 2017: every label is drawn, so one in as many as there are
    classes stays true. The test labels are left alone.
    """
    drawn = np.random.default_rng(seed).integers(0, len(dataset.classes), len(dataset.train_labels))
    return replace(dataset, train_labels=drawn)


def load_source(spec: dict, data_file: str | None, data_dir: str | None) -> Dataset:
    """Return the images of one specification; equal arguments and files give equal arrays.

    Parameters
    ----------
    spec : the canonical specification of the rule `dataset`, one of
        ``{"source": "digits", "classes": 10 | 100, "train": n, "test": n, "seed": s}``
        and, if not 32, ``"side": 16``,
        ``{"source": "hdf5", "file": name, "train": n, "test": n}``,
        ``{"source": "torchvision", "name": "cifar10" | "cifar100", "train": n, "test": n}``;
        n is a number of images or None for all
    data_file : path of the file that ``hdf5`` reads
    data_dir : folder in which ``torchvision`` finds or puts its own layout

    Raises
    ------
    LossmapError
        The source is unknown, its files are missing, damaged or of another layout, or hold fewer
        images than asked.
    """
    sizes = {"train": spec["train"], "test": spec["test"]}
    match _source_of(spec):
        case "digits":
            shape = {key: spec[key] for key in ("side",) if key in spec}
            return load_digits(spec["classes"], seed=spec["seed"], **sizes, **shape)
        case "hdf5":
            return load_hdf5(_given(data_file, "hdf5", f"the path of {spec['file']}"), **sizes)
        case _:
            folder = _given(data_dir, "torchvision", "the folder of the data set")
            return load_cifar(spec["name"], folder, **sizes)


def describe_source(spec: dict, data_file: str | None, data_dir: str | None) -> str:
    """Return one line for the log: which source is read, from where, and how much of it.

    Raises
    ------
    LossmapError
        The source is unknown.
    """
    sizes = ", ".join(f"{_amount(spec[split])} {split}" for split in ("train", "test"))
    match _source_of(spec):
        case "digits":
            library = f"scikit-learn {version('scikit-learn')}"
            origin = f"digits of {library}, {spec['classes']} classes, seed {spec['seed']}"
        case "hdf5":
            origin = f"HDF5 file {data_file or spec['file']}"
        case _:
            folder = Path(data_dir or ".", FOLDERS.get(spec["name"], spec["name"]))
            state = "on disk" if folder.exists() else "to be unpacked or downloaded"
            origin = f"torchvision's {spec['name']}, {folder} ({state})"
    labels = ", labels at random" if "random_labels" in spec else ""
    return f"{origin}: {sizes} images{labels}"


def _source_of(spec: dict) -> str:
    if spec["source"] not in SOURCES:
        raise LossmapError(
            f"data set source {spec['source']!r} is unknown, expected one of {', '.join(SOURCES)}"
        )
    return spec["source"]


def _given(path: str | None, source: str, what: str) -> str:
    if path is None:
        raise LossmapError(f"source '{source}' needs {what}, but none was given; set `data_dir`")
    return path


def _amount(size: int | None) -> str:
    return "all" if size is None else str(size)
