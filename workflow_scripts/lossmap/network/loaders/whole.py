"""Refuses a dataset whose values are not all in its own file, or are more than memory holds.

The digest of a file covers nothing that lies elsewhere, and HDF5 gives zeros, without a word, for
what is missing there or was never written.
"""

import os
from math import ceil, prod
from pathlib import Path, PurePosixPath

import h5py
from h5py import h5d, h5z

from lossmap.errors import LossmapError

FILTERS = (
    h5z.FILTER_DEFLATE,
    h5z.FILTER_SHUFFLE,
    h5z.FILTER_FLETCHER32,
    h5z.FILTER_SZIP,
    h5z.FILTER_NBIT,
    h5z.FILTER_SCALEOFFSET,
    h5z.FILTER_LZF,
)
"""What h5py brings along; the code of any other is found through an environment variable."""
HOPS = 16
"""Soft links that are followed for one name, as many as HDF5 itself follows."""


def find_node(file: h5py.File, path: Path, name: str) -> object:
    """Return what a name stands for, None if nothing; no step on the way may leave the file.

    Raises
    ------
    LossmapError
        The dataset, or a group that it is in, is a link into another file.
    """
    node: object = file
    steps, hops = list(PurePosixPath(name).parts), 0
    while steps and hops <= HOPS:
        step = steps.pop(0)
        if step == "/":
            node = file
            continue
        # `step in node` would follow a link, and call one that leads nowhere absent.
        if not isinstance(node, h5py.Group) or step not in list(node):
            return None
        link = node.get(step, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise _outside(path, name, f"an external link into '{link.filename}'")
        if isinstance(link, h5py.SoftLink):
            steps, hops = [*PurePosixPath(link.path).parts, *steps], hops + 1
        else:
            node = node[step]
    return None if steps else node


def check_whole(dataset: h5py.Dataset, path: Path, name: str) -> None:
    """Refuse a dataset that reads other files, needs code from elsewhere, or was not written.

    Raises
    ------
    LossmapError
        With the name of what lies outside.
    """
    if dataset.is_virtual:
        sources = sorted({source.file_name for source in dataset.virtual_sources()})
        raise _outside(path, name, f"a virtual dataset over {_listed(sources)}")
    if dataset.external:
        raise _outside(path, name, f"stored in {_listed([each[0] for each in dataset.external])}")
    created = dataset.id.get_create_plist()
    for code, _, _, word in map(created.get_filter, range(created.get_nfilters())):
        if code not in FILTERS:
            raise _outside(path, name, f"compressed by filter {code} ({word.decode()}), a plugin")
    _check_written(dataset, created, path, name)


def _check_written(
    dataset: h5py.Dataset, created: h5py.h5p.PropDCID, path: Path, name: str
) -> None:
    if created.get_layout() == h5d.CHUNKED:
        pairs = zip(dataset.shape, dataset.chunks, strict=True)
        wanted, found = (
            prod(ceil(size / chunk) for size, chunk in pairs),
            dataset.id.get_num_chunks(),
        )
        what = f"{found} of its {wanted} chunks were"
    else:
        wanted, found = dataset.nbytes, dataset.id.get_storage_size()
        what = f"{found} of its {wanted} bytes were"
    if found < wanted:
        raise LossmapError(
            f"{path}: of '{name}', {dataset.dtype} {dataset.shape}, only {what} written, and HDF5 "
            "would give zeros for the others; write all of it, or make the dataset smaller"
        )


def check_room(count: int, path: Path, what: str) -> None:
    """Refuse to read more bytes than the machine has memory.

    Raises
    ------
    LossmapError
        With both numbers.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if count > memory:
        raise LossmapError(
            f"{path}: {what} take {count / 2**30:,.1f} GiB, but this machine has "
            f"{memory / 2**30:,.1f} GiB of memory; ask for fewer images, or use a larger machine"
        )


def _outside(path: Path, name: str, what: str) -> LossmapError:
    return LossmapError(
        f"{path}: '{name}' is {what}: outside of this file, whose digest does not cover it; write "
        "the values themselves into the file, compressed by gzip or not at all"
    )


def _listed(files: list[str], shown: int = 3) -> str:
    more = f" and {len(files) - shown} more" if len(files) > shown else ""
    return ", ".join(f"'{file}'" for file in files[:shown]) + more
