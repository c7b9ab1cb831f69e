"""What a network remembers from pass to pass must be in its buffers: seen by passes that repeat.

Snapshots hold parameters and buffers, and random numbers follow from seeds. A network that keeps
anything else, such as a number in an attribute, is refused before it is trained: its landscape
would depend on what was evaluated before, and a resumed run would end elsewhere.
"""

import pickle
import random
from collections import deque
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from lossmap.errors import LossmapError
from lossmap.logs import logger
from lossmap.network.parameters import FlatNetwork
from lossmap.network.randomness import (
    python_states,
    seed_generators,
    set_python_states,
    torch_states,
)
from lossmap.network.task import Batch, Task

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_PICKLED = (np.ndarray, np.random.Generator, np.random.RandomState, random.Random)
_REMEDY = (
    "keep numbers in buffers (self.register_buffer), layers in an nn.ModuleList, and draw from "
    "torch's, NumPy's or Python's global generators"
)


def check_repeats(network: FlatNetwork, task: Task, batch: Batch, name: str) -> None:
    """Refuse a network that is not a function of its batch, parameters, buffers and seeds.

    One pass in training and one in evaluation mode are made twice from the same state.

    Parameters
    ----------
    network : is left as it was, in evaluation mode
    task, batch : the loss that is computed, and of what
    name : what the network is called in messages

    Raises
    ------
    LossmapError
        It remembers what no buffer holds, draws random numbers in evaluation mode, or grows.
    """
    before, tensors = network.keep(), _list_tensors(network.module)
    with torch.random.fork_rng(devices=[network.theta.device] * network.theta.is_cuda):
        python = python_states()
        try:
            network.load({"thetas": _displace(network.theta)})
            _check_from_here(network, task, batch, f"network '{name}'")
            grown = _list_tensors(network.module) ^ tensors
        finally:
            set_python_states(python)
            network.load(before)
    if grown:
        raise LossmapError(
            f"network '{name}': '{min(grown)}' comes or goes in a pass, expected the same "
            "parameters and buffers throughout; register it in __init__"
        )


def _check_from_here(network: FlatNetwork, task: Task, batch: Batch, name: str) -> None:
    here, attributes = network.keep(), dict(_list_attributes(network))
    outcomes, remembered = [], []
    for _ in range(2):
        network.load(here)
        outcomes.append(_train_once(network, task, batch))
        network.load(here)
        outcomes[-1] += (_evaluate_once(network, task, batch, name),)
        remembered.append(dict(_list_attributes(network)))
    for attribute in _differing(*remembered):
        raise LossmapError(
            f"{name}: '{attribute}' changes from pass to pass, but is no buffer, so that no "
            f"snapshot holds it; {_REMEDY}"
        )
    if outcomes[0] != outcomes[1]:
        suspects = _differing(attributes, remembered[0])
        hint = f" (it changes {', '.join(map(repr, suspects[:3]))})" * bool(suspects)
        raise LossmapError(
            f"{name}: the same batch gives another result when it passes again, with equal "
            f"parameters, buffers and seeds{hint}; {_REMEDY}"
        )
    network.load(here)
    _tell_of_changes_in_evaluation(network, task, batch, name)


def _train_once(network: FlatNetwork, task: Task, batch: Batch) -> tuple[bytes, ...]:
    seed_generators(0)
    network.module.train()
    network.gradient.zero_()
    loss = task.loss(network.module, batch)
    loss.backward()
    network.collect()
    return tuple(map(_to_bytes, (loss, network.gradient, *network.vectors.values())))


@torch.no_grad()
def _evaluate_once(network: FlatNetwork, task: Task, batch: Batch, name: str) -> bytes:
    network.module.eval()
    before = _generator_states(network)
    losses = task.loss(network.module, batch, "none")
    if _generator_states(network) != before:
        raise LossmapError(
            f"{name}: {_find_drawing_layer(network, task, batch)} draws random numbers in "
            "evaluation mode, so that no landscape repeats; draw only where self.training is true "
            "(F.dropout needs training=self.training)"
        )
    for layer, module in network.module.named_modules():
        if module.training and not any(module.children()):
            raise LossmapError(
                f"{name}: {_call(layer, module)} is in training mode in evaluation, where nothing "
                "says by what it normalizes; leave the modes to train() and eval() of nn.Module (a "
                "norm that always takes the batch's statistics has track_running_stats=False)"
            )
    return _to_bytes(losses)


@torch.no_grad()
def _tell_of_changes_in_evaluation(
    network: FlatNetwork, task: Task, batch: Batch, name: str
) -> None:
    before = [_to_bytes(held.view) for held in network.held]
    network.module.eval()
    task.loss(network.module, batch)
    network.collect()
    pairs = zip(network.held, before, strict=True)
    changed = [repr(held.name) for held, kept in pairs if _to_bytes(held.view) != kept]
    if changed:
        logger.warning(
            "%s changes %s in evaluation mode too; set back afterwards",
            name,
            ", ".join(changed[:5]),
        )


def _find_drawing_layer(network: FlatNetwork, task: Task, batch: Batch) -> str:
    """Return which layer is the innermost that changes a generator's state."""
    names = {module: name for name, module in network.module.named_modules()}
    states, found = [], []

    def enter(*_: object) -> None:
        states.append(_generator_states(network))

    def leave(module: nn.Module, *_: object) -> None:
        if _generator_states(network) != states.pop():
            found.append(_call(names.get(module, ""), module))

    hooks = register_module_forward_pre_hook(enter), register_module_forward_hook(leave)
    try:
        task.loss(network.module, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else "it"


def _call(name: str, module: nn.Module) -> str:
    kind = type(module).__name__
    return f"layer '{name}' ({kind})" if name else kind


def _generator_states(network: FlatNetwork) -> tuple[bytes, ...]:
    torches = torch_states(network.theta.device.type)
    return (python_states(), *map(_to_bytes, torches))


def _displace(theta: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(theta.shape, generator=generator).to(theta.device)
    return theta + 0.01 * noise * (theta.abs() + 0.1)


def _list_tensors(module: nn.Module) -> set[str]:
    return {n for n, _ in module.named_parameters()} | {n for n, _ in module.named_buffers()}


def _differing(first: dict[str, object], second: dict[str, object]) -> list[str]:
    return [name for name, value in second.items() if first.get(name, value) != value]


def _list_attributes(network: FlatNetwork) -> Iterator[tuple[str, object]]:
    """Yield everything that modules hold besides trained parameters, buffers and modules."""
    for name, parameter in network.module.named_parameters():
        if not parameter.requires_grad:
            yield name, _to_bytes(parameter)
    seen = {id(module) for module in network.module.modules()}
    for prefix, module in network.module.named_modules():
        for leaf, value in vars(module).items():
            if leaf not in _OF_EVERY_MODULE:
                yield f"{prefix}.{leaf}" if prefix else leaf, freeze(value, seen)


def freeze(value: object, seen: set[int]) -> object:
    """Return what a value is now, to be compared later; None where it has been seen before."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        return repr(value)
    if id(value) in seen or isinstance(value, ModuleType):
        return None
    seen.add(id(value))
    if isinstance(value, dict):
        return [(repr(key), freeze(item, seen)) for key, item in value.items()]
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return [freeze(item, seen) for item in value]
    return _freeze_object(value, seen)


def _freeze_object(value: object, seen: set[int]) -> object:
    if isinstance(value, torch.Tensor):
        return _to_bytes(value) if value.layout == torch.strided else None
    if isinstance(value, torch.Generator):
        return _to_bytes(value.get_state())
    if isinstance(value, _PICKLED):
        return pickle.dumps(value)
    return freeze(getattr(value, "__dict__", None), seen)


def _to_bytes(tensor: torch.Tensor) -> bytes:
    flat = tensor.detach().cpu().resolve_conj().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()
