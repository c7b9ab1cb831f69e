"""Which device a job computes on, and the lease that keeps two jobs off one GPU.

Knows nothing of torch: it must have run before CUDA is first touched.
"""

import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from filelock import FileLock, Timeout

from lossmap.errors import LossmapError

POLL_SECONDS = 1.0

log = logging.getLogger("lossmap")


def list_visible_gpus() -> list[str]:
    """Return the identifiers of the GPUs that this process may use, empty without any.

    ``CUDA_VISIBLE_DEVICES`` decides where it is set, and ends at its first invalid entry, as CUDA
    reads it; otherwise ``nvidia-smi`` is asked. SLURM sets the variable in every job that it gives
    a GPU; ``nvidia-smi`` may show such a node's other GPUs, which are somebody else's.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        named = [gpu.strip() for gpu in visible.split(",")]
        return list(takewhile(lambda gpu: gpu not in ("", "-1", "NoDevFiles"), named))
    if "SLURM_JOB_ID" in os.environ:
        return []
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(lines))] if listing.returncode == 0 else []


def choose_device(requested: str, gpus: list[str]) -> str:
    """Return ``cpu`` or ``cuda`` for a request of ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    LossmapError
        A GPU was asked for and none is visible.
    """
    if requested == "cuda" and not gpus:
        raise LossmapError(
            "device: cuda was asked for, but no GPU is visible (CUDA_VISIBLE_DEVICES="
            f"{os.environ.get('CUDA_VISIBLE_DEVICES', 'unset')}); set device=cpu or check "
            "nvidia-smi"
        )
    return "cuda" if requested != "cpu" and gpus else "cpu"


@contextmanager
def lease_device(
    requested: str, jobs_per_gpu: int = 1, folder: Path | None = None
) -> Iterator[str]:
    """Yield ``cpu`` or ``cuda``; with ``cuda``, one GPU is leased to this process meanwhile.

    The lease is a file lock on node-local disk, so it falls with the process, by SIGKILL too. Each
    SLURM job has leases of its own: its GPUs are no other job's, but may bear the same numbers.

    Raises
    ------
    LossmapError
        A GPU was asked for and none is visible.
    """
    gpus = list_visible_gpus()
    device = choose_device(requested, gpus)
    if device == "cpu":
        yield device
        return
    folder = folder or Path(tempfile.gettempdir()) / f"lossmap-gpu-leases-{os.getuid()}"
    folder = folder / os.environ.get("SLURM_JOB_ID", "")
    folder.mkdir(parents=True, exist_ok=True)
    lock, gpu = _wait_for_gpu(gpus, jobs_per_gpu, folder)
    try:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        yield device
    finally:
        lock.release()


def _wait_for_gpu(gpus: list[str], jobs_per_gpu: int, folder: Path) -> tuple[FileLock, str]:
    found = _find_free_gpu(gpus, jobs_per_gpu, folder)
    if found is None:
        log.info("waits for a GPU: %d jobs are on each of %s", jobs_per_gpu, ", ".join(gpus))
    while found is None:
        time.sleep(POLL_SECONDS)
        found = _find_free_gpu(gpus, jobs_per_gpu, folder)
    return found


def _find_free_gpu(gpus: list[str], jobs_per_gpu: int, folder: Path) -> tuple[FileLock, str] | None:
    for slot in range(jobs_per_gpu):
        for gpu in gpus:
            lock = FileLock(folder / f"gpu-{gpu}-{slot}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return lock, gpu
    return None
