"""A network whose parameters are one flat vector θ, and its running statistics another.

The tensors of the module are views into the two vectors, so that a point of the landscape is set by
one copy, a snapshot is one copy, and an optimizer step is one operation, whatever the depth.
"""

from contextlib import AbstractContextManager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.layout import MAX_AXES, Layout
from lossmap.errors import LossmapError
from lossmap.network.factory import build_network
from lossmap.network.normalization import use_batch_statistics


class FlatNetwork:
    """A module over a flat parameter vector.

    Attributes
    ----------
    module : the network
    theta : float32 (params,), all trainable parameters in ``named_parameters()`` order
    gradient : float32 (params,), where backward accumulates
    buffers : float32 (buffer_elements,), the floating-point buffers in ``named_buffers()`` order
    layout, buffer_layout : where each tensor lies
    """

    def __init__(self, module: nn.Module, device: str = "cpu"):
        self.module = module.to(device)
        parameters = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        buffers = [(n, b) for n, b in module.named_buffers() if b.is_floating_point()]
        self.layout = _lay_out(parameters, _parameter_kinds(module))
        self.buffer_layout = _lay_out(buffers, {})
        self.theta = _flatten([p.detach() for _, p in parameters], device)
        self.gradient = torch.zeros_like(self.theta)
        self.buffers = _flatten([b for _, b in buffers], device)
        for (_, parameter), (_, _, shape, part) in zip(
            parameters, self.layout.parts(), strict=True
        ):
            parameter.data = self.theta[part].view(shape)
            parameter.grad = self.gradient[part].view(shape)
        for name, _, shape, part in self.buffer_layout.parts():
            owner, _, leaf = name.rpartition(".")
            module.get_submodule(owner)._buffers[leaf] = self.buffers[part].view(shape)

    def state(self) -> list[torch.Tensor]:
        """Return all tensors that training and evaluation change in place."""
        counters = [b for b in self.module.buffers() if not b.is_floating_point()]
        return [self.theta, self.gradient, self.buffers, *counters]

    def batch_statistics(self) -> AbstractContextManager[None]:
        """Normalize every batch by its own mean and variance, leaving running statistics alone."""
        return use_batch_statistics(
            module for module in self.module.modules() if isinstance(module, _BatchNorm)
        )


def create_network(spec: dict, device: str = "cpu") -> FlatNetwork:
    """Return the network that `spec` describes, initialized from its seed.

    Parameters
    ----------
    spec : ``factory``, ``classes``, ``channels``, ``seed``, and ``width`` or ``arguments``
    device : ``cpu`` or ``cuda``

    Raises
    ------
    LossmapError
        The factory cannot be found or does not return a usable network.
    """
    module = build_network(
        spec["factory"],
        classes=spec["classes"],
        channels=spec["channels"],
        width=spec.get("width", 1.0),
        seed=spec["seed"],
        arguments=spec.get("arguments"),
    )
    return FlatNetwork(module, device)


def describe_network(spec: dict, dataset: Dataset) -> dict:
    """Return a network's specification completed by the data set's classes and channels."""
    channels = dataset.train_images.shape[3]
    return {**spec, "classes": len(dataset.classes), "channels": channels}


def _lay_out(tensors: list[tuple[str, torch.Tensor]], kinds: dict[str, str]) -> Layout:
    for name, tensor in tensors:
        if tensor.dim() > MAX_AXES:
            raise LossmapError(f"parameter '{name}' has {tensor.dim()} axes, at most {MAX_AXES}")
        if tensor.dtype != torch.float32:
            raise LossmapError(f"parameter '{name}' is {tensor.dtype}, expected torch.float32")
    names = [name for name, _ in tensors]
    return Layout(
        names, [kinds.get(n, "buffer") for n in names], [tuple(t.shape) for _, t in tensors]
    )


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


def _flatten(tensors: list[torch.Tensor], device: str) -> torch.Tensor:
    if not tensors:
        return torch.zeros(0, device=device)
    return torch.cat([tensor.reshape(-1) for tensor in tensors]).to(device)
