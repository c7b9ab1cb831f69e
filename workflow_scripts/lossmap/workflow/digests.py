"""Digests of files outside of the results, noted so that only a file that changed is read again."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from lossmap.artifacts.files import write_text
from lossmap.artifacts.store import SETTLED_SECONDS, digest_of
from lossmap.errors import LossmapError


class Digests:
    """What is known of files by path, size, times and number on the disk.

    Parameters
    ----------
    note : where it is kept between calls; without it all is read again
    """

    def __init__(self, note: Path):
        self._note = note
        self._known: dict[str, list] = {}
        with suppress(OSError, ValueError):
            self._known = json.loads(note.read_text())

    def of(self, file: Path) -> str:
        """Return the digest of a file; raises LossmapError as `digest_of`."""
        status, key = os.stat(file), str(file.absolute())
        state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        *known, digest = self._known.get(key, [None])
        if known == state:
            return digest
        digest = digest_of(file)
        if time.time() - status.st_ctime > SETTLED_SECONDS:
            self._known[key] = [*state, digest]
            with suppress(LossmapError):  # on a read-only disk it is read again next time
                write_text(self._note, json.dumps(self._known))
        return digest
