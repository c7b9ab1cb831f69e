"""NVIDIA's Multi-Process Service, started for one measurement and always ended. Loads no torch."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
MPS_FOLDER = Path(tempfile.gettempdir()) / f"lossmap-mps-{os.getuid()}"
START_SECONDS = 5


@contextmanager
def served_by_mps() -> Iterator[dict[str, str]]:
    """Yield an environment whose processes share the GPU through MPS; end the service after."""
    if shutil.which(CONTROL) is None:
        raise RuntimeError(f"{CONTROL} is not installed")
    MPS_FOLDER.mkdir(parents=True, exist_ok=True)
    folders = {"CUDA_MPS_PIPE_DIRECTORY": MPS_FOLDER, "CUDA_MPS_LOG_DIRECTORY": MPS_FOLDER}
    environment = os.environ | {name: str(folder) for name, folder in folders.items()}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        start = [CONTROL, "-d"]
        subprocess.run(start, env=environment, timeout=START_SECONDS, check=True, **quiet)
        yield environment
    finally:
        stop_mps()


def stop_mps() -> None:
    """End the MPS that a check has started, if it has."""
    if not MPS_FOLDER.exists():
        return
    environment = os.environ | {"CUDA_MPS_PIPE_DIRECTORY": str(MPS_FOLDER)}
    with suppress(OSError, subprocess.TimeoutExpired):  # nothing else could be done
        subprocess.run(
            [CONTROL],
            env=environment,
            input="quit\n",
            text=True,
            timeout=START_SECONDS,
            check=False,
            capture_output=True,
        )
    shutil.rmtree(MPS_FOLDER, ignore_errors=True)
