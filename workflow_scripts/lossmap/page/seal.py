"""Whether a page is as it was written, told from its last line, and what artifacts it shows."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

_SEAL = re.compile(rb"<!-- lossmap: content ([0-9a-f]{64}), artifacts ([0-9a-f]{64}) -->\n\Z")
_LENGTH = 200
"""More bytes than the last line has."""


def seal_page(text: str, artifacts: Mapping[str, str]) -> str:
    """Return a page with a last line that holds the SHA-256 of its text and of what it shows.

    Parameters
    ----------
    text : HTML, ended by a line feed
    artifacts : digests by ``stage/name``
    """
    content = hashlib.sha256(text.encode()).hexdigest()
    return f"{text}<!-- lossmap: content {content}, artifacts {_hash_digests(artifacts)} -->\n"


def is_sealed(path: Path) -> bool:
    """Tell whether every byte of a page is as it was written."""
    text = path.read_bytes()
    found = _SEAL.search(text, max(0, len(text) - _LENGTH))
    return bool(found) and hashlib.sha256(text[: found.start()]).hexdigest().encode() == found[1]


def shows(path: Path, artifacts: Mapping[str, str]) -> bool:
    """Tell whether a sealed page was made from these artifacts, digests by ``stage/name``."""
    with path.open("rb") as file:
        file.seek(-min(_LENGTH, path.stat().st_size), 2)
        return _SEAL.search(file.read())[2] == _hash_digests(artifacts).encode()


def _hash_digests(artifacts: Mapping[str, str]) -> str:
    lines = (f"{name} {digest}\n" for name, digest in sorted(artifacts.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
