"""The artifact `dataset`: the images that every later stage reads, whatever their source."""

from pathlib import Path

import h5py

from lossmap.artifacts.declare import artifact, f64, i64, text, u8


@artifact("dataset", version=1)
class Dataset:
    """Images and labels of one classification problem."""

    train_images: u8.at("train/images")["train", "height", "width", "channels"]
    """Images to train on [0 … 255]"""
    train_labels: i64.at("train/labels")["train"]
    """Their classes, each an index into `classes` [index]"""
    test_images: u8.at("test/images")["test", "height", "width", "channels"]
    """Images to test on [0 … 255]"""
    test_labels: i64.at("test/labels")["test"]
    """Their classes, each an index into `classes` [index]"""
    classes: text["classes"]
    """Names of the classes"""
    mean: f64["channels"]
    """Mean of the training pixels, scaled to 0 … 1 [1]"""
    std: f64["channels"]
    """Standard deviation of the training pixels, scaled to 0 … 1 [1]"""


def shape_of_images(path: str | Path, split: str = "train") -> tuple[int, ...] | None:
    """Return the shape of the images of a data set or of a file like it; None if unknown.

    What is wrong with a file, the job that reads it says.
    """
    try:
        with h5py.File(path) as file:
            return file[f"{split}/images"].shape
    except (OSError, KeyError, AttributeError):
        return None
