"""Jobs that ended by a signal, as Snakemake's log tells of them, and what to do about each."""

import re
from collections.abc import Iterable
from pathlib import Path

_DEATH = re.compile(r"died with <Signals\.(SIG\w+): \d+>")
_CRASHES = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV")


def explain_deaths(logs: Iterable[str | Path]) -> list[str]:
    """Return a line for each signal by which a job died, in the order of Snakemake's logs."""
    texts = [Path(log).read_text(encoding="utf-8", errors="replace") for log in logs]
    names = dict.fromkeys(_DEATH.findall("\n".join(texts)))
    return [f"error: a job died by {name}: {_remedy(name)}" for name in names]


def _remedy(name: str) -> str:
    if name == "SIGKILL":
        return (
            "the system does this when memory runs out; run fewer jobs at once (--cores), set a "
            "smaller batch_size or evaluation.batch, or use a machine with more memory; a training "
            "goes on from its last saved epoch"
        )
    if name in _CRASHES:
        return (
            "a library crashed in the call that its log ends with; try another width or number of "
            "channels, another size of images, one thread, or the other device (device=cpu, "
            "device=cuda)"
        )
    return "somebody ended it; start again, and a training goes on from its last saved epoch"
