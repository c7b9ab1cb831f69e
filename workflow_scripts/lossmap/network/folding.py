"""Batch norm by given statistics, folded into the convolution before it: one pass less per layer.

γ (Wx + b − μ)/√(σ² + ε) + β is a convolution with weights Wγ/√(σ² + ε). The weights are folded anew
in every pass, because θ and the statistics change between passes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from lossmap.logs import logger
from lossmap.network.normalization import find_norms


def fold_batch_norms(network: nn.Module, example: torch.Tensor) -> nn.Module:
    """Return an equal network for evaluation whose batch norms are folded where they can be.

    It shares all tensors with `network`. A network that cannot be traced, because its way depends
    on the values it computes, is returned as it is; so is one that computes something else then.

    Parameters
    ----------
    network : in evaluation mode
    example : images to compare the two on, (n, channels, height, width)
    """
    try:
        with _kept(network):
            folded = _fold(network)
            equal = _compute_the_same(folded, network, example)
            _displace(network)
            equal = equal and _compute_the_same(folded, network, example)
    except Exception as error:  # whatever a user's own network does when it is traced
        logger.info("batch norms are not folded: %s: %s", type(error).__name__, error)
        return network
    if not equal:
        logger.info("batch norms are not folded: the network computes something else when traced")
    return folded if equal else network


@torch.no_grad()
def _compute_the_same(folded: nn.Module, network: nn.Module, example: torch.Tensor) -> bool:
    with _kept(network):
        found = folded(example)
    with _kept(network):
        return torch.allclose(found, network(example), 1e-3, 1e-3, equal_nan=True)


@torch.no_grad()
def _displace(network: nn.Module) -> None:
    """Go to other parameters and buffers: what was computed before does not fit them."""
    generator = torch.Generator().manual_seed(0)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            drawn = torch.rand(tensor.shape, generator=generator).to(tensor)
            tensor.mul_(0.5 + drawn)
    for norm in find_norms(network).values():
        if norm.running_mean is not None:
            drawn = torch.randn(norm.running_mean.shape, generator=generator)
            norm.running_mean.add_(drawn.to(norm.running_mean))


@contextmanager
def _kept(network: nn.Module) -> Iterator[None]:
    """Put back afterwards every parameter and buffer: which tensor it is, and its values."""
    held = [tensors for m in network.modules() for tensors in (m._parameters, m._buffers)]
    before = [dict(tensors) for tensors in held]
    every = [tensor for tensors in before for tensor in tensors.values() if tensor is not None]
    values = [(tensor, tensor.data, tensor.detach().clone()) for tensor in every]
    try:
        yield
    finally:
        for tensors, kept in zip(held, before, strict=True):
            tensors.clear()
            tensors.update(kept)
        for tensor, data, kept in values:
            tensor.data = data
            data.copy_(kept)


class FoldedConv(nn.Module):
    """A convolution and the batch norm after it, as one convolution."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d):
        super().__init__()
        self.conv, self.norm = conv, norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, height, width) to (n, outputs, …)."""
        conv, norm = self.conv, self.norm
        weight, bias = fuse_conv_bn_weights(
            conv.weight,
            conv.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        return conv._conv_forward(x, weight, bias)


class _Tracer(fx.Tracer):
    """Looks only into modules that hold a batch norm."""

    proxy_buffer_attributes = True  # else what forward does to a buffer is done once, by the tracer

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        holds_norm = any(isinstance(part, _BatchNorm) for part in module.modules())
        return not holds_norm or super().is_leaf_module(module, name)


def _fold(network: nn.Module) -> nn.Module:
    traced = fx.GraphModule(network, _Tracer().trace(network))
    for number, norm in enumerate(list(traced.graph.nodes)):
        pair = _find_pair(traced, norm)
        if pair is None:
            continue
        name, conv = f"folded{number}", norm.args[0]
        traced.add_submodule(name, FoldedConv(*pair))
        with traced.graph.inserting_before(norm):
            folded = traced.graph.call_module(name, conv.args, conv.kwargs)
        norm.replace_all_uses_with(folded)
        for node in (norm, conv):
            traced.graph.erase_node(node)
    traced.recompile()
    return traced


def _find_pair(traced: fx.GraphModule, node: fx.Node) -> tuple[nn.Conv2d, nn.BatchNorm2d] | None:
    """Return convolution and batch norm, if a node is a batch norm that alone uses the former."""
    norm, before = _module_of(traced, node), node.args[0] if node.args else None
    conv = _module_of(traced, before)
    known = _is_plain(norm, nn.BatchNorm2d) and _is_plain(conv, nn.Conv2d)
    if known and norm.running_mean is not None and len(before.users) == 1:
        return conv, norm
    return None


def _is_plain(module: nn.Module | None, kind: type[nn.Module]) -> bool:
    """Return whether a module is what it was made as: its weights are what its attributes hold.

    Pruning, weight and spectral normalization compute the weights in hooks, parametrizations in
    properties of another class.
    """
    if type(module) is not kind or "weight" not in module._parameters:
        return False
    hooked = module._forward_pre_hooks or module._forward_hooks
    return not hooked and not vars(module).keys() & {"forward", "_conv_forward", "bias"}


def _module_of(traced: fx.GraphModule, node: object) -> nn.Module | None:
    calls = isinstance(node, fx.Node) and node.op == "call_module"
    return traced.get_submodule(node.target) if calls else None
