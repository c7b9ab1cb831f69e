"""Runs the parts of a check one after the other inside a hard time box.

The parts run in a process of their own. One that hangs, dies or leaves CUDA broken costs its own
result alone: it is ended and noted, and the rest goes on in a fresh process. Every result is on
disk before the next part begins. Loads no torch.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.1
END_SECONDS = 3
"""What is left of the budget for the last report."""
BROKEN = 3
"""Status of a process whose CUDA context a failed part may have spoiled."""


@dataclass(frozen=True)
class Part:
    """One result.

    Attributes
    ----------
    call : returns what was found, as JSON has it; an AssertionError is a failed property
    least : seconds that must be left for it to begin
    most : seconds after which it is ended
    """

    call: Callable[[], dict]
    least: float = 5.0
    most: float = 90.0


class Records:
    """What became of each part, one JSON line each: begun, then done, failed or skipped."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, part: str, status: str, **found: object) -> None:
        """Append one line; it is on disk when this returns."""
        line = {"part": part, "status": status, "time": time.time(), **found}
        with open(self.path, "a") as stream:
            stream.write(json.dumps(line) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def read(self) -> dict[str, dict]:
        """Return the latest line of each part."""
        text = self.path.read_text() if self.path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        return {line["part"]: line for line in lines}

    def unfinished(self, parts: Iterable[str]) -> list[str]:
        """Return the parts that have no result yet."""
        known = self.read()
        return [part for part in parts if known.get(part, {}).get("status", "begun") == "begun"]


def run_parts(parts: Mapping[str, Part], names: list[str], records: Records, end: float) -> None:
    """Run parts by name in this process until `end`, seconds since the epoch."""
    for name in names:
        part, left = parts[name], end - time.time()
        if left < part.least:
            reason = f"{max(left, 0):.0f} s were left, it takes at least {part.least:.0f} s"
            records.write(name, "skipped", reason=reason)
            continue
        print(f"{name} …", flush=True)
        records.write(name, "begun")
        started = time.monotonic()
        status, found = _attempt(part)
        seconds = round(time.monotonic() - started, 2)
        records.write(name, status, seconds=seconds, **found)
        print(f"{name}: {status} in {seconds} s  {json.dumps(found)[:600]}", flush=True)
        if status == "failed" and "CUDA" in found["reason"]:
            sys.exit(BROKEN)


def _attempt(part: Part) -> tuple[str, dict]:
    try:
        return "done", {"found": part.call()}
    except Exception as error:  # whatever it is, the other parts are worth having
        traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        return "failed", {"reason": reason, "traceback": traceback.format_exc()[-4000:]}


def supervise(
    command: list[str],
    parts: Mapping[str, Part],
    records: Records,
    end: float,
    report: Callable[[], None],
) -> None:
    """Have `command` run all parts before `end`, seconds since the epoch, whatever happens.

    Parameters
    ----------
    command : completed by ``--parts`` and names, and ``--end``, it calls `run_parts`
    report : called after every result
    """
    end -= END_SECONDS
    while (left := records.unfinished(parts)) and time.time() < end:
        words = [*command, "--parts", ",".join(left), "--end", str(end)]
        process = subprocess.Popen(words, start_new_session=True)
        try:
            reason = _watch(process, parts, records, end, report)
        finally:
            end_group(process)
        for name in left:
            if records.read().get(name, {}).get("status") == "begun":
                records.write(name, "failed", reason=reason)
        if records.unfinished(left) == left:  # not even the first has begun
            records.write(left[0], "failed", reason=f"before it began: {reason}")
            break  # nothing of it works
    for name in records.unfinished(parts):
        records.write(name, "skipped", reason="no time was left")
    report()


def _watch(
    process: subprocess.Popen,
    parts: Mapping[str, Part],
    records: Records,
    end: float,
    report: Callable[[], None],
) -> str:
    """Wait until a process ends, or must be ended, and return why it did."""
    seen = 0
    while process.poll() is None:
        now, size = time.time(), _size(records.path)
        if size != seen:
            report()
            seen = size
        if now >= end:
            return "cut off: the budget is used up"
        running = [(n, r) for n, r in records.read().items() if r["status"] == "begun"]
        if any(now - found["time"] > parts[name].most for name, found in running):
            return f"cut off: it took more than {parts[running[0][0]].most:.0f} s"
        time.sleep(POLL_SECONDS)
    return f"its process ended with status {process.returncode}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def end_group(process: subprocess.Popen) -> None:
    """End a process with everything that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_child(words: list[str], seconds: float, **options: object) -> str:
    """Run a Python program and return what it prints; a failure names its last line.

    It ends with this process's group. Raises RuntimeError or subprocess.TimeoutExpired.
    """
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        **options,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it printed nothing"]
        raise RuntimeError(f"{words[0]} ended with status {done.returncode}: {lines[-1]}")
    return done.stdout


def write_text(path: Path, text: str) -> None:
    """Replace a file at once: one that was being read is whole."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text)
    os.replace(temporary, path)
