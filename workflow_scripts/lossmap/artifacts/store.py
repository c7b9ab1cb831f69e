"""How every artifact is written and read: one HDF5 file, atomically, with its provenance.

Owns the attributes that all artifacts share, the content digest and the checks on reading. Knows
nothing of what the datasets mean: the kinds beside this module declare that.
"""

import hashlib
import json
import logging
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.declare import (
    Field,
    Kind,
    Part,
    from_datasets,
    members,
    to_datasets,
    walk,
)
from lossmap.artifacts.files import check_readable, hash_file, link, sync, writing
from lossmap.artifacts.provenance import (
    Provenance,
    announce,
    check_latest,
    keep_if_expected,
    second_name,
    wait_for_equal,
    withdraw,
)
from lossmap.artifacts.seal import SEAL_BYTES, is_sealed, read_mark, seal, seal_holds
from lossmap.code.running import check_what_ran, run_as_hashed
from lossmap.errors import LossmapError, reason

LIBRARIES = (
    "h5py",
    "numpy",
    "scipy",
    "torch",
    "torchvision",
    "scikit-learn",
    "matplotlib",
    "phate",
    "umap-learn",
)
CHUNK = 16384
"""Columns per chunk of a (snapshots, params) dataset: appends stay fast, column blocks too."""
VERIFY_BYTES = 64 * 2**20
"""Artifacts up to this size are verified against their content digest, once a process."""
SEALED_BYTES = 2**30
"""Artifacts up to this size are verified against their seal, at about a second per gigabyte, once a
process."""
SETTLED_SECONDS = 2
"""From that age on, a change of a file is sure to change its time stamp."""
STALE_SECONDS = 24 * 3600
"""A temporary file that old belongs to a job that was killed."""
DAMAGE = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, MemoryError)
"""What h5py raises on damaged bytes, depending on the place."""

BROKEN_SEAL = "damaged or edited since it was saved; delete it and run again"

logger = logging.getLogger("lossmap")
T = TypeVar("T")
_verified: set[tuple] = set()
"""What this process has verified: which check, of which file in which state."""


def begin_job(
    params: object, inputs: Iterable[str | Path], outputs: Iterable[str | Path]
) -> Provenance:
    """Return the provenance of a job, after announcing what it makes.

    The process ends well when an equal job, left over from a killed workflow, has made all of it:
    if such a job still runs, it is waited for.

    Parameters
    ----------
    params : has ``spec``, canonical JSON of the parameters, and ``code``, hash of the code
    inputs : files that the job reads: artifacts of these results, each known by ``stage/name``, and
        files from elsewhere, see `trace_inputs`
    outputs : files that it makes

    Raises
    ------
    LossmapError
        An input is missing or damaged, the results cannot be written, or the sources are not those
        whose hash `params` holds.
    """
    run_as_hashed()
    outputs = [Path(path) for path in outputs]
    digests = trace_inputs(inputs, outputs[0].parent.parent)
    renderings = tuple(path for path in outputs if path.suffix != ".h5")
    provenance = Provenance(params.spec, params.code, digests, renderings=renderings)
    provenance = replace(provenance, job=announce(provenance, outputs))
    if not renderings:  # they are soon made again
        wait_for_equal(outputs[0], provenance)
        announce(provenance, outputs)  # the job that was waited for has withdrawn it
        if all(_take_over(*each) for each in provenance.of_each(outputs).items()):
            logger.info("%s: made by the job of a killed workflow", name_of(outputs[0]))
            sys.exit()
    return provenance


def trace_provenance(spec: str, code: str, inputs: Iterable[str | Path]) -> Provenance:
    """Return the provenance of what is made from `inputs`, each known by ``stage/name``.

    Raises
    ------
    LossmapError
        An input is missing or damaged.
    """
    return Provenance(spec, code, {name_of(path): digest_of(path) for path in inputs})


def trace_inputs(
    inputs: Iterable[str | Path], results: Path, digest: Callable[[Path], str] = hash_file
) -> dict[str, str]:
    """Return the digests of what a job reads: artifacts of its results, and files from elsewhere.

    An artifact is known by ``stage/name`` and its content. Of a file all bytes count, and not where
    it lies: it is known by its path below the deepest folder that holds all such files, a single
    one by its own name.

    Parameters
    ----------
    digest : returns the SHA-256 of a file's bytes

    Raises
    ------
    LossmapError
        An input is missing or damaged.
    """
    paths = [Path(path) for path in inputs]
    files = [Path(os.path.abspath(path)) for path in paths if path.parent.parent != results]
    found = {name_of(path): digest_of(path) for path in paths if path.parent.parent == results}
    top = os.path.commonpath([file.parent for file in files]) if files else ""
    for file in files:
        check_readable(file)
        with _naming(file):
            found[file.relative_to(top).as_posix()] = digest(file)
    return found


def check_inputs(
    inputs: Iterable[str | Path], outputs: Iterable[str | Path], provenance: Provenance
) -> None:
    """Check that what a job has read is still what it began with.

    Raises
    ------
    LossmapError
        An input has changed since: what was read of it may be neither the one nor the other.
    """
    results = Path(next(iter(outputs))).parent.parent
    for name, digest in trace_inputs(inputs, results).items():
        if provenance.inputs[name] != digest:
            raise LossmapError(f"{name}: changed while this job read it; run again")


def name_of(path: str | Path) -> str:
    """Return ``stage/name`` of an artifact's path, independent of where the results lie."""
    path = Path(path)
    return f"{path.parent.name}/{path.stem}" if path.suffix == ".h5" else path.name


def digest_of(path: str | Path) -> str:
    """Return an artifact's stored content digest, or the SHA-256 of a file that is none.

    Raises
    ------
    LossmapError
        The file is missing, or an artifact that is damaged.
    """
    check_readable(path)
    with _naming(path):
        if not is_sealed(path):
            return hash_file(path)
    with _opened(path) as file, _naming(path):
        return str(file.attrs["digest"])


def save(path: str | Path, value: object, provenance: Provenance) -> None:
    """Write an artifact: an object of a declared kind.

    Raises
    ------
    LossmapError
        Its arrays do not fit together, or the disk is full or read-only.
    """
    save_artifact(path, value.KIND, to_datasets(value, Part(type(value))), provenance)


def load(path: str | Path, kind: type[T]) -> T:
    """Read an artifact of a declared kind.

    Raises
    ------
    LossmapError
        The file is missing, damaged, of another kind or version, or lacks a dataset.
    """
    return from_datasets(read_datasets(path, kind.KIND), Part(kind))


def load_part(path: str | Path, kind: type, name: str) -> Any:
    """Read one attribute of an artifact, and no more of the file than needed.

    Raises
    ------
    LossmapError
        As `load`.
    """
    part = members(kind)[name]
    return from_datasets(read_datasets(path, kind.KIND, dict(walk(part))), part)


@contextmanager
def stream(path: str | Path, kind: type) -> Iterator[h5py.File]:
    """Open a checked artifact so that its large datasets can be read piece by piece.

    Raises
    ------
    LossmapError
        As `load`, and where a block cannot be read.
    """
    with open_artifact(path, kind.KIND) as file:
        yield file


def save_artifact(
    path: str | Path, kind: Kind, datasets: Mapping[str, object], provenance: Provenance
) -> None:
    """Write one artifact so that its name never belongs to a half-written file.

    The file is written under a temporary name in the same folder, synced, and renamed. Equal
    arguments give equal bytes. Large datasets may be memory maps: rows are copied one by one. The
    job's renderings of it must be there already.

    Raises
    ------
    LossmapError
        The datasets do not match the kind, the disk is full or read-only, or other code may have
        been part of it than its hash says.
    """
    check_what_ran()
    path, temporary = Path(path), None
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_stale(path)
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            _reserve(handle, datasets)
            with h5py.File(temporary, "w", userblock_size=SEAL_BYTES) as file:
                for name in sorted(datasets):
                    _write_dataset(file, name, datasets[name])
                check_fields(file, kind, path)
                content = write_attributes(file, kind.name, kind.version, provenance)
                if beside := [
                    each for each in provenance.renderings if each.name.startswith(f"{path.stem}.")
                ]:
                    hashes = {each.name: hash_file(each) for each in beside}
                    file.attrs["renderings"] = canonical_json(hashes)
            seal(temporary, provenance.mark(content))
            os.chmod(temporary, 0o644)
            sync(temporary)
            if not is_made(path, provenance):  # by an equal job that was left over
                check_latest(path, provenance)
                os.replace(temporary, path)
                keep_if_expected(path)
        finally:
            if temporary and os.path.exists(temporary):
                os.unlink(temporary)
    withdraw(path, provenance)


def is_made(path: str | Path, provenance: Provenance) -> bool:
    """Tell whether a job's artifact is already there, whole, from the same spec, code and inputs.

    Snakemake removes an artifact before a job that makes it: an equal job, left over from a killed
    workflow, has made it meanwhile. Always false outside of a job.
    """
    if provenance.job is None or not Path(path).is_file():
        return False
    mark = read_mark(path)
    return mark is not None and mark == provenance.mark(mark.content) and seal_holds(path)


def _take_over(path: Path, provenance: Provenance) -> bool:
    """Give back to an artifact its name if an equal job that was left over has made it."""
    if not is_made(path, provenance):
        if not is_made(second_name(path), provenance):
            return False
        link(second_name(path), path)
    os.utime(path)  # Snakemake wants it to be younger than its sources
    withdraw(path, provenance)
    return True


def _remove_stale(path: Path) -> None:
    """Remove what a killed job left of this artifact; a younger file may still be in use."""
    for stale in path.parent.glob(f".{path.name}.*"):
        if time.time() - stale.stat().st_mtime > STALE_SECONDS:
            stale.unlink(missing_ok=True)


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Turn whatever h5py raises on damaged bytes into an error that names the file."""
    try:
        yield
    except DAMAGE as error:
        raise LossmapError(
            f"{path}: damaged or missing ({reason(error)}); delete it and run again"
        ) from error


def _reserve(handle: int, datasets: Mapping[str, object]) -> None:
    """Fail now where the disk is too full: HDF5 can crash the process when its writes fail."""
    room = 2**16
    for values in map(np.asanyarray, datasets.values()):
        rows = len(values) if values.ndim == 2 and values.shape[1] > CHUNK else 0
        room += values.nbytes + rows * CHUNK * values.itemsize + 2**12
    try:
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(handle, 0, room)
    finally:
        os.close(handle)


def _once(check: str, path: str | Path, verify: Callable[[], None]) -> None:
    """Verify a file in one way, unless this process has done so and the file is as it was."""
    state = os.stat(path)
    times = state.st_mtime_ns, state.st_ctime_ns
    known = (check, str(path), state.st_dev, state.st_ino, state.st_size, *times)
    if known in _verified:
        return
    verify()
    if time.time() - state.st_ctime > SETTLED_SECONDS:
        _verified.add(known)


def _check_seal(path: Path) -> None:
    if path.stat().st_size > SEALED_BYTES or not is_sealed(path):  # foreign: others will tell
        return
    if not seal_holds(path):
        raise LossmapError(f"{path}: {BROKEN_SEAL}")


def _write_dataset(file: h5py.File, name: str, values: object) -> None:
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        file.create_dataset(name, data=values, dtype=h5py.string_dtype())
        return
    values = np.asanyarray(values)
    if values.dtype.kind in "US":
        file.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype())
    elif values.ndim == 2 and values.shape[1] > CHUNK:
        rows = file.create_dataset(name, values.shape, values.dtype, chunks=(1, CHUNK))
        for index, row in enumerate(values):
            rows[index] = row
            if isinstance(values, np.memmap):  # what is mapped would count as memory to the end
                values._mmap.madvise(mmap.MADV_DONTNEED)
    else:
        file.create_dataset(name, data=values)


def write_attributes(file: h5py.File, kind: str, version: int, provenance: Provenance) -> str:
    """Write the attributes and return the content digest; the datasets must be there already."""
    file.attrs["kind"] = kind
    file.attrs["format_version"] = version
    file.attrs["spec"] = provenance.spec
    file.attrs["code"] = provenance.code
    file.attrs["inputs"] = canonical_json(dict(provenance.inputs))
    file.attrs["libraries"] = canonical_json(installed_versions())
    file.attrs["digest"] = digest = content_digest(file)
    return digest


def installed_versions() -> dict[str, str]:
    """Return name and version of the libraries that shape results, without importing them."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def content_digest(file: h5py.File) -> str:
    """Return the SHA-256 over kind, format version and every dataset (name, dtype, shape, bytes).

    Provenance is left out: two specifications that give the same numbers have the same digest.
    """
    digest = hashlib.sha256(f"{file.attrs['kind']}:{file.attrs['format_version']}".encode())
    names: list[str] = []
    file.visit(names.append)  # None goes on: any other return value would end the visit
    for name in sorted(names):
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset):
            continue
        text = h5py.check_string_dtype(dataset.dtype) is not None
        kind = "str" if text else dataset.dtype.str
        digest.update(f"|{name}:{kind}:{dataset.shape}|".encode())
        if text:
            words = np.asarray(dataset.asstr()[()]).ravel().tolist()
            digest.update(canonical_json(words).encode())
            continue
        for block in _blocks(dataset):
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def _blocks(dataset: h5py.Dataset) -> Iterator[np.ndarray]:
    if dataset.ndim == 0 or dataset.nbytes < VERIFY_BYTES:
        yield np.asarray(dataset[()])
        return
    rows = max(1, VERIFY_BYTES * dataset.shape[0] // max(dataset.nbytes, 1))
    for start in range(0, dataset.shape[0], rows):
        yield dataset[start : start + rows]


@contextmanager
def _opened(path: str | Path) -> Iterator[h5py.File]:
    path = Path(path)
    check_readable(path)
    with _naming(path):
        _once("seal", path, lambda: _check_seal(path))
    try:
        file = h5py.File(path, "r")
    except DAMAGE as error:
        size = path.stat().st_size
        raise LossmapError(
            f"{path}: not a readable HDF5 file ({size} bytes; truncated or damaged); "
            "delete it and run again"
        ) from error
    with file:
        yield file


@contextmanager
def open_artifact(path: str | Path, kind: Kind) -> Iterator[h5py.File]:
    """Open an artifact for reading after checking kind, version, fields and (if small) content.

    Raises
    ------
    LossmapError
        The file is missing, damaged, of another kind or version, or lacks a dataset.
    """
    with _opened(path) as file:
        with _naming(path):
            _check_identity(file, kind, path)
            check_fields(file, kind, path)
            if Path(path).stat().st_size <= VERIFY_BYTES:
                _once("content", path, lambda: verify_content(file, path))
        try:
            yield file
        except OSError as error:  # a block that is read while it is streamed
            raise LossmapError(
                f"{path}: damaged ({reason(error)}); delete it and run again"
            ) from error


def _check_identity(file: h5py.File, kind: Kind, path: str | Path) -> None:
    missing = [
        name for name in ("kind", "format_version", "spec", "digest") if name not in file.attrs
    ]
    if missing:
        raise LossmapError(
            f"{path}: expected a lossmap artifact of kind '{kind.name}', but attribute "
            f"'{missing[0]}' is absent; delete the file and run again"
        )
    if file.attrs["kind"] != kind.name:
        raise LossmapError(
            f"{path}: expected kind '{kind.name}', got {file.attrs['kind']!r}; "
            "delete the file and run again"
        )
    if file.attrs["format_version"] != kind.version:
        raise LossmapError(
            f"{path}: format version {file.attrs['format_version']}, but this release reads "
            f"{kind.version}; delete the file and run again"
        )


def check_fields(file: h5py.File, kind: Kind, path: str | Path) -> None:
    """Check every declared dataset of a file: presence, type, number and length of its axes.

    Raises
    ------
    LossmapError
        The first dataset that does not fit, with what was expected.
    """
    lengths: dict[str, tuple[int, str]] = {}
    for name, field in kind.fields.items():
        if name not in file:
            if field.required:
                raise LossmapError(
                    f"{path}: dataset '{name}' is missing from this {kind.name}; "
                    "delete the file and run again"
                )
            continue
        _check_dataset(file[name], name, field, path, lengths)


def _check_dataset(
    dataset: h5py.Dataset,
    name: str,
    field: Field,
    path: str | Path,
    lengths: dict[str, tuple[int, str]],
) -> None:
    expected = f"{field.dtype} ({', '.join(field.dims)})"
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != len(field.dims):
        shape = getattr(dataset, "shape", "a group")
        raise LossmapError(f"{path}: dataset '{name}' is {shape}, expected {expected}")
    text = h5py.check_string_dtype(dataset.dtype) is not None
    if text != (field.dtype == "str") or not (text or dataset.dtype == np.dtype(field.dtype)):
        raise LossmapError(
            f"{path}: dataset '{name}' has type {dataset.dtype}, expected {expected}"
        )
    for axis, length in zip(field.dims, dataset.shape, strict=True):
        known, other = lengths.setdefault(axis, (length, name))
        if length != known:
            raise LossmapError(
                f"{path}: '{name}' has {length} {axis}, but '{other}' has {known}; "
                "the file is damaged, delete it and run again"
            )


def verify_content(file: h5py.File, path: str | Path) -> None:
    """Compare an open artifact's content with the digest it was saved with.

    Raises
    ------
    LossmapError
        They differ, or a block cannot be read.
    """
    with _naming(path):
        found = content_digest(file)
    if found != file.attrs["digest"]:
        raise LossmapError(
            f"{path}: content does not match its digest (expected {file.attrs['digest'][:12]}, got "
            f"{found[:12]}): damaged or edited; delete it and run again"
        )


def read_provenance(path: str | Path) -> Provenance:
    """Return the provenance that an artifact records.

    Raises
    ------
    LossmapError
        The file is missing, damaged or no artifact.
    """
    with _opened(path) as file, _naming(path):
        if not {"spec", "code", "inputs"} <= set(file.attrs):
            raise LossmapError(f"{path}: not a lossmap artifact; delete it and run again")
        inputs = json.loads(file.attrs["inputs"])
        return Provenance(str(file.attrs["spec"]), str(file.attrs["code"]), inputs)


def read_renderings(path: str | Path) -> dict[str, str]:
    """Return the SHA-256 of each file that was drawn or printed with an artifact, by file name.

    Raises
    ------
    LossmapError
        The artifact is missing or damaged.
    """
    with _opened(path) as file, _naming(path):
        return json.loads(file.attrs.get("renderings", "{}"))


def verify_artifact(path: str | Path, kind: Kind) -> tuple[Provenance, str]:
    """Read every byte of an artifact, however large; return its provenance and content digest.

    Raises
    ------
    LossmapError
        The file is missing, damaged, of another kind or version, or lacks a dataset.
    """
    check_readable(path)
    if is_sealed(path) and not seal_holds(path):
        raise LossmapError(f"{path}: {BROKEN_SEAL}")
    with open_artifact(path, kind) as file:
        verify_content(file, path)
        digest = str(file.attrs["digest"])
    return read_provenance(path), digest


def read_datasets(path: str | Path, kind: Kind, names: Iterable[str] | None = None) -> dict:
    """Return the named datasets (all declared ones by default) of a checked artifact as arrays."""
    with open_artifact(path, kind) as file, _naming(path):
        wanted = kind.fields if names is None else names
        return {name: read_values(file[name]) for name in wanted if name in file}


def read_values(dataset: h5py.Dataset) -> np.ndarray | list[str] | str:
    """Return a dataset as an array, strings as a list, a single one as it is."""
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return np.asarray(dataset.asstr()[()], object).tolist()
    return dataset[()]
