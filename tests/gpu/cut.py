"""`make gpu-data`: the first images of a CIFAR file, as a file small enough to be sent along.

Classes take turns in the file, so the first images are balanced where their number is a multiple of
the number of classes. Needs h5py.
"""

import argparse
import sys
from pathlib import Path

import h5py

MOST_BYTES = 50_000_000


def cut(source: Path, target: Path, train: int, test: int) -> int:
    """Write the first `train` and `test` images of a file and return the size in bytes.

    Raises
    ------
    ValueError
        There are fewer, classes would not be balanced, or the file would exceed 50 MB.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        classes = len(old["classes"])
        for split, count in (("train", train), ("test", test)):
            there = len(old[f"{split}/labels"])
            if count % classes or not 0 < count <= there:
                raise ValueError(
                    f"{source}: {count} {split} images asked of {there}; expected a multiple of "
                    f"{classes} classes"
                )
            for name in (f"{split}/images", f"{split}/labels"):
                values = old[name][:count]
                chunks = (min(1000, count), *values.shape[1:])
                filters = {"chunks": chunks, "compression": 6, "shuffle": True}
                new.create_dataset(name, data=values, **filters)
        new["classes"] = old["classes"][()]
        new.attrs["source"] = f"first {train} training and {test} test images of {source.name}"
    size = target.stat().st_size
    if size > MOST_BYTES:
        target.unlink()
        raise ValueError(f"{size} bytes, more than {MOST_BYTES}; ask for fewer images")
    return size


def main() -> None:
    """Cut a file and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--train", type=int, default=15_000)
    parser.add_argument("--test", type=int, default=2_000)
    given = parser.parse_args()
    try:
        size = cut(given.source, given.target, given.train, given.test)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{given.target}: {given.train} + {given.test} images, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
