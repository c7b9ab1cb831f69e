"""A network whose parameters are one flat vector θ, and its buffers two others.

The tensors of the module are views into the vectors, so that a point of the landscape is set by
one copy, a snapshot is one copy, and an optimizer step is one operation, whatever the depth.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.layout import MAX_AXES, Layout, RawTensors, pad_shapes
from lossmap.errors import LossmapError
from lossmap.network.factory import build_network
from lossmap.network.normalization import find_norms, use_batch_statistics
from lossmap.network.tensors import Held, check_apart, find_buffers, find_parameters
from lossmap.network.trial import try_network


class FlatNetwork:
    """A module over a flat parameter vector.

    Attributes
    ----------
    module : the network
    theta : float32 (params,), all trainable parameters in ``named_parameters()`` order
    gradient : float32 (params,), where backward accumulates
    buffers : float32 (buffer_elements,), the buffers of that type in ``named_buffers()`` order
    other_buffers : uint8 (buffer_bytes,), the bytes of all others
    layout, buffer_layout, other_layout : where each tensor lies

    Raises
    ------
    LossmapError
        A parameter or buffer is of a kind that cannot be part of a vector; names it.
    """

    def __init__(self, module: nn.Module, device: str = "cpu"):
        self._parameters, every = find_parameters(module), find_buffers(module)
        check_apart([*self._parameters, *every])
        self.module = module.to(device)  # which tears shared buffers apart: they were found before
        plain = [held for held in every if held.tensor.dtype == torch.float32]
        others = [held for held in every if held.tensor.dtype != torch.float32]
        others.sort(key=lambda held: -held.tensor.itemsize)  # then each is aligned to its elements
        self.held_buffers = plain + others
        self.layout = _lay_out("parameter", self._parameters, _parameter_kinds(module))
        self.buffer_layout = _lay_out("buffer", plain, {})
        self.other_layout, total = _lay_out_bytes(others)
        self.theta = torch.zeros(self.layout.size, device=device)
        self.gradient = torch.zeros_like(self.theta)
        self.buffers = torch.zeros(self.buffer_layout.size, device=device)
        self.other_buffers = torch.zeros(total, dtype=torch.uint8, device=device)
        _move(self._parameters, self.theta)
        _move(plain, self.buffers)
        _move(others, self.other_buffers)
        for held, (_, _, shape, part) in zip(self._parameters, self.layout.parts(), strict=True):
            held.tensor.grad = self.gradient[part].view(shape)

    @property
    def vectors(self) -> dict[str, torch.Tensor]:
        """Return what a snapshot holds, by the names that it has there."""
        return {
            "thetas": self.theta,
            "buffers": self.buffers,
            "other_buffers": self.other_buffers,
        }

    def keep(self) -> dict[str, torch.Tensor]:
        """Return copies of the vectors, for `load`."""
        return {name: vector.clone() for name, vector in self.vectors.items()}

    @torch.no_grad()
    def load(self, values: Mapping[str, torch.Tensor | np.ndarray]) -> None:
        """Set some of the vectors, and drop what a pass has assigned to the module since."""
        self.attach()
        vectors = self.vectors
        for name, found in values.items():
            vectors[name].copy_(torch.as_tensor(found))

    def attach(self) -> None:
        """Let the module's tensors be parts of the vectors again."""
        for held in self.held:
            held.attach()

    @torch.no_grad()
    def collect(self) -> None:
        """Take over into the vectors what a pass has assigned to the module.

        Raises
        ------
        LossmapError
            A tensor became another one in a way that the vectors cannot hold; names it.
        """
        for held in self.held:
            held.collect()

    @property
    def parameters(self) -> list[torch.Tensor]:
        """Return the trainable parameters, in the order of θ."""
        return [held.tensor for held in self._parameters]

    @property
    def held(self) -> list[Held]:
        """Return all parameters and buffers that the vectors hold, in the order of the vectors."""
        return [*self._parameters, *self.held_buffers]

    def state(self) -> list[torch.Tensor]:
        """Return all tensors that training and evaluation change in place."""
        return [self.gradient, *self.vectors.values()]

    def batch_statistics(self) -> AbstractContextManager[None]:
        """Normalize every batch by its own mean and variance, leaving running statistics alone."""
        return use_batch_statistics(find_norms(self.module).values())


def create_network(
    spec: dict, device: str = "cpu", dataset: Dataset | None = None, batch_size: int | None = None
) -> FlatNetwork:
    """Return the network that `spec` describes, initialized from its seed.

    Parameters
    ----------
    spec : ``factory``, ``classes``, ``channels``, ``seed``, and ``width`` or ``arguments``; where
        it is not the function's own, ``initialization``
    device : ``cpu`` or ``cuda``
    dataset : what it is for; with it, another network made alike is tried on some of its images
    batch_size : of the training, for the trial

    Raises
    ------
    LossmapError
        The factory cannot be found or does not return a usable network.
    """
    build = partial(build_network, **spec)
    module = build()
    if dataset is not None:
        try_network(module, build().to(device), spec["factory"], dataset, batch_size)
    return FlatNetwork(module, device)


def describe_network(spec: dict, dataset: Dataset) -> dict:
    """Return a network's specification completed by the data set's classes and channels."""
    channels = dataset.train_images.shape[3]
    return {**spec, "classes": len(dataset.classes), "channels": channels}


def _lay_out(what: str, tensors: list[Held], kinds: dict[str, str]) -> Layout:
    _check_axes(what, tensors)
    for held in tensors:
        if held.tensor.dtype != torch.float32:
            raise LossmapError(
                f"{what} '{held.name}' is {held.tensor.dtype}, expected torch.float32; call "
                ".float() on it"
            )
    names = [held.name for held in tensors]
    shapes = [tuple(held.tensor.shape) for held in tensors]
    return Layout(names, [kinds.get(name, what) for name in names], shapes)


def _lay_out_bytes(tensors: list[Held]) -> tuple[RawTensors, int]:
    """Return where each buffer lies in a vector of bytes, and its length."""
    _check_axes("buffer", tensors)
    if not tensors:
        return RawTensors(), 0
    ends = np.cumsum([held.tensor.nbytes for held in tensors])
    return RawTensors(
        name=[held.name for held in tensors],
        dtype=[str(held.tensor.dtype).removeprefix("torch.") for held in tensors],
        shape=pad_shapes([tuple(held.tensor.shape) for held in tensors]),
        offset=np.concatenate([[0], ends[:-1]]).astype(np.int64),
    ), int(ends[-1])


def _check_axes(what: str, tensors: list[Held]) -> None:
    for held in tensors:
        if held.tensor.dim() > MAX_AXES:
            raise LossmapError(
                f"{what} '{held.name}' has {held.tensor.dim()} axes, expected at most {MAX_AXES}; "
                "hold it in fewer and reshape it in forward"
            )


def _move(tensors: list[Held], flat: torch.Tensor) -> None:
    start = 0
    for held in tensors:
        size = held.tensor.nbytes // flat.itemsize
        part = flat[start : start + size].view(held.tensor.dtype)
        held.move_into(part.view(held.tensor.shape))
        start += size


def _parameter_kinds(module: nn.Module) -> dict[str, str]:
    kinds = {}
    for prefix, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            kinds[f"{prefix}.{name}" if prefix else name] = _kind_of(owner, parameter)
    return kinds


def _kind_of(owner: nn.Module, parameter: torch.Tensor) -> str:
    if isinstance(owner, _BatchNorm):
        return "norm"
    if parameter.dim() <= 1:
        return "bias"
    if isinstance(owner, nn.modules.conv._ConvNd):
        return "conv"
    return "linear" if isinstance(owner, nn.Linear) else "other"
