"""Running out of GPU memory: how it is recognized, and the one line that says what to do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lossmap.errors import LossmapError

REMEDY = "set jobs_per_gpu=1 or device=cpu, or use a GPU with more memory"

_DISGUISES = (  # what is raised as a plain RuntimeError when memory is short
    "CUDA error: out of memory",  # the driver itself, not torch's allocator
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine to execute this computation",  # cuDNN: none had room to work in
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the GPU's memory is full."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(text in said for text in _DISGUISES)


def name_gpu() -> str:
    """Return what to call the GPU of this process; inside torch it is always number 0."""
    leased = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"GPU {leased}" if leased else "the GPU"


@contextmanager
def explain_memory(what: str, remedy: str = "") -> Iterator[None]:
    """Turn running out of GPU memory into one line about `what`, with further remedies.

    Raises
    ------
    LossmapError
        The memory of the GPU is full.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise LossmapError(f"{what}: out of memory on {name_gpu()}; {REMEDY}{remedy}") from error
