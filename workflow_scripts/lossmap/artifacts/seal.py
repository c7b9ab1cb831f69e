"""The first 512 bytes of an artifact: a seal over all the rest, and a mark that says what made it.

They lie in the HDF5 user block, so that damage is found before the HDF5 library sees a byte (on
damaged bytes it may loop for ever or crash the process), and so that 512 bytes tell whether an
artifact is what the configuration asks for.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from lossmap.artifacts.canonical import canonical_json

SEAL_BYTES = 512
SEAL = b"lossmap artifact\nseal "
_HASH = rb"([0-9a-f]{64})\n"
_LINES = re.compile(SEAL + _HASH + rb"recipe " + _HASH + rb"inputs " + _HASH + rb"content " + _HASH)


@dataclass(frozen=True)
class Mark:
    """What an artifact is, each part as SHA-256 in hexadecimal.

    Attributes
    ----------
    fingerprint : of specification and code, see `fingerprint_of`
    inputs : of the content digests of what it was made from, see `mark_inputs`
    content : its own content digest
    """

    fingerprint: str
    inputs: str
    content: str


def fingerprint_of(spec: str, code: str) -> str:
    """Return the hash of a specification (canonical JSON) and a hash of code."""
    return _hash([spec, code])


def mark_inputs(inputs: Mapping[str, str]) -> str:
    """Return the hash of content digests by name."""
    return _hash(dict(inputs))


def _hash(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def seal(path: str | Path, mark: Mark) -> None:
    """Write mark and seal of a finished HDF5 file into its user block."""
    with open(path, "r+b") as stream:
        stream.write(SEAL + _digest(path, mark).encode() + _lines(mark))


def read_mark(path: str | Path) -> Mark | None:
    """Return the mark of a file, None where there is none, from its first bytes alone."""
    with open(path, "rb") as stream:
        found = _LINES.match(stream.read(SEAL_BYTES))
    return Mark(*(part.decode() for part in found.groups()[1:])) if found else None


def is_sealed(path: str | Path) -> bool:
    """Tell whether a file begins as an artifact does."""
    with open(path, "rb") as stream:
        return stream.read(len(SEAL)) == SEAL


def seal_holds(path: str | Path) -> bool:
    """Tell whether a file has the bytes that it was sealed with; about a second per gigabyte."""
    mark = read_mark(path)
    if mark is None:
        return False
    with open(path, "rb") as stream:
        block = stream.read(SEAL_BYTES)
    wanted = SEAL + _digest(path, mark).encode() + _lines(mark)
    return block == wanted.ljust(SEAL_BYTES, b"\0")


def _lines(mark: Mark) -> bytes:
    return "\nrecipe {}\ninputs {}\ncontent {}\n".format(*astuple(mark)).encode()


def _digest(path: str | Path, mark: Mark) -> str:
    digest = hashlib.sha256(_lines(mark))
    with open(path, "rb") as stream:
        stream.seek(SEAL_BYTES)
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
