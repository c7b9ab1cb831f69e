"""What a job says: one line per event, in the rule's log and on the terminal."""

import gc
import logging
import re
import sys
from pathlib import Path

from lossmap.code.running import job_log, run_as_hashed
from lossmap.errors import LossmapError, kind_and_reason

# Every job imports this before all else. What a library makes as it loads stays: searching it for
# garbage after every 700 objects, as Python does by itself, is a tenth of the time to load PyTorch.
gc.set_threshold(50_000)

_NO_MEMORY = re.compile("not enough memory|allocate memory|failed to map segment|bad_alloc", re.I)
_GIVE_MEMORY = "lift its limit (ulimit -v, mem_mb) or run fewer jobs at a time, and run again"

logger = logging.getLogger("lossmap")


def start(path: str | Path) -> logging.Logger:
    """Send the job's lines to its log file and the terminal; report expected errors in one line."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    for handler in (logging.FileHandler(path, mode="w"), logging.StreamHandler(sys.stderr)):
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger


def _report(kind: type[BaseException], error: BaseException, trace: object) -> None:
    if issubclass(kind, LossmapError):
        logger.error("error: %s", error)
    elif issubclass(kind, MemoryError) or _NO_MEMORY.search(str(error)):
        files = [h.baseFilename for h in logger.handlers if isinstance(h, logging.FileHandler)]
        script = Path(sys.argv[0]).stem.rpartition(".")[2]
        job = Path(*Path(*files).parts[-2:]).with_suffix("") if files else script
        logger.error("error: %s: out of memory (%s); %s", job, kind_and_reason(error), _GIVE_MEMORY)
    else:
        logger.error("unexpected error", exc_info=(kind, error, trace))


sys.excepthook = _report  # before the libraries of a job load: where memory is short, they cannot


def format_seconds(seconds: float) -> str:
    """Return a duration as h:mm:ss or m:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


try:
    run_as_hashed()
except LossmapError:
    start(job_log())
    raise
