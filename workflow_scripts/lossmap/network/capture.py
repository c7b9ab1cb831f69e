"""Work on a GPU, captured once as a CUDA graph and replayed: one launch instead of hundreds.

Follows PyTorch's notes on CUDA graphs: the work reads and writes static tensors only, is rehearsed
on a side stream first, and allocates from a memory pool of its own. Without CUDA, or where capture
is disabled or fails, the same work is simply called.
"""

import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import torch

from lossmap.errors import kind_and_reason
from lossmap.logs import logger
from lossmap.network.randomness import python_states, set_python_states

_allowed = True


def allow(graphs: bool) -> None:
    """Say whether this process may capture; where not, everything runs eagerly."""
    global _allowed  # noqa: PLW0603 - like torch's own switches, a property of the process
    _allowed = graphs


@contextmanager
def disabled() -> Iterator[None]:
    """Run everything eagerly meanwhile, captured or not."""
    before = _allowed
    allow(False)
    try:
        yield
    finally:
        allow(before)


class Replayed:
    """A piece of work that is captured when it is first called, and replayed from then on.

    The first replay is compared with the rehearsal: work that depends on anything but its tensors,
    and so does something else the second time, stays eager.

    Parameters
    ----------
    work : reads and writes tensors that stay where they are; must not read values on the CPU
    touched : every tensor that `work` changes, restored after the rehearsals
    share : whose memory pool is used as well; the two never run at the same time
    """

    def __init__(
        self,
        work: Callable[[], None],
        touched: Sequence[torch.Tensor],
        share: "Replayed | None" = None,
    ):
        self._work, self._touched, self._share = work, tuple(touched), share
        self._graph: torch.cuda.CUDAGraph | None = None
        self._eager = False

    @property
    def captured(self) -> bool:
        """Whether calls are replays."""
        return self._graph is not None

    def __call__(self) -> None:
        """Do the work once."""
        if not _allowed or self._eager or not _is_on_gpu(self._touched[0]):
            self._work()
        elif self._graph is None:
            self._begin()
        else:
            self._graph.replay()

    def _begin(self) -> None:
        before = _State(self._touched)
        obstacle = self._capture(before)
        if obstacle:
            logger.info("not captured as a CUDA graph, runs eagerly: %s", obstacle)
            self._eager = True
            before.restore()
            self._work()

    def _capture(self, before: "_State") -> str:
        """Do the work once by a captured graph, or return what stood in the way."""
        _rehearse(self._work)  # an error here is the work's own
        expected = [tensor.clone() for tensor in self._touched]
        if before.drew_on_cpu():
            return "it draws random numbers on the CPU"
        try:
            before.restore()
            with _no_waiting():  # tells before the capture, which an error would leave half open
                _rehearse(self._work)
            before.restore()
            graph = _record(self._work, self._share and self._share.pool())
            graph.replay()
            equal = all(map(_nearly_equal, self._touched, expected))
        except RuntimeError as error:
            return kind_and_reason(error)[:300]
        if not equal:
            return "its replay computes something else"
        self._graph = graph
        return ""

    def pool(self) -> tuple[int, int] | None:
        """Return the memory pool of the graph, or None without one."""
        return self._graph and self._graph.pool()


class _State:
    """What a rehearsal changes: tensors, and the generators that a network may draw from."""

    def __init__(self, touched: Sequence[torch.Tensor]):
        self._pairs = [(tensor, tensor.clone()) for tensor in touched]
        self._generators = _random_states()
        self._python = python_states()

    @torch.no_grad()
    def restore(self) -> None:
        for tensor, kept in self._pairs:
            tensor.copy_(kept)
        _set_random_states(*self._generators)
        set_python_states(self._python)

    def drew_on_cpu(self) -> bool:
        drew = not torch.equal(torch.get_rng_state(), self._generators[0])
        return drew or python_states() != self._python


def _nearly_equal(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(found.double(), expected.double(), 1e-3, 1e-3, equal_nan=True)


def _is_on_gpu(tensor: torch.Tensor) -> bool:
    return tensor.is_cuda


def _random_states() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.get_rng_state(), torch.cuda.get_rng_state()


def _set_random_states(cpu: torch.Tensor, gpu: torch.Tensor) -> None:
    torch.set_rng_state(cpu)
    torch.cuda.set_rng_state(gpu)


@cache
def _side_stream() -> torch.cuda.Stream:
    return torch.cuda.Stream()


def _rehearse(work: Callable[[], None]) -> None:
    """Do the work once on the stream that captures: libraries choose and allocate on first use."""
    stream = _side_stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        work()
    torch.cuda.current_stream().wait_stream(stream)


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Make it an error meanwhile that the CPU waits for the GPU, which a capture cannot hold."""
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "a prototype feature"
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(mode)


def _record(work: Callable[[], None], pool: tuple[int, int] | None) -> torch.cuda.CUDAGraph:
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    gc.collect()  # nothing may be destroyed on the GPU while it captures
    try:
        with torch.cuda.graph(graph, pool=pool, stream=_side_stream()):
            work()
    finally:
        torch.cuda.set_stream(stream)  # torch leaves the side stream current after an error
    return graph
