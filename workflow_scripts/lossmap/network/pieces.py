"""Evaluation of a batch in pieces, for a GPU that has no memory for all of it at once.

The numbers are those of the whole batch, up to the last bits. Only torch's batch norms are known to
look at a whole batch; any other layer is taken to treat every image by itself.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from lossmap.errors import LossmapError
from lossmap.logs import logger
from lossmap.network.memory import REMEDY, is_out_of_memory, name_gpu

Evaluation = Callable[[], tuple[float, float]]


class Pieces:
    """How many images pass through a network at a time: fewer once the GPU's memory was full.

    Attributes
    ----------
    size : images, at first a whole batch
    """

    def __init__(self, size: int):
        self._tried = self.size = size

    def forward(self, module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        """Return ``module(inputs)``."""
        self._tried = min(len(inputs), self.size)
        if self._tried == len(inputs):
            return module(inputs)
        return forward_in_pieces(module, inputs, self.size)

    def fit(self, evaluate: Evaluation) -> tuple[float, float]:
        """Return what `evaluate` does, beginning it anew with smaller pieces while memory is short.

        The size that fits is kept for later calls.

        Raises
        ------
        LossmapError
            There is no memory for a single image.
        """
        size = self.size
        while (found := _try(evaluate)) is None:
            self._shrink()
        if self.size < size:
            logger.info(
                "out of memory on %s: evaluates %d images at a time from here, which takes longer "
                "and gives the same numbers",
                name_gpu(),
                self.size,
            )
        return found

    def _shrink(self) -> None:
        if self._tried == 1:
            raise LossmapError(
                f"evaluation: out of memory on {name_gpu()} with one image at a time; {REMEDY}"
            )
        self.size = (self._tried + 1) // 2
        torch.cuda.empty_cache()


def _try(evaluate: Evaluation) -> tuple[float, float] | None:
    """Return None without memory: only outside the handler is what the error holds on to free."""
    try:
        return evaluate()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    return None


def forward_in_pieces(module: nn.Module, inputs: torch.Tensor, size: int) -> torch.Tensor:
    """Return ``module(inputs)`` with at most `size` images passing at a time; without gradients.

    Where batch norm normalizes by the batch, that is all of `inputs`. The calls of batch norms are
    measured one after another in order of execution: pieces run up to the first call whose mean and
    variance are not known yet, and no further. That takes a pass for each call.

    Raises
    ------
    LossmapError
        A batch norm has a ``forward`` of its own.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and _sees_batch(m)]
    calls = _Calls()
    with _replace_forward(norms, calls.normalize):
        while True:
            passed = [calls.run(module, piece) for piece in inputs.split(size)]
            if passed[0] is not None:
                return torch.cat(passed)
            calls.settle()


def _sees_batch(norm: _BatchNorm) -> bool:
    return norm.training or norm.running_mean is None


@contextmanager
def _replace_forward(norms: Iterable[_BatchNorm], forward: Callable) -> Iterator[None]:
    kept = [(norm, vars(norm).get("forward")) for norm in norms]
    for norm, _ in kept:
        if type(norm).forward is not _BatchNorm.forward:
            raise LossmapError(
                f"out of memory on {name_gpu()}, and {type(norm).__name__} normalizes in a way of "
                f"its own, so that a batch cannot be evaluated in pieces; {REMEDY}"
            )
        norm.forward = partial(forward, norm)
    try:
        yield
    finally:
        for norm, own in kept:
            del norm.forward
            if own is not None:
                norm.forward = own


class _Reached(Exception):  # noqa: N818 - a way out, not an error
    """A piece has come to the call that is being measured."""


class _Calls:
    """The calls of batch norms in one pass, in order of execution.

    Attributes
    ----------
    known : mean and variance of the calls that are measured, float64, over all pieces
    """

    def __init__(self):
        self.known: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._next = 0
        self._norm: _BatchNorm | None = None
        self._parts: list[tuple[int, torch.Tensor, torch.Tensor]] = []

    def run(self, module: nn.Module, piece: torch.Tensor) -> torch.Tensor | None:
        """Return what the module makes of a piece, None where it came to an unknown call."""
        self._next = 0
        try:
            return module(piece)
        except _Reached:
            return None

    def normalize(self, norm: _BatchNorm, images: torch.Tensor) -> torch.Tensor:
        """Stand in for ``norm.forward``: normalize by a known call, measure the first unknown."""
        if self._next == len(self.known):
            self._norm = norm
            self._parts.append(_measure(images))
            raise _Reached
        wide = torch.promote_types(images.dtype, torch.float32)  # as the weights under autocast
        mean, variance = (values.to(wide) for values in self.known[self._next])
        self._next += 1
        return functional.batch_norm(
            images, mean, variance, norm.weight, norm.bias, training=False, eps=norm.eps
        )

    def settle(self) -> None:
        """Make the measured call a known one; running statistics follow as in training mode."""
        count, mean, variance = _pool(self._parts)
        self.known.append((mean, variance))
        if self._norm.training and self._norm.running_mean is not None:
            _track(self._norm, mean, variance * count / (count - 1))
        self._parts = []


def _measure(images: torch.Tensor) -> tuple[int, torch.Tensor, torch.Tensor]:
    """Return values per channel, and mean and variance (channels,) in float64."""
    others = [axis for axis in range(images.dim()) if axis != 1]
    wide = images.to(torch.promote_types(images.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, others, correction=0)
    return images.numel() // images.shape[1], mean.double(), variance.double()


def _pool(parts: list[tuple[int, torch.Tensor, torch.Tensor]]) -> tuple:
    """Return count, mean and variance of all values from those of their parts.

    Chan, Golub, LeVeque 1983, *Algorithms for Computing the Sample Variance*, for many parts.
    """
    total = sum(count for count, _, _ in parts)
    mean = sum(count * part for count, part, _ in parts) / total
    square = sum(count * (variance + (part - mean).square()) for count, part, variance in parts)
    return total, mean, square / total


def _track(norm: _BatchNorm, mean: torch.Tensor, variance: torch.Tensor) -> None:
    norm.num_batches_tracked += 1
    share = 1.0 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    for running, batch in ((norm.running_mean, mean), (norm.running_var, variance)):
        running.copy_((1.0 - share) * running + share * batch)
