"""How torch computes in this process: deterministic, on a fixed number of threads."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lossmap.network import capture

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h of glibc


def fix_arithmetic(threads: int, device: str, cuda_graphs: bool = True) -> None:
    """Make torch deterministic on a fixed number of threads; results depend on that number.

    On the CPU torch's operations are deterministic as they are, and the call that insists on it
    would load torch's compiler, two seconds in every job. `cuda_graphs` says whether work on a GPU
    may be captured and replayed, which changes no number.
    """
    capture.allow(cuda_graphs)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    if device == "cuda":
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads it
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    _keep_freed_memory()


@contextmanager
def use_tf32(precision: str, device: str) -> Iterator[None]:
    """Let tensor cores round the factors of products to ten bits meanwhile, for ``tf32``.

    Any other precision forbids it. Only GPUs know it: on a CPU it is float32.
    """
    if device == "cpu":
        yield
        return
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    kept = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = kept


def autocast(precision: str, device: str) -> torch.autocast:
    """Let torch choose the operations that lose little in bfloat16, for ``bf16``."""
    # Weights in bfloat16 are not kept between uses: folded ones are new in each pass, and a
    # captured pass must convert them anew.
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)


def _keep_freed_memory() -> None:
    """Keep freed memory in the process instead of returning it to the system.

    glibc maps every large activation afresh, and the page faults take a fifth to a third of a pass
    through a small network. Other C libraries have no ``mallopt`` and are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in (
            (_M_MMAP_MAX, 0),
            (_M_TRIM_THRESHOLD, 2**31 - 1),
            (_M_TOP_PAD, 2**26),
        ):
            mallopt(option, value)
