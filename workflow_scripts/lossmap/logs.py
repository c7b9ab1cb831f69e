"""What a job says: one line per event, in the rule's log and on the terminal."""

import faulthandler
import gc
import logging
import sys
from pathlib import Path

from lossmap.errors import LossmapError

# Every job imports this before all else. What a library makes as it loads stays: searching it for
# garbage after every 700 objects, as Python does by itself, is a tenth of the time to load PyTorch.
gc.set_threshold(50_000)

logger = logging.getLogger("lossmap")


def start(path: str | Path) -> logging.Logger:
    """Send the job's lines to its log file and the terminal; report expected errors in one line."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(path, mode="w")
    for handler in (file, logging.StreamHandler(sys.stderr)):
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
    # A crash of a library ends the process at once: then Python's own lines say where, in the log.
    faulthandler.enable(file.stream)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    sys.excepthook = _report
    return logger


def _report(kind: type[BaseException], error: BaseException, trace: object) -> None:
    if issubclass(kind, LossmapError):
        logger.error("error: %s", error)
    else:
        logger.error("unexpected error", exc_info=(kind, error, trace))


def format_seconds(seconds: float) -> str:
    """Return a duration as h:mm:ss or m:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
