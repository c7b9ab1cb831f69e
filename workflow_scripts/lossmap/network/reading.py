"""The tensors of a checkpoint, whatever wrote it, put into a network by their names.

Nothing in a checkpoint is ever executed: pickles are read with ``weights_only=True`` alone.
"""

import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from lossmap.artifacts.recording import read_snapshot
from lossmap.errors import LossmapError, kind_and_reason

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys of a training's own dictionary below which the tensors may lie."""
PREFIXES = ("module.", "_orig_mod.", "model.")
"""What DistributedDataParallel, torch.compile and Lightning put in front of names."""
COUNTER = "num_batches_tracked"
SHOWN = 4
"""Names that a message lists at most."""
State = dict[str, torch.Tensor]


def read_checkpoint(files: Iterable[Path], epoch: int) -> State:
    """Return the tensors of one checkpoint by the names that its writer gave them.

    Parameters
    ----------
    files : its parts
    epoch : which one, of a recorder's file

    Raises
    ------
    LossmapError
        A file cannot be read, holds no tensors, or holds more than data.
    """
    found: State = {}
    for file in files:
        readers: dict[str, Callable[[], State]] = {
            ".safetensors": lambda file=file: _read_safetensors(file),
            ".h5": lambda file=file: _read_recording(file, epoch),
            ".hdf5": lambda file=file: _read_recording(file, epoch),
        }
        found |= readers.get(file.suffix, lambda file=file: _read_pickle(file))()
    return found


def _read_recording(file: Path, epoch: int) -> State:
    return {name: torch.as_tensor(values) for name, values in read_snapshot(file, epoch).items()}


def _read_safetensors(file: Path) -> State:
    try:
        load_file = import_module("safetensors.torch").load_file  # not among what lossmap installs
    except ImportError as error:
        raise LossmapError(
            f"{file}: to read .safetensors, install the library: pip install safetensors"
        ) from error
    try:
        return load_file(file)
    except Exception as error:  # the library's own errors
        raise _unreadable(file, error) from error


def _read_pickle(file: Path) -> State:
    # Mapped, the optimizer's state beside the tensors never takes memory.
    try:
        mapped = zipfile.is_zipfile(file)
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it asks for '{wanted[1]}'" if wanted else kind_and_reason(error)[:120]
        raise LossmapError(
            f"{file}: refused: {what}, and whatever is no tensor could be code that runs when it "
            "is loaded; save model.state_dict() alone"
        ) from error
    except Exception as error:  # a damaged file may raise anything
        raise _unreadable(file, error) from error
    return _find_tensors(loaded, file)


def _unreadable(file: Path, error: Exception) -> LossmapError:
    return LossmapError(
        f"{file}: not a readable checkpoint ({kind_and_reason(error)[:200]}); copy or save it again"
    )


def _find_tensors(loaded: object, file: Path) -> State:
    while isinstance(loaded, Mapping):
        inside = [key for key in WRAPPERS if isinstance(loaded.get(key), Mapping)]
        if not inside:
            break
        loaded = loaded[inside[0]]
    found = loaded.items() if isinstance(loaded, Mapping) else ()
    tensors = {name: value for name, value in found if isinstance(value, torch.Tensor)}
    if not tensors:
        has = f"keys {_listed(map(str, loaded))}" if found else type(loaded).__name__
        raise LossmapError(
            f"{file}: expected tensors by name, at the top or below {', '.join(WRAPPERS)}, got "
            f"{has}; save model.state_dict()"
        )
    return tensors


def put_into(module: nn.Module, tensors: Mapping[str, torch.Tensor], where: str) -> None:
    """Copy tensors into a network in place, matched by name.

    Parameters
    ----------
    module : every tensor of its state is set
    tensors : names may have `PREFIXES` in front
    where : the file, for messages

    Raises
    ------
    LossmapError
        Tensors are missing, left over, not finite or of another shape, or a parameter that the
        network does not train has other values.
    """
    state = module.state_dict(keep_vars=True)
    own = {name: each for name, each in state.items() if isinstance(each, torch.Tensor)}
    given = _strip(tensors, own, where)
    _check_names(own, given, where)
    with torch.no_grad():
        for name, values in given.items():
            _check_tensor(name, own[name], values, where)
            own[name].copy_(values)


def _strip(tensors: Mapping[str, torch.Tensor], own: Mapping, where: str) -> State:
    """Return the tensors by the network's own names, as far as it has them."""
    found: State = {}
    for name, values in tensors.items():
        short = name
        while short not in own and short.startswith(PREFIXES):
            short = short.removeprefix(next(p for p in PREFIXES if short.startswith(p)))
        if short in found:
            raise LossmapError(f"{where}: '{name}' and another tensor are both '{short}'")
        found[short if short in own else name] = values
    return found


def _check_names(own: Mapping[str, torch.Tensor], given: State, where: str) -> None:
    held = {own[name].data_ptr() for name in given if name in own}
    missing = [
        name
        for name, tensor in own.items()
        # Tied tensors are saved once; counters change nothing that is evaluated.
        if name not in given and tensor.data_ptr() not in held and not name.endswith(COUNTER)
    ]
    left = [name for name in given if name not in own]
    if missing or left:
        said = [f"lacks {_listed(missing)}"] if missing else []
        said += [f"has {_listed(left)}, which the network does not"] if left else []
        raise LossmapError(
            f"{where}: {' and '.join(said)}; name the network that it was saved from, with its own "
            "arguments"
        )


def _check_tensor(name: str, own: torch.Tensor, values: torch.Tensor, where: str) -> None:
    if own.shape != values.shape:
        raise LossmapError(
            f"{where}: '{name}' has shape {tuple(values.shape)}, but {tuple(own.shape)} in the "
            "network; name the network that it was saved from, with its own arguments"
        )
    if values.is_floating_point() and not torch.isfinite(values).all():
        raise LossmapError(f"{where}: '{name}' is not finite; leave this checkpoint out")
    frozen = isinstance(own, nn.Parameter) and not own.requires_grad
    if frozen and not torch.equal(own, values.to(own)):
        raise LossmapError(
            f"{where}: '{name}' differs from the network's, which does not train it; return the "
            "network with requires_grad=True for all that changed"
        )


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more
