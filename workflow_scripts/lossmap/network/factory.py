"""From the name of a network in the configuration to a network with seeded parameters.

Owns the contract with network factories, ours and the user's: ``module.path:function``, called
with the keywords ``classes``, ``channels`` and ``width``, returns a module. Knows no architecture.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lossmap.code.running import check_what_ran
from lossmap.errors import LossmapError, kind_and_reason

_FACTORY = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)")


def build_network(
    factory: str,
    *,
    classes: int,
    channels: int,
    width: float = 1.0,
    seed: int,
    initialization: str | None = None,
    arguments: Mapping | None = None,
) -> nn.Module:
    """Build a network whose initial parameters depend on the arguments alone.

    Parameters
    ----------
    factory : str
        ``module.path:function``, e.g. ``lossmap.network.models.resnet:resnet20``.
    classes, channels : int
        Number of outputs (2 or more) and of image channels.
    width : float
        Factor on every channel count of the network.
    initialization : str, optional
        One more keyword, of how the parameters are drawn.
    arguments : mapping, optional
        Keywords that the factory is called with instead of all these.
    seed : int
        Seed of the initialization. The caller's random state is as before afterwards.

    Returns
    -------
    nn.Module
        On the CPU, in training mode as PyTorch builds it.

    Raises
    ------
    LossmapError
        Fewer than two classes; the factory's name is malformed, its module cannot be imported
        or lacks the function, the factory fails, or what it returns is no module or has no
        trainable parameter.
    """
    if classes < 2:
        raise LossmapError(
            f"network factory {factory!r}: expected classes of 2 or more, got {classes}; "
            "correct the number of classes of the data set"
        )
    given = arguments
    if given is None:
        drawn = {} if initialization is None else {"initialization": initialization}
        given = {"classes": classes, "channels": channels, "width": width} | drawn
    with torch.random.fork_rng(devices=[]):
        make_network = import_factory(factory)
        seed_initialization(seed)
        network = call_factory(make_network, given, factory, "network", "run")
    check_what_ran()
    check_network(network, factory)
    return network


def seed_initialization(seed: int) -> None:
    """Seed what draws initial parameters on the CPU."""
    # Not torch.manual_seed: it would reseed the caller's GPUs too, which are not forked.
    torch.default_generator.manual_seed(seed)


def call_factory(function: Callable, given: Mapping, factory: str, what: str, entry: str) -> Any:
    """Return what a function makes of keywords; raises LossmapError whatever it raises.

    `what` it makes, and the `entry` of the configuration that has them, are for the message.
    """
    try:
        return function(**given)
    except (Exception, SystemExit) as error:
        shown = ", ".join(f"{key}={value}" for key, value in given.items())
        raise LossmapError(
            f"{what} factory {factory!r}: expected a {what} for ({shown}), "
            f"got {kind_and_reason(error)}; give the keywords that the function accepts under "
            f"'arguments' of the {entry}, or let it accept these"
        ) from error


def import_factory(factory: str, what: str = "network") -> Callable[..., Any]:
    """Import the function that ``module.path:function`` names, of a network or of a task.

    Raises
    ------
    LossmapError
        The name is malformed, the module cannot be imported or lacks the function.
    """
    match = _FACTORY.fullmatch(factory)
    if match is None:
        raise LossmapError(
            f"{what} factory {factory!r}: expected 'module.path:function', got no such form; "
            "write e.g. 'lossmap.network.models.resnet:resnet20'"
        )
    try:
        module = importlib.import_module(match["module"])
    except (Exception, SystemExit) as error:  # a user's module may fail in any way
        raise LossmapError(
            f"{what} factory {factory!r}: expected an importable module '{match['module']}', "
            f"got {kind_and_reason(error)}; correct the name or put "
            "the module's folder on PYTHONPATH"
        ) from error
    function = getattr(module, match["function"], None)
    if not callable(function):
        found = "nothing of that name" if function is None else type(function).__name__
        raise LossmapError(
            f"{what} factory {factory!r}: expected a function '{match['function']}' in "
            f"{module}, got {found}; define it there or correct the name"
        )
    return function


def check_network(network: object, factory: str) -> None:
    """Refuse what is no network that can be trained; raises LossmapError."""
    if not isinstance(network, nn.Module):
        named = getattr(network, "__name__", None)
        found = f"the class {named} itself" if isinstance(network, type) else type(network).__name__
        raise LossmapError(
            f"network factory {factory!r}: expected a torch.nn.Module, "
            f"got {found}; return the network from the function"
        )
    for module in network.modules():
        if isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod"):
            raise LossmapError(
                f"network factory {factory!r}: expected plain modules, got a scripted or compiled "
                f"{type(module).__name__}, whose tensors cannot be replaced; return the module "
                "that it was made from"
            )
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if is_lazy(tensor) or tensor.is_meta:
            raise LossmapError(
                f"network factory {factory!r}: expected parameters with shapes and values, got "
                f"{'meta' if tensor.is_meta else 'lazy'} '{name}'; name the number of inputs, e.g. "
                "nn.Linear for nn.LazyLinear, and make it on the CPU"
            )
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            raise LossmapError(
                f"network factory {factory!r}: expected float32 parameters, got '{name}' of "
                f"{parameter.dtype}; call .float() on the network"
            )
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise LossmapError(
            f"network factory {factory!r}: expected trainable parameters, got none; "
            "leave requires_grad=True on the parameters to train"
        )
