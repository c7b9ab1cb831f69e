"""A module's tensors as views into flat vectors, whatever its forward pass does to them.

A forward pass may assign a tensor anew (``self.m = 0.9 * self.m + …``, ``self.weight.data = …``).
Its values are then taken over into the vector and the view is put back, so that the vectors hold
all that the next pass depends on, in tensors that stay where they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from lossmap.errors import LossmapError


@dataclass
class Held:
    """A parameter or buffer, in all the places where modules hold it.

    Attributes
    ----------
    name : in the network's state
    tensor : of a parameter the parameter itself, of a buffer what lies in its places
    places : module and attribute; a shared tensor has several
    view : the part of the flat vector, once there is one
    """

    name: str
    tensor: torch.Tensor
    places: list[tuple[nn.Module, str]]
    view: torch.Tensor | None = None

    @property
    def owner(self) -> nn.Module:
        """Return the module that holds it first."""
        return self.places[0][0]

    def move_into(self, view: torch.Tensor) -> None:
        """Copy the values into a part of a flat vector, and lie there from now on."""
        view.copy_(self.tensor.detach())
        self.view = view.data  # with a version of its own, which autograd compares
        self.attach()


class HeldParameter(Held):
    """A trainable parameter: one object, whose data is the view."""

    def attach(self) -> None:
        """Let the parameter be its part of the vector."""
        if self.tensor.data_ptr() != self.view.data_ptr():
            self.tensor.data = self.view

    def collect(self) -> None:
        """Take over what forward assigned to the parameter's data."""
        if any(owner._parameters.get(leaf) is not self.tensor for owner, leaf in self.places):
            raise LossmapError(
                f"parameter '{self.name}' is another object after a pass, expected the same "
                "throughout training; change its values in place"
            )
        if self.tensor.data_ptr() != self.view.data_ptr():
            self.view.copy_(self.tensor.detach())
            self.tensor.data = self.view


class HeldBuffer(Held):
    """A buffer: its places hold the view itself."""

    def attach(self) -> None:
        """Let the buffer be its part of the vector, wherever it is in use."""
        self.tensor = self.view
        for owner, leaf in self.places:
            if owner._buffers.get(leaf) is not None:  # None: batch norm by each batch meanwhile
                owner._buffers[leaf] = self.view

    def collect(self) -> None:
        """Take over what forward assigned to the buffer."""
        found = [owner._buffers.get(leaf) for owner, leaf in self.places]
        if all(tensor is self.view for tensor in found):
            return
        self._check(found)
        self.view.copy_(found[0].detach())
        self.attach()

    def _check(self, found: list[torch.Tensor | None]) -> None:
        if any(tensor is not found[0] for tensor in found):
            raise LossmapError(
                f"buffer '{self.name}' is shared by {len(found)} modules and assigned anew in one "
                "of them, expected one tensor; change it in place, e.g. self.m.copy_(…)"
            )
        before, after = _type_of(self.view), found[0] is not None and _type_of(found[0])
        fits = after and before[1] == after[1]
        if not fits or torch.promote_types(before[0], after[0]) != before[0]:
            raise LossmapError(
                f"buffer '{self.name}' is {_say(before)} before a pass and "
                f"{_say(after) if after else 'gone'} after it, expected the same; register it as "
                "what it becomes"
            )


def find_parameters(module: nn.Module) -> list[Held]:
    """Return the trainable parameters, in ``named_parameters()`` order."""
    held = _find(HeldParameter, [(n, m, m._parameters) for n, m in module.named_modules()])
    return [parameter for parameter in held if parameter.tensor.requires_grad]


def find_buffers(module: nn.Module) -> list[Held]:
    """Return the buffers, in ``named_buffers()`` order.

    Raises
    ------
    LossmapError
        A buffer is sparse or quantized.
    """
    held = _find(HeldBuffer, [(n, m, m._buffers) for n, m in module.named_modules()])
    for buffer in held:
        if buffer.tensor.layout != torch.strided or buffer.tensor.is_quantized:
            raise LossmapError(
                f"buffer '{buffer.name}' is sparse or quantized, expected an array of plain "
                "numbers; register its values (.to_dense(), .dequantize())"
            )
    return held


def _find(kind: type[Held], modules: list[tuple[str, nn.Module, dict]]) -> list[Held]:
    found: dict[int, Held] = {}
    for prefix, owner, tensors in modules:
        for leaf, tensor in tensors.items():
            if tensor is not None:
                name = f"{prefix}.{leaf}" if prefix else leaf
                held = found.setdefault(id(tensor), kind(name, tensor, []))
                held.places.append((owner, leaf))
    return list(found.values())


def check_apart(tensors: Iterable[Held]) -> None:
    """Refuse tensors that share memory, which parts of a vector do not.

    Raises
    ------
    LossmapError
        Two of them overlap.
    """
    spans = sorted((*_span(held.tensor), held.name) for held in tensors if held.tensor.numel())
    for (_, end, first), (start, _, second) in pairwise(spans):
        if start < end:
            raise LossmapError(
                f"'{first}' and '{second}' share memory, expected tensors of their own; copy one "
                "(.clone()), or hold one and the same parameter or buffer in both places"
            )


def _span(tensor: torch.Tensor) -> tuple[int, int]:
    last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (last + 1) * tensor.element_size()


def _type_of(tensor: torch.Tensor) -> tuple[torch.dtype, tuple[int, ...]]:
    return tensor.dtype, tuple(tensor.shape)


def _say(kind: tuple[torch.dtype, tuple[int, ...]]) -> str:
    return f"{str(kind[0]).removeprefix('torch.')} {kind[1]}"
