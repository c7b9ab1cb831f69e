"""Digests of files outside of the results, remembered: no start of Snakemake reads gigabytes.

A digest is remembered for a file as the disk knows it (device, inode, size, times of change):
whatever writes, replaces or moves a file changes one of these, and nothing that a program sets, as
``cp -p`` does, can bring the time of the last change back. The job itself reads every byte.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from lossmap.artifacts.files import hash_file, write_text
from lossmap.artifacts.store import SETTLED_SECONDS
from lossmap.errors import LossmapError


class Digests:
    """Returns the SHA-256 of a file, from `path` where it is known there.

    Runs beside this one may write `path` too: what one of them loses is read again.
    """

    def __init__(self, path: Path):
        self.path = path

    def __call__(self, file: Path) -> str:
        """Return the digest of a file's bytes; raises LossmapError or OSError."""
        state, known = _state_of(file), self._read()
        if state not in known:
            digest, settled = hash_file(file), time.time() - os.stat(file).st_ctime
            if _state_of(file) != state or settled < SETTLED_SECONDS:
                return digest  # a change so soon after might not show
            known = self._read() | {state: digest}
            with suppress(LossmapError):  # read-only results: it is read every time
                write_text(self.path, json.dumps(known, indent=0, sort_keys=True))
        return known[state]

    def _read(self) -> dict[str, str]:
        try:
            known = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def _state_of(file: Path) -> str:
    found = os.stat(file)
    times = found.st_mtime_ns, found.st_ctime_ns
    return " ".join(map(str, (found.st_dev, found.st_ino, found.st_size, *times)))
