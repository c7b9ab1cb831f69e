"""Batch norm by given statistics, folded into the convolution before it: one pass less per layer.

γ (Wx + b − μ)/√(σ² + ε) + β is a convolution with weights Wγ/√(σ² + ε). The weights are folded anew
in every pass, because θ and the statistics change between passes.
"""

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from lossmap.logs import logger


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
        folded = _fold(network)
        with torch.no_grad():
            equal = torch.allclose(folded(example), network(example), 1e-3, 1e-3, equal_nan=True)
    except Exception as error:  # whatever a user's own network does when it is traced
        logger.info("batch norms are not folded: %s: %s", type(error).__name__, error)
        return network
    if not equal:
        logger.info("batch norms are not folded: the network computes something else when traced")
    return folded if equal else network


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
    known = type(norm) is nn.BatchNorm2d and type(conv) is nn.Conv2d
    if known and norm.running_mean is not None and len(before.users) == 1:
        return conv, norm
    return None


def _module_of(traced: fx.GraphModule, node: object) -> nn.Module | None:
    calls = isinstance(node, fx.Node) and node.op == "call_module"
    return traced.get_submodule(node.target) if calls else None
